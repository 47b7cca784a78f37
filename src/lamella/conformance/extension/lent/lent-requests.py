"""As much of the package `requests` as small extensions and runtimes use, on the standard library.

Lent by Lamella's conformance kit to a program that dies for want of it. It is not `requests`, and no runtime has it.
"""

from __future__ import annotations

import json as _json
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from types import SimpleNamespace
from typing import Any


class RequestException(OSError):
    """Anything that goes wrong."""


class ConnectionError(RequestException):  # noqa: A001  # as there
    """Nobody answers."""


class HTTPError(RequestException):
    """What `raise_for_status` raises."""


class Timeout(RequestException):
    """Not answered in time."""


exceptions = SimpleNamespace(
    RequestException=RequestException, ConnectionError=ConnectionError, HTTPError=HTTPError, Timeout=Timeout
)


class _Headers(dict):  # type: ignore[type-arg]  # of texts
    """Names without regard to their case."""

    def __init__(self, items: Any) -> None:
        super().__init__((name.lower(), value) for name, value in items)

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a header."""
        return super().get(name.lower(), default)


class Response:
    """An answer."""

    def __init__(self, status_code: int, headers: Any, content: bytes, url: str) -> None:
        self.status_code, self.headers, self.content, self.url = status_code, _Headers(headers), content, url
        self.ok = status_code < 400
        self.text = content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON."""
        return _json.loads(self.content)

    def raise_for_status(self) -> None:
        """Raise for an error."""
        if not self.ok:
            raise HTTPError(f"{self.status_code} for url: {self.url}")


class Session:
    """Calls with headers in common."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def __enter__(self) -> Session:  # noqa: PYI034  # `Self` is newer than some runtimes
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def request(
        self,
        method: str,
        url: str,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        headers: Any = None,
        timeout: Any = None,
        **_: Any,
    ) -> Response:
        """Ask; a timeout of `None` is none."""
        if params:
            url += ("&" if "?" in url else "?") + urllib.parse.urlencode(params, doseq=True)
        sent = {**self.headers, **(headers or {})}
        if json is not None:
            data = _json.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        elif isinstance(data, dict):
            data = urllib.parse.urlencode(data)
        body = data.encode() if isinstance(data, str) else data
        asked = urllib.request.Request(url, body, sent, method=method.upper())  # noqa: S310  # its caller's own
        seconds = timeout[-1] if isinstance(timeout, tuple) else timeout
        try:
            with urllib.request.urlopen(asked, timeout=seconds) as answer:  # noqa: S310  # likewise
                return Response(answer.status, answer.getheaders(), answer.read(), url)
        except urllib.error.HTTPError as error:
            return Response(error.code, error.headers.items(), error.read(), url)
        except TimeoutError as error:
            raise Timeout(str(error)) from error
        except (urllib.error.URLError, HTTPException, OSError) as error:
            raise ConnectionError(str(error)) from error

    def get(self, url: str, **more: Any) -> Response:
        """GET."""
        return self.request("GET", url, **more)

    def post(self, url: str, data: Any = None, json: Any = None, **more: Any) -> Response:
        """POST."""
        return self.request("POST", url, data=data, json=json, **more)

    def put(self, url: str, data: Any = None, **more: Any) -> Response:
        """PUT."""
        return self.request("PUT", url, data=data, **more)


_session = Session()
request, get, post, put = _session.request, _session.get, _session.post, _session.put
session = Session
