"""What processes print, cut into lines."""

import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.invoke import output
from lamella.invoke.output import Frame, FramedOutput, Output


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


async def test_lines_that_take_long_are_read_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long each takes, others get their turn; and what is quick again is read in large pieces again."""
    now_s = 0.0
    cost_s = 1e-5  # of each byte
    asked: list[int] = []

    def handle(lines: bytes) -> None:
        nonlocal now_s
        now_s += len(lines) * cost_s

    def read(descriptor: int, size: int) -> bytes:
        asked.append(size)
        return b"\n" * size

    pipe = Output(handle)
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", read)
        patch.setattr(output, "monotonic", lambda: now_s)
        turns_s = []
        for _ in range(8):
            began_s = now_s
            pipe.drain()
            turns_s.append(now_s - began_s)
        assert turns_s[0] < 1.0
        assert max(turns_s[5:]) < 0.1
        cost_s = 0.0
        pipe.drain()
        pipe.drain()
        assert asked[-1] == 65536
    pipe.close()


# Framed log channel, section 6.5

TIME_US = 1_795_201_681_847_000


def framed(text: bytes, *, kind: int = 0x0F, time_us: int = TIME_US) -> bytes:
    """A frame as runtime clients write it; by default level 3, text."""
    return b"\xa5\x5a\x00%c" % kind + len(text).to_bytes(4, "big") + time_us.to_bytes(8, "big") + text


class Channel:
    """What came through a framed channel, frames and lines in their order."""

    def __init__(self) -> None:
        self.seen: list[Frame | bytes] = []
        self.pipe = FramedOutput(self.seen.extend, self.seen.append)

    def write(self, data: bytes) -> list[Frame | bytes]:
        """Write in pieces that a pipe takes."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.pipe.write_end, view[:65536]) :]
            self.pipe.drain()
        return self.seen


@pytest.fixture
async def channel() -> AsyncIterator[Channel]:
    opened = Channel()
    yield opened
    opened.pipe.close()


@pytest.mark.parametrize(
    ("kind", "level", "is_json"),
    [(0x03, 0, False), (0x0F, 3, False), (0x0E, 3, True), (0x17, 5, False), (0xFE, 63, True)],
)
async def test_a_frame(channel: Channel, kind: int, level: int, *, is_json: bool) -> None:
    """Section 6.5: lowest two bits 11 for text, 10 for JSON; the level above them."""
    assert channel.write(framed(b"one\ntwo\n", kind=kind)) == [Frame(level, is_json, TIME_US, b"one\ntwo\n")]


async def test_frames_of_the_first_form(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's client for Ruby writes neither level nor time."""
    monkeypatch.setattr(output, "time_ns", lambda: TIME_US * 1000)
    data = b"".join(b"\xa5\x5a\x00\x01" + len(text).to_bytes(4, "big") + text for text in (b"one\ntwo\n", b"", b"x"))
    expected = [Frame(0, False, TIME_US, text) for text in (b"one\ntwo\n", b"", b"x")]
    for cut in range(len(data)):
        channel.seen.clear()
        channel.write(data[:cut])
        channel.write(data[cut:])
        assert channel.seen == expected


async def test_frames_cut_anywhere(channel: Channel) -> None:
    data = framed(b"one\n") + framed(b"") + framed(b"\xa5\x5a\x00\x0f inside")
    expected = [Frame(3, False, TIME_US, text) for text in (b"one\n", b"", b"\xa5\x5a\x00\x0f inside")]
    for cut in range(len(data)):
        channel.seen.clear()
        channel.write(data[:cut])
        channel.write(data[cut:])
        assert channel.seen == expected


async def test_what_is_no_frame_counts_as_lines(channel: Channel) -> None:
    """A function can write there too; reading goes on at the next frame."""
    channel.write(b"plain\nlines" + framed(b"one") + b"\xa5\x5a\x00\x0c" + framed(b"two") + b"end\n")
    assert channel.seen == [
        b"plain\nlines\n",
        Frame(3, False, TIME_US, b"one"),
        b"\xa5\x5a\x00\x0c\n",
        Frame(3, False, TIME_US, b"two"),
        b"end\n",
    ]


async def test_a_frame_that_is_too_long_becomes_several(channel: Channel) -> None:
    text = bytes(range(256)) * 3000
    channel.write(framed(text) + framed(b"next"))
    assert b"".join(frame.text for frame in channel.seen[:-1]) == text  # type: ignore[union-attr]  # frames
    assert [len(frame.text) for frame in channel.seen[:-1]] == [262_144, 262_144, 768_000 - 2 * 262_144]  # type: ignore[union-attr]
    assert channel.seen[-1] == Frame(3, False, TIME_US, b"next")


async def test_a_frame_that_claims_four_gigabytes_holds_little(channel: Channel) -> None:
    header = b"\xa5\x5a\x00\x0f" + b"\xff" * 4 + bytes(8)
    channel.write(header + b"x" * 1_000_000)
    assert len(channel.pipe._rest) <= 262_144 + 16


async def test_the_rest_of_a_frame_comes_when_the_process_has_ended(channel: Channel) -> None:
    channel.write(framed(b"complete")[:-3])
    assert channel.seen == []
    channel.pipe.flush()
    channel.pipe.flush()
    assert channel.seen == [Frame(3, False, TIME_US, b"compl")]
    channel.write(framed(b"x")[:10])
    channel.pipe.flush()
    assert len(channel.seen) == 1, "a header alone says nothing"
    assert channel.write(framed(b"y"))[1:] == [Frame(3, False, TIME_US, b"y")]


class Unpiped(FramedOutput):
    """The parser alone."""

    def __init__(self) -> None:
        self.seen: list[Frame | bytes] = []
        self._on_frames = self.seen.extend
        self._on_lines = self.seen.append
        self._rest = b""


@given(st.lists(st.binary(max_size=40) | st.builds(framed, st.binary(max_size=40)), max_size=12), st.integers(1, 30))
def test_nothing_breaks_it_and_nothing_gets_lost(pieces: list[bytes], size: int) -> None:
    """Whatever is written comes out, as frames or as lines, but for a last frame that is incomplete."""
    data = b"".join(pieces)
    parser = Unpiped()
    for start in range(0, len(data), size):
        parser._take(data[start : start + size])
    taken = sum(16 + len(one.text) if isinstance(one, Frame) else len(one) for one in parser.seen)
    added_line_feeds = sum(isinstance(one, bytes) for one in parser.seen)
    assert len(data) <= taken + len(parser._rest) <= len(data) + added_line_feeds


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 30))
def test_good_frames_survive_any_cut(texts: list[bytes], size: int) -> None:
    data = b"".join(map(framed, texts))
    parser = Unpiped()
    for start in range(0, len(data), size):
        parser._take(data[start : start + size])
    assert parser.seen == [Frame(3, False, TIME_US, text) for text in texts]
