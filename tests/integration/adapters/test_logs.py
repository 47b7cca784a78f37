"""Log streams as files."""

import asyncio
import threading
from pathlib import Path

import pytest

from lamella.adapters import logs
from lamella.adapters.logs import FileLogStore
from lamella.domain.function import FunctionKey
from lamella.ports.logs import LogEvent

KEY = FunctionKey("000000000000", "us-east-1", "f")
A, B = "2026/11/20/[$LATEST]" + "a" * 32, "2026/11/20/[$LATEST]" + "b" * 32


async def read(store: FileLogStore, **options: int) -> list[LogEvent]:
    return [event async for event in store.read(KEY, **options)]


async def test_streams_are_merged_by_time(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path)
    one, two = store.open_stream(KEY, A), store.open_stream(KEY, B)
    one.append(10, b"first\n")
    two.append(20, b"second\nsecond too\n")
    one.append(30, b"third \xff\n")
    assert await read(store) == [
        LogEvent(10, A, "first"),
        LogEvent(20, B, "second"),
        LogEvent(20, B, "second too"),
        LogEvent(30, A, "third \ufffd"),
    ]
    assert [event.message for event in await read(store, since_ms=20, limit=2)] == ["second too", "third \ufffd"]
    store.close()


async def test_an_empty_log(tmp_path: Path) -> None:
    assert await read(FileLogStore(tmp_path)) == []


async def test_functions_are_apart(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path)
    store.open_stream(FunctionKey("111111111111", "us-east-1", "f"), A).append(1, b"other account\n")
    store.open_stream(FunctionKey("000000000000", "eu-west-1", "f"), A).append(1, b"other region\n")
    assert await read(store) == []
    store.close()


async def test_following_sees_what_comes_later(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path)
    stream = store.open_stream(KEY, A)
    stream.append(1, b"before\n")
    seen = []
    async with asyncio.timeout(10):
        async for event in store.read(KEY, follow=True):
            seen.append(event.message)
            if event.message == "before":
                stream.append(2, b"after\n")
                store.open_stream(KEY, B).append(3, b"elsewhere\n")
            if len(seen) == 3:
                break
    assert seen == ["before", "after", "elsewhere"]
    store.close()


async def test_what_was_written_survives_the_store(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path)
    store.open_stream(KEY, A).append(1, b"kept\n")
    store.close()
    assert [event.message for event in await read(FileLogStore(tmp_path))] == ["kept"]


async def test_a_line_being_written_is_not_read(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path)
    stream = store.open_stream(KEY, A)
    stream.append(1, b"whole\n")
    stream.close()
    (file,) = tmp_path.rglob("*.log")
    with file.open("ab") as partial:
        partial.write(b"2 par")
    assert [event.message for event in await read(store)] == ["whole"]


async def test_a_function_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MAX_FUNCTION_BYTES", 1000)
    monkeypatch.setattr(logs, "_MAX_STREAM_BYTES", 500)
    monkeypatch.setattr(logs, "_PRUNE_EVERY", 1)
    store = FileLogStore(tmp_path)
    for number in range(10):
        stream = store.open_stream(KEY, f"2026/11/20/[$LATEST]{number:032}")
        for _ in range(20):
            stream.append(number, b"x" * 99 + b"\n")
            stream.flush()
        stream.close()
    total = sum(path.stat().st_size for path in tmp_path.rglob("*.log")) + sum(
        path.stat().st_size for path in tmp_path.rglob("*.old")
    )
    assert total <= 1000 + 2 * 700
    assert (await read(store))[-1].timestamp_ms == 9


async def test_a_function_does_not_keep_streams_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MAX_STREAMS", 20)
    store = FileLogStore(tmp_path)
    for number in range(100):
        stream = store.open_stream(KEY, f"2026/11/20/[$LATEST]{number:032}")
        stream.append(number, b"x\n")
        stream.close()
    assert len(list(tmp_path.rglob("*.log"))) <= 20 + logs._PRUNE_EVERY
    assert (await read(store))[-1].timestamp_ms == 99


async def test_reading_does_not_keep_the_loop_from_other_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is to read: every line is taken from its file in another thread than the loop's."""
    taken_in: set[threading.Thread] = set()
    take = logs._time_of

    def noted(event: LogEvent) -> int:
        taken_in.add(threading.current_thread())
        return take(event)

    monkeypatch.setattr(logs, "_time_of", noted)
    store = FileLogStore(tmp_path)
    for name in (A, B):
        stream = store.open_stream(KEY, name)
        stream.append(1, b"line\n" * 1000)
        stream.close()
    assert len(await read(store)) == 2000
    assert taken_in
    assert threading.main_thread() not in taken_in


async def test_following_a_stream_that_begins_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MAX_STREAM_BYTES", 10)
    store = FileLogStore(tmp_path)
    stream = store.open_stream(KEY, A)
    stream.append(1, b"the first file, with a long line\n")
    stream.flush()
    seen = []
    async with asyncio.timeout(10):
        async for event in store.read(KEY, follow=True):
            seen.append(event.message)
            if len(seen) == 1:
                stream.append(2, b"short\n")
                store.flush()
            if event.message == "short":
                stream.append(3, b"last\n")
                store.flush()
            if event.message == "last":
                break
    assert seen == ["the first file, with a long line", "short", "last"]
    store.close()


async def test_a_stream_that_is_open_is_not_deleted_to_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment that was quiet while others filled the function's share goes on in the same file."""
    monkeypatch.setattr(logs, "_MAX_FUNCTION_BYTES", 1000)
    monkeypatch.setattr(logs, "_PRUNE_EVERY", 1)
    store = FileLogStore(tmp_path)
    quiet = store.open_stream(KEY, A)
    quiet.append(1, b"early\n")
    store.flush()
    for number in range(30):
        loud = store.open_stream(KEY, f"2026/11/20/[$LATEST]{number:032}")
        loud.append(2, b"x" * 200 + b"\n")
        loud.close()
    quiet.append(3, b"late\n")
    store.flush()
    assert [event.message for event in await read(store) if event.stream == A] == ["early", "late"]
    quiet.close()
