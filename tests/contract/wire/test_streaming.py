"""InvokeWithResponseStream over real connections: AWS's SDK, and clients that misbehave, against scripted functions."""

import asyncio
import base64
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from urllib3.exceptions import ProtocolError

import lamella.invoke.service  # noqa: F401 - importing it registers its handlers
from lamella.awsapi.context import Services
from lamella.awsapi.endpoint import Api
from lamella.awsapi.registry import OPERATIONS
from lamella.awsapi.spec import ServiceSpec
from lamella.domain.function import Architecture, Artifact, FunctionConfig, FunctionKey, FunctionVersion, State
from lamella.domain.invocation import Invocation, Outcome
from lamella.frontdoor import Door, FrontDoor
from lamella.httpserver.server import HttpServer
from lamella.invoke.eager import Slot
from lamella.invoke.router import BusyError, DeletedError, EnvironmentFailedError, Router
from lamella.invoke.service import InvokeServices
from lamella.invoke.stream import BUFFER_BYTES, ResponseStream
from lamella.invoke.targets import NotReadyError
from lamella.lifecycle.admission import Throttle
from lamella.ports.runtimes import RuntimeNotInstalledError

KIB, MIB = 1024, 1024 * 1024
WITHIN_S = 30.0  # only a bound for a server that hangs
T = TypeVar("T")
Script = Callable[[ResponseStream], Awaitable[None]]

VERSION = FunctionVersion(
    key=FunctionKey("000000000000", "us-east-1", "f"),
    version="$LATEST",
    artifact=Artifact("0" * 64, "", 1, 1),
    config=FunctionConfig(role="", runtime="provided.al2023", handler="h", architecture=Architecture.X86_64),
    revision_id="1",
    modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    state=State.ACTIVE,
)


async def _silent(stream: ResponseStream) -> None:
    stream.finish()


class ScriptedRouter:
    """Stands for the data plane: one function, `f`, that does what the test's script says.

    Attributes:
        ended: Set when the script has ended, for an answer's client to wait for.
    """

    def __init__(self) -> None:
        self.script: Script = _silent
        self.invocations: list[tuple[Invocation, bool]] = []
        self.ended = threading.Event()
        self.state = State.ACTIVE

    @property
    def targets(self) -> "ScriptedRouter":
        return self

    @property
    def permissions(self) -> "ScriptedRouter":
        return self

    def concern(self, account: str, key: FunctionKey) -> bool:
        return False

    def known(self, key: FunctionKey, qualifier: str | None) -> FunctionVersion | None:
        return None

    async def resolve(self, key: FunctionKey, qualifier: str | None) -> FunctionVersion | None:
        if self.state is not State.ACTIVE:
            raise NotReadyError(self.state)
        return VERSION if key.name == "f" else None

    async def invoke(
        self,
        version: FunctionVersion,
        invocation: Invocation,
        *,
        want_tail: bool,
        stream: ResponseStream | None = None,
    ) -> Outcome:
        assert stream is not None
        self.invocations.append((invocation, want_tail))
        try:
            await self.script(stream)
        finally:
            self.ended.set()
        return Outcome(b"")


