"""The Runtime API with real sandboxes and a runtime that breaks the rules on purpose; ids are those of the contract."""

import json
from typing import Any

import pytest
from tests.support.functions import bash, create

pytestmark = pytest.mark.sandbox

ECHO = 'while true; do next; respond "$BODY" >/dev/null; done\n'


def results(client: Any, script: str, **options: Any) -> list[str]:
    """Run a script that fills the bash array R with findings during one invocation, and return them."""
    report = """
    respond "$(printf '%s\\n' "${R[@]}")" >/dev/null
    while true; do next; respond '"next"' >/dev/null; done
    """
    answer = bash(client, f"next\nR=()\n{script}\n{report}", **options).invoke(tail=False)
    assert answer.error is None, answer.payload
    return answer.payload.decode().splitlines()


def error_body(error_type: str, message: str) -> str:
    return json.dumps({"errorMessage": message, "errorType": error_type}, separators=(",", ":"))


def test_plain_http_at_the_address_that_the_variable_names(client: Any) -> None:
    """RT-01: by hand over a bare connection, at the address that every environment has."""
    script = r"""
    exec 3<>/dev/tcp/169.254.100.1/9001
    printf 'GET /2018-06-01/ping HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n' >&3
    R+=("$AWS_LAMBDA_RUNTIME_API" "$(tr -d '\r' <&3 | sed -n '1p;$p')")
    exec 3>&-
    """
    assert results(client, script) == ["169.254.100.1:9001", "HTTP/1.1 200 OK", "pong"]


def test_an_event_comes_with_its_headers(client: Any) -> None:
    """RT-21, RT-39."""
    function = bash(client, 'while true; do next; respond "$(json < /tmp/head)" >/dev/null; done')
    answer = function.invoke(tail=False, ClientContext="eyJhIjoxfQ==")
    head = answer.document
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}"
    assert f"Lambda-Runtime-Aws-Request-Id: {answer.request_id}" in head
    assert f"Lambda-Runtime-Invoked-Function-Arn: {arn}Lambda-" in head
    assert "Lambda-Runtime-Trace-Id: Root=1-" in head
    assert 'Lambda-Runtime-Client-Context: {"a":1}' in head
    assert "Content-Type: application/json" in head
    assert "Lambda-Runtime-Deadline-Ms: 1" in head


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("binary/octet-stream", "application/json"),  # as version 2 of the SDK for JavaScript calls every event
        ("application/octet-stream", "application/json"),
        ("application/cbor", "application/cbor"),
    ],
)
def test_the_type_of_an_event(client: Any, sent: str, told: str) -> None:
    """The runtime of Python parses only what is called JSON, whoever sent it."""
    function = bash(client, 'while true; do next; respond "$(json < /tmp/head)" >/dev/null; done')

    def typed(request: Any, **_: object) -> None:
        request.headers["Content-Type"] = sent

    client.meta.events.register("before-send.lambda.Invoke", typed)
    try:
        assert f"Content-Type: {told}" in function.invoke(tail=False).document
    finally:
        client.meta.events.unregister("before-send.lambda.Invoke", typed)


def test_the_arn_carries_the_qualifier(client: Any) -> None:
    """RT-21."""
    function = bash(client, 'while true; do next; respond "$(json < /tmp/head)" >/dev/null; done')
    head = function.invoke(tail=False, Qualifier="$LATEST").document
    assert f":function:{function.name}:$LATESTLambda-" in head


def test_next_while_running_gives_the_same_event(client: Any) -> None:
    """RT-22."""
    first, second = results(client, 'A=$ID; next; R+=("$A" "$ID")')
    assert first == second


def test_a_wrong_request_id(client: Any) -> None:
    """RT-31, RT-08."""
    (found,) = results(client, 'R+=("$(call POST /invocation/00000000-0000-0000-0000-000000000000/response -d 1)")')
    assert found == "400 " + error_body("InvalidRequestID", "Invalid request ID")


def test_an_accepted_answer(client: Any) -> None:
    """RT-09, RT-32: 202 the first time, 403 before `next`, 400 after it."""
    script = """
    next; A=$ID
    R1=$(respond '"first"')
    R2=$(respond '"second"')
    next
    R3=$(call POST "/invocation/$A/response" -d x)
    respond "$(printf '%s\\n' "$R1" "$R2" "$R3")" >/dev/null
    next
    """
    function = bash(client, script)
    assert function.invoke(tail=False).payload == b'"first"'
    accepted, twice, late = function.invoke(tail=False).payload.decode().splitlines()
    assert accepted == '202 {"status":"OK"}'
    assert twice == "403 " + error_body(
        "InvalidStateTransition",
        "State transition from RuntimeResponseSentState to InvocationResponse failed for runtime. "
        "Error: State transition is not allowed",
    )
    assert late == "400 " + error_body("InvalidRequestID", "Invalid request ID")


