"""What functions return, as HTTP responses of their URLs."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.httpserver.rendering import header_lines, status_line, take_framing
from lamella.invoke.url_answer import InvalidAnswerError, Prelude, UrlAnswer, read_answer, stream_answer

JSON = ("Content-Type", "application/json")


def answer(value: Any) -> UrlAnswer:
    return read_answer(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("returned", "body"),
    [
        ('{"hello": "world"}', b'{"hello":"world"}'),
        ('["hello", 3, true]', b'["hello",3,true]'),
        ('"hello"', b"hello"),
        ("3", b"3"),
        ("3.1", b"3.1"),
        ("true", b"true"),
        ("null", b"null"),
        ('{"body": "b", "headers": {"x": "y"}}', b'{"body":"b","headers":{"x":"y"}}'),
        ('{"a": "\\u2603"}', '{"a":"☃"}'.encode()),
    ],
)
def test_json_without_a_status(returned: str, body: bytes) -> None:
    """The first six are recorded answers of AWS (LocalStack's tests, November 2025)."""
    assert read_answer(returned.encode()) == UrlAnswer(200, (JSON,), body)


def test_a_response_of_its_own() -> None:
    """The developer guide's example."""
    value = {
        "statusCode": 201,
        "headers": {"Content-Type": "text/x-a", "My-Custom-Header": "Custom Value"},
        "body": '{ "message": "Hello, world!" }',
        "cookies": ["Cookie_1=Value1; Expires=21 Oct 2021 07:48 GMT", "Cookie_2=Value2; Max-Age=78000"],
        "isBase64Encoded": False,
    }
    headers = (
        ("Content-Type", "text/x-a"),
        ("My-Custom-Header", "Custom Value"),
        ("Set-Cookie", "Cookie_1=Value1; Expires=21 Oct 2021 07:48 GMT"),
        ("Set-Cookie", "Cookie_2=Value2; Max-Age=78000"),
    )
    assert answer(value) == UrlAnswer(201, headers, b'{ "message": "Hello, world!" }')


@pytest.mark.parametrize(
    ("members", "body"),
    [
        ({}, b""),
        ({"body": None}, b""),
        ({"body": ""}, b""),
        ({"body": "ä"}, "ä".encode()),
        ({"body": {"a": [1, 2]}}, b'{"a":[1,2]}'),
        ({"body": 5}, b"5"),
        ({"body": "aGk=", "isBase64Encoded": True}, b"hi"),
        ({"body": "aGk=", "isBase64Encoded": False}, b"aGk="),
        ({"body": None, "isBase64Encoded": True}, b""),
    ],
)
def test_bodies(members: dict[str, Any], body: bytes) -> None:
    assert answer({"statusCode": 200, **members}) == UrlAnswer(200, (JSON,), body)


@pytest.mark.parametrize(("given_status", "status"), [(200, 200), ("404", 404), (503.0, 503), (599, 599)])
def test_statuses(given_status: Any, status: int) -> None:
    assert answer({"statusCode": given_status}).status == status


@pytest.mark.parametrize(
    "value",
    [
        *({"statusCode": status} for status in (None, "ok", "2000", "-20", 0, 99, 101, 600, -200, 200.5, True, [], {})),
        *({"statusCode": 200, "headers": headers} for headers in ([], "x", 5, {"a b": "c"}, {"": "x"}, {"a:": "b"})),
        *({"statusCode": 200, "headers": {"a": member}} for member in ("b\r\nc: d", "b\nc", "\0", ["b"], {"b": 1})),
        *({"statusCode": 200, "cookies": cookies} for cookies in ("a=1", {"a": 1}, ["a=1\r\nx: y"], [["a=1"]])),
        *({"statusCode": 200, "body": body, "isBase64Encoded": True} for body in ("?", "aGk", "ä", 5, {"a": 1})),
    ],
)
def test_a_response_that_is_none(value: Any) -> None:
    with pytest.raises(InvalidAnswerError):
        answer(value)


@pytest.mark.parametrize("payload", [b"", b"hello", b'{"statusCode": 200', b"\xff", b"[" * 200_000])
def test_what_is_not_json(payload: bytes) -> None:
    with pytest.raises(InvalidAnswerError):
        read_answer(payload)


def test_headers_are_sent_as_they_were_given() -> None:
    headers = {"X-Number": 5, "x-flag": True, "X-None": None, "X-Snow": "☃", "CONTENT-TYPE": "a/b"}
    assert answer({"statusCode": 200, "headers": headers}).headers == (
        ("X-Number", "5"),
        ("x-flag", "true"),
        ("X-Snow", "☃".encode().decode("latin-1")),
        ("CONTENT-TYPE", "a/b"),
    )


@pytest.mark.parametrize("name", ["Content-Length", "connection", "Transfer-Encoding", "X-Amzn-RequestId", "Upgrade"])
def test_what_only_the_server_knows_is_not_believed(name: str) -> None:
    assert answer({"statusCode": 200, "headers": {name: "99"}}).headers == (JSON,)


PRELUDE = b'{"statusCode":418,"headers":{"X-A":"b"},"cookies":["c=1"]}' + bytes(8)
HEAD = (("Content-Type", "application/octet-stream"), ("X-A", "b"), ("Set-Cookie", "c=1"))


@given(st.binary(max_size=12), st.integers(0, len(PRELUDE) + 12), st.integers(1, 9))
def test_a_prelude_however_it_is_cut(body: bytes, first: int, size: int) -> None:
    """RT-45: what follows the eight NULs is the body, NULs or not."""
    whole = PRELUDE + body
    pieces = [whole[:first], *(whole[at : at + size] for at in range(first, len(whole), size))]
    prelude = Prelude()
    for number, piece in enumerate(pieces):
        found = prelude.feed(piece)
        if found is not None:
            rest = b"".join(pieces[number + 1 :])
            assert (found.status, found.headers, found.body + rest) == (418, HEAD, body)
            return
    raise AssertionError("the prelude was not found")


def test_a_prelude_without_a_status() -> None:
    """RT-45."""
    found = Prelude().feed(b'{"headers":{"content-type":"text/html"}}' + bytes(8) + b"<p>")
    assert found == UrlAnswer(200, (("content-type", "text/html"),), b"<p>")


@pytest.mark.parametrize(
    "beginning", [bytes(8), b"[]" + bytes(8), b"{" + bytes(8), b'{"statusCode":1}' + bytes(8), b"x" * 300_000]
)
def test_a_prelude_that_is_none(beginning: bytes) -> None:
    """RT-45."""
    with pytest.raises(InvalidAnswerError):
        Prelude().feed(beginning)


def test_a_stream_without_a_prelude() -> None:
    assert stream_answer("text/event-stream") == UrlAnswer(200, (("Content-Type", "text/event-stream"),), b"")
    with pytest.raises(InvalidAnswerError):
        stream_answer("a\r\nb: c")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
RESPONSES = st.fixed_dictionaries(
    {"statusCode": st.integers(150, 650) | VALUES},
    optional={
        "headers": st.dictionaries(st.text(max_size=8), VALUES, max_size=4) | VALUES,
        "cookies": st.lists(VALUES, max_size=3) | VALUES,
        "body": VALUES,
        "isBase64Encoded": VALUES,
    },
)


@given(VALUES | RESPONSES)
def test_whatever_a_function_returns_is_a_response_or_is_refused(value: Any) -> None:
    """Nothing gets into the head of a response that the server would not send."""
    payload = json.dumps(value).encode()
    try:
        found = read_answer(payload)
    except InvalidAnswerError:
        return
    assert status_line(found.status).startswith("HTTP/1.1 ")
    plain, _ = take_framing(found.headers)
    header_lines(plain).encode("latin-1")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_response_or_are_refused(payload: bytes) -> None:
    try:
        read_answer(payload)
    except InvalidAnswerError:
        return
    json.loads(payload)


@given(st.binary(max_size=40))
def test_base64_bodies_come_out_as_they_went_in(body: bytes) -> None:
    encoded = base64.b64encode(body).decode()
    assert answer({"statusCode": 200, "body": encoded, "isBase64Encoded": True}).body == body
