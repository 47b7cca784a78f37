"""The recorders of a node: what is found again, what is written, and what that may cost."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.support.recording import ENVIRONMENT, KEY, Driven

from lamella.adapters.traces import FileTraceStore
from lamella.invoke import recorders as module
from lamella.invoke.recorder import IDLE_BYTES, FlightRecorder, NoRecorder
from lamella.invoke.recorders import ENDED_ENVIRONMENTS, Recorders
from lamella.lifecycle.events import DeadlinePassed, InitRequested, NextPolled, ProcessesGone, ResponsePosted


@pytest.fixture
def store(tmp_path: Path) -> FileTraceStore:
    return FileTraceStore(tmp_path / "traces")


def make(recorders: Recorders, environment_id: str = ENVIRONMENT) -> Driven:
    recorder = recorders.make(environment_id, KEY, "1", "stream")
    assert isinstance(recorder, FlightRecorder)
    driven = Driven(recorder)
    driven.feed(InitRequested(), NextPolled())
    return driven


def fail(driven: Driven) -> str:
    request_id = driven.assign()
    driven.feed(DeadlinePassed(), ProcessesGone())
    return request_id


async def test_records_are_found_by_environment_and_by_request(store: FileTraceStore) -> None:
    recorders = Recorders(store)
    driven = make(recorders)
    request_id = driven.invoke()
    for name in (ENVIRONMENT, request_id):
        found = await recorders.find(name)
        assert found is not None
        assert json.loads(found)["environment_id"] == ENVIRONMENT
    assert await recorders.find("f" * 32) is None
    listed = await recorders.recent()
    assert [one["environment_id"] for one in listed["environments"]] == [ENVIRONMENT]
    assert listed["environments"][0]["request_ids"] == [request_id]
    await recorders.close()


async def test_ended_environments_are_remembered_for_a_while(store: FileTraceStore) -> None:
    recorders = Recorders(store)
    ids = [f"{number:032x}" for number in range(ENDED_ENVIRONMENTS + 1)]
    for environment_id in ids:
        make(recorders, environment_id).recorder.ended()
    assert await recorders.find(ids[0]) is None
    found = await recorders.find(ids[1])
    assert found is not None
    assert json.loads(found)["state"] == "ended"
    await recorders.close()


async def test_a_failure_is_written_for_the_operator_alone(store: FileTraceStore, tmp_path: Path) -> None:
    recorders = Recorders(store)
    request_id = fail(make(recorders))
    await recorders.close()
    (file,) = (tmp_path / "traces").iterdir()
    assert file.name.endswith(f"Z-{ENVIRONMENT}-orders.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    after_restart = Recorders(store)
    found = await after_restart.find(request_id)
    assert found == file.read_bytes()
    (listed,) = (await after_restart.recent())["failures"]
    assert listed["environment_id"] == ENVIRONMENT
    assert listed["function_name"] == "orders"


async def test_a_function_that_always_fails_fills_nothing(store: FileTraceStore) -> None:
    recorders = Recorders(store)
    driven = make(recorders)
    for _ in range(100):
        fail(driven)
    await recorders.close()
    assert 1 <= len(store.names()) <= 5


async def test_a_disk_that_takes_nothing_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "traces").write_text("a file where a directory should be")
    recorders = Recorders(FileTraceStore(tmp_path / "traces"))
    fail(make(recorders))
    await recorders.close()
    assert "the record of a failure was lost" in caplog.text


async def test_heavy_records_are_shrunk_once_their_environments_are_idle(
    store: FileTraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHRINK_EVERY_S", 0.0)
    recorders = Recorders(store)
    driven = make(recorders)
    request_id = driven.assign(bytes(6_000_000))
    for _ in range(10):
        await asyncio.sleep(0)
    assert driven.recorder.held_bytes > IDLE_BYTES  # it still runs
    driven.feed(ResponsePosted(request_id, b"1"), NextPolled())
    for _ in range(10):
        await asyncio.sleep(0)  # a turn of the loop each
    assert driven.recorder.held_bytes <= IDLE_BYTES
    assert len(driven.recorder.record(now_s=0.0, wall_s=0.0).entries) == 5
    await recorders.close()


async def test_nothing_is_recorded_when_told_so() -> None:
    recorders = Recorders(None)
    recorder = recorders.make(ENVIRONMENT, KEY, "1", "stream")
    assert isinstance(recorder, NoRecorder)
    recorder.fed(0.0, InitRequested(), [])
    recorder.mark(0.0, "sandbox.asked")
    recorder.ended()
    assert await recorders.recent() == {"environments": [], "failures": []}
    assert await recorders.find(ENVIRONMENT) is None
