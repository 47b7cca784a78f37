"""Reads AWS's event stream encoding: what InvokeWithResponseStream answers in."""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_LONGEST_BYTES = 24 * 1024 * 1024  # what AWS's own clients take at most
_STRING = 7


class EventStreamError(ValueError):
    """The bytes are not in this encoding, or were damaged."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message; its headers that are text, and its payload."""

    headers: dict[str, str]
    payload: bytes


def read_messages(read: Callable[[int], bytes]) -> Iterator[Message]:
    """Each message as soon as it is there, until the end.

    Args:
        read: Returns as many bytes as asked for; fewer at the end alone.

    Raises:
        EventStreamError: As it says; also while iterating.
    """
    while prelude := read(12):
        if len(prelude) < 12 or zlib.crc32(prelude[:8]) != int.from_bytes(prelude[8:]):
            raise EventStreamError("a message does not begin as one")
        length, headers_length = struct.unpack(">II", prelude[:8])
        if not 16 + headers_length <= length <= _LONGEST_BYTES:
            raise EventStreamError("a message has an impossible length")
        rest = read(length - 12)
        if len(rest) < length - 12 or zlib.crc32(prelude + rest[:-4]) != int.from_bytes(rest[-4:]):
            raise EventStreamError("a message is damaged")
        yield Message(_headers(rest[:headers_length]), rest[headers_length:-4])


def _headers(data: bytes) -> dict[str, str]:
    headers = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        value_at = name_end + 3
        if data[name_end : name_end + 1] != bytes([_STRING]):
            raise EventStreamError("a header is not text")
        value_end = value_at + int.from_bytes(data[name_end + 1 : value_at])
        headers[data[at + 1 : name_end].decode(errors="replace")] = data[value_at:value_end].decode(errors="replace")
        at = value_end
    return headers
