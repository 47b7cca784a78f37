import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.awsapi.eventstream import EventEncoder
from lamella.awsapi.spec import ServiceSpec
from lamella.cli.eventstream import EventStreamError, Message, read_messages

SHAPE = ServiceSpec.load().operations["InvokeWithResponseStream"].output_shape.members["EventStream"]
ENCODE = EventEncoder(SHAPE, lambda shape: lambda value: value).encode
HEADERS = {":event-type": "PayloadChunk", ":content-type": "application/octet-stream", ":message-type": "event"}


def read(data: bytes) -> list[Message]:
    return list(read_messages(io.BytesIO(data).read))


@given(st.lists(st.binary(max_size=100), max_size=4))
def test_it_reads_what_the_server_writes(payloads: list[bytes]) -> None:
    events: list[dict[str, Any]] = [{"PayloadChunk": {"Payload": payload}} for payload in payloads]
    assert read(b"".join(map(ENCODE, events))) == [Message(HEADERS, payload) for payload in payloads]


@given(cut=st.integers(1, 120), flip=st.integers(0, 119))
def test_what_is_damaged_is_never_taken_for_whole(cut: int, flip: int) -> None:
    whole = ENCODE({"PayloadChunk": {"Payload": bytes(20)}})
    damaged = bytearray(whole)
    damaged[flip % len(whole)] ^= 1
    for data in (bytes(damaged), whole[: cut % len(whole)] or b"x"):
        with pytest.raises(EventStreamError):
            read(data)
