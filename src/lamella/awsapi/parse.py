"""Request -> parameters of an operation, as plain Python values named as in the model.

Each operation has a plan of converters that is made once, at its first request.

Source of the wording of type errors: observations of AWS's common server framework, which answers for Lambda as for
Athena and SES (public emulator tests recorded against AWS, September 2026): a value of the wrong JSON type gives
`<KIND>_VALUE can not be converted to a String` / `an Integer` / `an Boolean`, a list where none belongs `Start of list
found where not expected`, an object `Start of structure or map found where not expected.`, a scalar in place of a list
`Expected list or null` and in place of a structure `Expected null`. Fractions given for integers are cut off, unknown
members are ignored and `null` counts as absent, except as an element of a list or a map, which validation refuses.
"""

import binascii
import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from lamella.awsapi.route import Match
from lamella.awsapi.spec import ServiceSpec
from lamella.domain.errors import SerializationException

Converter = Callable[[Any], Any]  # JSON in, value of the shape out: only the shape knows the types
TextConverter = Callable[[str], Any]


class Parser:
    """Parses requests of one service."""

    def __init__(self, spec: ServiceSpec) -> None:
        self._spec: Final = spec
        self._plans: Final[dict[str, _Plan]] = {}
        self._converters: Final[dict[str, Converter]] = {}

    def parse(
        self, operation: str, match: Match, query: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> dict[str, Any]:
        """Read the parameters from where the model puts them.

        Args:
            operation: Name of the operation.
            match: Holds the URI labels.
            query: Query string, still percent-encoded, without the question mark.
            headers: Names in lower case.
            body: The whole body.

        Returns:
            The parameters that are present. Structures are dicts, blobs bytes, timestamps aware datetimes in UTC.

        Raises:
            SerializationException: The body is not JSON or a value has the wrong type. Constraints are not checked.
        """
        plan = self._plans.get(operation)
        if plan is None:
            plan = self._plans[operation] = self._plan(operation)
        params: dict[str, Any] = {}
        for label, member, convert in plan.labels:
            value = match.labels[label]
            params[member] = value if convert is None else convert(value)
        if query and plan.query:
            _read_query(query, plan.query, params)
        if plan.headers:
            for name, value in headers:
                target = plan.headers.get(name)
                if target is not None and value:
                    member, convert = target
                    params.setdefault(member, value if convert is None else convert(value))
        if plan.blob is not None:
            if body:
                params[plan.blob] = body
        elif plan.payload is not None:
            if body:
                params[plan.payload] = plan.body(_load(body))
        elif plan.has_body and body:
            params |= plan.body(_load(body))
        return params

    def reads_body(self, operation: str) -> bool:
        """Whether parsing takes time in proportion to the body: it is JSON, and not handed on as it is."""
        plan = self._plans.get(operation)
        if plan is None:
            plan = self._plans[operation] = self._plan(operation)
        return plan.has_body or plan.payload is not None

    def _plan(self, operation: str) -> "_Plan":
        plan = _Plan()
        shape = self._spec.operations[operation].input_shape
        if shape is None:
            return plan
        body: dict[str, tuple[str, Converter]] = {}
        payload = shape.serialization.get("payload")
        for member, member_shape in shape.members.items():
            location = member_shape.serialization.get("location")
            name = member_shape.serialization.get("name", member)
            if location == "uri":
                plan.labels.append((name, member, _text_converter(member_shape)))
            elif location == "querystring":
                many = member_shape.type_name == "list"
                plan.query[name] = (member, many, _text_converter(member_shape.member if many else member_shape))
            elif location == "header":
                plan.headers[name.lower()] = (member, _text_converter(member_shape))
            elif member == payload and member_shape.type_name == "blob":
                plan.blob = member
            elif member == payload:
                plan.payload = member
                plan.body = self._converter(member_shape)
            elif location is None:
                body[name] = (member, self._converter(member_shape))
            else:
                raise NotImplementedError(f"{operation}.{member}: location {location}")
        if body and payload is None:
            plan.has_body = True
            plan.body = _structure(body)
        return plan

    def _converter(self, shape: Any) -> Converter:
        known = self._converters.get(shape.name)
        if known is not None:
            return known
        # Shapes may refer to themselves: until this one is made, whoever needs it looks it up when called.
        self._converters[shape.name] = lambda value: self._converters[shape.name](value)
        match shape.type_name:
            case "structure":
                converter = _structure(
                    {
                        member_shape.serialization.get("name", member): (member, self._converter(member_shape))
                        for member, member_shape in shape.members.items()
                    }
                )
            case "list":
                converter = _list(self._converter(shape.member))
            case "map":
                converter = _map(self._converter(shape.value))
            case other:
                converter = _SCALARS[other]
        self._converters[shape.name] = converter
        return converter


class _Plan:
    """Where each parameter of an operation comes from."""

    __slots__ = ("blob", "body", "has_body", "headers", "labels", "payload", "query")

    def __init__(self) -> None:
        self.labels: list[tuple[str, str, TextConverter | None]] = []
        self.query: dict[str, tuple[str, bool, TextConverter | None]] = {}
        self.headers: dict[str, tuple[str, TextConverter | None]] = {}
        self.blob: str | None = None
        self.payload: str | None = None
        self.has_body = False
        self.body: Converter = _structure({})


def _read_query(query: str, plan: Mapping[str, tuple[str, bool, TextConverter | None]], params: dict[str, Any]) -> None:
    for name, text in parse_qsl(query, keep_blank_values=True):
        target = plan.get(name)
        if target is None:
            continue
        member, many, convert = target
        value = text if convert is None else convert(text)
        if many:
            params.setdefault(member, []).append(value)
        else:
            params.setdefault(member, value)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def decode_json(text: bytes) -> Any:
    """Parse UTF-8 JSON, without the NaN and Infinity that Python lets pass.

    Raises:
        ValueError: It is not JSON (`json.JSONDecodeError`, `UnicodeDecodeError`), or nested too deeply to read.
    """
    try:
        return _DECODER.decode(text.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _load(body: bytes) -> Any:
    try:
        return decode_json(body)
    except ValueError as error:
        # AWS leaves the message empty here; the reason costs nothing and helps.
        raise SerializationException(f"Could not parse request body into json: {error}") from None


_BASE64_PIECE: Final = 1 << 20
"""Characters decoded at once, a multiple of four: in between, other threads get their turn."""


def _kind(value: Any) -> str:
    if value is True:
        return "TRUE_VALUE"
    if value is False:
        return "FALSE_VALUE"
    return "STRING_VALUE" if isinstance(value, str) else "NUMBER_VALUE"


def _mismatch(value: Any, wanted: str) -> SerializationException:
    """What AWS says when `value` stands where `wanted` (the end of the sentence for scalars) belongs."""
    if isinstance(value, dict):
        return SerializationException("Start of structure or map found where not expected.")
    if isinstance(value, list):
        return SerializationException("Start of list found where not expected")
    if wanted.startswith("Expected"):
        return SerializationException(wanted)
    return SerializationException(f"{_kind(value)} can not be converted to {wanted}")


def _structure(members: Mapping[str, tuple[str, Converter]]) -> Converter:
    plan = tuple((name, member, convert) for name, (member, convert) in members.items())

    def convert_structure(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _mismatch(value, "Expected null")
        result = {}
        for name, member, convert in plan:
            given = value.get(name)
            if given is not None:
                result[member] = convert(given)
        return result

    return convert_structure


def _list(convert: Converter) -> Converter:
    def convert_list(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _mismatch(value, "Expected list or null")
        return [None if element is None else convert(element) for element in value]

    return convert_list


def _map(convert: Converter) -> Converter:
    def convert_map(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _mismatch(value, "Expected map or null")
        return {key: None if element is None else convert(element) for key, element in value.items()}

    return convert_map


def _string(value: Any) -> str:
    if type(value) is not str:
        raise _mismatch(value, "a String")
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _mismatch(value, "an Boolean")  # as AWS spells it
    return value


def _integral(bits: int, wanted: str) -> Converter:
    bound = 1 << (bits - 1)

    def convert_integral(value: Any) -> int:
        if type(value) is not int and type(value) is not float:
            raise _mismatch(value, wanted)
        if not -bound <= value < bound:
            raise _mismatch(value, wanted)
        return int(value)

    return convert_integral


def _double(value: Any) -> float:
    if type(value) is not int and type(value) is not float:
        raise _mismatch(value, "a Double")
    try:
        return float(value)
    except OverflowError:
        raise _mismatch(value, "a Double") from None


def _blob(value: Any) -> bytes:
    if type(value) is not str:
        raise _mismatch(value, "a Blob")
    try:
        pieces = [
            binascii.a2b_base64(value[start : start + _BASE64_PIECE], strict_mode=True)
            for start in range(0, len(value), _BASE64_PIECE)
        ]
    except ValueError:  # also what is not ASCII
        pieces = None
    # Strict decoding lets padding end a piece; it may only end the whole.
    if pieces is None or value.find("=", 0, len(value) - 2) >= 0:
        raise SerializationException("Could not decode base64")
    return b"".join(pieces)


def _timestamp(value: Any) -> datetime:
    if type(value) is str:
        return _timestamp_text(value)
    seconds = _double(value)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise _mismatch(value, "a Timestamp") from None


def _timestamp_text(text: str) -> datetime:
    """ISO 8601, or seconds since the epoch in digits."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise _mismatch(text, "a Timestamp") from None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not math.isfinite(seconds):
        raise _mismatch(text, "a Timestamp")
    return _timestamp(seconds)


_integer = _integral(32, "an Integer")
_long = _integral(64, "a Long")

_SCALARS: Final[Mapping[str, Converter]] = {
    "string": _string,
    "boolean": _boolean,
    "integer": _integer,
    "long": _long,
    "double": _double,
    "float": _double,
    "blob": _blob,
    "timestamp": _timestamp,
}


def _text_integral(convert: Converter, wanted: str) -> TextConverter:
    def convert_text(text: str) -> int:
        digits = text[1:] if text[:1] in {"-", "+"} else text
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
            raise _mismatch(text, wanted)
        result: int = convert(int(text))
        return result

    return convert_text


def _text_boolean(text: str) -> bool:
    match text.lower():
        case "true":
            return True
        case "false":
            return False
        case _:
            raise _mismatch(text, "an Boolean")


_TEXT: Final[Mapping[str, TextConverter | None]] = {
    "string": None,  # as it is
    "boolean": _text_boolean,
    "integer": _text_integral(_integer, "an Integer"),
    "long": _text_integral(_long, "a Long"),
    "timestamp": _timestamp_text,
}


def _text_converter(shape: Any) -> TextConverter | None:
    return _TEXT[shape.type_name]