class Server:
    """The real front door on a real socket, on a loop in a thread of its own."""

    def __init__(self) -> None:
        self.router = ScriptedRouter()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        services = Services(InvokeServices(cast("Router", self.router)))
        door = Door("us-east-1", "000000000000", one_account=False, hosts=frozenset({"127.0.0.1"}), pages={})
        self.http = HttpServer(FrontDoor(Api(ServiceSpec.load("lambda"), OPERATIONS), services, door))
        self.run(self.http.start(host="127.0.0.1"))
        self.port: int = self.http.addresses[0][1]

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WITHIN_S)

    def client(self) -> Any:  # Any: boto3's clients have no types
        config = Config(retries={"total_max_attempts": 1}, read_timeout=WITHIN_S)
        session = boto3.Session("test", "test", region_name="us-east-1")
        return session.client("lambda", endpoint_url=f"http://127.0.0.1:{self.port}", config=config)

    @contextmanager
    def raw(self, *, receive_bytes: int | None = None) -> Iterator[socket.socket]:
        """A connection on which the function has been invoked, by hand."""
        with socket.socket() as connection:
            connection.settimeout(WITHIN_S)
            if receive_bytes is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            connection.connect(("127.0.0.1", self.port))
            path = "/2021-11-15/functions/f/response-streaming-invocations"
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            yield connection

    def gate(self) -> "Gate":
        return Gate(self.loop)

    def close(self) -> None:
        self.run(self.http.close(grace_s=0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Gate:
    """Where a script waits until the test lets it go on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slot: Slot[None] | None = None
        self._opened = False

    async def wait(self) -> None:
        self._slot = Slot()
        if self._opened:
            self._slot.set_result(None)
        await self._slot

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        self._opened = True
        if self._slot is not None:
            self._slot.set_result(None)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Iterator[Any]:  # Any: boto3's clients have no types
    client = server.client()
    yield client
    client.close()


@contextmanager
def streaming(client: Any, **request: Any) -> Iterator[Any]:
    """The SDK's answer, whose connection it leaves open until the stream is read or closed."""
    answer = client.invoke_with_response_stream(FunctionName="f", **request)
    with closing(answer["EventStream"]):
        yield answer


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    received = b""
    while wanted not in received:
        piece = connection.recv(65536)
        assert piece, received
        received += piece
    return received


def read_rest(connection: socket.socket) -> tuple[bytes, bool]:
    """What still comes, and whether the connection was cut rather than closed."""
    received = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return received, True
        if not piece:
            return received, False
        received += piece


def test_what_boto3_gets(server: Server, client: Any) -> None:
    async def script(stream: ResponseStream) -> None:
        stream.begin("text/event-stream")
        await stream.write(b"data: 1\n\n")
        await stream.write(b"\x00\xff")
        stream.finish(log_result=b"START")

    server.router.script = script
    context = base64.b64encode(b'{"a":1}').decode()
    request = {"Payload": b'{"n": 1}', "LogType": "Tail", "ClientContext": context, "Qualifier": "$LATEST"}
    with streaming(client, **request) as answer:
        events = list(answer["EventStream"])
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    # The SDK takes it from Content-Type, as the model says, so it is the same for every function, on AWS as well.
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-remapped-content-type"] == "text/event-stream"
    assert headers["transfer-encoding"] == "chunked"
    assert events == [
        {"PayloadChunk": {"Payload": b"data: 1\n\n"}},
        {"PayloadChunk": {"Payload": b"\x00\xff"}},
        {"InvokeComplete": {"LogResult": base64.b64encode(b"START").decode()}},
    ]
    ((invocation, want_tail),) = server.router.invocations
    assert invocation.request_id == answer["ResponseMetadata"]["RequestId"]
    assert (invocation.payload, invocation.client_context, want_tail) == (b'{"n": 1}', '{"a":1}', True)
    assert invocation.function_arn == "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST"


def test_a_chunk_arrives_while_the_function_is_running(server: Server, client: Any) -> None:
    """RT-41."""
    gate = server.gate()

    async def script(stream: ResponseStream) -> None:
        await stream.write(b"first")
        await gate.wait()
        await stream.write(b"second")
        stream.finish()

    server.router.script = script
    with streaming(client) as answer:
        events = iter(answer["EventStream"])
        assert next(events) == {"PayloadChunk": {"Payload": b"first"}}
        assert not server.router.ended.is_set()
        gate.open()
        assert list(events) == [{"PayloadChunk": {"Payload": b"second"}}, {"InvokeComplete": {}}]


def test_the_answer_begins_with_the_headers_if_there_is_no_data_yet(server: Server, client: Any) -> None:
    """RT-41."""
    gate = server.gate()

    async def script(stream: ResponseStream) -> None:
        stream.begin("text/plain")
        await gate.wait()
        stream.finish()

    server.router.script = script
    with streaming(client) as answer:
        assert not server.router.ended.is_set()
        gate.open()
        assert list(answer["EventStream"]) == [{"InvokeComplete": {}}]


def test_an_error_of_the_function_is_told_in_the_stream(server: Server, client: Any) -> None:
    """RT-42."""

    async def script(stream: ResponseStream) -> None:
        await stream.write(b"half")
        stream.finish(error_code="Function.Broke", error_details='{"errorMessage":"ä"}')

    server.router.script = script
    with streaming(client) as answer:
        events = list(answer["EventStream"])
    complete = {"ErrorCode": "Function.Broke", "ErrorDetails": '{"errorMessage":"ä"}'}
    assert events == [{"PayloadChunk": {"Payload": b"half"}}, {"InvokeComplete": complete}]


def test_the_connection_is_kept_after_a_stream(server: Server) -> None:
    with server.raw() as connection:
        read_until(connection, b"\r\n0\r\n\r\n")
        connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert read_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 403 ")


def test_a_content_type_that_no_client_could_take_is_not_passed_on(server: Server, client: Any) -> None:
    async def script(stream: ResponseStream) -> None:
        stream.begin("x" * 100_000)
        stream.finish()

    server.router.script = script
    with streaming(client) as answer:
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-remapped-content-type"] == "application/octet-stream"


def test_a_dry_run_runs_nothing(server: Server, client: Any) -> None:
    with streaming(client, InvocationType="DryRun") as answer:
        assert answer["StatusCode"] == 204
        assert list(answer["EventStream"]) == []
    assert server.router.invocations == []


def raising(error: Exception) -> Script:
    async def script(stream: ResponseStream) -> None:
        raise error

    return script


@pytest.mark.parametrize(
    ("error", "code", "status", "text"),
    [
        (BusyError(Throttle.FUNCTION), "TooManyRequestsException", 429, "Rate Exceeded."),
        (RuntimeNotInstalledError("no pack"), "ServiceException", 500, "no pack"),
        (EnvironmentFailedError("no sandbox"), "ServiceException", 500, "could not be made: no sandbox"),
        (DeletedError("arn"), "ResourceNotFoundException", 404, "Function not found: arn"),
        (KeyError("ours"), "ServiceException", 500, "An internal error occurred."),
    ],
    ids=["busy", "runtime", "environment", "deleted", "bug"],
)
def test_what_fails_before_the_response_begins_is_an_api_error(
    server: Server, client: Any, error: Exception, code: str, status: int, text: str
) -> None:
    server.router.script = raising(error)
    with pytest.raises(ClientError) as caught:
        client.invoke_with_response_stream(FunctionName="f")
    response: Any = caught.value.response
    assert response["Error"]["Code"] == code
    assert text in response["Error"]["Message"]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"FunctionName": "missing"}, "ResourceNotFoundException"),
        ({"FunctionName": "f", "Payload": b"{"}, "InvalidRequestContentException"),
        ({"FunctionName": "f", "ClientContext": "!"}, "InvalidRequestContentException"),
        ({"FunctionName": "f", "InvocationType": "Event"}, "ValidationException"),
        ({"FunctionName": "f", "Payload": b'"' + b"x" * 6_291_556 + b'"'}, "RequestTooLargeException"),
    ],
    ids=["function", "json", "context", "type", "size"],
)
def test_requests_are_checked_as_those_of_invoke(
    server: Server, client: Any, request_: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        client.invoke_with_response_stream(**request_)
    response: Any = caught.value.response
    assert response["Error"]["Code"] == code
    assert server.router.invocations == []


def test_a_function_that_is_not_active_cannot_be_invoked(server: Server, client: Any) -> None:
    server.router.state = State.PENDING
    with pytest.raises(client.exceptions.ResourceConflictException, match="Pending"):
        client.invoke_with_response_stream(FunctionName="f")


@pytest.mark.parametrize("error", [EnvironmentFailedError("it broke"), KeyError("ours")], ids=["fault", "bug"])
def test_a_fault_of_ours_in_mid_stream_cuts_the_connection(server: Server, client: Any, error: Exception) -> None:
    async def script(stream: ResponseStream) -> None:
        await stream.write(b"half")
        raise error

    server.router.script = script
    with streaming(client) as answer, pytest.raises((ProtocolError, ConnectionError)):
        list(answer["EventStream"])


class Writing:
    """A script that writes a long response.

    Attributes:
        written_bytes: What `write` has returned for.
        peak_bytes: The most that was held for the reader.
    """

    def __init__(self, total_bytes: int, *, chunk_bytes: int = 128 * KIB) -> None:
        self.written_bytes = 0
        self.peak_bytes = 0
        self._total_bytes = total_bytes
        self._chunk_bytes = chunk_bytes

    async def __call__(self, stream: ResponseStream) -> None:
        while self.written_bytes < self._total_bytes:
            await stream.write(bytes(self._chunk_bytes))
            self.peak_bytes = max(self.peak_bytes, stream._held_bytes)
            self.written_bytes += self._chunk_bytes
        stream.finish()


def test_a_slow_reader_slows_the_function_down(server: Server) -> None:
    """RT-41: what waits for the reader is bounded, wherever it waits."""
    script = server.router.script = Writing(48 * MIB)
    received_bytes = ahead_bytes = 0
    with server.raw(receive_bytes=64 * KIB) as connection:
        while not server.router.ended.is_set() or received_bytes < 48 * MIB:
            received_bytes += len(connection.recv(64 * KIB))
            ahead_bytes = max(ahead_bytes, script.written_bytes - received_bytes)
    assert script.peak_bytes <= BUFFER_BYTES + 128 * KIB
    # What the kernel holds for a connection is at most 4 MiB to be sent and little to be received.
    assert ahead_bytes < 16 * MIB


def test_a_client_that_disconnects_lets_the_function_run_on(server: Server) -> None:
    script = server.router.script = Writing(48 * MIB)
    with server.raw() as connection:
        read_until(connection, b"PayloadChunk")
        assert script.written_bytes < 48 * MIB
    assert server.router.ended.wait(WITHIN_S)
    assert script.written_bytes == 48 * MIB
    server.run(server.http._wait_quiet())  # neither connections nor tasks are left


def test_a_client_that_disconnects_before_the_response_begins(server: Server) -> None:
    gate, began = server.gate(), threading.Event()

    async def script(stream: ResponseStream) -> None:
        began.set()
        await gate.wait()
        await Writing(4 * MIB)(stream)

    server.router.script = script
    with server.raw() as connection:
        assert began.wait(WITHIN_S)
        # Closed so that the server learns of it at once: it could not tell an ordinary end from one that still reads.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.run(wait_lost(server))
    gate.open()
    assert server.router.ended.wait(WITHIN_S)
    server.run(server.http._wait_quiet())  # neither connections nor tasks are left


def test_a_server_that_stops_leaves_no_function_waiting_for_its_reader(server: Server) -> None:
    script = server.router.script = Writing(48 * MIB)
    with server.raw(receive_bytes=64 * KIB) as connection:
        read_until(connection, b"PayloadChunk")
        server.run(server.http.close(grace_s=0))
        assert server.router.ended.wait(WITHIN_S)
        assert script.written_bytes == 48 * MIB
        received, _ = read_rest(connection)
        assert not received.endswith(b"0\r\n\r\n")


async def wait_lost(server: Server) -> None:
    """Wait until the server knows that nobody is connected."""
    while server.http.connection_count:  # noqa: ASYNC110  # a server has no event for it
        await asyncio.sleep(0)
