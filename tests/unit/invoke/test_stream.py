"""Where a streamed response passes from the runtime's side to the caller's."""

import asyncio
import base64
from collections.abc import Coroutine
from time import monotonic
from typing import Any

import pytest

from lamella.invoke.eager import drive
from lamella.invoke.stream import RateLimit, ResponseStream

MIB = 1024 * 1024


class Driven:
    """A coroutine under `drive`, and whether it has ended."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self.ended: list[BaseException | None] = []
        drive(work, self.ended.append)


class Reader:
    """Reads a stream to its end, without a task."""

    def __init__(self, stream: ResponseStream) -> None:
        self.content_type = ""
        self.events: list[dict[str, Any]] = []
        self._stream = stream
        self.driven = Driven(self._read())

    async def _read(self) -> None:
        self.content_type = await self._stream.wait_began()
        async for event in self._stream:
            self.events.append(dict(event))


def chunk(data: bytes) -> dict[str, Any]:
    return {"PayloadChunk": {"Payload": data}}


async def test_each_chunk_reaches_the_reader_within_the_call_that_writes_it() -> None:
    """RT-41: each chunk is handed to the caller as it arrives."""
    stream = ResponseStream()
    reader = Reader(stream)
    assert not stream.began
    assert reader.content_type == ""
    stream.begin("text/event-stream")
    assert stream.began
    assert reader.content_type == "text/event-stream"
    writer = Driven(stream.write(b"one"))
    assert writer.ended == [None]
    assert reader.events == [chunk(b"one")]
    stream.put(b"two")
    assert reader.events == [chunk(b"one"), chunk(b"two")]
    stream.finish()
    assert reader.events[2:] == [{"InvokeComplete": {}}]
    assert reader.driven.ended == [None]


async def test_what_was_written_before_anybody_reads_is_kept() -> None:
    stream = ResponseStream()
    stream.put(b"a")
    stream.finish(error_code="Unhandled", error_details="{}", log_result=b"START")
    reader = Reader(stream)
    log = base64.b64encode(b"START").decode()
    complete = {"InvokeComplete": {"ErrorCode": "Unhandled", "ErrorDetails": "{}", "LogResult": log}}
    assert reader.events == [chunk(b"a"), complete]
    assert reader.content_type == "application/octet-stream"
    assert reader.driven.ended == [None]


async def test_the_first_begin_decides_and_so_does_the_first_finish() -> None:
    stream = ResponseStream()
    stream.begin("text/plain")
    stream.begin("text/html")
    stream.finish(error_code="first")
    stream.finish(error_code="second")
    stream.fail(ValueError())
    stream.put(b"late")
    reader = Reader(stream)
    assert reader.content_type == "text/plain"
    assert reader.events == [{"InvokeComplete": {"ErrorCode": "first"}}]


async def test_a_stream_without_data_begins_with_its_end() -> None:
    stream = ResponseStream()
    reader = Reader(stream)
    stream.put(b"")
    assert not stream.began
    stream.finish()
    assert stream.began
    assert reader.events == [{"InvokeComplete": {}}]


async def test_an_empty_log_is_told_apart_from_none() -> None:
    stream = ResponseStream()
    stream.finish(log_result=b"")
    assert Reader(stream).events == [{"InvokeComplete": {"LogResult": ""}}]


async def test_a_writer_waits_while_the_reader_is_behind() -> None:
    stream = ResponseStream(buffer_bytes=10)
    first = Driven(stream.write(b"x" * 10))
    assert first.ended == [None]
    second = Driven(stream.write(b"y"))
    assert second.ended == []
    assert await anext(stream) == chunk(b"x" * 10)
    assert second.ended == [None]


async def test_put_never_waits() -> None:
    """RT-44: a buffered answer is one chunk, whatever its size."""
    stream = ResponseStream(buffer_bytes=10)
    stream.put(b"x" * 1000)
    stream.finish()
    assert Reader(stream).events == [chunk(b"x" * 1000), {"InvokeComplete": {}}]


async def test_a_waiting_writer_is_let_go_when_the_reader_leaves() -> None:
    stream = ResponseStream(buffer_bytes=1)
    waiting = Driven(stream.write(b"xx"))
    assert waiting.ended == []
    stream.abandon()
    assert waiting.ended == [None]
    later = Driven(stream.write(b"yy"))
    assert later.ended == [None]
    stream.finish()
    assert Reader(stream).events == []


async def test_a_waiting_writer_is_let_go_when_the_stream_is_finished_and_what_it_wrote_is_kept() -> None:
    """RT-47: the timeout ends the stream, whatever the runtime's connection is doing."""
    stream = ResponseStream(buffer_bytes=1)
    waiting = Driven(stream.write(b"xx"))
    stream.finish(error_code="Sandbox.Timedout")
    assert waiting.ended == [None]
    assert Reader(stream).events == [chunk(b"xx"), {"InvokeComplete": {"ErrorCode": "Sandbox.Timedout"}}]


