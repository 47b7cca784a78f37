"""A file behind an HTTP address, read piece by piece: what is looked at is fetched, and nothing else.

The central directory of a zip archive stands at its end, so the last part is asked for first: one request tells how
long the file is, whether the server has ranges at all, and in most cases which files are in it.
Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (range requests).
"""

import io
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import urllib3
from urllib3.exceptions import HTTPError

from lamella.layers.errors import LayerReadError

TAIL_BYTES: Final = 1024 * 1024
"""Asked for first: the whole of a small archive, or the central directory of some ten thousand files."""

_BLOCK_BYTES: Final = 64 * 1024
_AHEAD_MOST_BLOCKS: Final = 64
_REQUEST_MOST_BLOCKS: Final = 128
_HELD_MOST_BLOCKS: Final = 1024
_CHUNK_BYTES: Final = 256 * 1024
_ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 0.2
_TIMEOUT: Final = urllib3.Timeout(connect=10, read=30)
_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d{1,18})-(?P<last>\d{1,18})/(?P<total>\d{1,18})")


if TYPE_CHECKING:
    from typing_extensions import Buffer  # of the standard library from 3.12 on

_T = TypeVar("_T")


class _DroppedError(Exception):
    """The answer ended early; asking again may help."""


class HttpSource:
    """One address that is asked several times, over one connection, again if the connection drops.

    Args:
        locate: Gives the address. Called again when the address is no longer valid: presigned ones last ten minutes.
        label: What to call it in errors; addresses hold signatures and are never shown.
        pool: Of connections.
    """

    def __init__(self, locate: Callable[[], str], label: str, pool: urllib3.PoolManager) -> None:
        self._locate = locate
        self._label = label
        self._pool = pool
        self._url = locate()
        self._etag = ""

    def open_tail(self, size_bytes: int) -> bytes | None:
        """The last part of the file, the first thing to be asked for; `None` if the server has no ranges.

        Raises:
            LayerReadError: It cannot be had, or is not as long as it should be.
        """

        def take(answer: urllib3.BaseHTTPResponse) -> bytes | None:
            if answer.status == 200:
                answer.close()  # the whole file is coming
                return None
            wanted = min(TAIL_BYTES, size_bytes)
            self._note_etag(answer)
            return self._part(answer, size_bytes - wanted, wanted, size_bytes)

        return self._ask(lambda: {"Range": f"bytes=-{TAIL_BYTES}"}, take)

    def read_range(self, first: int, count: int, size_bytes: int) -> bytes:
        """A part of the file; errors as `open_tail`."""

        def take(answer: urllib3.BaseHTTPResponse) -> bytes:
            if answer.status == 200:
                raise LayerReadError(f"{self._label} was replaced while it was read; try again")
            return self._part(answer, first, count, size_bytes)

        headers = {"Range": f"bytes={first}-{first + count - 1}", **self._condition()}
        return self._ask(lambda: headers, take)

    def download(self, size_bytes: int, begin: Callable[[], Callable[[bytes], None]]) -> None:
        """The whole file.

        Args:
            size_bytes: How long it has to be.
            begin: Called before the first byte, and when it has to be begun anew; returns what takes the pieces.

        Raises:
            LayerReadError: As `open_tail`.
        """
        done = 0
        write = begin()

        def take(answer: urllib3.BaseHTTPResponse) -> None:
            nonlocal done, write
            if answer.status == 206:
                first, _, total = _content_range(answer)
                if (first, total) != (done, size_bytes):
                    raise LayerReadError(f"{self._label}: the server answered with another range than was asked for")
            elif done:
                done, write = 0, begin()
            self._note_etag(answer)
            while chunk := answer.read(_CHUNK_BYTES, decode_content=False):
                done += len(chunk)
                if done > size_bytes:
                    raise LayerReadError(f"{self._label} is longer than the {size_bytes:,} bytes that it should have")
                write(chunk)
            if done < size_bytes:
                raise _DroppedError

        def rest() -> Mapping[str, str]:
            """What has arrived is not asked for again, if it is sure to be of the same file."""
            return {"Range": f"bytes={done}-", **self._condition()} if done and self._etag else {}

        self._ask(rest, take)

    def _condition(self) -> dict[str, str]:
        return {"If-Range": self._etag} if self._etag else {}

    def _note_etag(self, answer: urllib3.BaseHTTPResponse) -> None:
        etag = answer.headers.get("ETag", "")
        self._etag = "" if etag.startswith("W/") else etag  # If-Range compares strong validators only

    def _part(self, answer: urllib3.BaseHTTPResponse, first: int, count: int, size_bytes: int) -> bytes:
        found_first, found_last, total = _content_range(answer)
        if total != size_bytes:
            raise LayerReadError(f"{self._label} has {total:,} bytes, and should have {size_bytes:,}")
        if (found_first, found_last) != (first, first + count - 1):
            raise LayerReadError(f"{self._label}: the server answered with another range than was asked for")
        pieces = bytearray()
        while len(pieces) <= count and (chunk := answer.read(_CHUNK_BYTES, decode_content=False)):
            pieces += chunk
        if len(pieces) > count:
            raise LayerReadError(f"{self._label}: the server sent more than was asked for")
        if len(pieces) < count:
            raise _DroppedError
        return bytes(pieces)

    def _ask(self, headers: Callable[[], Mapping[str, str]], take: Callable[[urllib3.BaseHTTPResponse], _T]) -> _T:
        """Ask until there is an answer that can be taken; headers are made anew for each attempt."""
        renewed, reason = False, ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
            try:
                with self._answer(headers()) as answer:
                    if answer.status in (200, 206):
                        return take(answer)
                    status = answer.status
            except HTTPError as error:
                # Without the text of the error: it holds the address with its signature.
                reason = f"the connection failed ({type(error).__name__})"
                continue
            except _DroppedError:
                reason = "the connection was dropped"
                continue
            if status == 403 and not renewed:
                renewed, self._url, reason = True, self._locate(), "its address is no longer valid"
            elif status in (408, 429) or status >= 500:
                reason = f"the server answered {status}"
            else:
                raise LayerReadError(f"{self._label} cannot be fetched: the server answered {status}")
        raise LayerReadError(f"{self._label} cannot be fetched: {reason}, {_ATTEMPTS} times in a row; try again later")

    @contextmanager
    def _answer(self, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        answer = self._pool.request(
            "GET",
            self._url,
            # Compressed once more, a range would be one of something else.
            headers={"Accept-Encoding": "identity", "User-Agent": "lamella", **headers},
            preload_content=False,
            retries=urllib3.Retry(connect=0, read=0, status=0, other=0, redirect=3, raise_on_status=False),
            timeout=_TIMEOUT,
        )
        try:
            yield answer
        except BaseException:
            answer.close()
            raise
        finally:
            # What is left of an answer is not worth waiting for; a connection that has nothing left is used again.
            if answer.length_remaining:
                answer.close()
            answer.release_conn()


def _content_range(answer: urllib3.BaseHTTPResponse) -> tuple[int, int, int]:
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None:
        raise LayerReadError("The server answered with a part of the file and does not say which")
    return int(match["first"]), int(match["last"]), int(match["total"])


class RangeFile(io.RawIOBase):
    """A file that fetches what is read of it, and keeps the last 64 MiB of that.

    Reading on from where the last read ended fetches more and more ahead, up to 4 MiB at a time.

    Args:
        size_bytes: Of the file.
        tail: Its last part, fetched already.
        fetch: Gives a part of it, from an offset on, so many bytes.
    """

    def __init__(self, size_bytes: int, tail: bytes, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size_bytes
        self._tail = tail
        self._tail_begins = size_bytes - len(tail)
        self._fetch = fetch
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._fetched_to = -1
        self._ahead_blocks = 1

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where it is read next."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere; nothing is fetched."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: "Buffer", /) -> int:
        """Fill a buffer, less only at the end of the file.

        Raises:
            LayerReadError: It cannot be fetched.
        """
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        done = 0
        while done < count:
            piece = self._piece(self._position + done, count - done)
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._position += count
        return count

    def _piece(self, position: int, most: int) -> bytes:
        """Something of what is wanted, and at least a byte."""
        if position >= self._tail_begins:
            begin = position - self._tail_begins
            return self._tail[begin : begin + most]
        number, offset = divmod(position, _BLOCK_BYTES)
        if number not in self._blocks:
            self._load(number, (position + most - 1) // _BLOCK_BYTES)
        self._blocks.move_to_end(number)
        return self._blocks[number][offset : offset + most]

    def _load(self, first: int, last: int) -> None:
        """Fetch missing blocks from the first on in one go, with some ahead if that is the way it goes."""
        self._ahead_blocks = min(self._ahead_blocks * 2, _AHEAD_MOST_BLOCKS) if first == self._fetched_to else 1
        last = max(last, first + self._ahead_blocks - 1)
        last = min(last, first + _REQUEST_MOST_BLOCKS - 1, (self._tail_begins - 1) // _BLOCK_BYTES)
        end = next((number for number in range(first + 1, last + 1) if number in self._blocks), last + 1)
        begin_bytes = first * _BLOCK_BYTES
        data = self._fetch(begin_bytes, min(end * _BLOCK_BYTES, self._tail_begins) - begin_bytes)
        for number in range(first, end):
            start = number * _BLOCK_BYTES - begin_bytes
            self._blocks[number] = data[start : start + _BLOCK_BYTES]
        self._fetched_to = end
        while len(self._blocks) > _HELD_MOST_BLOCKS:
            self._blocks.popitem(last=False)
