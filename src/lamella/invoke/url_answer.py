"""From what a function returned to the HTTP response that the caller of its URL gets.

Source: developer guide, "Invoking Lambda function URLs"; responses of AWS recorded in LocalStack's tests, November
2025: what is JSON without a status is sent without white space, but a string as it is, without its quotes.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PRELUDE_CONTENT_TYPE: Final = "application/vnd.awslambda.http-integration-response"
"""RT-45: the stream begins with a JSON object of status, headers and cookies, and eight NULs."""

_DELIMITER: Final = bytes(8)
_MAX_PRELUDE_BYTES: Final = 256 * 1024
"""Ours: as much as the server buffers of a stream. AWS names no limit."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE: Final = re.compile(r"[\0\r\n]")
_JSON: Final = "application/json"
_OCTETS: Final = "application/octet-stream"
_DROPPED: Final = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-amzn-requestid",
        "x-amzn-trace-id",
    }
)
"""Headers that only the server itself can know, or that it sends itself."""

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class InvalidAnswerError(Exception):
    """The function returned what makes no HTTP response; the text says why, for its log."""


@dataclass(frozen=True, slots=True)
class UrlAnswer:
    """A response: its status, its headers, and what is known of its body.

    Attributes:
        status: 200 to 599.
        headers: Fit to be sent; always with a `Content-Type`.
        body: All of it; of a stream what has come of it so far.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def read_answer(payload: bytes) -> UrlAnswer:
    """The response of a buffered invocation.

    Raises:
        InvalidAnswerError: It is no JSON, or has a status and is malformed otherwise.
    """
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswerError("the response is not JSON") from error
    if isinstance(value, Mapping) and "statusCode" in value:
        body = _body(value)
        return UrlAnswer(_status(value["statusCode"]), _headers(value, _JSON), body)
    return UrlAnswer(200, (("Content-Type", _JSON),), _plain(value))


class Prelude:
    """Reads the beginning of a stream of type `PRELUDE_CONTENT_TYPE`, however it is cut."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._held = bytearray()

    def feed(self, chunk: bytes) -> UrlAnswer | None:
        """Take the next piece; the response once its head is complete, `None` before.

        Raises:
            InvalidAnswerError: It is malformed, or too long.
        """
        searched = max(len(self._held) - len(_DELIMITER) + 1, 0)
        self._held += chunk
        end = self._held.find(_DELIMITER, searched)
        if (len(self._held) if end < 0 else end) > _MAX_PRELUDE_BYTES:
            raise InvalidAnswerError("the prelude of the response has no end")
        if end < 0:
            return None
        try:
            value = json.loads(bytes(self._held[:end]))
        except (ValueError, RecursionError) as error:
            raise InvalidAnswerError("the prelude of the response is not JSON") from error
        if not isinstance(value, Mapping):
            raise InvalidAnswerError("the prelude of the response is no object")
        rest = bytes(self._held[end + len(_DELIMITER) :])
        return UrlAnswer(_status(value.get("statusCode", 200)), _headers(value, _OCTETS), rest)


def stream_answer(content_type: str) -> UrlAnswer:
    """The response of a stream that is nothing but a body.

    Raises:
        InvalidAnswerError: The content type cannot be sent.
    """
    return UrlAnswer(200, (("Content-Type", _value(content_type)),), b"")


def _status(value: Any) -> int:  # Any: JSON
    """Functions return it as a number, and some as a string of digits."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{3}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        raise InvalidAnswerError("statusCode is no HTTP status that a response can have")
    return value


def _headers(value: Mapping[str, Any], default_type: str) -> tuple[tuple[str, str], ...]:
    headers = value.get("headers")
    cookies = value.get("cookies")
    if not isinstance(headers, Mapping | None):
        raise InvalidAnswerError("headers is no object")
    if not isinstance(cookies, list | None):
        raise InvalidAnswerError("cookies is no list")
    lines = []
    for name, member in (headers or {}).items():
        if not _TOKEN.fullmatch(name):
            raise InvalidAnswerError(f"{name!r} is no name of a header")
        if member is not None and name.lower() not in _DROPPED:
            lines.append((name, _value(member)))
    if not any(name.lower() == "content-type" for name, _ in lines):
        lines.insert(0, ("Content-Type", default_type))
    lines.extend(("Set-Cookie", _value(cookie)) for cookie in cookies or ())
    return tuple(lines)


def _value(member: Any) -> str:
    """The value of a header. What is no latin-1 goes as the bytes of UTF-8."""
    if isinstance(member, Mapping | list):
        raise InvalidAnswerError("the value of a header is no string")
    text = member if isinstance(member, str) else _encode(member)
    if _UNSAFE.search(text):
        raise InvalidAnswerError("the value of a header holds a line end or NUL")
    return text if text.isascii() else text.encode(errors="replace").decode("latin-1")


def _body(value: Mapping[str, Any]) -> bytes:
    body = value.get("body")
    if body is None:
        return b""
    if not value.get("isBase64Encoded"):
        return _plain(body)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidAnswerError("the body is not base64") from error


def _plain(value: Any) -> bytes:
    text = value if isinstance(value, str) else _encode(value)
    return text.encode(errors="replace")  # JSON may hold half of a surrogate pair, UTF-8 may not
