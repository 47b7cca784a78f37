"""Response heads as bytes.

Header injection is impossible by construction: whatever a handler passes is checked here for line ends, and names
must be tokens. Framing (`Content-Length`, `Transfer-Encoding`, `Connection`) belongs to the server.
"""

import email.utils
import http
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Headers = Sequence[tuple[str, str]]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FRAMING = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})
_KNOWN_NAMES_MAX = 1024  # handlers use a fixed vocabulary; the bound is for proxied headers, whose names others choose

# Names seen to be tokens and not framing: the usual head is checked by set look-ups alone.
_plain_names: set[str] = set()
_status_lines: dict[int, str] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in http.HTTPStatus if status >= 200
}
_date: tuple[int, str] = (0, "")


@dataclass(slots=True)
class Framing:
    """What a handler's headers say about framing; taken out of them, as the server writes its own."""

    content_length: int | None = None
    close: bool = False
    date: bool = False


def status_line(status: int) -> str:
    """Return the status line with its line end.

    Raises:
        ValueError: The status is not a final one (200 to 999).
    """
    try:
        return _status_lines[status]
    except KeyError:
        if not 200 <= status <= 999:
            raise ValueError(f"not a final HTTP status: {status!r}") from None
        return _status_lines.setdefault(status, f"HTTP/1.1 {status} Unknown\r\n")


def date_line() -> str:
    """Return the `Date` header line of the current second."""
    global _date  # one cached line for the whole process; formatting a date costs more than a request
    now_s = int(time.time())
    if _date[0] != now_s:
        _date = (now_s, f"Date: {email.utils.formatdate(now_s, usegmt=True)}\r\n")
    return _date[1]


def are_plain(headers: Headers) -> bool:
    """Tell whether all names are known to be valid and none concerns framing."""
    known = _plain_names
    for name, _ in headers:  # noqa: SIM110 - a generator costs more than the check itself
        if name not in known:
            return False
    return True


def take_framing(headers: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], Framing]:
    """Check header names and separate what concerns framing from the rest.

    Raises:
        ValueError: A name is not a token, or a framing header cannot be honoured.
    """
    framing = Framing()
    plain = []
    for name, value in headers:
        lower = name.lower()
        if lower not in _FRAMING:
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"not a valid header name: {name!r}")
            if len(_plain_names) < _KNOWN_NAMES_MAX:
                _plain_names.add(name)
            plain.append((name, value))
        elif lower == "content-length":
            if not (value.isascii() and value.isdigit()):
                raise ValueError(f"not a valid Content-Length: {value!r}")
            framing.content_length = int(value)
        elif lower == "connection":
            framing.close = framing.close or value.strip().lower() == "close"
        elif lower == "date":
            framing.date = True
            plain.append((name, value))
        elif lower == "transfer-encoding":
            raise ValueError("the server chooses the transfer coding; do not set Transfer-Encoding")
    return plain, framing


def header_lines(headers: Headers) -> str:
    """Return checked header lines.

    The names must have passed `are_plain` or `take_framing`.

    Raises:
        ValueError: A value holds a line end or NUL.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    count = len(headers)
    # Counting over the whole block is one pass in C, whatever the number of headers.
    if lines.count("\n") != count or lines.count("\r") != count or "\0" in lines:
        raise ValueError("a header value holds a line end or NUL")
    return lines


def trailer_lines(trailers: Headers) -> bytes:
    """Return checked trailer lines.

    Raises:
        ValueError: As for headers; framing headers cannot be trailers.
    """
    plain, _ = take_framing(trailers)
    if len(plain) != len(trailers):
        raise ValueError("framing headers cannot be trailers")
    return header_lines(plain).encode("latin-1")


def length_line(method: str, status: int, body_bytes: int, framing: Framing | None) -> str:
    """Return the `Content-Length` line of a complete response; empty where there must be none.

    Raises:
        ValueError: The handler announced a length that is not the body's.
    """
    announced = None if framing is None else framing.content_length
    if status == 204 or (status == 304 and announced is None):
        return ""
    if announced is not None and announced != body_bytes:
        if method != "HEAD" and status != 304:
            raise ValueError(f"Content-Length is {announced}, but the body has {body_bytes} bytes")
        body_bytes = announced  # the length that the answer to a GET would have
    return f"Content-Length: {body_bytes}\r\n"


def has_no_body(method: str, status: int) -> bool:
    """Tell whether a response ends with its head, whatever its headers say (RFC 9112, 6.3)."""
    return method == "HEAD" or status in (204, 304)
