"""Stands in for the package `requests`, so that a runtime that needs it can be examined further without it."""

import http.client
import json as _json
from typing import Any
from urllib.parse import urlsplit


class Response:
    """As much of an answer as runtimes look at."""

    def __init__(self, status: int, headers: Any, content: bytes) -> None:
        """Keep the parts."""
        self.status_code = status
        self.ok = status < 400
        self.headers = headers  # case-insensitive
        self.content = content
        self.text = content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body."""
        return _json.loads(self.content)

    def raise_for_status(self) -> None:
        """As in the package."""
        if not self.ok:
            raise RuntimeError(f"status {self.status_code}")


def request(
    method: str, url: str, headers: Any = None, json: Any = None, data: Any = None, timeout: Any = None, **_: Any
) -> Response:
    """Any method."""
    parts = urlsplit(url)
    headers = dict(headers or {})
    if json is not None or (data is None and method != "GET"):
        data = _json.dumps(json)
        headers.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        connection.request(method, parts.path, data.encode() if isinstance(data, str) else data, headers)
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def get(url: str, **options: Any) -> Response:
    """As in the package."""
    return request("GET", url, **options)  # ours, and `next` waits


def post(url: str, **options: Any) -> Response:
    """As in the package."""
    return request("POST", url, **options)  # ours, and `next` waits


def put(url: str, **options: Any) -> Response:
    """As in the package."""
    return request("PUT", url, **options)  # ours, and `next` waits
