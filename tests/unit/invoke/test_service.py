"""What the caller of Invoke hands over beside the event."""

import base64

import pytest

from lamella.domain._api_errors import InvalidRequestContentException
from lamella.invoke.service import _carried, _client_context


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("text", ["", '{"custom": {"a": "ä"}}', "[1]"])
def test_a_client_context(text: str) -> None:
    assert _client_context(encoded(text)) == text


@pytest.mark.parametrize(
    "given",
    [
        "!",
        "e30",
        encoded("{"),
        encoded('"' + "x" * 3000 + '"'),
        base64.b64encode(b'"\xff"').decode(),
        encoded("[" * 2600),
    ],
    ids=["characters", "padding", "json", "long", "utf-8", "deep"],
)
def test_what_is_no_client_context(given: str) -> None:
    with pytest.raises(InvalidRequestContentException):
        _client_context(given)


def test_headers_that_no_runtime_could_read_are_not_handed_on() -> None:
    assert _carried("Root=1-a-b") == "Root=1-a-b"
    assert _carried("x" * 8192) == "x" * 8192
    assert _carried("x" * 8193) == ""
