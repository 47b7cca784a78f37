"""What processes print, cut into lines."""

import os
from collections.abc import AsyncIterator

import pytest

from lamella.invoke import output
from lamella.invoke.output import Output


@pytest.fixture
async def lines() -> list[bytes]:
    return []


@pytest.fixture
async def pipe(lines: list[bytes]) -> AsyncIterator[Output]:
    opened = Output(lines.append)
    yield opened
    opened.close()


async def test_lines_are_kept_until_they_are_complete(pipe: Output, lines: list[bytes]) -> None:
    os.write(pipe.write_end, b"one\ntw")
    pipe.drain()
    os.write(pipe.write_end, b"o\nthree")
    pipe.drain()
    assert lines == [b"one\n", b"two\n"]
    pipe.flush()
    assert lines == [b"one\n", b"two\n", b"three\n"]


async def test_a_closed_pipe_is_not_read(pipe: Output, lines: list[bytes]) -> None:
    """Its number may belong to another environment by then: its lines would be taken, or the server would wait."""
    numbers = {pipe._read_end, pipe.write_end}
    pipe.close()
    read_end, write_end = os.pipe()
    try:
        assert {read_end, write_end} == numbers, "the system gives the lowest free numbers"
        os.write(write_end, b"of somebody else\n")
        pipe.drain()
        assert lines == []
        assert os.read(read_end, 100) == b"of somebody else\n"
    finally:
        os.close(read_end)
        os.close(write_end)


async def test_a_process_that_prints_without_end_does_not_stop_the_server(
    pipe: Output, lines: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = b"y" * (output._READ_BYTES - 1) + b"\n"
    reads = 0

    def read(descriptor: int, size: int) -> bytes:  # as if the pipe were filled again between any two reads
        nonlocal reads
        reads += 1
        assert reads < 1000, "still reading"
        return chunk

    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read)
        pipe.drain()
    assert len(lines) == reads <= 16
