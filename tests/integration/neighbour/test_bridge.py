"""The child's client of Lambda and the door that it comes to, over a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from lamella.awsapi.context import Context, Services
from lamella.awsapi.endpoint import Api
from lamella.awsapi.registry import Handler
from lamella.awsapi.spec import ServiceSpec
from lamella.domain._api_errors import ResourceNotFoundException, ServiceException
from lamella.domain.principal import ServicePrincipal
from lamella.domain.quotas import LimitProfile
from lamella.httpserver.server import HttpServer
from lamella.invoke.measurements import Measurements
from lamella.neighbour.bridge import lambda_client, open_bridge
from lamella.neighbour.stacks.clients import clients
from lamella.neighbour.trust import BRIDGE_HEADER, BRIDGE_SOCKET
from lamella.sidedoor import SideDoor

PATIENCE_S = 20.0  # of a test with a server that hangs; never waited for otherwise
ACCOUNT, REGION, SECRET = "111122223333", "eu-west-1", "a secret"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
SPEC = ServiceSpec.load("lambda")
Operations = Mapping[str, Handler]


class Seen:
    """Answers Invoke and GetFunction, and keeps what it was told."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.requests: list[Any] = []

    async def invoke(self, context: Context, request: Any) -> Any:
        self.contexts.append(context)
        self.requests.append(request)
        return {"StatusCode": 200, "Payload": request["Payload"][::-1]}

    async def get_function(self, context: Context, request: Any) -> Any:
        self.contexts.append(context)
        raise ResourceNotFoundException("Function not found: f")

    @property
    def operations(self) -> Operations:
        return {"Invoke": self.invoke, "GetFunction": self.get_function}


@contextlib.asynccontextmanager
async def door(
    tmp_path: Path, operations: Operations, measurements: Measurements | None = None
) -> AsyncIterator[HttpServer]:
    side = SideDoor(
        Api(SPEC, operations),
        Services(),
        base_url="http://localhost:1",
        secret=SECRET,
        limits=LimitProfile.AWS,
        measurements=measurements or Measurements(),
    )
    server = HttpServer(side, half_close=False)
    await server.start(unix=tmp_path / BRIDGE_SOCKET)
    open_bridge(tmp_path, SECRET)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield server
    finally:
        await server.close(grace_s=0)


async def ask(tmp_path: Path, head: str, body: bytes = b"") -> tuple[int, Any]:
    """Send a request by hand: its status, and what it says."""
    reader, writer = await asyncio.open_unix_connection(tmp_path / BRIDGE_SOCKET)
    text = f"{head}Host: lamella\nConnection: close\nContent-Length: {len(body)}\n\n"
    writer.write(text.replace("\n", "\r\n").encode() + body)
    answer = await reader.read()
    writer.close()
    start, _, rest = answer.partition(b"\r\n\r\n")
    return int(start.split()[1]), json.loads(rest)


async def test_the_child_asks_as_an_account(tmp_path: Path) -> None:
    seen = Seen()
    async with door(tmp_path, seen.operations):
        client = lambda_client(ACCOUNT, REGION)
        answer = await asyncio.to_thread(client.invoke, FunctionName="f", Payload=b'"event"')
        assert await asyncio.to_thread(answer["Payload"].read) == b'"tneve"'
        with pytest.raises(ClientError, match=r"ResourceNotFoundException.*Function not found: f"):
            await asyncio.to_thread(client.get_function, FunctionName="f")
    invoked, _ = seen.contexts
    assert (invoked.account, invoked.region, invoked.principal) == (ACCOUNT, REGION, None)
    assert all("lamella" not in name for name, _ in invoked.headers)


async def test_stacks_ask_again_while_lambda_is_not_well_and_events_are_sent_once(tmp_path: Path) -> None:
    asked = list[str]()

    async def list_functions(context: Context, request: Any) -> Any:
        asked.append("list")
        if len(asked) < 3:
            raise ServiceException("An internal error occurred.")
        return {"Functions": []}

    async def invoke(context: Context, request: Any) -> Any:
        asked.append("invoke")
        raise ServiceException("An internal error occurred.")

    async with door(tmp_path, {"ListFunctions": list_functions, "Invoke": invoke}):
        client = clients("lambda", ACCOUNT, REGION)
        answer = await asyncio.to_thread(client.list_functions)
        with pytest.raises(ClientError, match="ServiceException"):
            await asyncio.to_thread(lambda_client(ACCOUNT, REGION).invoke, FunctionName="f")
    assert (answer["Functions"], asked) == ([], ["list", "list", "list", "invoke"])


