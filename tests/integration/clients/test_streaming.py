"""Responses that AWS's runtime clients stream."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.clients import archive_of
from tests.support.functions import Function, create

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

PIECES = ["first ", "second ", "☃"]


@pytest.fixture(scope="module")
def node(client: Any, layer: Callable[[str, str], str]) -> Function:
    layers = [layer("node", "layer.zip"), layer("node", "greeting.zip")]
    return create(
        client,
        archive_of("node", "function.zip"),
        handler="function.stream",
        Layers=layers,
        MemorySize=1769,
        Timeout=60,
    )


@pytest.fixture(scope="module")
def rust(client: Any) -> Function:
    return create(client, archive_of("rust", "function.zip"), MemorySize=512)


def stream(function: Function, event: bytes) -> tuple[bytes, dict[str, Any]]:
    """What the caller of a streaming invocation gets: the payload and the closing event."""
    answer = function.client.invoke_with_response_stream(FunctionName=function.name, Payload=event)
    events = list(answer["EventStream"])
    payload = b"".join(event["PayloadChunk"]["Payload"] for event in events[:-1])
    return payload, events[-1]["InvokeComplete"]


def test_node_streams(node: Function) -> None:
    """RT-40, RT-41."""
    payload, complete = stream(node, b'{"value": ["first ", "second ", "\\u2603"]}')
    assert payload.decode() == "".join(PIECES)
    assert "ErrorCode" not in complete


def test_node_streams_more_than_a_buffered_response_may_have(node: Function) -> None:
    """RT-46: with back-pressure up to the handler, which waits for `drain`."""
    payload, complete = stream(node, b'{"value": ["%s"], "times": 320}' % (b"x" * 65536))
    assert len(payload) == 20 * 1024 * 1024
    assert "ErrorCode" not in complete


def test_node_fails_in_mid_stream(node: Function) -> None:
    """RT-42: what was sent stays sent, and the closing event says what went wrong; the environment is used again."""
    payload, complete = stream(node, b'{"value": ["first "], "fail": "enough"}')
    assert payload == b"first "
    assert complete["ErrorCode"] == "Refused"
    assert '"errorMessage":"enough"' in complete["ErrorDetails"]
    assert stream(node, b'{"value": ["again"]}')[0] == b"again"


def test_rust_streams_with_a_prelude(rust: Function) -> None:
    """RT-45: passed on as it is, eight NUL bytes and all."""
    payload, complete = stream(rust, b'{"action": "stream", "value": ["first ", "second ", "\\u2603"]}')
    prelude, body = payload.split(bytes(8))
    assert b'"statusCode":200' in prelude
    assert body.decode() == "".join(PIECES)
    assert "ErrorCode" not in complete


def test_a_buffered_response_to_a_streaming_invocation(rust: Function) -> None:
    """RT-44: one chunk."""
    answer = rust.client.invoke_with_response_stream(FunctionName=rust.name, Payload=b'{"value": 7}')
    chunk, complete = list(answer["EventStream"])
    assert chunk["PayloadChunk"]["Payload"].startswith(b'{"context":{')
    assert "ErrorCode" not in complete["InvokeComplete"]


def test_a_streamed_response_to_a_buffered_invocation(node: Function, rust: Function) -> None:
    """RT-43: collected."""
    assert node.invoke({"value": PIECES}).payload.decode() == "".join(PIECES)
    assert rust.invoke({"action": "stream", "value": PIECES}).payload.endswith(b"\0" * 8 + "".join(PIECES).encode())
