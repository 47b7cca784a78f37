"""AWS's event stream encoding: how an operation answers with one event after another.

A message is a prelude (its length, the length of its headers, a CRC of both), the headers, the payload, and a CRC of
all that; numbers are big-endian, CRCs those of zlib. Source: botocore's `eventstream.py`, which decodes it; Smithy 2.0,
"Amazon Event Stream Specification".
"""

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_STRING: Final = 7  # the type of a header's value; the headers that AWS sends with Lambda's events have no other
_OVERHEAD_BYTES: Final = 16  # prelude with its CRC, and the CRC at the end
_prelude: Final = struct.Struct(">II").pack
_number: Final = struct.Struct(">I").pack

_encode_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class Events(Protocol):
    """What a handler gives for a member that is an event stream."""

    async def __anext__(self) -> Mapping[str, Any]:
        """The next event: its name, and its members."""

    async def aclose(self) -> None:
        """Nobody reads on."""


class EventBytes:
    """A stream of events as the bytes of its messages, one each."""

    def __init__(self, events: Events, encode: Callable[[Mapping[str, Any]], bytes]) -> None:
        self._events = events
        self._encode = encode

    def __aiter__(self) -> "EventBytes":
        """The stream is its own iterator: what has been read is gone."""
        return self

    async def __anext__(self) -> bytes:
        """The next message, as soon as there is an event."""
        return self._encode(await self._events.__anext__())

    async def aclose(self) -> None:
        """Nobody reads on."""
        await self._events.aclose()


class EventEncoder:
    """Encodes the events of one event stream of the model.

    Args:
        shape: The structure with the trait `eventstream`; each member is an event.
        converter: Gives what turns a value of a structure into JSON.
    """

    def __init__(self, shape: Any, converter: Callable[[Any], Callable[[Any], Any]]) -> None:  # Any: botocore's shapes
        self._owner: Final[str] = shape.name
        self._events: Final = {name: _event(name, event, converter) for name, event in shape.members.items()}

    def encode(self, event: Mapping[str, Any]) -> bytes:
        """The message of an event.

        Raises:
            ValueError: It is not one event that the model knows.
        """
        ((name, members),) = event.items()
        known = self._events.get(name)
        if known is None:
            raise ValueError(f"{self._owner} has no member {name}")
        headers, payload = known
        return _message(headers, payload(members))


def _message(headers: bytes, payload: bytes) -> bytes:
    prelude = _prelude(_OVERHEAD_BYTES + len(headers) + len(payload), len(headers))
    head = b"%b%b%b" % (prelude, _number(zlib.crc32(prelude)), headers)
    return b"%b%b%b" % (head, payload, _number(zlib.crc32(payload, zlib.crc32(head))))


def _header(name: str, value: str) -> bytes:
    encoded = value.encode()
    return b"%c%b%c%b%b" % (len(name), name.encode(), _STRING, len(encoded).to_bytes(2), encoded)


def _event(
    name: str, shape: Any, converter: Callable[[Any], Callable[[Any], Any]]
) -> tuple[bytes, Callable[[Mapping[str, Any]], bytes]]:
    """The headers of an event, and what makes its payload."""
    bound = {
        trait: [member for member, part in shape.members.items() if part.serialization.get(trait)]
        for trait in ("eventheader", "eventpayload")
    }
    if bound["eventheader"]:
        raise NotImplementedError(f"{shape.name}.{bound['eventheader'][0]}: header of an event")
    if bound["eventpayload"]:
        (member,) = bound["eventpayload"]
        if shape.members[member].type_name != "blob":
            raise NotImplementedError(f"{shape.name}.{member}: payload of type {shape.members[member].type_name}")
        return _headers(name, "application/octet-stream"), lambda value: value[member]
    convert = converter(shape)
    return _headers(name, "application/json"), lambda value: _encode_json(convert(value)).encode()


def _headers(event: str, content_type: str) -> bytes:
    """In the order in which AWS sends them. Source: recordings of 2024 and September 2026."""
    headers = {":event-type": event, ":content-type": content_type, ":message-type": "event"}
    return b"".join(_header(name, value) for name, value in headers.items())
