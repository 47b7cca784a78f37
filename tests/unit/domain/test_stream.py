"""What a checkpoint is stored as."""

import json

from lamella.domain.stream import LATEST, Checkpoint


def test_what_is_stored_is_read_again() -> None:
    for checkpoint in (
        Checkpoint(),
        Checkpoint(LATEST, "49", over=True),
        Checkpoint(sequence="49", window={"start_s": 60, "state": {"a": 1}}),
    ):
        assert Checkpoint.from_document(json.loads(json.dumps(checkpoint.document()))) == checkpoint
