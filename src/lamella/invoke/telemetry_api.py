"""Requests for telemetry: the body of `PUT /2022-07-01/telemetry` and of `PUT /2020-08-15/logs` (section 5.1).

The texts of refusals are ours, as AWS does not fix them (TL-02): they name every field that is wrong, its value, and
what is allowed.
"""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from lamella.lifecycle.telemetry_events import (
    Api,
    Destination,
    Schema,
    Subscription,
    SubscriptionClosedError,
    SubscriptionConflictError,
)

API_OF_PATH: Final[Mapping[str, Api]] = {
    "/2022-07-01/telemetry": Api.TELEMETRY,
    "/2022-07-01/telemetry/": Api.TELEMETRY,
    "/2020-08-15/logs": Api.LOGS,
    "/2020-08-15/logs/": Api.LOGS,
}
"""Documents use both spellings of the paths."""
ACCEPTED: Final = b'"OK"'
ACCEPTED_TYPE: Final = "text/plain; charset=utf-8"
"""What a good request is answered with, beside the status 200 (TL-01)."""

_TYPES: Final = ("platform", "function", "extension")
_HOSTS: Final = ("sandbox.localdomain", "sandbox")
_RESERVED_PORT: Final = 9001
_SHOWN_CHARS: Final = 100


class TelemetryApiError(Exception):
    """A request for telemetry is refused.

    Attributes:
        status: HTTP status.
        error_type, message: Members of the error body.
    """

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message


def parse_subscription(api: Api, body: bytes) -> Subscription:
    """Read and check the body of a request.

    Raises:
        TelemetryApiError: Status 400; something in it is not as it must be (TL-02).
    """
    error_type = "ValidationError" if api is Api.TELEMETRY else "Logs.ValidationError"
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise TelemetryApiError(400, error_type, f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise TelemetryApiError(400, error_type, "the body is not a JSON object")
    problems: list[str] = []
    schema = _schema(api, document.get("schemaVersion"), problems)
    types = _types(document.get("types"), problems)
    max_items, max_bytes, timeout_ms = _buffering(document.get("buffering"), problems)
    destination = _destination(api, document.get("destination"), problems)
    if schema is None or destination is None or problems:
        raise TelemetryApiError(400, error_type, "; ".join(problems))
    return Subscription(schema, types, destination, max_items, max_bytes, timeout_ms / 1000)


def refusal_of(api: Api, error: SubscriptionClosedError | SubscriptionConflictError) -> TelemetryApiError:
    """The answer to a good request that comes too late, or by the second API (TL-04, TL-06)."""
    if isinstance(error, SubscriptionClosedError):
        return TelemetryApiError(403, f"{api}.SubscriptionClosed", f"{api} API subscription is closed already")
    return TelemetryApiError(
        403, f"{api}.SubscriptionConflict", f"the extension has subscribed by the {error.in_use} API already"
    )


# Everything below takes values as JSON gives them, of any type.


def _schema(api: Api, given: Any, problems: list[str]) -> Schema | None:
    if given is None and api is Api.LOGS:
        return Schema.LOGS_2020_08_15
    allowed = [schema for schema in Schema if schema.api is api]
    if isinstance(given, str) and given in allowed:
        return Schema(given)
    problems.append(
        f"schemaVersion should be one of {', '.join(allowed)}"
        + (", and is not provided" if given is None else f", not {_shown(given)}")
    )
    return None


def _types(given: Any, problems: list[str]) -> tuple[str, ...]:
    if given is None or given == []:
        problems.append("types should not be empty")
        return ()
    if not isinstance(given, list):
        problems.append(f"types should be a list, not {_shown(given)}")
        return ()
    wrong = [kind for kind in given if kind not in _TYPES]
    if wrong:
        problems.append(f"types should be out of {', '.join(_TYPES)}, not {_shown(wrong[0])}")
        return ()
    return tuple(dict.fromkeys(given))


def _buffering(given: Any, problems: list[str]) -> tuple[int, int, int]:
    if given is None:
        given = {}
    elif not isinstance(given, dict):
        problems.append(f"buffering should be an object, not {_shown(given)}")
        given = {}
    return (
        _number(given, "maxItems", (1_000, 10_000), 10_000, problems),
        _number(given, "maxBytes", (262_144, 1_048_576), 262_144, problems),
        _number(given, "timeoutMs", (25, 30_000), 1_000, problems),
    )


def _number(buffering: Mapping[str, Any], name: str, limits: tuple[int, int], default: int, problems: list[str]) -> int:
    given = buffering.get(name)
    if given is None:
        return default
    least, most = limits
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        problems.append(f"buffering.{name} should be a whole number from {least} to {most}, not {_shown(given)}")
        return default
    return given


def _destination(api: Api, given: Any, problems: list[str]) -> Destination | None:
    if not isinstance(given, dict):
        problems.append("destination is not provided" if given is None else "destination should be an object")
        return None
    protocol = given.get("protocol")
    if protocol == "TCP":
        port = given.get("port")
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65_535:
            problems.append(f"destination.port should be a whole number from 1 to 65535, not {_shown(port)}")
            return None
        return _not_reserved(Destination("TCP", port), problems)
    if protocol != "HTTP":
        problems.append(f"destination.protocol should be HTTP or TCP, not {_shown(protocol)}")
        return None
    return _http_destination(api, given, problems)


def _http_destination(api: Api, given: Mapping[str, Any], problems: list[str]) -> Destination | None:
    uri = given.get("URI")
    method = given.get("method")
    before = len(problems)
    if method not in (None, "POST", "PUT"):
        problems.append(f"destination.method should be POST or PUT, not {_shown(method)}")
    if given.get("encoding") not in (None, "JSON"):
        problems.append(f"destination.encoding should be JSON, not {_shown(given['encoding'])}")
    if not isinstance(uri, str) or not uri:
        problems.append("destination.URI is not provided" if uri in (None, "") else "destination.URI should be a text")
        return None
    try:
        parts = urlsplit(uri)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        problems.append(f"Invalid destination: destination.URI {_shown(uri)}: {error}")
        return None
    if scheme != "http":
        problems.append(f"Invalid destination: destination.URI scheme must be http, not {_shown(scheme)}")
    if host not in _HOSTS:
        problems.append(f"Invalid destination: destination.URI host must be sandbox.localdomain, not {_shown(host)}")
    if port is None:
        problems.append("URI port is not provided")
    elif port == 0:
        problems.append("Invalid destination: destination.URI port must be from 1 to 65535")
    if len(problems) > before or host is None or port is None:
        return None
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~", errors="replace")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=-._~?", errors="replace")
    # The Telemetry API takes `method` from those who come from the Logs API, and does not heed it.
    sent = "PUT" if method == "PUT" and api is Api.LOGS else "POST"
    return _not_reserved(Destination("HTTP", port, host, target, sent), problems)


def _not_reserved(destination: Destination, problems: list[str]) -> Destination | None:
    if destination.port == _RESERVED_PORT:
        problems.append(f"Invalid destination: port {_RESERVED_PORT} is reserved")
        return None
    return destination


def _shown(given: Any) -> str:
    text = json.dumps(given)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
