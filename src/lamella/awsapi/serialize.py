"""Result of an operation, or its error -> response."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lamella.awsapi.eventstream import CONTENT_TYPE, EventBytes, EventEncoder
from lamella.awsapi.spec import ServiceSpec
from lamella.domain.errors import ApiError

Converter = Callable[[Any], Any]  # value of a shape in, JSON out: only the shape knows the types

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class WireResponse:
    """A response: status, headers in order, body. The length of the body is left to the HTTP server.

    Attributes:
        stream: Gives the body bit by bit instead; whoever has the response closes it.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    stream: EventBytes | None = None


class Serializer:
    """Serialises results of one service."""

    def __init__(self, spec: ServiceSpec) -> None:
        self._spec: Final = spec
        self._plans: Final[dict[str, _Plan]] = {}
        self._converters: Final[dict[str, Converter]] = {}

    def serialize(self, operation: str, result: Mapping[str, Any], request_id: str) -> WireResponse:
        """Put each member of `result` where the model wants it.

        Members that are None are left out; the others follow the model's order. Blobs are bytes, timestamps aware
        datetimes, which become seconds since the epoch; an event stream is an `Events`. A response with status 204 has
        no body.

        Raises:
            ValueError: `result`, or a structure in it, has a member that the model does not know.
        """
        plan = self._plans.get(operation)
        if plan is None:
            plan = self._plans[operation] = self._plan(operation)
        if not plan.members.issuperset(result):
            raise _unknown(operation, result, plan.members)
        status = plan.status
        if plan.status_member is not None:
            status = result.get(plan.status_member) or status
        headers = [("x-amzn-RequestId", request_id)]
        stream = None
        if status == 204:
            body = b""
        elif plan.events is not None:
            headers.append(("Content-Type", CONTENT_TYPE))
            body = b""
            stream = EventBytes(result[plan.stream], plan.events.encode)
        elif plan.blob is not None:
            headers.append(("Content-Type", "application/json"))
            body = result.get(plan.blob) or b""
        else:
            headers.append(("Content-Type", "application/json"))
            body = _encode(plan.body(result)).encode()
        for member, name in plan.headers:
            value = result.get(member)
            if value is not None:
                headers.append((name, value))
        return WireResponse(status, tuple(headers), body, stream)

    def _plan(self, operation: str) -> "_Plan":
        model = self._spec.operations[operation]
        plan = _Plan(model.http["responseCode"])
        shape = model.output_shape
        if shape is None:
            return plan
        plan.members = frozenset(shape.members)
        payload = shape.serialization.get("payload")
        body = {}
        for member, member_shape in shape.members.items():
            location = member_shape.serialization.get("location")
            name = member_shape.serialization.get("name", member)
            if location == "statusCode":
                plan.status_member = member
            elif location == "header" and member_shape.type_name == "string":
                if model.has_event_stream_output and name == "Content-Type":
                    # The content type of the answer is that of event streams; AWS's front end moves the other one away.
                    name = "X-Amzn-Remapped-Content-Type"
                plan.headers.append((member, name))
            elif member == payload and member_shape.serialization.get("eventstream"):
                plan.stream = member
                plan.events = EventEncoder(member_shape, self._converter)
            elif member == payload and member_shape.type_name == "blob":
                plan.blob = member
            elif location is None and payload is None:
                body[member] = (name, self._converter(member_shape))
            else:
                raise NotImplementedError(f"{operation}.{member}: {location} {member_shape.type_name}")
        # The members that travel elsewhere are in `members`, so `body` is not strict a second time.
        plan.body = _structure(operation, body, plan.members)
        return plan

    def _converter(self, shape: Any) -> Converter:
        known = self._converters.get(shape.name)
        if known is not None:
            return known
        # Shapes may refer to themselves: until this one is made, whoever needs it looks it up when called.
        self._converters[shape.name] = lambda value: self._converters[shape.name](value)
        converter: Converter
        match shape.type_name:
            case "structure":
                members = {
                    member: (member_shape.serialization.get("name", member), self._converter(member_shape))
                    for member, member_shape in shape.members.items()
                }
                converter = _structure(shape.name, members, frozenset(members))
            case "list":
                element = self._converter(shape.member)
                converter = lambda value: [element(item) for item in value]  # noqa: E731 - as short as its siblings
            case "map":
                element = self._converter(shape.value)
                converter = lambda value: {key: element(item) for key, item in value.items()}  # noqa: E731
            case "blob":
                converter = _blob
            case "timestamp":
                converter = _timestamp
            case _:
                converter = _same
        self._converters[shape.name] = converter
        return converter


class _Plan:
    """Where each member of a result goes."""

    __slots__ = ("blob", "body", "events", "headers", "members", "status", "status_member", "stream")

    def __init__(self, status: int) -> None:
        self.status = status
        self.status_member: str | None = None
        self.members: frozenset[str] = frozenset()
        self.headers: list[tuple[str, str]] = []
        self.blob: str | None = None
        self.stream = ""
        self.events: EventEncoder | None = None
        self.body: Converter = _structure("", {}, frozenset())


def serialize_error(error: ApiError, request_id: str) -> WireResponse:
    """The answer to a request that failed with `error`."""
    headers = [
        ("x-amzn-RequestId", request_id),
        ("Content-Type", "application/json"),
        ("x-amzn-ErrorType", error.code),
    ]
    body = {}
    if error.has_type:
        body["Type"] = "User" if error.fault == "client" else "Service"
    if error.message:
        body[error.message_member] = error.message
    for member, value in error.members.items():
        name = error.header_members.get(member)
        if name is None:
            body[member] = value
        else:
            headers.append((name, value))
    return WireResponse(error.status, tuple(headers), _encode(body).encode())


def _unknown(owner: str, value: Mapping[str, Any], known: frozenset[str]) -> ValueError:
    return ValueError(f"{owner} has no member {', '.join(sorted(set(value) - known))}")


def _structure(owner: str, members: Mapping[str, tuple[str, Converter]], known: frozenset[str]) -> Converter:
    plan = tuple((member, name, convert) for member, (name, convert) in members.items())

    def convert_structure(value: Mapping[str, Any]) -> dict[str, Any]:
        if not known.issuperset(value):
            raise _unknown(owner, value, known)
        result = {}
        for member, name, convert in plan:
            given = value.get(member)
            if given is not None:
                result[name] = convert(given)
        return result

    return convert_structure


def _same(value: Any) -> Any:
    return value


def _blob(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _timestamp(value: datetime) -> float:
    """Seconds since the epoch, to the millisecond."""
    seconds = round(value.timestamp(), 3)
    return int(seconds) if seconds.is_integer() else seconds
