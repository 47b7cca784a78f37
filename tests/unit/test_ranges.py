"""Which part of a download is answered with, also to those who ask for nonsense."""

import datetime as dt
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pytest

from lamella.control.locations import LocationSigner
from lamella.httpserver.exchange import Exchange, Headers
from lamella.httpserver.message import Request
from lamella.pages import Downloads
from lamella.ports.clock import Clock
from lamella.ports.stores import ArtifactStore

DIGEST = "ab" * 32
CONTENT = bytes(range(256)) * 4
NOW = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)


class Answered:
    """An exchange that keeps its answer."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    def start_response(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, dict(headers)

    def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self.start_response(status, headers)

    async def write(self, chunk: bytes) -> None:
        self.body += chunk

    def finish(self) -> None:
        announced = int(self.headers["Content-Length"])
        assert len(self.body) == (announced if self.request.method == "GET" else 0)


class OneArchive:
    def __init__(self, path: Path) -> None:
        self.path = path

    def archive(self, digest: str) -> Path:
        return self.path

    def now(self) -> dt.datetime:
        return NOW


async def download(
    tmp_path: Path, *headers: tuple[str, str], method: str = "GET", content: bytes = CONTENT
) -> Answered:
    path = tmp_path / "archive.zip"
    path.write_bytes(content)
    signer, one = LocationSigner(bytes(16)), OneArchive(path)
    url = urlsplit(signer.url("", DIGEST, "layer.zip", now=NOW))
    exchange = Answered(Request(method, b"", url.path, url.query, list(headers)))
    await Downloads(cast("ArtifactStore", one), signer, cast("Clock", one)).page(cast("Exchange", exchange), {})
    return exchange


async def test_the_whole_says_that_parts_can_be_had(tmp_path: Path) -> None:
    answer = await download(tmp_path)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert (answer.headers["Accept-Ranges"], answer.headers["ETag"]) == ("bytes", f'"{DIGEST}"')
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("BYTES=10-19", (10, 20)),
        ("bytes=1000-", (1000, 1024)),
        ("bytes=1000-99999", (1000, 1024)),
        ("bytes=1023-1023", (1023, 1024)),
        ("bytes=-24", (1000, 1024)),
        ("bytes=-5000", (0, 1024)),
        ("bytes=0-", (0, 1024)),
        (f"bytes=0-{'9' * 18}", (0, 1024)),
    ],
)
async def test_a_part(tmp_path: Path, asked: str, part: tuple[int, int]) -> None:
    answer = await download(tmp_path, ("range", asked))
    assert (answer.status, answer.body) == (206, CONTENT[slice(*part)])
    assert answer.headers["Content-Range"] == f"bytes {part[0]}-{part[1] - 1}/1024"


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=1024-1030", f"bytes={'9' * 18}-", "bytes=-0", "bytes=-000"])
async def test_nothing_of_it_is_there(tmp_path: Path, asked: str) -> None:
    answer = await download(tmp_path, ("range", asked))
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (416, b"", "bytes */1024")


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,5-6",
        "bytes=0-0," * 1000 + "1-1",
        "bytes=5-4",
        "bytes=-",
        "bytes=",
        "bytes",
        "bytes=a-b",
        "bytes= 0-1",
        "bytes=0-1 ",
        "bytes=+0-1",
        "bytes=--1",
        "bytes=0x0-1",
        "bytes=\u0661-\u0662",
        "items=0-1",
        f"bytes={'9' * 19}-",
        f"bytes=0-{'9' * 5000}",
        "",
    ],
)
async def test_nonsense_and_several_ranges_are_answered_with_the_whole(tmp_path: Path, asked: str) -> None:
    answer = await download(tmp_path, ("range", asked))
    assert (answer.status, answer.body) == (200, CONTENT)


async def test_two_headers_are_nonsense(tmp_path: Path) -> None:
    assert (await download(tmp_path, ("range", "bytes=0-1"), ("range", "bytes=0-1"))).status == 200


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (f'"{DIGEST}"', 206),
        (f'W/"{DIGEST}"', 200),
        ('"of another"', 200),
        ("*", 200),
        ("Thu, 26 Nov 2026 00:00:00 GMT", 200),
    ],
)
async def test_a_part_only_of_the_file_that_was_begun(tmp_path: Path, condition: str, status: int) -> None:
    assert (await download(tmp_path, ("range", "bytes=0-1"), ("if-range", condition))).status == status


async def test_head_has_no_parts(tmp_path: Path) -> None:
    answer = await download(tmp_path, ("range", "bytes=0-1"), method="HEAD")
    assert (answer.status, answer.headers["Content-Length"]) == (200, "1024")


async def test_an_empty_file_has_no_parts(tmp_path: Path) -> None:
    assert (await download(tmp_path, ("range", "bytes=-5"), content=b"")).status == 416
    assert (await download(tmp_path, ("range", "bytes=0-"), content=b"")).status == 416
    assert (await download(tmp_path, content=b"")).status == 200
