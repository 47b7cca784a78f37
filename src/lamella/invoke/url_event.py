"""From an HTTP request to a function URL to the event that its function gets: payload format 2.0.

Source: developer guide, "Invoking Lambda function URLs"; events of AWS recorded in aws/aws-lambda-go (April 2023) and
in LocalStack's tests (November 2025), which the order of members, and what is left out, follow.
"""

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

Headers = Sequence[tuple[str, str]]

_DROPPED: Final = frozenset(
    {"connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers between the client and this server alone. AWS drops `connection` (recorded); the others are of its kind."""

_TEXT: Final = re.compile(r"text/.*|application/(?:json|javascript|xml|[^;]+\+(?:json|xml))")
"""Types whose body is passed on as text.

Source: API Gateway's developer guide, "Working with binary media types for HTTP APIs", whose payload format this is;
that forms are base64 on AWS is recorded in LocalStack's tests, and that bodies without a type are is a public report.
"""

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request to a URL with the auth type `AWS_IAM`.

    Attributes:
        account: The caller's own.
    """

    access_key: str
    account: str


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """A request as it came in.

    Attributes:
        path: Percent-encoded, with its slash.
        query: Percent-encoded, without the question mark.
        headers: Names in lower case, repeats kept.
        domain: The URL's host name, without a port.
        port: Of this server, as the client addressed it.
        source_ip: The other end of the connection.
        trace: `Root=...` of the invocation, for requests that bring no trace of their own.
        caller: `None` for requests that need not be signed.
    """

    url_id: str
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    domain: str
    port: int
    source_ip: str
    request_id: str
    trace: str
    received_at: datetime
    caller: Caller | None = None


def render_event(request: UrlRequest) -> bytes:
    """The event as JSON in UTF-8."""
    event: dict[str, Any] = {  # Any: JSON
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
    }
    headers = _headers(request)
    if "cookie" in headers:
        event["cookies"] = [cookie for part in headers["cookie"].split(";") if (cookie := part.strip())]
    event["headers"] = headers
    if request.query and (parameters := _parameters(request.query)):
        event["queryStringParameters"] = parameters
    event["requestContext"] = _context(request, headers.get("user-agent", ""))
    text = _text(request.body, headers.get("content-type", "")) if request.body else None
    if request.body:
        event["body"] = base64.b64encode(request.body).decode() if text is None else text
    event["isBase64Encoded"] = bool(request.body) and text is None
    # What a client sent may hold half of a surrogate pair nowhere: headers are latin-1, the rest is decoded here.
    return _encode(event).encode()


def _context(request: UrlRequest, user_agent: str) -> dict[str, Any]:
    caller = request.caller
    context: dict[str, Any] = {
        "accountId": "anonymous" if caller is None else caller.account,
        "apiId": request.url_id,
    }
    if caller is not None:
        context["authorizer"] = {"iam": _identity(caller)}
    return context | {
        "domainName": request.domain,
        "domainPrefix": request.url_id,
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": user_agent,
        },
        "requestId": request.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": _clock_time(request.received_at),
        "timeEpoch": int(request.received_at.timestamp() * 1000),
    }


def _identity(caller: Caller) -> dict[str, str | None]:
    """As AWS describes an account's root: there are no users here."""
    return {
        "accessKey": caller.access_key,
        "accountId": caller.account,
        "callerId": caller.account,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": f"arn:aws:iam::{caller.account}:root",
        "userId": caller.account,
    }


def _headers(request: UrlRequest) -> dict[str, str]:
    """Each header once. A list in `Connection` names more that are the connection's alone (RFC 9110, 7.6.1)."""
    dropped = _DROPPED | _named(value for name, value in request.headers if name == "connection")
    joined: dict[str, str] = {}
    for name, value in request.headers:
        if name in dropped:
            continue
        separator = "; " if name == "cookie" else ","
        joined[name] = f"{joined[name]}{separator}{value}" if name in joined else value
    if request.caller is not None:
        joined.pop("authorization", None)  # absent from the recorded events: the signature is not the function's
    # A client that speaks for another says so itself, and is believed, as on AWS: a recorded event that came by way of
    # CloudFront has the viewer's address alone here, and CloudFront's as `sourceIp`.
    joined.setdefault("x-forwarded-for", request.source_ip)
    joined["x-forwarded-port"] = str(request.port)
    joined["x-forwarded-proto"] = "http"
    joined.setdefault("x-amzn-trace-id", request.trace)
    return dict(sorted(joined.items()))


def _named(values: Iterable[str]) -> frozenset[str]:
    return frozenset(name.strip().lower() for value in values for name in value.split(",")) - {"cookie", "host"}


def _parameters(query: str) -> dict[str, str]:
    """Decoded; values of a name that comes again are joined."""
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return parameters


def _text(body: bytes, content_type: str) -> str | None:
    """The body as text; `None` if it is to be base64."""
    if not _TEXT.match(content_type.strip().lower()):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None  # JSON has no other way to carry it


def _clock_time(moment: datetime) -> str:
    """`18/Apr/2023:16:17:17 +0000`, whatever the locale."""
    utc = moment.astimezone(UTC)
    return f"{utc.day:02}/{_MONTHS[utc.month - 1]}/{utc.year:04}:{utc:%H:%M:%S} +0000"
