"""What the pages below `/_lamella/` refuse before they touch anything."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from tests.support.traces import KEY, Life

from lamella.adapters.traces import FileTraceStore
from lamella.domain.event import AcceptedEvent, EventRecord, Progress
from lamella.domain.function import FunctionKey
from lamella.frontdoor import PageError, body_object
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import DisconnectedError, Request
from lamella.invoke.recorder import FlightRecorder
from lamella.invoke.recorders import Recorders
from lamella.pages import Credentials, Downloads, Events, Health, Logs, Runtimes, Traces, host_pages, sandbox_pages
from lamella.ports.logs import LogEvent, LogStore
from lamella.testing.queue import MemoryEventQueue


class Asked:
    """An exchange that was only asked."""

    def __init__(self, path: str, body: bytes = b"") -> None:
        self.request = Request("GET", path.encode(), path, "", [])
        self.request.body = body


class Left(Asked):
    """An exchange whose peer has gone without a word."""

    def start_response(self, status: int, headers: object) -> None:
        assert status == 200

    async def write(self, data: bytes) -> None:
        raise DisconnectedError


class OneLine:
    async def read(self, key: object, **options: object) -> AsyncIterator[LogEvent]:
        yield LogEvent(1, "stream", "line")


async def test_a_reader_of_a_log_who_leaves_is_no_fault() -> None:
    logs = Logs(cast("LogStore", OneLine()), account="000000000000", region="us-east-1")
    await logs.page(cast("Exchange", Left("/_lamella/logs/f")), {"follow": "1"})


@pytest.fixture
async def logs() -> Logs:
    return Logs(cast("LogStore", None), account="000000000000", region="us-east-1")


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("", {}),
        ("..", {}),
        ("../f", {}),
        ("a\0b", {}),
        ("f" * 300, {}),
        ("f", {"account": ""}),
        ("f", {"account": "/etc"}),
        ("f", {"region": "."}),
        ("f", {"region": ".."}),
        ("f", {"region": "a\0"}),
        ("f", {"limit": "-1"}),
        ("f", {"limit": "x"}),
        ("f", {"since_ms": "x"}),
    ],
)
async def test_logs_of_what_cannot_be_a_function(logs: Logs, name: str, query: Mapping[str, str]) -> None:
    asked = cast("Exchange", Asked(f"/_lamella/logs/{quote(name, safe='')}"))
    with pytest.raises(PageError) as refusal:
        await logs.page(asked, query)
    assert refusal.value.status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object(body: bytes) -> None:
    with pytest.raises(PageError):
        body_object(cast("Exchange", Asked("/_lamella/runtimes", body)))


class Answered(Asked):
    """An exchange that keeps its answer."""

    status = 0
    answer = b""

    def respond(self, status: int, headers: object, body: bytes) -> None:  # as of `Exchange`
        self.status, self.answer = status, body


@pytest.fixture
def recorders(tmp_path: Path) -> Recorders:
    return Recorders(FileTraceStore(tmp_path / "traces"))


async def traces(recorders: Recorders, path: str) -> Answered:
    exchange = Answered(f"/_lamella/traces{path}")
    await Traces(recorders).page(cast("Exchange", exchange), {})
    return exchange


async def test_traces_are_listed_and_shown(recorders: Recorders) -> None:
    recorder = recorders.make("e" * 32, KEY, "7", "stream")
    assert isinstance(recorder, FlightRecorder)
    request_id = Life(recorder=recorder).ready().invoked()
    listed = await traces(recorders, "")
    assert listed.status == 200
    assert json.loads(listed.answer)["environments"][0]["environment_id"] == "e" * 32
    for name in ("e" * 32, request_id):
        shown = await traces(recorders, f"/{name}")
        assert shown.status == 200
        assert json.loads(shown.answer)["request_ids"] == [request_id]


@pytest.mark.parametrize("name", ["f" * 32, "00000000-0000-4000-8000-000000000009", "x", "..%2Fx", "%00", "f" * 5000])
async def test_a_trace_that_is_not_there(recorders: Recorders, name: str) -> None:
    with pytest.raises(PageError, match="is known, or no longer") as refusal:
        await traces(recorders, f"/{name}")
    assert refusal.value.status == 404
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("path", ["", "/" + "e" * 32])
async def test_traces_when_nothing_is_recorded(path: str) -> None:
    with pytest.raises(PageError, match="flight_recorder = false") as refusal:
        await traces(Recorders(None), path)
    assert refusal.value.status == 404


def test_traces_are_for_the_operator_alone(recorders: Recorders) -> None:
    nothing = cast("Any", None)  # Any: pages that are not asked
    downloads = Downloads(nothing, nothing, nothing)
    health, logs = Health("1", nothing), Logs(nothing, account="", region="")
    runtimes = Runtimes(nothing, nothing, nothing, nothing, nothing)
    credentials = Credentials(nothing, "")
    events = Events(MemoryEventQueue(), account="000000000000", region="us-east-1")
    pages = host_pages(health, logs, Traces(recorders), events, runtimes, downloads, credentials)
    assert {("GET", "traces"), ("GET", "events")} <= pages.keys()
    assert ("GET", "traces") not in sandbox_pages(downloads)


@pytest.mark.parametrize(
    ("tail", "query", "status"),
    [
        ("", {"account": "x"}, 400),
        ("", {"region": "."}, 400),
        ("", {"function": "../f"}, 400),
        ("", {"state": "over"}, 400),
        ("", {"limit": "0"}, 400),
        ("", {"limit": "1001"}, 400),
        ("", {"limit": "x"}, 400),
        ("x", {}, 404),
        ("8f1c3a52-0f0e-4f0a-9d57-4b1de5bb3c11", {}, 404),
    ],
)
async def test_events_that_nobody_has(tail: str, query: Mapping[str, str], status: int) -> None:
    events = Events(MemoryEventQueue(), account="000000000000", region="us-east-1")
    with pytest.raises(PageError) as refusal:
        await events.page(cast("Exchange", Asked(f"/_lamella/events/{tail}")), query)
    assert refusal.value.status == status


async def test_an_event_of_another_account_is_as_unknown_as_one_that_never_was() -> None:
    event = AcceptedEvent(
        "8f1c3a52-0f0e-4f0a-9d57-4b1de5bb3c11", FunctionKey("111122223333", "us-east-1", "f"), None, 1.0, b"{}"
    )
    queue = MemoryEventQueue()
    queue.records[event.request_id] = EventRecord(event, Progress(accepted_s=1.0, due_s=1.0))
    events = Events(queue, account="000000000000", region="us-east-1")
    asked = cast("Exchange", Asked(f"/_lamella/events/{event.request_id}"))
    with pytest.raises(PageError) as refusal:
        await events.page(asked, {"account": "444455556666"})
    assert refusal.value.status == 404
