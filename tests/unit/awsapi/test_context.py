import uuid

from lamella.awsapi.context import new_request_id


def test_request_ids_are_random_uuids_in_canonical_form() -> None:
    ids = {new_request_id() for _ in range(100)}
    assert len(ids) == 100
    for text in ids:
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122
