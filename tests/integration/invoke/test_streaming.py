"""Responses in pieces, from a runtime in a sandbox to AWS's SDK: section 2.4 of the contract."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from tests.support.functions import Function, bash
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

# HTTP by hand, as no program in the sandbox writes trailers.
#   begin TYPE [HEADER...]   starts a response in streaming mode
#   chunk TEXT               sends a piece; backslash escapes are read
#   finish [TRAILER...]      ends it; $SAID is the status line of the answer
#   released                 waits until the test has given the function the tag "go"
STREAM = r"""
begin() {
    local type=$1 header; shift
    exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/:/\/}"
    printf 'POST %s HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n' \
        "/2018-06-01/runtime/invocation/$ID/response" >&3
    printf 'Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: %s\r\n' "$type" >&3
    for header in "$@"; do printf '%s\r\n' "$header" >&3; done
    printf '\r\n' >&3
}
chunk() { printf '%x\r\n' "$(printf '%b' "$1" | wc -c)" >&3; printf '%b\r\n' "$1" >&3; }
finish() {
    local trailer
    { printf '0\r\n'; for trailer in "$@"; do printf '%s\r\n' "$trailer"; done; printf '\r\n'; } >&3
    read -r SAID <&3; SAID=${SAID%$'\r'}; exec 3>&-
}
released() {
    local arn=arn:aws:lambda:$AWS_REGION:$AWS_ACCESS_KEY_ID:function:$AWS_LAMBDA_FUNCTION_NAME
    until curl -sS "$AWS_ENDPOINT_URL/2017-03-31/tags/$arn" | grep -q '"go"'; do sleep 0.05; done
}
"""
TYPE = "Lambda-Runtime-Function-Error-Type"
BODY = "Lambda-Runtime-Function-Error-Body"


def function(client: Any, on_event: str, **options: Any) -> Function:
    """A runtime that does the same for each event, but for `"said"`, which it answers with the last status line."""
    answer = """[ "$BODY" = '"said"' ] && { respond "$SAID" >/dev/null; continue; }"""
    return bash(client, f"{STREAM}\nSAID=nothing\nwhile true; do\nnext\n{answer}\n{on_event}\ndone", **options)


@contextmanager
def invoking(function: Function, **options: Any) -> Iterator[tuple[Any, Iterator[Any]]]:
    """The SDK's answer, and its events as they come."""
    answer = function.client.invoke_with_response_stream(FunctionName=function.name, Payload=b"{}", **options)
    with closing(answer["EventStream"]):
        yield answer, iter(answer["EventStream"])


def invoke(function: Function, **options: Any) -> tuple[bytes, dict[str, str], str]:
    """The whole response, the members of InvokeComplete, and the content type that the function gave."""
    with invoking(function, **options) as (answer, events):
        *chunks, last = events
    payload = b"".join(event["PayloadChunk"]["Payload"] for event in chunks)
    return payload, last["InvokeComplete"], answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-remapped-content-type"]


def release(function: Function) -> None:
    arn = function.client.get_function_configuration(FunctionName=function.name)["FunctionArn"]
    function.client.tag_resource(Resource=arn, Tags={"go": "1"})


def said(function: Function) -> str:
    """The status line of the answer that the runtime got for its last response."""
    return function.invoke("said", tail=False).payload.decode()


def test_the_first_piece_arrives_before_the_last_is_sent(client: Any) -> None:
    """RT-40, RT-41: the function waits for what the caller does once it has read."""
    streaming = function(client, "begin text/plain; chunk first; released; chunk second; finish")
    with invoking(streaming) as (answer, events):
        assert answer["ExecutedVersion"] == "$LATEST"
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-remapped-content-type"] == "text/plain"
        assert next(events) == {"PayloadChunk": {"Payload": b"first"}}
        release(streaming)
        assert list(events) == [{"PayloadChunk": {"Payload": b"second"}}, {"InvokeComplete": {}}]
    assert said(streaming) == "HTTP/1.1 202 Accepted"


def test_the_answer_begins_before_there_is_data(client: Any) -> None:
    """RT-41."""
    streaming = function(client, "begin text/x-empty; released; finish")
    with invoking(streaming) as (answer, events):
        assert answer["StatusCode"] == 200
        release(streaming)
        assert list(events) == [{"InvokeComplete": {}}]


