"""Which part of a download a request asks for.

Source: RFC 9110, sections 13.1.5 (If-Range), 14.1.2 (byte ranges) and 14.2 (Range). As S3, of which these addresses
take the place, it answers a request for several ranges with the whole.
"""

import re
from typing import Final, NamedTuple

from lamella.httpserver.message import Request

# More digits than any file has bytes are taken for nonsense, and nonsense is ignored.
_RANGE: Final = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})", re.IGNORECASE)


class UnsatisfiableRangeError(Exception):
    """The range begins behind the end, or is empty: 416."""


class ByteRange(NamedTuple):
    """A part of a file: where it begins, and how long it is."""

    first: int
    length: int


def wanted_range(request: Request, size_bytes: int, etag: str) -> ByteRange | None:
    """The part that is asked for; `None` for the whole, also if what is asked for makes no sense.

    Raises:
        UnsatisfiableRangeError: There is nothing of what is asked for.
    """
    asked = [value for name, value in request.headers if name == "range"]
    conditions = [value for name, value in request.headers if name == "if-range"]
    if request.method != "GET" or len(asked) != 1 or conditions not in ([], [etag]):
        return None
    match = _RANGE.fullmatch(asked[0])
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        length = min(int(match["last"]), size_bytes)
        if not length:
            raise UnsatisfiableRangeError
        return ByteRange(size_bytes - length, length)
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else first
    if last < first:
        return None
    if first >= size_bytes:
        raise UnsatisfiableRangeError
    end = min(last + 1, size_bytes) if match["last"] else size_bytes
    return ByteRange(first, end - first)