async def test_a_service_asks_for_a_resource(tmp_path: Path) -> None:
    seen = Seen()
    source = {"source_arn": "arn:aws:s3:::bucket", "source_account": "444455556666"}
    async with door(tmp_path, seen.operations):
        client = lambda_client(ACCOUNT, REGION, principal="s3.amazonaws.com", **source)
        await asyncio.to_thread(client.invoke, FunctionName=ARN, Payload=b"{}")
        with pytest.raises(ClientError, match="may not do GetFunction"):
            await asyncio.to_thread(client.get_function, FunctionName=ARN)
    (context,) = seen.contexts
    expected = ServicePrincipal(("s3.amazonaws.com",), "arn:aws:s3:::bucket", "444455556666")
    assert context.principal == expected


INVOKE = "POST /2015-03-31/functions/f/invocations HTTP/1.1\n"
WHOM = f"X-Lamella-Account: {ACCOUNT}\nX-Lamella-Region: {REGION}\n"
KNOWN = f"{BRIDGE_HEADER}: {SECRET}\n"


@pytest.mark.parametrize(
    ("head", "status", "text"),
    [
        (INVOKE + WHOM, 403, "own neighbour"),
        (INVOKE + WHOM + f"{BRIDGE_HEADER}: another\n", 403, "own neighbour"),
        (INVOKE + WHOM + f"{BRIDGE_HEADER}:\n", 403, "own neighbour"),
        (INVOKE + WHOM + KNOWN + f"{BRIDGE_HEADER}: another\n", 403, "own neighbour"),
        (INVOKE + WHOM + f"{BRIDGE_HEADER}: \xe4\n", 403, "own neighbour"),
        (INVOKE + KNOWN, 400, "no account"),
        (INVOKE + KNOWN + WHOM + "X-Lamella-Account: 999999999999\n", 400, "several headers"),
        (INVOKE + KNOWN + WHOM + "X-Lamella-Region: us-east-1\n", 400, "several headers"),
        (INVOKE + KNOWN + f"X-Lamella-Account: {ACCOUNT}0\nX-Lamella-Region: {REGION}\n", 400, "no account"),
        (INVOKE + KNOWN + f"X-Lamella-Account: {ACCOUNT}\nX-Lamella-Region: ../x\n", 400, "no region"),
        # Whose service's name is lost must not act as the account.
        (INVOKE + KNOWN + WHOM + "X-Lamella-Principal:\n", 400, "no service"),
        (INVOKE + KNOWN + WHOM + "X-Lamella-Principal: a.b\nX-Lamella-Principal: c.d\n", 400, "several headers"),
        ("GET /_lamella/health HTTP/1.1\n" + KNOWN + WHOM, 404, "no such operation"),
        ("GET /bucket/key HTTP/1.1\n" + KNOWN + WHOM, 404, "no such operation"),
    ],
)
async def test_nobody_else_is_let_in(tmp_path: Path, head: str, status: int, text: str) -> None:
    seen = Seen()
    async with door(tmp_path, seen.operations):
        answered, document = await ask(tmp_path, head, b"{}")
    assert (answered, text in document["message"]) == (status, True), document
    assert seen.contexts == []


async def test_a_body_is_bounded(tmp_path: Path) -> None:
    async with door(tmp_path, Seen().operations):
        path = "POST /2015-03-31/functions/f/invocations"
        status, _ = await ask(tmp_path, f"{path} HTTP/1.1\n{KNOWN}{WHOM}", bytes(7_000_000))
    assert status == 413


async def test_a_server_that_goes_leaves_nobody_waiting(tmp_path: Path) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def invoke(context: Context, request: Any) -> Any:
        begun.set()
        await never.wait()

    async with door(tmp_path, {"Invoke": invoke, "GetFunction": invoke}) as server:
        client = lambda_client(ACCOUNT, REGION)
        waiting = asyncio.create_task(asyncio.to_thread(partial(client.get_function, FunctionName="f")))
        await begun.wait()
        await server.close(grace_s=0)
        with pytest.raises(EndpointConnectionError):
            await waiting
        with pytest.raises(EndpointConnectionError):
            await asyncio.to_thread(client.invoke, FunctionName="f")
