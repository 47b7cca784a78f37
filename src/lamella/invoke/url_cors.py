"""CORS of function URLs: which pages of other sites a browser lets read a response.

The URL's settings answer preflight requests, which never reach the function, and add their headers to all other
responses, beside those that the function sends. Source: developer guide, "Cross-origin resource sharing (CORS)" of
function URLs; RFC 9110 and the Fetch standard for what a preflight request is.
"""

from typing import Final

from lamella.domain.url import Cors
from lamella.invoke.url_event import Headers

_ANY: Final = "*"
_VARY: Final = ("Vary", "Origin")


def is_preflight(method: str, headers: Headers) -> bool:
    """A browser asks before it sends the request itself."""
    names = {name for name, _ in headers}
    return method == "OPTIONS" and "origin" in names and "access-control-request-method" in names


def preflight_headers(cors: Cors, origin: str) -> list[tuple[str, str]]:
    """The headers of the answer to a preflight request: what is allowed if the origin is, else nothing."""
    headers = _allowed(cors, origin)
    if not _is_allowed(cors, origin):
        return headers
    if cors.allow_methods:
        headers.append(("Access-Control-Allow-Methods", ",".join(cors.allow_methods)))
    if cors.allow_headers:
        headers.append(("Access-Control-Allow-Headers", ",".join(cors.allow_headers)))
    if cors.max_age_s is not None:
        headers.append(("Access-Control-Max-Age", str(cors.max_age_s)))
    return headers


def response_headers(cors: Cors | None, origin: str) -> list[tuple[str, str]]:
    """What is added to every other response; nothing for requests that come from no page."""
    if cors is None or not origin:
        return []
    headers = _allowed(cors, origin)
    if cors.expose_headers and _is_allowed(cors, origin):
        headers.append(("Access-Control-Expose-Headers", ",".join(cors.expose_headers)))
    return headers


def _is_allowed(cors: Cors, origin: str) -> bool:
    origins = cors.allow_origins or ()
    return _ANY in origins or origin in origins


def _allowed(cors: Cors, origin: str) -> list[tuple[str, str]]:
    """A browser accepts no `*` together with credentials: there, as in a list, the origin is named, and varies."""
    if not _is_allowed(cors, origin):
        return [_VARY]
    if _ANY in (cors.allow_origins or ()) and not cors.allow_credentials:
        return [("Access-Control-Allow-Origin", _ANY)]
    headers = [("Access-Control-Allow-Origin", origin), _VARY]
    if cors.allow_credentials:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    return headers
