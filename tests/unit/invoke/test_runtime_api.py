"""What the Runtime API makes of requests by their form alone; the rest is in the tests with real sandboxes."""

import json

import pytest

from lamella.domain.invocation import Invocation
from lamella.invoke.answers import error_body
from lamella.invoke.runtime_api import _without_cause, error_type_of, render_event


def head_of(invocation: Invocation, deadline_ms: int = 1_795_202_213_394) -> dict[str, str]:
    head = render_event(invocation, deadline_ms).decode("utf-8")
    status, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    assert status == "HTTP/1.1 200 OK"
    return dict(line.split(": ", 1) for line in lines)


def test_the_headers_of_an_event() -> None:
    # rule RT-21
    invocation = Invocation("id-1", b'{"a":1}', "application/json", "arn:f:live", "Root=1-a-b;Parent=c;Sampled=0")
    assert head_of(invocation) == {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": "id-1",
        "Lambda-Runtime-Deadline-Ms": "1795202213394",
        "Lambda-Runtime-Invoked-Function-Arn": "arn:f:live",
        "Lambda-Runtime-Trace-Id": "Root=1-a-b;Parent=c;Sampled=0",
        "Content-Length": "7",
    }


def test_a_client_context_cannot_break_out_of_its_header() -> None:
    invocation = Invocation("i", b"", "application/json", "arn", "t", '{"a":\r\n"b"}\nX-Evil: 1')
    assert head_of(invocation)["Lambda-Runtime-Client-Context"] == '{"a": "b"} X-Evil: 1'


def test_a_tenant() -> None:
    invocation = Invocation("i", b"", "application/json", "arn", "t", tenant_id="blue team")
    assert head_of(invocation)["Lambda-Runtime-Aws-Tenant-Id"] == "blue team"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Runtime.ExitError", "Runtime.ExitError"),
        ("Function.Bad", "Function.Bad"),
        ("my Function.Bad thing", "my Function.Bad thing"),
        ("Function.E", "Function.Unknown"),
        ("Function.", "Function.Unknown"),
        ("MyError", "Runtime.Unknown"),
        ("Runtime.bad", "Runtime.Unknown"),
        ("", "Runtime.Unknown"),
    ],
)
def test_error_types_are_checked_and_replaced(given: str, shown: str) -> None:
    # rule RT-51
    assert error_type_of(given) == shown


def test_an_error_with_cause_loses_the_cause() -> None:
    # rule RT-53
    body = {"errorMessage": "m", "errorType": "t", "stackTrace": [], "errorCause": {"x": 1}}
    assert json.loads(_without_cause(json.dumps(body).encode())) == {
        "errorMessage": "m",
        "errorType": "t",
        "stackTrace": [],
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"7", b"\xff", b"[" * 100_000])
def test_an_error_with_an_unreadable_cause(body: bytes) -> None:
    # rule RT-53
    assert _without_cause(body) == b'"Invalid error body"'


def test_error_bodies_look_as_the_emulators() -> None:
    # rule RT-08
    assert error_body("T", "a<b>&c") == b'{"errorMessage":"a\\u003cb\\u003e\\u0026c","errorType":"T"}\n'