def test_errors_keep_the_rules_of_responses(client: Any) -> None:
    """RT-55: a wrong id is 400 before the state is looked at, a second answer 403, and 400 after `next`."""
    script = """
    next; A=$ID
    fail() { call POST "/invocation/$1/error" -H 'Expect:' -d "$2"; }
    R1=$(fail 00000000-0000-0000-0000-000000000000 x)
    R2=$(fail "$A" '"first"')
    R3=$(fail "$A" '"second"')
    R4=$(fail 00000000-0000-0000-0000-000000000000 x)
    next
    R5=$(fail "$A" '"third"')
    respond "$(printf '%s\\n' "$R1" "$R2" "$R3" "$R4" "$R5")" >/dev/null
    next
    """
    function = bash(client, script)
    first = function.invoke(tail=False)
    assert (first.error, first.payload) == ("Unhandled", b'"first"')
    unknown = "400 " + error_body("InvalidRequestID", "Invalid request ID")
    twice = "403 " + error_body(
        "InvalidStateTransition",
        "State transition from RuntimeResponseSentState to InvocationErrorResponse failed for runtime. "
        "Error: State transition is not allowed",
    )
    found = function.invoke(tail=False).payload.decode().splitlines()
    assert found == [unknown, '202 {"status":"OK"}', twice, unknown, unknown]


def test_an_answer_after_the_timeout_is_refused(client: Any) -> None:
    """RT-33: the runtime that comes after it in the same environment answers for the invocation that timed out."""
    script = """
    if [ ! -e /tmp/late ]; then next; echo "$ID" > /tmp/late; sleep 60; fi
    next; A=$(</tmp/late)
    R1=$(call POST "/invocation/$A/response" -d '"late"')
    R2=$(call POST "/invocation/$A/error" -d '"late"')
    respond "$(printf '%s\\n' "$A" "$R1" "$R2")" >/dev/null
    next
    """
    function = bash(client, script, Timeout=1)
    timed_out = function.invoke(tail=False)
    assert timed_out.document["errorType"] == "Sandbox.Timedout"
    refused = "400 " + error_body("InvalidRequestID", "Invalid request ID")
    found = function.invoke(tail=False).payload.decode().splitlines()
    assert found == [timed_out.request_id, refused, refused]


def test_the_largest_response_and_one_byte_more(client: Any) -> None:
    """RT-34."""
    script = """
    while true; do
        next
        head -c "$BODY" /dev/zero | tr '\\0' x > /tmp/big
        STATUS=$(call POST "/invocation/$ID/response" -H 'Expect:' --data-binary @/tmp/big)
        echo "answered $STATUS"
    done
    """
    function = bash(client, script)
    good = function.invoke(6291556, tail=False)
    assert (good.error, len(good.payload)) == (None, 6291556)
    bad = function.invoke(6291557, tail=False)
    assert bad.error == "Unhandled"
    assert bad.document == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    again = function.invoke(3)
    assert again.payload == b"xxx"
    assert "INIT_START" not in again.tail


def test_the_runtime_is_told_that_its_response_is_too_large(client: Any) -> None:
    """RT-34, RT-38."""
    script = """
    next
    head -c 6291557 /dev/zero > /tmp/big
    KEPT=$(call POST "/invocation/$ID/response" -H 'Expect:' --data-binary @/tmp/big)
    next; respond "$KEPT" >/dev/null
    next
    """
    function = bash(client, script)
    function.invoke(tail=False)
    assert function.invoke(tail=False).payload.decode() == "413 " + error_body(
        "RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes)."
    )


def test_a_chunked_response_with_announced_trailers(client: Any) -> None:
    """RT-03: as the Go client sends every POST."""
    script = r"""
    send() {
        exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/:/\/}"
        printf '%b' "$1" >&3
        head -n 1 <&3 >/dev/null
        exec 3>&-
    }
    while true; do
        next
        send "POST /2018-06-01/runtime/invocation/$ID/response HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n"\
"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"\
"3\r\n\"ab\r\n2\r\nc\"\r\n0\r\nLambda-Runtime-Function-Error-Type: \r\nLambda-Runtime-Function-Error-Body: \r\n\r\n"
    done
    """
    function = bash(client, script)
    assert function.invoke(tail=False).payload == b'"abc"'
    assert function.invoke(tail=False).payload == b'"abc"'


