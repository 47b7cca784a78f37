"""Function URLs over real connections, against scripted functions."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from lamella.awsapi.context import Services
from lamella.awsapi.endpoint import Api
from lamella.awsapi.spec import ServiceSpec
from lamella.domain.function import Architecture, Artifact, FunctionConfig, FunctionKey, FunctionVersion, State
from lamella.domain.invocation import Invocation, Outcome
from lamella.domain.quotas import SYNCHRONOUS_PAYLOAD
from lamella.domain.url import AuthType, Cors, FunctionUrl, InvokeMode, to_document
from lamella.frontdoor import Door, FrontDoor
from lamella.httpserver.server import HttpServer
from lamella.invoke.router import BusyError, DeletedError, EnvironmentFailedError, Router
from lamella.invoke.service import InvokeServices
from lamella.invoke.stream import BUFFER_BYTES, ResponseStream
from lamella.invoke.targets import NotReadyError
from lamella.invoke.url_guard import OwnAccountGuard
from lamella.invoke.urls import Urls
from lamella.lifecycle.admission import Throttle
from lamella.ports.runtimes import RuntimeNotInstalledError
from lamella.testing.clock import FakeClock
from lamella.testing.records import MemoryFunctionRecordStore
from lamella.testing.stores import MemoryFunctionStore

WITHIN_S = 30.0  # only a bound for a server that hangs
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
KEY = FunctionKey("000000000000", "us-east-1", "f")
VERSION = FunctionVersion(
    key=KEY,
    version="$LATEST",
    artifact=Artifact("0" * 64, "", 1, 1),
    config=FunctionConfig(role="", runtime="provided.al2023", handler="h", architecture=Architecture.X86_64),
    revision_id="1",
    modified_at=NOW,
    state=State.ACTIVE,
)
URL = FunctionUrl("a" * 32, KEY, None, AuthType.NONE, None, None, NOW, NOW)
HOST = f"{URL.id}.lambda-url.us-east-1.localhost"
SITE = "https://site.example"
FORBIDDEN = {
    "Message": "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
}
SIGNED = "AWS4-HMAC-SHA256 Credential={}/20261126/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0"


@dataclass
class ScriptedRouter:
    """Stands for the data plane: what the function returns, or does with the stream, is the test's."""

    returns: bytes = b"null"
    function_error: str | None = None
    raises: Exception | None = None
    script: Callable[[ResponseStream], Awaitable[None]] | None = None
    missing: frozenset[str] = frozenset()
    state: State = State.ACTIVE
    invocations: list[Invocation] = field(default_factory=list)
    forgets: list[Callable[[FunctionKey, str | None], None]] = field(default_factory=list)

    @property
    def targets(self) -> "ScriptedRouter":
        return self

    def on_deletion(self, forget: Callable[[FunctionKey, str | None], None]) -> None:
        self.forgets.append(forget)

    def known(self, key: FunctionKey, qualifier: str | None) -> FunctionVersion | None:
        return None

    async def resolve(self, key: FunctionKey, qualifier: str | None) -> FunctionVersion | None:
        if self.state is not State.ACTIVE:
            raise NotReadyError(self.state)
        return None if qualifier in self.missing else VERSION

    async def invoke(
        self,
        version: FunctionVersion,
        invocation: Invocation,
        *,
        want_tail: bool,
        stream: ResponseStream | None = None,
    ) -> Outcome:
        self.invocations.append(invocation)
        if self.raises is not None:
            raise self.raises
        if stream is not None:
            assert self.script is not None
            await self.script(stream)
        return Outcome(self.returns, self.function_error)

    @property
    def event(self) -> Any:
        (invocation,) = self.invocations
        return json.loads(invocation.payload)


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool = True

    def header(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known.lower() == name]

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    router: ScriptedRouter
    urls: Urls
    port: int

    async def request(
        self, target: str = "/", *, method: str = "GET", host: str = HOST, body: bytes = b"", **headers: str
    ) -> Response:
        async with self.connect(target, method=method, host=host, body=body, **headers) as (reader, _):
            return await read_response(reader, method)

    @asynccontextmanager
    async def connect(
        self, target: str = "/", *, method: str = "GET", host: str = HOST, body: bytes = b"", **headers: str
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with asyncio.timeout(WITHIN_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            lines = [f"{method} {target} HTTP/1.1", f"Host: {host}:{self.port}", "Connection: close"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            if body:
                lines.append(f"Content-Length: {len(body)}")
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            try:
                yield reader, writer
            finally:
                writer.close()


async def read_head(reader: asyncio.StreamReader) -> tuple[int, list[tuple[str, str]]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = [line.split(": ", 1) for line in head[1:] if line]
    return int(head[0].split()[1]), [(name, value) for name, value in fields]


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    chunk = await reader.readexactly(size)
    await reader.readexactly(2)
    return chunk


async def read_response(reader: asyncio.StreamReader, method: str = "GET") -> Response:
    status, headers = await read_head(reader)
    if ("Transfer-Encoding", "chunked") not in headers:
        return Response(status, headers, await reader.read())
    body = b""
    if method == "HEAD":
        return Response(status, headers, await reader.read())
    try:
        while chunk := await read_chunk(reader):
            body += chunk
    except (asyncio.IncompleteReadError, ConnectionResetError, ValueError):
        return Response(status, headers, body, whole=False)
    return Response(status, headers, body)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    router = ScriptedRouter()
    services = InvokeServices(cast("Router", router))
    urls = Urls(services, OwnAccountGuard("000000000000"), FakeClock(NOW), port=80)
    urls.url_changed(URL)
    hosts = frozenset({"localhost", "*.localhost", "127.0.0.1"})
    door = Door("us-east-1", "000000000000", one_account=False, hosts=hosts, pages={}, urls=urls)
    http = HttpServer(FrontDoor(Api(ServiceSpec.load("lambda"), {}), Services(services), door))
    await http.start(host="127.0.0.1")
    yield Server(router, urls, http.addresses[0][1])
    await http.close(grace_s=0)


def streams(server: Server, script: Callable[[ResponseStream], Awaitable[None]], **changes: Any) -> None:
    server.urls.url_changed(replace(URL, invoke_mode=InvokeMode.RESPONSE_STREAM, **changes))
    server.router.script = script


async def test_what_the_function_and_the_client_get(server: Server) -> None:
    server.router.returns = b'{"statusCode": 201, "headers": {"X-A": "b"}, "cookies": ["c=1"], "body": "hi"}'
    response = await server.request("/a%20b?q=1", method="POST", body=b"{}", content_type="application/json")
    assert (response.status, response.body) == (201, b"hi")
    assert response.header("x-a") == ["b"]
    assert response.header("set-cookie") == ["c=1"]
    assert response.header("content-type") == ["application/json"]
    (invocation,) = server.router.invocations
    assert response.header("x-amzn-requestid") == [invocation.request_id]
    assert invocation.function_arn == KEY.arn()
    event = server.router.event
    assert (event["rawPath"], event["rawQueryString"], event["body"]) == ("/a%20b", "q=1", "{}")
    context = event["requestContext"]
    assert (context["domainName"], context["domainPrefix"], context["apiId"]) == (HOST, URL.id, URL.id)
    assert (context["http"]["sourceIp"], context["requestId"]) == ("127.0.0.1", invocation.request_id)
    assert context["timeEpoch"] == int(NOW.timestamp() * 1000)
    assert event["headers"]["x-forwarded-port"] == str(server.port)
    trace = event["headers"]["x-amzn-trace-id"]
    assert invocation.trace_id.startswith(f"{trace};Parent=")
    assert response.header("x-amzn-trace-id") == [trace]


@pytest.mark.parametrize(
    "path", ["/", "/2015-03-31/functions", "/2015-03-31/functions/f/invocations", "/_lamella/health"]
)
async def test_under_the_name_of_a_url_everything_is_the_functions(server: Server, path: str) -> None:
    assert (await server.request(path, method="POST")).body == b"null"
    assert server.router.event["rawPath"] == path


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (f"/_lamella/urls/{URL.id}", "/"),
        (f"/_lamella/urls/{URL.id}/", "/"),
        (f"/_lamella/urls/{URL.id}/a/../b?q=1", "/a/../b"),
        (f"/_lamella/urls/{URL.id}//x", "//x"),
        (f"/_lamella/urls/{URL.id}/2015-03-31/functions/f/invocations", "/2015-03-31/functions/f/invocations"),
    ],
)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_by_a_path_under_the_servers_own_name(server: Server, target: str, path: str, host: str) -> None:
    response = await server.request(target, host=host)
    assert response.body == b"null"
    assert server.router.event["rawPath"] == path
    assert server.router.event["requestContext"]["domainName"] == HOST


async def test_a_page_under_the_servers_own_name_cannot_act_in_it(server: Server) -> None:
    """Whatever the function says: a browser applies all such headers."""
    server.router.returns = json.dumps({"statusCode": 200, "headers": {"Content-Security-Policy": "x"}}).encode()
    for path in (URL.id, "nothing"):
        response = await server.request(f"/_lamella/urls/{path}/", host="localhost")
        policy = response.header("content-security-policy")[-1]
        assert policy.startswith("sandbox ")
        assert "allow-same-origin" not in policy
        assert "escape-sandbox" not in policy
    assert (await server.request()).header("content-security-policy") == ["x"]


@pytest.mark.parametrize(
    "host",
    [
        f"{'b' * 32}.lambda-url.us-east-1.localhost",
        f"{URL.id}.lambda-url.eu-central-1.localhost",
    ],
)
async def test_a_url_that_is_none(server: Server, host: str) -> None:
    """Recorded from AWS."""
    response = await server.request(host=host)
    assert (response.status, response.body) == (403, b'{"Message":null}')
    assert response.header("content-type") == ["application/json"]
    assert response.header("x-amzn-errortype") == ["AccessDeniedException"]
    assert server.router.invocations == []


async def test_a_url_that_was_deleted(server: Server) -> None:
    server.urls.url_deleted(URL)
    assert (await server.request()).body == b'{"Message":null}'


async def test_urls_go_with_their_function(server: Server) -> None:
    other = replace(URL, id="c" * 32, key=replace(KEY, name="g"))
    server.urls.url_changed(other)
    for forget in server.router.forgets:
        forget(KEY, None)
    assert (await server.request()).body == b'{"Message":null}'
    assert (await server.request(f"/_lamella/urls/{other.id}/", host="localhost")).body == b"null"


async def test_urls_are_known_from_the_start(server: Server) -> None:
    functions = MemoryFunctionStore()
    await functions.create(VERSION, {})
    records = MemoryFunctionRecordStore(functions)
    urls = {"$LATEST": to_document(URL), "live": to_document(replace(URL, id="d" * 32, alias="live"))}
    await records.put(KEY, "urls", urls)
    server.urls.url_deleted(URL)
    await server.urls.load(records)
    for url_id in (URL.id, "d" * 32):
        assert (await server.request(f"/_lamella/urls/{url_id}/", host="localhost")).status == 200
    assert [invocation.function_arn for invocation in server.router.invocations] == [KEY.arn(), KEY.arn("live")]


async def test_an_alias_that_is_gone(server: Server) -> None:
    """Recorded from AWS."""
    server.urls.url_changed(replace(URL, alias="live"))
    server.router.missing = frozenset({"live"})
    response = await server.request()
    assert (response.status, response.document) == (403, FORBIDDEN)
    assert response.header("x-amzn-errortype") == ["AccessDeniedException"]


async def test_a_url_that_wants_signatures(server: Server) -> None:
    server.urls.url_changed(replace(URL, auth_type=AuthType.AWS_IAM))
    for headers in ({}, {"authorization": "Bearer t"}, {"authorization": SIGNED.format("999999999999")}):
        response = await server.request(**headers)
        assert (response.status, response.document) == (403, FORBIDDEN)
    assert server.router.invocations == []
    assert (await server.request(authorization=SIGNED.format("test"))).status == 200
    event = server.router.event
    assert event["requestContext"]["accountId"] == "000000000000"
    assert event["requestContext"]["authorizer"]["iam"]["accessKey"] == "test"
    assert "authorization" not in event["headers"]


async def test_a_function_that_fails(server: Server) -> None:
    """Recorded from AWS."""
    server.router.returns, server.router.function_error = b'{"errorMessage": "secret"}', "Unhandled"
    response = await server.request()
    assert (response.status, response.body) == (502, b"Internal Server Error")


@pytest.mark.parametrize(
    "returned", [b"", b"hello", b'{"statusCode": 99}', b'{"statusCode":200,"headers":{"a":"\\n"}}']
)
async def test_a_function_that_returns_no_response(server: Server, returned: bytes) -> None:
    server.router.returns = returned
    response = await server.request()
    assert (response.status, response.body) == (502, b"Internal Server Error")


@pytest.mark.parametrize("mode", list(InvokeMode))
async def test_throttles(server: Server, mode: InvokeMode) -> None:
    server.urls.url_changed(replace(URL, invoke_mode=mode))
    server.router.raises = BusyError(Throttle.FUNCTION)
    response = await server.request()
    assert response.status == 429
    assert response.document["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert response.header("x-amzn-errortype") == ["TooManyRequestsException"]
    assert len(response.header("x-amzn-requestid")) == 1


@pytest.mark.parametrize("mode", list(InvokeMode))
@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (DeletedError("arn"), 403, b'{"Message":null}'),
        (EnvironmentFailedError("no disk"), 502, b"Internal Server Error"),
        (RuntimeNotInstalledError("no pack"), 502, b"Internal Server Error"),
        (RuntimeError("a bug"), 502, b"Internal Server Error"),
    ],
)
async def test_invocations_that_do_not_take_place(
    server: Server, mode: InvokeMode, error: Exception, status: int, body: bytes
) -> None:
    server.urls.url_changed(replace(URL, invoke_mode=mode))
    server.router.raises = error
    response = await server.request()
    assert (response.status, response.body) == (status, body)


async def test_a_function_that_is_not_ready(server: Server) -> None:
    server.router.state = State.PENDING
    response = await server.request()
    assert response.status == 409
    assert "currently in the following state: Pending" in response.body.decode()


async def test_a_body_that_is_too_large(server: Server) -> None:
    text = f"Request must be smaller than {SYNCHRONOUS_PAYLOAD.limit} bytes for the InvokeFunction operation"
    headers = {"content_type": "text/plain", "method": "POST"}
    for size in (SYNCHRONOUS_PAYLOAD.limit + 1, SYNCHRONOUS_PAYLOAD.limit - 100):
        # The second is an event that is too large, with all that is around the body.
        response = await server.request(body=b"x" * size, **headers)
        assert response.status == 413
        assert text in response.body.decode()
        assert response.header("x-amzn-errortype") == ["RequestTooLargeException"]
    assert server.router.invocations == []
    # In base64 a third more: 6 MB are an event that is too large.
    assert (await server.request(body=b"\xff" * 4_800_000, method="POST")).status == 413
    assert (await server.request(body=b"\xff" * 4_600_000, method="POST")).status == 200


async def test_a_large_response(server: Server) -> None:
    server.router.returns = json.dumps({"statusCode": 200, "body": "x" * 1_000_000}).encode()
    assert len((await server.request()).body) == 1_000_000


CORS = Cors(allow_origins=(SITE,), allow_methods=("GET",), expose_headers=("X-A",), max_age_s=5)


@pytest.mark.parametrize("mode", list(InvokeMode))
@pytest.mark.parametrize("auth", list(AuthType))
async def test_a_preflight_request_does_not_reach_the_function(
    server: Server, mode: InvokeMode, auth: AuthType
) -> None:
    server.urls.url_changed(replace(URL, cors=CORS, invoke_mode=mode, auth_type=auth))
    asks = {"method": "OPTIONS", "access_control_request_method": "GET"}
    response = await server.request(origin=SITE, **asks)
    assert (response.status, response.body) == (200, b"")
    assert response.header("access-control-allow-origin") == [SITE]
    assert response.header("access-control-allow-methods") == ["GET"]
    assert response.header("access-control-max-age") == ["5"]
    other = await server.request(origin="https://other.example", **asks)
    assert (other.status, other.header("access-control-allow-origin")) == (200, [])
    assert server.router.invocations == []


async def test_without_settings_the_function_answers_preflight_requests(server: Server) -> None:
    response = await server.request(method="OPTIONS", origin=SITE, access_control_request_method="GET")
    assert response.header("access-control-allow-origin") == []
    assert server.router.event["requestContext"]["http"]["method"] == "OPTIONS"


async def test_settings_stand_beside_what_the_function_says(server: Server) -> None:
    """Source: developer guide: "this can result in duplicate CORS headers"."""
    server.urls.url_changed(replace(URL, cors=CORS))
    server.router.returns = b'{"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}}'
    response = await server.request(origin=SITE)
    assert response.header("access-control-allow-origin") == ["*", SITE]
    assert response.header("access-control-expose-headers") == ["X-A"]
    assert response.header("vary") == ["Origin"]


async def test_pages_see_errors_as_well(server: Server) -> None:
    server.urls.url_changed(replace(URL, cors=CORS))
    server.router.function_error = "Unhandled"
    response = await server.request(origin=SITE)
    assert (response.status, response.header("access-control-allow-origin")) == (502, [SITE])


@pytest.mark.parametrize("headers", [{"origin": SITE}, {"sec_fetch_site": "cross-site"}, {"origin": "null"}])
async def test_any_page_may_call_a_url_and_none_the_api(server: Server, headers: dict[str, str]) -> None:
    assert (await server.request(method="POST", **headers)).status == 200
    assert (await server.request(f"/_lamella/urls/{URL.id}/", host="localhost", **headers)).status == 200
    for path in ("/2015-03-31/functions", "/_lamella/health", f"/_lamella/url/{URL.id}", "/_lamella/urls"):
        assert (await server.request(path, host="localhost", **headers)).status == 403


async def test_a_page_of_a_function_may_not_call_the_api(server: Server) -> None:
    response = await server.request("/2015-03-31/functions", host="localhost", origin=f"http://{HOST}:{server.port}")
    assert response.status == 403


async def test_urls_have_no_other_names(server: Server) -> None:
    for host in (f"{URL.id}.lambda-url.us-east-1.evil.example", f"x.{HOST}", "evil.example"):
        assert (await server.request(host=host)).status == 403
        assert (await server.request(f"/_lamella/urls/{URL.id}/", host=host)).status == 403
    assert server.router.invocations == []


PRELUDE = b'{"statusCode": 418, "headers": {"Content-Type": "text/x"}, "cookies": ["c=1"]}' + bytes(8)
INTEGRATION = "application/vnd.awslambda.http-integration-response"


async def test_a_stream_arrives_while_the_function_is_running(server: Server) -> None:
    """RT-41, RT-45."""
    released = asyncio.Event()

    async def script(stream: ResponseStream) -> None:
        stream.begin(INTEGRATION)
        await stream.write(PRELUDE[:5])
        await stream.write(PRELUDE[5:] + b"first")
        await released.wait()
        await stream.write(b"second")
        stream.finish()

    streams(server, script)
    async with server.connect() as (reader, _):
        status, headers = await read_head(reader)
        assert status == 418
        assert ("Content-Type", "text/x") in headers
        assert ("Set-Cookie", "c=1") in headers
        assert await read_chunk(reader) == b"first"
        released.set()
        assert [await read_chunk(reader), await read_chunk(reader)] == [b"second", b""]


async def test_a_stream_without_a_prelude_is_a_body(server: Server) -> None:
    """RT-44: what a buffered response looks like there is not interpreted; so AWS does (LocalStack's tests, 2025)."""

    async def script(stream: ResponseStream) -> None:
        stream.begin("application/json")
        stream.put(b'{"statusCode": 404}')
        stream.finish()

    streams(server, script)
    response = await server.request()
    assert (response.status, response.body) == (200, b'{"statusCode": 404}')
    assert response.header("content-type") == ["application/json"]


@pytest.mark.parametrize(("content_type", "status"), [("text/plain", 200), (INTEGRATION, 502)])
async def test_an_empty_stream(server: Server, content_type: str, status: int) -> None:
    async def script(stream: ResponseStream) -> None:
        stream.begin(content_type)
        stream.finish()

    streams(server, script)
    assert (await server.request()).status == status


async def test_a_stream_that_fails_before_it_begins(server: Server) -> None:
    async def script(stream: ResponseStream) -> None:
        stream.finish(error_code="Unhandled", error_details="secret")

    streams(server, script, cors=CORS)
    response = await server.request(origin=SITE)
    assert (response.status, response.body) == (502, b"Internal Server Error")
    assert response.header("access-control-allow-origin") == [SITE]


@pytest.mark.parametrize("end", ["error", "fault"])
async def test_a_stream_that_breaks_off_is_cut(server: Server, end: str) -> None:
    """RT-42: there is no status left to tell it by."""

    async def script(stream: ResponseStream) -> None:
        stream.begin("text/plain")
        await stream.write(b"half")
        if end == "error":
            stream.finish(error_code="Function.Broke", error_details="{}")
        else:
            stream.fail(RuntimeError("the environment broke"))

    streams(server, script)
    response = await server.request()
    assert (response.status, response.body, response.whole) == (200, b"half", False)


@pytest.mark.parametrize("prelude", [b"{" + bytes(8), b'{"statusCode": 5}' + bytes(8), b"x" * 300_000])
async def test_a_prelude_that_is_none(server: Server, prelude: bytes) -> None:
    """RT-45."""

    async def script(stream: ResponseStream) -> None:
        stream.begin(INTEGRATION)
        await stream.write(prelude)
        await stream.write(b"rest")
        stream.finish()

    streams(server, script)
    response = await server.request()
    assert (response.status, response.body) == (502, b"Internal Server Error")


async def test_a_function_goes_on_when_its_caller_is_gone(server: Server) -> None:
    ended = asyncio.Event()
    piece = b"x" * BUFFER_BYTES

    async def script(stream: ResponseStream) -> None:
        stream.begin("text/plain")
        for _ in range(64):
            await stream.write(piece)
        stream.finish()
        ended.set()

    streams(server, script)
    async with server.connect() as (reader, writer):
        await read_head(reader)
        assert not ended.is_set()
        writer.transport.abort()
    async with asyncio.timeout(WITHIN_S):
        await ended.wait()


@pytest.mark.parametrize("mode", list(InvokeMode))
async def test_head_has_no_body(server: Server, mode: InvokeMode) -> None:
    async def script(stream: ResponseStream) -> None:
        stream.begin("text/plain")
        await stream.write(b"body")
        stream.finish()

    server.router.returns = b'"body"'
    streams(server, script)
    server.urls.url_changed(replace(URL, invoke_mode=mode))
    response = await server.request(method="HEAD")
    assert (response.status, response.body) == (200, b"")
