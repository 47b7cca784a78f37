"""AWS's event stream encoding, against AWS's own bytes and botocore's own decoder."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from lamella.awsapi.eventstream import EventEncoder
from lamella.awsapi.spec import ServiceSpec

# Source: bytes that AWS sent, in the tests of Kong's plugin for Lambda (spec/fixtures/aws-lambda.lua), 2024.
RECORDED = [
    (
        {"PayloadChunk": {"Payload": b"Hello world "}},
        (
            "000000760000005a980e72ec0b3a6576656e742d7479706507000c5061796c6f61644368756e6b0d3a636f6e74656e742d74797065070018"
            "6170706c69636174696f6e2f6f637465742d73747265616d0d3a6d6573736167652d747970650700056576656e7448656c6c6f20776f726c"
            "642033971fd8"
        ),
    ),
    (
        {"InvokeComplete": {}},
        (
            "00000066000000541f56c8690b3a6576656e742d7479706507000e496e766f6b65436f6d706c6574650d3a636f6e74656e742d7479706507"
            "00106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b7d7006d467"
        ),
    ),
]


@pytest.fixture(scope="module")
def encoder(spec: ServiceSpec) -> EventEncoder:
    return encoder_of(spec, "InvokeWithResponseStream", "EventStream")


def encoder_of(spec: ServiceSpec, operation: str, member: str) -> EventEncoder:
    return EventEncoder(spec.operations[operation].output_shape.members[member], lambda shape: lambda value: value)


@pytest.mark.parametrize(("event", "recorded"), RECORDED, ids=["PayloadChunk", "InvokeComplete"])
def test_the_bytes_are_those_of_aws(encoder: EventEncoder, event: dict[str, Any], recorded: str) -> None:
    assert encoder.encode(event).hex() == recorded


@given(chunks=st.lists(st.binary(max_size=2000), max_size=5), cut=st.integers(1, 64))
def test_botocore_decodes_it_however_it_is_cut(spec: ServiceSpec, chunks: list[bytes], cut: int) -> None:
    encoder = encoder_of(spec, "InvokeWithResponseStream", "EventStream")
    events: list[dict[str, Any]] = [{"PayloadChunk": {"Payload": chunk}} for chunk in chunks]
    sent = b"".join(encoder.encode(event) for event in [*events, {"InvokeComplete": {"ErrorDetails": "ä"}}])
    buffer = EventStreamBuffer()
    received = []
    for start in range(0, len(sent), cut):
        buffer.add_data(sent[start : start + cut])
        received += list(buffer)
    assert [message.payload for message in received] == [*chunks, '{"ErrorDetails":"ä"}'.encode()]
    assert received[-1].headers == {
        ":event-type": "InvokeComplete",
        ":content-type": "application/json",
        ":message-type": "event",
    }


def test_a_buffered_response_of_the_largest_size_is_one_message(encoder: EventEncoder) -> None:
    """RT-44."""
    buffer = EventStreamBuffer()
    buffer.add_data(encoder.encode({"PayloadChunk": {"Payload": bytes(6_291_556)}}))
    assert len(buffer.next().payload) == 6_291_556


def test_what_the_model_does_not_know_is_our_bug(encoder: EventEncoder) -> None:
    with pytest.raises(ValueError, match="InvokeWithResponseStreamResponseEvent has no member Nonsense"):
        encoder.encode({"Nonsense": {}})
    with pytest.raises(ValueError, match="unpack"):
        encoder.encode({})


SHAPES: dict[str, Any] = {
    "T": {"type": "string"},
    "InHeader": {"type": "structure", "event": True, "members": {"A": {"shape": "T", "eventheader": True}}},
    "TextPayload": {"type": "structure", "event": True, "members": {"A": {"shape": "T", "eventpayload": True}}},
}


@pytest.mark.parametrize(("event", "reason"), [("InHeader", "header of an event"), ("TextPayload", "type string")])
def test_what_no_operation_needs_is_refused_loudly(
    made_spec: Callable[..., ServiceSpec], event: str, reason: str
) -> None:
    stream = {"type": "structure", "eventstream": True, "members": {"E": {"shape": event}}}
    give = {"members": {"S": {"shape": "Stream"}}, "payload": "S"}
    spec = made_spec(uri="/do", shapes={**SHAPES, "Stream": stream}, give=give)
    with pytest.raises(NotImplementedError, match=reason):
        encoder_of(spec, "Do", "S")
