"""A small client of Lambda's API and of the server's own `/_lamella/` paths.

Not botocore: loading it takes half a second, which is more than the command itself.
"""

import base64
import datetime as dt
import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from lamella.cli.endpoint import Endpoint, Key, SentFile, operator_key
from lamella.cli.eventstream import EventStreamError, read_messages
from lamella.cli.failure import CommandError

_LINES: Final = "application/x-ndjson"
_CONNECT_TIMEOUT_S: Final = 5.0
_ANSWER_TIMEOUT_S: Final = 930.0
# The longest a function may run, 5,400 s where limits are relaxed, and some time for the answer to come.
_INVOKE_TIMEOUT_S: Final = 5_430.0


@dataclass(frozen=True, slots=True)
class Invocation:
    """What Invoke answered.

    Attributes:
        error: `Handled` or `Unhandled`; `None` if the function returned.
        log_tail: The last 4 KiB of the log of this invocation.
    """

    status: int
    payload: bytes
    error: str | None
    executed_version: str | None
    log_tail: bytes


@dataclass(frozen=True, slots=True)
class StreamedInvocation:
    """What InvokeWithResponseStream answers.

    Attributes:
        events: Name and members of each event, as it comes; raises `CommandError`.
    """

    executed_version: str | None
    events: Iterator[tuple[str, dict[str, Any]]]


