"""What a mapping is stored as, and where its states lead."""

import json
from dataclasses import replace

import pytest

from lamella.domain.mapping import EventSourceMapping

MAPPING = EventSourceMapping(
    uuid="u",
    account="111122223333",
    region="eu-west-1",
    source_arn="arn:aws:sqs:eu-west-1:444455556666:q.fifo",
    function_arn="arn:aws:lambda:eu-west-1:111122223333:function:f",
    batch_size=10,
    window_s=0,
    enabled=False,
    state="Updating",
    modified_at=1.5,
    patterns=('{"body": [""]}',),
    tags={"team": "orders"},
)


def test_what_is_stored_is_read_again() -> None:
    assert EventSourceMapping.from_document(json.loads(json.dumps(MAPPING.document()))) == MAPPING


def test_what_was_stored_before_there_were_streams_and_tags_is_read() -> None:
    members = {"start", "start_at", "lanes", "retries", "max_age_s", "bisect", "tumbling_s", "on_failure", "Tags"}
    old = {name: value for name, value in MAPPING.document().items() if name not in members}
    assert EventSourceMapping.from_document(old) == replace(MAPPING, tags={})


@pytest.mark.parametrize(
    ("arn", "service", "is_stream"),
    [
        ("arn:aws:sqs:eu-west-1:1:q", "sqs", False),
        ("arn:aws:kinesis:eu-west-1:1:stream/s.fifo", "kinesis", True),
        ("arn:aws:dynamodb:eu-west-1:1:table/t/stream/2026-01-01T00:00:00.000", "dynamodb", True),
    ],
)
def test_what_it_reads_from(arn: str, service: str, is_stream: bool) -> None:
    mapping = replace(MAPPING, source_arn=arn)
    assert (mapping.service, mapping.is_stream, mapping.fifo) == (service, is_stream, False)


def test_the_parts_of_the_queue_s_arn() -> None:
    assert (MAPPING.queue_name, MAPPING.queue_owner, MAPPING.fifo) == ("q.fifo", "444455556666", True)


@pytest.mark.parametrize(
    ("state", "enabled", "following"),
    [
        ("Creating", True, "Enabled"),
        ("Enabling", True, "Enabled"),
        ("Disabling", False, "Disabled"),
        ("Updating", True, "Enabled"),
        ("Updating", False, "Disabled"),
        ("Enabled", True, "Enabled"),
        ("Disabled", False, "Disabled"),
        ("Deleting", True, "Deleting"),
    ],
)
def test_where_a_state_leads(state: str, enabled: bool, following: str) -> None:
    mapping = EventSourceMapping.from_document({**MAPPING.document(), "state": state, "enabled": enabled})
    assert mapping.next_state == following