async def test_a_waiting_reader_is_let_go_when_the_stream_is_closed() -> None:
    stream = ResponseStream()
    stream.begin("")
    reader = Reader(stream)
    await stream.aclose()
    assert reader.driven.ended == [None]
    assert reader.events == []


async def test_a_fault_before_the_beginning_reaches_whoever_waits_for_it() -> None:
    stream = ResponseStream()
    reader = Reader(stream)
    fault = RuntimeError("no sandbox")
    stream.fail(fault)
    assert reader.driven.ended == [fault]
    with pytest.raises(RuntimeError):
        await stream.wait_began()


async def test_a_fault_in_the_middle_comes_after_what_was_written_before() -> None:
    stream = ResponseStream()
    stream.put(b"a")
    fault = RuntimeError("broken")
    stream.fail(fault)
    reader = Reader(stream)
    assert reader.events == [chunk(b"a")]
    assert reader.driven.ended == [fault]


async def test_both_sides_may_be_tasks() -> None:
    stream = ResponseStream(buffer_bytes=3)
    pieces = [bytes([65 + number]) * 2 for number in range(20)]

    async def write() -> None:
        stream.begin("text/plain")
        for piece in pieces:
            await stream.write(piece)
        stream.finish()

    async def read() -> list[Any]:
        assert await stream.wait_began() == "text/plain"
        return [event async for event in stream]

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        reading = group.create_task(read())
    assert reading.result() == [*map(chunk, pieces), {"InvokeComplete": {}}]


async def test_a_reader_that_is_cancelled_leaves_the_stream_usable() -> None:
    stream = ResponseStream()
    task = asyncio.get_running_loop().create_task(stream.wait_began())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stream.put(b"a")
    assert await anext(stream) == chunk(b"a")


async def test_a_limited_writer_waits_for_its_turn_unless_the_stream_ends() -> None:
    """RT-46: after the first 6 MiB."""
    stream = ResponseStream(buffer_bytes=100 * MIB, rate_limit=RateLimit(now_s=monotonic()))
    first = Driven(stream.write(bytes(6 * MIB)))
    assert first.ended == [None]
    waiting = Driven(stream.write(bytes(6 * MIB)))
    assert waiting.ended == []
    stream.finish()
    assert waiting.ended == [None]
    assert [len(event) for event in Reader(stream).events] == [1, 1]


class TestRateLimit:
    """RT-46."""

    def test_the_first_lot_goes_at_any_speed(self) -> None:
        limit = RateLimit(now_s=100.0)
        assert [limit.take(MIB, now_s=100.0) for _ in range(6)] == [0.0] * 6
        assert limit.take(1, now_s=100.0) == 0.125

    def test_then_two_mebibytes_a_second(self) -> None:
        limit = RateLimit(now_s=0.0)
        limit.take(6 * MIB, now_s=0.0)
        assert limit.take(2 * MIB, now_s=0.0) == 1.0
        assert limit.take(MIB, now_s=1.0) == 0.5

    def test_it_is_topped_up_in_steps(self) -> None:
        limit = RateLimit(now_s=0.0)
        limit.take(6 * MIB, now_s=0.0)
        assert limit.take(MIB // 4, now_s=0.0625) == 0.0625
        assert limit.take(MIB // 4, now_s=0.25) == 0.0

    def test_a_pause_fills_it_no_further_than_at_first(self) -> None:
        limit = RateLimit(now_s=0.0)
        limit.take(6 * MIB, now_s=0.0)
        assert limit.take(6 * MIB, now_s=1000.0) == 0.0
        assert limit.take(1, now_s=1000.0) == 0.125

    def test_a_chunk_larger_than_all_there_can_be_is_not_waited_for_in_vain(self) -> None:
        limit = RateLimit(now_s=0.0)
        assert limit.take(7 * MIB, now_s=0.0) == 0.0
        assert limit.take(MIB, now_s=0.0) == 1.0