def test_a_header_of_one_mebibyte(client: Any) -> None:
    """RT-04, RT-54."""
    script = r"""
    while true; do
        next
        exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/:/\/}"
        {
            printf 'POST /2018-06-01/runtime/invocation/%s/error HTTP/1.1\r\nHost: l\r\nContent-Length: 3\r\n' "$ID"
            printf 'Lambda-Runtime-Function-XRay-Error-Cause: '
            head -c 1048576 /dev/zero | tr '\0' x
            printf '\r\n\r\n"m"'
        } >&3
        head -n 1 <&3
        exec 3>&-
    done
    """
    answer = bash(client, script).invoke()
    assert (answer.error, answer.document) == ("Unhandled", "m")


def test_expect_100_continue(client: Any) -> None:
    """RT-05."""
    script = """
    while true; do
        next
        call POST "/invocation/$ID/response" -H 'Expect: 100-continue' -d '"continued"' >/dev/null
    done
    """
    assert bash(client, script).invoke(tail=False).payload == b'"continued"'


def test_unknown_paths_and_wrong_methods(client: Any) -> None:
    """RT-07, RT-10."""
    script = """
    R+=("$(call GET /nothing)" "$(call POST /invocation/next)" "$(call GET /invocation/$ID/response)")
    R+=("$(curl -sS "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/ping")")
    R+=("$(curl -sS -X PUT -D - -o /dev/null "$API/invocation/next" | grep -i '^allow' | tr -d '\\r')")
    """
    assert results(client, script) == ["404 404 page not found", "405 ", "405 ", "pong", "Allow: GET"]


def test_the_metadata_endpoint(client: Any) -> None:
    """Section 2.10."""
    script = """
    M="http://$AWS_LAMBDA_METADATA_API/2026-01-15/metadata/execution-environment"
    A="Authorization: Bearer $AWS_LAMBDA_METADATA_TOKEN"
    R+=("$(curl -sS "$M" -H "$A")")
    for token in nothing "Bearer wrong"; do
        R+=("$(curl -sS -o /dev/null -w '%{http_code}' "$M" -H "Authorization: $token")")
    done
    R+=("$(curl -sS -o /dev/null -w '%{http_code}' -X POST "$M" -H "$A")")
    """
    assert results(client, script) == ['{"AvailabilityZoneID":"use1-az1"}', "401", "401", "405"]


def test_an_unknown_response_mode_ends_the_invocation(client: Any) -> None:
    """RT-35."""
    script = """
    next
    KEPT=$(call POST "/invocation/$ID/response" -H 'Lambda-Runtime-Function-Response-Mode: Streaming' -d 1)
    next; respond "$KEPT" >/dev/null
    next
    """
    function = bash(client, script)
    first = function.invoke(tail=False)
    assert (first.error, first.document["errorType"]) == ("Unhandled", "Runtime.InvalidResponseModeHeader")
    assert function.invoke(tail=False).payload.decode() == "400 " + error_body(
        "InvalidFunctionResponseMode", "Invalid function response mode"
    )


def test_a_streaming_response_to_a_buffered_invocation(client: Any) -> None:
    """RT-43."""
    script = """
    while true; do
        next
        call POST "/invocation/$ID/response" -H 'Lambda-Runtime-Function-Response-Mode: streaming' \\
            -H 'Transfer-Encoding: chunked' -d '"streamed"' >/dev/null
    done
    """
    assert bash(client, script).invoke(tail=False).payload == b'"streamed"'


def test_a_response_that_breaks_off_leaves_the_invocation_open(client: Any) -> None:
    """RT-36."""
    script = r"""
    while true; do
        next
        exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/:/\/}"
        PATH_=/2018-06-01/runtime/invocation/$ID/response
        printf 'POST %s HTTP/1.1\r\nHost: l\r\nContent-Length: 99\r\n\r\nhalf' "$PATH_" >&3
        exec 3>&-
        respond '"whole"' >/dev/null
    done
    """
    assert bash(client, script).invoke(tail=False).payload == b'"whole"'


def test_a_response_need_not_be_json(client: Any) -> None:
    """RT-30."""
    function = bash(
        client, "while true; do next; call POST /invocation/$ID/response --data-binary @/bin/true >/dev/null; done"
    )
    assert function.invoke(tail=False).payload.startswith(b"\x7fELF")


def test_an_empty_response(client: Any) -> None:
    """RT-30."""
    assert bash(client, "while true; do next; respond '' >/dev/null; done").invoke(tail=False).payload == b""


