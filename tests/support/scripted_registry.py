"""A registry that does what Debian's does not do by itself: tokens, redirects, dropped connections, wrong bytes."""

import http.server
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.support.images import Made


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str
    range: str
    form: dict[str, str]


class ScriptedRegistry:
    """On a free port of loopback, one repository `hello` with a tag `v1`.

    Attributes:
        requests: What was asked so far.
        status: Answered to everything, unless 0.
        slow_head: Whether headers never come to their end.
        token_redirect: Where tokens are, instead of here; empty for here.
        redirect: Where blobs are, instead of here; `None` for here.
        drop_after: For each next answer with a blob: how many bytes before the connection is closed.
        hold: Whether an answer with a layer stands still in the middle, until `go_on` is set.
    """

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.parts: dict[str, bytes] = {}
        self.status = 0
        self.redirect: str | None = None
        self.token_redirect = ""
        self.slow_head = False
        self.told_digest = ""
        self.drop_after: list[int] = []
        self.hold = False
        self.held, self.go_on = threading.Event(), threading.Event()
        self._token, self._token_uses, self._issued = "", 0, 0
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.name = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, made: Made, *, token: str = "", token_uses: int = 0, blobs_at: str = "") -> None:
        """Have an image; with a token only, which may be used so often (0: for ever)."""
        self.manifests = dict.fromkeys(("v1", f"sha256:{made.digest}"), (made.manifest, made.media_type))
        self.parts = dict(made.blobs)
        self._token, self._token_uses = token, token_uses
        self.redirect = f"http://{blobs_at}/v2/hello/blobs/" if blobs_at else None

    def asked(self, path: str) -> list[Asked]:
        """Requests for a path."""
        return [one for one in self.requests if one.path == path]

    def _answer(self, asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> None:
        if self.slow_head:
            while not self.go_on.wait(0.02):
                handler.wfile.write(b"HTTP/1.1 200 OK\r\n" if not self.held.is_set() else b"X-More: x\r\n")
                self.held.set()
        elif asked.path == "/token" and self.token_redirect:
            self._send(handler, 307, b"", {"Location": self.token_redirect})
        elif asked.path == "/token":
            self._issued += 1
            self._used = 0
            self._send(handler, 200, json.dumps({"token": f"{self._token}-{self._issued}"}).encode())
        elif self.status:
            self._send(handler, self.status, b"no")
        elif self._token and not self._let_in(asked):
            bearer = f'Bearer realm="http://{self.name}/token",service="tests",scope="repository:hello:pull"'
            self._send(handler, 401, b"", {"WWW-Authenticate": bearer})
        elif asked.path.startswith("/v2/hello/manifests/"):
            found = self.manifests.get(asked.path.rpartition("/")[2])
            told = {"Docker-Content-Digest": self.told_digest} if self.told_digest else {}
            if found is None:
                self._send(handler, 404, b"{}")
            else:
                self._send(handler, 200, found[0], {"Content-Type": found[1], **told})
        else:
            self._blob(asked, handler)

    def _let_in(self, asked: Asked) -> bool:
        if asked.authorization != f"Bearer {self._token}-{self._issued}":
            return False
        self._used += 1
        return not self._token_uses or self._used <= self._token_uses

    def _blob(self, asked: Asked, handler: http.server.BaseHTTPRequestHandler) -> None:
        name = asked.path.rpartition("sha256:")[2]
        if self.redirect is not None:
            target = self.redirect + f"sha256:{name}" if self.redirect.endswith("/blobs/") else self.redirect
            self._send(handler, 307, b"", {"Location": target})
            return
        data, status, headers = self.parts[name], 200, {}
        if asked.range:
            begin = int(asked.range.removeprefix("bytes=").rstrip("-"))
            status, headers = 206, {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
            data = data[begin:]
        is_layer = not data.startswith(b"{")
        if is_layer and self.drop_after:
            data, length = data[: self.drop_after.pop(0)], len(data)
            self._send(handler, status, data, {**headers, "Content-Length": str(length)})
            handler.close_connection = True
        elif is_layer and self.hold:
            self._send(handler, status, data[:1000], {**headers, "Content-Length": str(len(data))})
            self.held.set()
            self.go_on.wait(10)
            handler.wfile.write(data[1000:])
        else:
            self._send(handler, status, data, headers)

    def _send(
        self,
        handler: http.server.BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _handler(registry) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805  # `self` is the handler's below
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                parts = urlsplit(self.path)
                asked = Asked(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query)),
                    self.headers.get("Authorization", ""),
                    self.headers.get("Range", ""),
                    dict(parse_qsl(self.rfile.read(length).decode())),
                )
                registry.requests.append(asked)
                registry._answer(asked, self)

            do_POST = do_GET  # noqa: N815  # as the base class calls it

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