def test_curl_streams_what_a_program_prints(client: Any) -> None:
    """RT-40: as the how-to shows it."""
    script = """
    { echo one; released; echo two; } | curl -sS -X POST -o /dev/null -T - -H 'Content-Type: text/plain' \\
        -H 'Lambda-Runtime-Function-Response-Mode: streaming' -H 'Transfer-Encoding: chunked' -H 'Expect:' \\
        "$API/invocation/$ID/response"
    """
    streaming = function(client, script)
    with invoking(streaming) as (_, events):
        assert next(events) == {"PayloadChunk": {"Payload": b"one\n"}}
        release(streaming)
        assert list(events) == [{"PayloadChunk": {"Payload": b"two\n"}}, {"InvokeComplete": {}}]


@pytest.mark.parametrize("error_type", ["Function.Broke", "Runtime.APIKeyNotFound", "anything at all"])
def test_an_error_in_mid_stream_is_told_by_trailers(client: Any, error_type: str) -> None:
    """RT-42."""
    document = '{"errorMessage":"no more","errorType":"Broke"}'
    encoded = base64.b64encode(document.encode()).decode()
    streaming = function(
        client,
        f"begin text/plain 'Trailer: {TYPE}, {BODY}'; chunk half; finish '{TYPE}: {error_type}' '{BODY}: {encoded}'",
    )
    payload, complete, _ = invoke(streaming)
    assert payload == b"half"
    assert complete == {"ErrorCode": error_type, "ErrorDetails": document}
    assert said(streaming) == "HTTP/1.1 202 Accepted"


def test_trailers_that_are_announced_and_empty_are_no_error(client: Any) -> None:
    """RT-03, RT-42: the official Go client announces them always."""
    streaming = function(client, f"begin text/plain 'Trailer: {TYPE}, {BODY}'; chunk all; finish")
    assert invoke(streaming)[:2] == (b"all", {})


def test_a_buffered_response_is_one_piece(client: Any) -> None:
    """RT-44."""
    script = (
        """call POST "/invocation/$ID/response" -H 'Content-Type: text/x-whole' -H 'Expect:' -d "$BODY" >/dev/null"""
    )
    with invoking(function(client, script)) as (answer, events):
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-remapped-content-type"] == "text/x-whole"
        assert list(events) == [{"PayloadChunk": {"Payload": b"{}"}}, {"InvokeComplete": {}}]


def test_an_empty_buffered_response(client: Any) -> None:
    """RT-44, RT-30."""
    streaming = function(client, "respond '' >/dev/null")
    assert invoke(streaming)[:2] == (b"", {})


def test_the_prelude_of_http_integrations_passes_untouched(client: Any) -> None:
    """RT-45."""
    kind = "application/vnd.awslambda.http-integration-response"
    prelude = '{"statusCode":403,"cookies":["a=b"]}'
    zeros = r"\0" * 8
    script = f"begin {kind}; chunk '{prelude}{zeros}'; chunk 'body'; finish"
    payload, complete, content_type = invoke(function(client, script))
    assert payload == prelude.encode() + bytes(8) + b"body"
    assert (complete, content_type) == ({}, kind)


def test_a_timeout_in_mid_stream_ends_it_with_an_error(client: Any) -> None:
    """RT-47: and the runtime that comes after it works."""
    script = "begin text/plain; chunk half; if [ ! -e /tmp/late ]; then touch /tmp/late; sleep 60; fi; finish"
    streaming = function(client, script, Timeout=1)
    with invoking(streaming) as (answer, events):
        request_id = answer["ResponseMetadata"]["RequestId"]
        first, last = events
    assert first == {"PayloadChunk": {"Payload": b"half"}}
    complete = last["InvokeComplete"]
    text = json.loads(complete["ErrorDetails"])
    assert text["errorType"] == "Sandbox.Timedout"
    assert text["errorMessage"] == f"RequestId: {request_id} Error: Task timed out after 1.00 seconds"
    assert complete["ErrorCode"]
    assert invoke(streaming)[:2] == (b"half", {})


def test_a_runtime_that_exits_in_mid_stream_ends_it_with_an_error(client: Any) -> None:
    """RT-47, EX-64."""
    script = "begin text/plain; chunk half; released; exit 3"
    streaming = function(client, script)
    with invoking(streaming) as (_, events):
        assert next(events) == {"PayloadChunk": {"Payload": b"half"}}
        release(streaming)
        (last,) = events
    complete = last["InvokeComplete"]
    assert complete["ErrorCode"]
    assert json.loads(complete["ErrorDetails"])["errorType"] in ("Runtime.TruncatedResponse", "Runtime.ExitError")