def test_binary_and_empty_events_pass_byte_for_byte(client: Any) -> None:
    """RT-21."""
    function = bash(client, ECHO)
    text = json.dumps({"ä": "\u2028 <>&"}, ensure_ascii=False).encode()
    assert function.invoke(raw=text, tail=False).payload == text
    assert function.invoke(raw=b"", tail=False).payload == b"{}"


def test_a_waiting_call_that_goes_away_loses_no_event(client: Any) -> None:
    """RT-20."""
    script = """
    curl -sS --max-time 0.2 "$API/invocation/next"
    curl -sS --max-time 0.2 "$API/invocation/next"
    while true; do next; respond "$BODY" >/dev/null; done
    """
    function = bash(client, script)
    assert function.invoke("kept", tail=False).document == "kept"


def test_an_error_is_passed_on_as_it_is(client: Any) -> None:
    """RT-50, RT-52, RT-57."""
    script = """
    while true; do
        next
        H='Lambda-Runtime-Function-Error-Type: Function.Bad'
        call POST "/invocation/$ID/error" -H "$H" -d '<html>&</html>' >/dev/null
    done
    """
    function = bash(client, script)
    answer = function.invoke()
    assert (answer.status, answer.error, answer.payload) == (200, "Unhandled", b"<html>&</html>")
    assert "Status:" not in answer.tail  # LG-02
    assert function.invoke().error == "Unhandled"


def test_an_error_with_a_cause_loses_the_cause(client: Any) -> None:
    """RT-53."""
    script = """
    next
    call POST "/invocation/$ID/error" -H 'Content-Type: application/vnd.aws.lambda.error.cause+json' \\
        -d '{"errorMessage":"m","errorType":"T","stackTrace":[],"errorCause":{"a":1}}' >/dev/null
    next
    """
    assert bash(client, script).invoke().document == {"errorMessage": "m", "errorType": "T", "stackTrace": []}


def test_a_second_init_error_is_the_callers_payload(client: Any) -> None:
    """RT-23, RT-60, RT-61, RT-62, RT-63, and the log lines of section 4.3."""
    script = """
    call POST /init/error -H 'Lambda-Runtime-Function-Error-Type: Runtime.NoConfig' -d '{"errorMessage":"no config"}'
    echo
    call GET /invocation/next
    exit 7
    """
    answer = bash(client, script).invoke()
    assert (answer.error, answer.document) == ("Unhandled", {"errorMessage": "no config"})
    assert "Phase: invoke\tStatus: error\tError Type: Runtime.NoConfig\nSTART RequestId" in answer.tail
    assert answer.tail.endswith("Status: error\tError Type: Runtime.NoConfig\n")
    assert "Init Duration" not in answer.tail.splitlines()[-1]
    refusal = "State transition from InitError to Ready failed for runtime. Error: State transition is not allowed"
    assert "403 " + error_body("InvalidStateTransition", refusal) in answer.tail


def test_init_error_is_refused_after_next(client: Any) -> None:
    """RT-60."""
    (found,) = results(client, 'R+=("$(call POST /init/error -d 1)")')
    assert found.startswith("403 ")
    assert "InvalidStateTransition" in found


def test_a_first_failed_init_is_tried_again_inside_the_invocation(client: Any) -> None:
    """RT-63, section 4.3: /tmp outlives the reset, so the second try can succeed."""
    script = """
    if [ ! -e /tmp/tried ]; then touch /tmp/tried; exit 1; fi
    while true; do next; respond '"second"' >/dev/null; done
    """
    answer = bash(client, script).invoke()
    assert (answer.error, answer.payload) == (None, b'"second"')


def test_many_runtimes_calls_on_one_connection(client: Any) -> None:
    """RT-02: one connection for a process's life is how most clients do it."""
    function = bash(client, ECHO)
    assert [function.invoke(n, tail=False).document for n in range(20)] == list(range(20))


def test_two_functions_do_not_share_a_runtime_api(client: Any) -> None:
    """RT-06, architecture 3.3: the address is the same, the environment is not."""
    one, two = (create(client, {"bootstrap": _NAMED}) for _ in range(2))
    assert one.invoke(tail=False).document == one.name
    assert two.invoke(tail=False).document == two.name


_NAMED = (
    "#!/bin/bash\nAPI=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime\n"
    "while true; do curl -sS -D /tmp/h -o /dev/null $API/invocation/next\n"
    "ID=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: \\(.*\\)\\r$/\\1/ip' /tmp/h)\n"
    'curl -sS -o /dev/null $API/invocation/$ID/response -d "\\"$AWS_LAMBDA_FUNCTION_NAME\\""\ndone\n'
)