class Client:
    """One request per connection: a command makes one, seldom two.

    Args:
        endpoint: The server.
        operator: What requests below `/_lamella/` are signed with; else the key of the endpoint.
    """

    def __init__(self, endpoint: Endpoint, operator: Key | None = None) -> None:
        self._endpoint = endpoint
        self._operator = operator

    def invoke(self, name: str, payload: bytes, qualifier: str | None, tenant: str | None = None) -> Invocation:
        """Invoke a function and wait for its answer.

        Raises:
            CommandError: The API answered with an error, or cannot be reached.
        """
        with self._invoke("2015-03-31", "invocations", name, payload, qualifier, tenant) as answer:
            return Invocation(
                answer.status,
                _read(answer, self._endpoint.url),
                answer.headers.get("X-Amz-Function-Error"),
                answer.headers.get("X-Amz-Executed-Version"),
                base64.b64decode(answer.headers.get("X-Amz-Log-Result") or ""),
            )

    def invoke_streamed(
        self, name: str, payload: bytes, qualifier: str | None, tenant: str | None = None
    ) -> StreamedInvocation:
        """Invoke a function and wait until its response begins.

        Raises:
            CommandError: As `invoke`.
        """
        answer = self._invoke("2021-11-15", "response-streaming-invocations", name, payload, qualifier, tenant)
        return StreamedInvocation(answer.headers.get("X-Amz-Executed-Version"), self._events(answer))

    def _events(self, answer: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
        url = self._endpoint.url
        with answer:
            try:
                for message in read_messages(answer.read):
                    name = message.headers.get(":event-type", "")
                    if name == "PayloadChunk":
                        yield name, {"Payload": message.payload}
                    else:
                        yield name, _decoded(message.payload, url)
            except (OSError, http.client.HTTPException) as error:
                raise _broken(url, error) from error
            except EventStreamError as error:
                raise _stranger(url) from error

    def _invoke(
        self,
        version: str,
        action: str,
        name: str,
        payload: bytes,
        qualifier: str | None,
        tenant: str | None,
        more: Mapping[str, str] = {},
    ) -> http.client.HTTPResponse:
        path = f"/{version}/functions/{quote(name, safe='')}/{action}"
        if qualifier is not None:
            path += "?" + urlencode({"Qualifier": qualifier})
        headers = {"content-type": "application/json", "x-amz-log-type": "Tail", **more}
        if tenant is not None:
            headers["x-amz-tenant-id"] = tenant
        return self._request("POST", path, payload, headers, _INVOKE_TIMEOUT_S)

    def invoke_event(self, name: str, payload: bytes, qualifier: str | None, tenant: str | None = None) -> str:
        """Hand over an event for asynchronous invocation; returns its request id.

        Raises:
            CommandError: As `invoke`.
        """
        headers = {"x-amz-invocation-type": "Event"}
        with self._invoke("2015-03-31", "invocations", name, payload, qualifier, tenant, headers) as answer:
            _read(answer, self._endpoint.url)
            return answer.headers.get("x-amzn-RequestId") or ""

    def events(self, *, function: str | None, state: str | None, limit: int) -> dict[str, Any]:
        """Asynchronous events: `events`, newest first, and `counts` by state.

        Raises:
            CommandError: As `invoke`.
        """
        query = {**self._scope(), "limit": str(limit)}
        if function is not None:
            query["function"] = function
        if state is not None:
            query["state"] = state
        with self._request("GET", f"/_lamella/events?{urlencode(query)}") as answer:
            return _decoded(_read(answer, self._endpoint.url), self._endpoint.url)

    def event(self, request_id: str) -> dict[str, Any]:
        """One asynchronous event, with its payload and response as long as they are kept.

        Raises:
            CommandError: As `invoke`.
        """
        with self._request("GET", f"/_lamella/events/{quote(request_id, safe='')}") as answer:
            return _decoded(_read(answer, self._endpoint.url), self._endpoint.url)

    def logs(self, name: str, *, since_ms: int, limit: int | None, follow: bool) -> Iterator[bytes]:
        """The log of a function, one JSON object per line; with `follow`, until the server ends it.

        Raises:
            CommandError: As `invoke`; also while iterating.
        """
        query = {**self._scope(), "since_ms": str(since_ms)}
        if limit is not None:
            query["limit"] = str(limit)
        if follow:
            query["follow"] = "1"
        path = f"/_lamella/logs/{quote(name, safe='')}?{urlencode(query)}"
        with self._request("GET", path, timeout_s=None if follow else _ANSWER_TIMEOUT_S) as answer:
            try:
                yield from answer
            except (OSError, http.client.HTTPException) as error:
                raise _broken(self._endpoint.url, error) from error

    def traces(self) -> dict[str, Any]:
        """What the flight recorder has: `environments` and `failures`, newest first.

        Raises:
            CommandError: As `invoke`.
        """
        with self._request("GET", "/_lamella/traces") as answer:
            return _decoded(_read(answer, self._endpoint.url), self._endpoint.url)

    def trace(self, name: str) -> dict[str, Any]:
        """The trace of an execution environment, or of the one that ran a request.

        Raises:
            CommandError: As `invoke`.
        """
        with self._request("GET", f"/_lamella/traces/{quote(name, safe='')}") as answer:
            return _decoded(_read(answer, self._endpoint.url), self._endpoint.url)

    def runtimes(self, *, available: bool = False) -> dict[str, Any]:
        """The server's runtime packs: `{"runtimes": [...]}`; with `available` what could be added as well.

        Raises:
            CommandError: As `invoke`.
        """
        with self._request("GET", "/_lamella/runtimes" + ("?available=1" if available else "")) as response:
            answer = _decoded(_read(response, self._endpoint.url), self._endpoint.url)
        if not isinstance(answer.get("runtimes"), list):
            raise _stranger(self._endpoint.url)
        return answer

    def add_runtime(self, wanted: Mapping[str, str], progress: Callable[[str], None]) -> dict[str, Any]:
        """Have the server build or take a runtime pack.

        Args:
            wanted: `name`, and any of `from`, `image` and `architecture`.
            progress: Told what the server is doing.

        Raises:
            CommandError: As `invoke`.
        """
        headers = {"content-type": "application/json", "accept": f"{_LINES}, application/json"}
        with self._request("POST", "/_lamella/runtimes", json.dumps(wanted).encode(), headers) as answer:
            if answer.headers.get_content_type() != _LINES:
                return _decoded(_read(answer, self._endpoint.url), self._endpoint.url)
            for document in self._documents(answer):
                if "progress" in document:
                    progress(str(document["progress"]))
                elif "error" in document:
                    raise CommandError(str(document["error"]))
                elif isinstance(document.get("runtime"), dict):
                    return dict(document["runtime"])
        raise CommandError(f"{self._endpoint.url} broke off before the runtime was there; see the server's own log")

    def remove_runtime(self, name: str, architecture: str | None) -> dict[str, Any]:
        """Have the server take a runtime pack away.

        Raises:
            CommandError: As `invoke`.
        """
        query = "" if architecture is None else f"?{urlencode({'architecture': architecture})}"
        return self._ours("DELETE", f"runtimes/{quote(name, safe='')}{query}")

    def runtime_contents(self, name: str) -> dict[str, Any] | None:
        """What a runtime of the server brings, `packages` above all; `None` if there is nobody who can say."""
        try:
            answer = self._ours("GET", f"runtimes/{quote(name, safe='')}/contents")
        except CommandError:
            return None
        return answer if isinstance(answer.get("packages"), list) else None

    def api(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
    ) -> dict[str, Any]:
        """Call an operation of Lambda's API by its method and path; the parts of the path are quoted.

        Raises:
            CommandError: As `invoke`.
        """
        body = None if document is None else json.dumps(document).encode()
        fields = dict(headers) if document is None else {"content-type": "application/json", **headers}
        with self._request(method, f"{path}?{urlencode(query)}" if query else path, body, fields) as answer:
            return _decoded(_read(answer, self._endpoint.url), self._endpoint.url)

    def accounts(self) -> dict[str, Any]:
        """The accounts of the server: `{"accounts": [...]}`.

        Raises:
            CommandError: As `invoke`.
        """
        return self._ours("GET", "accounts")

    def create_account(self, account: str | None, name: str) -> dict[str, Any]:
        """Add an account; without a number it gets a random one.

        Raises:
            CommandError: As `invoke`.
        """
        return self._ours("POST", "accounts", {"id": account, "name": name})

    def delete_account(self, account: str) -> None:
        """Delete an account and its keys.

        Raises:
            CommandError: As `invoke`.
        """
        self._ours("DELETE", f"accounts/{quote(account, safe='')}")

    def keys(self, account: str | None) -> dict[str, Any]:
        """The access keys of the server, or of one account: `{"keys": [...]}`.

        Raises:
            CommandError: As `invoke`.
        """
        return self._ours("GET", "keys" if account is None else f"keys?{urlencode({'account': account})}")

    def create_key(self, account: str | None, description: str, duration_s: int | None) -> dict[str, Any]:
        """Add an access key, and learn its secret.

        Raises:
            CommandError: As `invoke`.
        """
        wanted = {"account": account, "description": description, "duration_s": duration_s}
        return self._ours("POST", "keys", {name: value for name, value in wanted.items() if value is not None})

    def delete_key(self, key: str) -> None:
        """Delete an access key.

        Raises:
            CommandError: As `invoke`.
        """
        self._ours("DELETE", f"keys/{quote(key, safe='')}")

    def prove_layer(
        self, archive: bytes | None, *, arns: Sequence[str], runtimes: Sequence[str], architectures: Sequence[str]
    ) -> dict[str, Any]:
        """Have the server try layers in real sandboxes: `findings`, `proved` and `not_proved`.

        Args:
            archive: A zip archive; `None` if layer versions are named.
            arns: Of layer versions of the server, in their order.
            runtimes: To try them in.
            architectures: Likewise; those of another machine are not proved.

        Raises:
            CommandError: As `invoke`.
        """
        query = [*(("arn", arn) for arn in arns), *(("runtime", name) for name in runtimes)]
        query += [("architecture", name) for name in architectures]
        headers = {"content-type": "application/zip"}
        with self._request("POST", f"/_lamella/layers/prove?{urlencode(query)}", archive or b"", headers) as answer:
            document = _decoded(_read(answer, self._endpoint.url), self._endpoint.url)
        if not isinstance(document.get("findings"), list):
            raise _stranger(self._endpoint.url)
        return document

    def verify(self, path: str, archive: bytes) -> Iterator[dict[str, Any]]:
        """Ask a page that answers in NDJSON: its documents, as they come.

        Args:
            path: After `/_lamella/`, with the query.
            archive: A zip archive, or nothing.

        Raises:
            CommandError: As `invoke`.
        """
        headers = {"content-type": "application/zip"}
        with self._request("POST", f"/_lamella/{path}", archive, headers) as answer:
            yield from self._documents(answer)

    def page(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = {},
        document: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        scoped: bool = True,
    ) -> dict[str, Any]:
        """Ask a page below `/_lamella/`.

        Args:
            method: Of HTTP.
            path: After `/_lamella/`; quoted.
            query: Parameters.
            document: Sent as JSON.
            body: Sent as it is, in place of a document.
            scoped: Whether it is about one account and region.

        Raises:
            CommandError: As `invoke`.
        """
        parameters = {**(self._scope() if scoped else {}), **query}
        tail = f"{path}?{urlencode(parameters)}" if parameters else path
        if body is None:
            return self._ours(method, tail, document)
        headers = {"content-type": "application/zip"}
        with self._request(method, f"/_lamella/{tail}", body, headers) as answer:
            return _decoded(_read(answer, self._endpoint.url), self._endpoint.url)

    def lines(
        self, method: str, path: str, *, query: Mapping[str, str], file: SentFile | None = None
    ) -> Iterator[dict[str, Any]]:
        """Ask a page below `/_lamella/` that takes long and answers in NDJSON: its documents, as they come.

        Args:
            method: Of HTTP.
            path: After `/_lamella/`; quoted.
            query: Parameters.
            file: Sent as the body.

        Raises:
            CommandError: As `invoke`; also while iterating.
        """
        with self._request(method, f"/_lamella/{path}?{urlencode(query)}", file) as answer:
            yield from self._documents(answer)

    def _documents(self, answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        """Those of an answer in NDJSON, as they come."""
        try:
            for line in answer:
                if line.strip():  # the others tell the server whether anybody still listens
                    yield _decoded(line, self._endpoint.url)
        except (OSError, http.client.HTTPException) as error:
            raise _broken(self._endpoint.url, error) from error

    def _ours(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = None if document is None else json.dumps(document).encode()
        headers = {} if document is None else {"content-type": "application/json"}
        with self._request(method, f"/_lamella/{path}", body, headers) as answer:
            return _decoded(_read(answer, self._endpoint.url), self._endpoint.url)

    def _scope(self) -> dict[str, str]:
        """What is asked about; the operator says by the key in the environment for which account."""
        scope, key = self._endpoint.scope(), self._endpoint.key
        return scope if self._operator is None or key is None else {**scope, "key": key.id}

    def _signed(
        self, method: str, path: str, body: bytes | SentFile | None, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """The headers of a request, signed as well as can be."""
        endpoint = self._endpoint
        if path.startswith("/_lamella/"):
            key, region = self._operator or endpoint.key, endpoint.region or "us-east-1"
        elif endpoint.key is not None and endpoint.region is not None:
            key, region = endpoint.key, endpoint.region
        else:
            return {**headers, **endpoint.authorization()}
        if key is None:
            return dict(headers)
        now = dt.datetime.now(dt.UTC)
        return key.headers(method, endpoint.url + path, headers, body or b"", region=region, now=now)

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | SentFile | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = _ANSWER_TIMEOUT_S,
    ) -> http.client.HTTPResponse:
        url = urlsplit(self._endpoint.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        assert url.hostname is not None  # Endpoint.find looked
        connection = kind(url.hostname, url.port, timeout=_CONNECT_TIMEOUT_S)
        try:
            connection.connect()
        except OSError as error:
            raise _unreachable(self._endpoint.url, error) from error
        try:
            connection.sock.settimeout(timeout_s)
            content = body.file if isinstance(body, SentFile) else body
            length = {"content-length": str(body.size_bytes)} if isinstance(body, SentFile) else {}
            # With "close" the response owns the socket, so that nothing but it needs closing.
            fields = self._signed(method, path, body, headers or {})
            connection.request(method, url.path + path, content, {**fields, **length, "connection": "close"})
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _broken(self._endpoint.url, error) from error
        if answer.status >= 300:
            with answer:
                raise _refused(
                    answer.status,
                    {name.lower(): value for name, value in answer.headers.items()},
                    _read(answer, self._endpoint.url),
                )
        return answer


def endpoint(url: str | None, region: str | None) -> Endpoint:
    """The endpoint of this command."""
    return Endpoint.find(url, region, os.environ)


def client(url: str | None, region: str | None = None) -> Client:
    """A client for this command; who may read the operator's key is the operator."""
    return Client(endpoint(url, region), operator_key(os.environ, is_root=os.geteuid() == 0))


def _read(answer: http.client.HTTPResponse, url: str) -> bytes:
    try:
        return answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise _broken(url, error) from error


def _decoded(body: bytes, url: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _stranger(url)
    return value


def _stranger(url: str) -> CommandError:
    return CommandError(f"{url} did not answer as Lamella does; is another server listening there?")


def _unreachable(url: str, error: OSError) -> CommandError:
    reason = "name not known" if isinstance(error, socket.gaierror) else error.strerror or str(error)
    return CommandError(f"cannot reach {url} ({reason}); start the server with 'lamella serve', or give --endpoint-url")


def _broken(url: str, error: Exception) -> CommandError:
    if isinstance(error, TimeoutError):
        return CommandError(f"{url} did not answer in time; 'lamella logs' may show what the function is doing")
    if isinstance(error, http.client.IncompleteRead):
        return CommandError(f"the connection to {url} broke in the middle of the answer; see the server's own log")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return CommandError(f"the connection to {url} broke ({reason}); see the server's own log")


def _refused(status: int, headers: Mapping[str, str], body: bytes) -> CommandError:
    """An error of Lambda's API (`x-amzn-ErrorType`, `Message`), of ours (`error`), or of something else."""
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    answer = value if isinstance(value, dict) else {}
    code = (headers.get("x-amzn-errortype") or "").partition(":")[0]
    message = answer.get("Message") or answer.get("message") or answer.get("error") or ""
    if not isinstance(message, str) or not message:
        message = f"HTTP status {status}, {http.client.responses.get(status, 'unknown')}"
    if code in ("MissingAuthenticationTokenException", "IncompleteSignatureException"):
        # The latter is about the header that only names account and region.
        message = (
            "the server wants requests to be signed: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION "
            "('lamella key create' makes a key)"
        )
    return CommandError(f"{code}: {message}" if code else message)