def test_the_text_of_trailers_within_the_data_is_data(client: Any) -> None:
    """RT-48: the Rust client reports its errors so."""
    text = f"{TYPE}: Runtime.Error\\r\\n{BODY}: e30=\\r\\n"
    payload, complete, _ = invoke(function(client, f"begin text/plain; chunk 'half'; chunk '{text}'; finish"))
    assert payload == b"half" + text.replace("\\r\\n", "\r\n").encode()
    assert complete == {}


def test_an_error_before_the_response_is_told_in_the_stream(client: Any) -> None:
    """RT-57: with status 200, as the function has been run."""
    document = '{"errorMessage":"no","errorType":"No"}'
    script = f"call POST \"/invocation/$ID/error\" -H 'Expect:' -d '{document}' >/dev/null"
    _, complete, _ = invoke(function(client, script))
    assert complete == {"ErrorCode": "Unhandled", "ErrorDetails": document}


def test_a_runtime_that_cannot_be_started(client: Any) -> None:
    streaming = function(client, "exit 1")
    with invoking(streaming) as (answer, events):
        assert answer["StatusCode"] == 200
        (last,) = events
    assert json.loads(last["InvokeComplete"]["ErrorDetails"])["errorType"] == "Runtime.ExitError"


def test_error_is_refused_once_the_response_has_begun(client: Any) -> None:
    """RT-56."""
    script = """
    begin text/plain; chunk half
    FOUND=$(call POST "/invocation/$ID/error" -H 'Expect:' -d '{}')
    finish; SAID=$FOUND
    """
    streaming = function(client, script)
    assert invoke(streaming)[:2] == (b"half", {})
    refused = said(streaming)
    assert refused.startswith("403 ")
    assert json.loads(refused[4:])["errorType"] == "InvalidStateTransition"


def test_the_log_tail_comes_with_the_end(client: Any) -> None:
    """LG-10."""
    streaming = function(client, "begin text/plain; chunk data; echo printed; finish")
    _, complete, _ = invoke(streaming, LogType="Tail")
    tail = base64.b64decode(complete["LogResult"]).decode()
    assert tail.startswith("START RequestId: ")
    assert "printed\n" in tail
    assert tail.splitlines()[-1].startswith("REPORT RequestId: ")


def test_a_large_response_arrives_whole(client: Any) -> None:
    """RT-46: beyond what a buffered one may have."""
    script = """
    dd if=/dev/zero bs=1M count=12 2>/dev/null | curl -sS -X POST -o /dev/null -T - -H 'Expect:' \\
        -H 'Lambda-Runtime-Function-Response-Mode: streaming' -H 'Transfer-Encoding: chunked' \\
        "$API/invocation/$ID/response"
    """
    payload, complete, _ = invoke(function(client, script))
    assert (payload, complete) == (bytes(12 * 1024 * 1024), {})


def test_a_function_goes_on_without_its_caller(client: Any, logs: Callable[..., list[str]]) -> None:
    """RT-41: more than all buffers hold, so that it would wait for ever for a reader."""
    script = """
    { echo first; released; dd if=/dev/zero bs=1M count=32 2>/dev/null; } | curl -sS -X POST -o /dev/null -T - \\
        -H 'Expect:' -H 'Lambda-Runtime-Function-Response-Mode: streaming' -H 'Transfer-Encoding: chunked' \\
        -w 'accepted: %{http_code}\\n' "$API/invocation/$ID/response"
    SAID=same
    """
    streaming = function(client, script, Timeout=30)
    with invoking(streaming) as (_, events):
        assert next(events) == {"PayloadChunk": {"Payload": b"first\n"}}
    release(streaming)
    assert logs(streaming.name, until="accepted") == ["accepted: 202"]
    logs(streaming.name, until="REPORT")
    assert said(streaming) == "same"


def test_a_function_streams_to_another_function(client: Any) -> None:
    """RT-41: through the API's door inside the sandbox."""
    inner = function(client, "begin text/plain; chunk inner; finish")
    path = f"/2021-11-15/functions/{inner.name}/response-streaming-invocations"
    call = f"curl -sS \"$AWS_ENDPOINT_URL{path}\" -d '{{}}' | tr -cd '[:print:]'"
    outer = function(client, f'respond "$({call})" >/dev/null')
    payload, _, _ = invoke(outer)
    assert b"inner" in payload
    assert b"InvokeComplete" in payload


def test_the_command_line(client: Any, server: LamellaServer) -> None:
    streaming = function(client, r"begin text/plain; chunk 'one\n'; chunk 'two\n'; finish")
    result = server.lamella("invoke", streaming.name, "--stream")
    assert result.stdout == "one\ntwo\n"
    assert "REPORT RequestId: " in result.stderr
