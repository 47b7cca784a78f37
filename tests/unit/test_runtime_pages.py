"""`/_lamella/runtimes`: what is refused, who is asked, and how progress is told."""

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest

from lamella.domain.function import Architecture
from lamella.frontdoor import PageError
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import DisconnectedError, Request
from lamella.pages.runtimes import Progress, Runtimes
from lamella.ports.images import ImageError, StoredImage
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack
from lamella.runtimes import host_architecture
from lamella.runtimes.offers import Offer
from lamella.runtimes.pack import Manifest, Origin
from lamella.testing.clock import FakeClock
from lamella.testing.images import MemoryImageStore

HOST = host_architecture()
OTHER = next(architecture for architecture in Architecture if architecture is not HOST)
MANIFEST = Manifest(
    name="python3.12",
    architecture=HOST,
    digest="ab" * 32,
    version="python:3.12.vabababab",
    entrypoints=("/var/runtime/bootstrap",),
    env={},
    execution_env="AWS_Lambda_python3.12",
    size_bytes=5,
    origin=Origin("recipe", "/usr/bin/python3.12"),
    remarks=("without curses",),
)


class FakePacks:
    """One pack, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    def packs(self) -> Sequence[RuntimePack]:
        return [MANIFEST.pack(Path("/p"))]

    def manifest(self, name: str, architecture: Architecture | None = None) -> Manifest:
        if name != MANIFEST.name or architecture not in {None, HOST}:
            raise RuntimeNotInstalledError(f"Runtime {name} is not installed.")
        return MANIFEST

    def add(
        self,
        name: str,
        source: Path | None = None,
        *,
        architecture: Architecture | None = None,
        progress: Progress,
    ) -> RuntimePack:
        self.asked.append((name, source, architecture))
        progress("Building")
        if self.error is not None:
            raise self.error
        return MANIFEST.pack(Path("/p"))

    def add_image(self, name: str, image: StoredImage, root: Path, place: str, *, progress: Progress) -> RuntimePack:
        self.asked.append((name, image.digest, root, place))
        progress("Ready")
        return MANIFEST.pack(Path("/p"))

    def remove(self, name: str, architecture: Architecture | None = None) -> Manifest:
        self.asked.append(("remove", name, architecture))
        return MANIFEST


class Asked:
    """An exchange that keeps its answer."""

    def __init__(self, path: str = "", body: object = None, accept: str = "application/json") -> None:
        target = f"/_lamella/runtimes{path}"
        self.request = Request("POST", target.encode(), target, "", [("accept", accept)])
        self.request.body = json.dumps(body).encode()
        self.written = b""
        self.status = 0
        self.leaves = False

    def respond(self, status: int, headers: object, body: bytes) -> None:
        self.status, self.written = status, body

    def start_response(self, status: int, headers: object) -> None:
        self.status = status

    async def write(self, data: bytes) -> None:
        if self.leaves:
            raise DisconnectedError
        self.written += data

    def finish(self) -> None:
        self.written += b"."

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.written))

    @property
    def lines(self) -> list[dict[str, Any]]:
        assert self.written.endswith(b".")
        return [json.loads(line) for line in self.written[:-1].splitlines()]


class World:
    """The pages with all that is behind them."""

    def __init__(self) -> None:
        self.packs, self.images = FakePacks(), MemoryImageStore()
        self.in_use: list[str] = []
        self.today: date | None = None
        self.pages = Runtimes(self.packs, self.images, self.users, self.offers, FakeClock())

    async def users(self, name: str, architecture: Architecture) -> list[str]:
        assert (name, architecture) == ("python3.12", HOST)
        return self.in_use

    def offers(self, today: date) -> list[Offer]:
        self.today = today
        return [
            Offer("python3.12", "host", "/usr/bin/python3.12", "3.12.1"),
            Offer("python3.12", "host", "/usr/local/bin/python3.12", "3.12.9"),
            Offer("java21", "network"),
        ]

    async def add(self, body: object, **options: str) -> Asked:
        asked = Asked(body=body, **options)
        await self.pages.add_page(cast("Exchange", asked), {})
        return asked

    async def remove(self, name: str, **query: str) -> Asked:
        asked = Asked(f"/{name}")
        await self.pages.remove_page(cast("Exchange", asked), query)
        return asked


@pytest.fixture
async def world() -> World:
    return World()


async def test_packs_are_listed_with_what_is_known_of_them(world: World) -> None:
    asked = Asked()
    await world.pages.list_page(cast("Exchange", asked), {})
    (pack,) = asked.document["runtimes"]
    assert pack == {
        "name": "python3.12",
        "architecture": HOST,
        "version": "python:3.12.vabababab",
        "digest": "ab" * 32,
        "size_bytes": 5,
        "from": "/usr/bin/python3.12",
        "image": None,
        "entrypoints": ["/var/runtime/bootstrap"],
        "execution_env": "AWS_Lambda_python3.12",
        "env": {},
        "path": "/p/rootfs",
        "remarks": ["without curses"],
    }
    assert "available" not in asked.document


async def test_what_could_be_added_is_looked_for_when_asked(world: World) -> None:
    asked = Asked()
    await world.pages.list_page(cast("Exchange", asked), {"available": "1"})
    assert [(one["name"], one["kind"], one["installed"]) for one in asked.document["available"]] == [
        ("python3.12", "host", True),
        ("python3.12", "host", False),  # this one was not made from it
        ("java21", "network", False),
    ]
    assert world.today == FakeClock().now().date()


async def test_a_path_is_taken_as_one(world: World) -> None:
    asked = await world.add({"name": "python3.12", "from": "/opt/python", "architecture": OTHER})
    assert (asked.status, asked.document["name"]) == (200, "python3.12")
    assert world.packs.asked == [("python3.12", Path("/opt/python"), OTHER)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": 1},
        {"name": "python3.12", "from": 1},
        {"name": "python3.12", "image": []},
        {"name": "python3.12", "architecture": "sparc"},
        {"name": "python3.12", "from": "/p", "image": "r/p"},
    ],
)
async def test_nothing_is_done_for_what_is_not_understood(world: World, body: object) -> None:
    with pytest.raises(PageError) as refusal:
        await world.add(body)
    assert (refusal.value.status, world.packs.asked) == (400, [])


async def test_progress_comes_line_by_line(world: World) -> None:
    asked = await world.add({"name": "python3.12"}, accept="application/x-ndjson, application/json")
    assert [*asked.lines[0].items(), *asked.lines[1]] == [("progress", "Building"), "runtime"]


async def test_a_failure_after_the_first_line_is_the_last_line(world: World) -> None:
    world.packs.error = RuntimeNotInstalledError("No such thing.")
    asked = await world.add({"name": "python3.12"}, accept="application/x-ndjson")
    assert asked.lines == [{"progress": "Building"}, {"error": "No such thing.", "status": 404}]
    with pytest.raises(PageError, match="No such thing") as refusal:
        await world.add({"name": "python3.12"})
    assert refusal.value.status == 404


async def test_it_goes_on_when_nobody_listens(world: World) -> None:
    asked = Asked(body={"name": "python3.12"}, accept="application/x-ndjson")
    asked.leaves = True
    await world.pages.add_page(cast("Exchange", asked), {})
    assert (world.packs.asked, asked.written) == ([("python3.12", None, None)], b"")


async def test_nobody_waits_for_a_runtime_when_the_server_stops(world: World) -> None:
    building, finish = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def add(*_: object, **__: object) -> RuntimePack:
        loop.call_soon_threadsafe(building.set)
        finish.wait(10)
        return MANIFEST.pack(Path("/p"))

    world.packs.add = add  # type: ignore[method-assign]  # it takes its time
    adding = asyncio.ensure_future(world.add({"name": "python3.12"}, accept="application/x-ndjson"))
    await building.wait()
    world.pages.stop()
    assert (await adding).lines == [{"error": "The server is being stopped.", "status": 503}]
    finish.set()


IMAGE = StoredImage("cd" * 32, HOST, (), 1)


async def test_an_image_is_fetched_for_the_architecture(world: World) -> None:
    foreign = replace(IMAGE, digest="ef" * 32, architecture=OTHER)
    world.images.publish("r/p:1", (foreign, Path("/foreign")), (IMAGE, Path("/native")), index="01" * 32)
    await world.add({"name": "python3.12", "image": "r/p:1"})
    await world.add({"name": "python3.12", "image": "r/p:1", "architecture": OTHER})
    assert world.packs.asked == [
        ("python3.12", "cd" * 32, Path("/native"), "r/p:1"),
        ("python3.12", "ef" * 32, Path("/foreign"), "r/p:1"),
    ]


async def test_an_image_that_cannot_be_had(world: World) -> None:
    world.images.publish("r/p:1", (replace(IMAGE, architecture=OTHER), Path("/p")))
    with pytest.raises(PageError, match=f"r/p:1 is not for {HOST}; it is for {OTHER}"):
        await world.add({"name": "python3.12", "image": "r/p:1", "architecture": HOST})
    world.images.registry["r/p:2"] = ImageError("The registry refuses.", "ImageAccessDenied")
    asked = await world.add({"name": "python3.12", "image": "r/p:2"}, accept="application/x-ndjson")
    assert asked.lines == [{"progress": "Looking for r/p:2"}, {"error": "The registry refuses.", "status": 404}]


async def test_what_functions_use_stays(world: World) -> None:
    world.in_use = [f"arn:aws:lambda:us-east-1:0:function:f{number}:$LATEST" for number in range(12)]
    with pytest.raises(PageError, match=r"is in use, so it stays: arn:.*:f0:\$LATEST, .* and 2 more\.") as refusal:
        await world.remove("python3.12")
    assert (refusal.value.status, world.packs.asked) == (409, [])
    world.in_use = []
    asked = await world.remove("python3.12", architecture=HOST)
    assert asked.document == {"name": "python3.12", "architecture": HOST}
    assert world.packs.asked == [("remove", "python3.12", HOST)]


@pytest.mark.parametrize(
    ("name", "query", "status"),
    [("python3.13", {}, 404), ("python3.12", {"architecture": OTHER}, 404), ("python3.12", {"architecture": "x"}, 400)],
)
async def test_what_is_not_there_cannot_go(world: World, name: str, query: dict[str, str], status: int) -> None:
    with pytest.raises(PageError) as refusal:
        await world.remove(name, **query)
    assert refusal.value.status == status
