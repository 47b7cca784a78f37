"""`/_lamella/runtimes`: the runtime packs of this node, what could be added, and how one is added or taken away."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from lamella.domain.function import Architecture
from lamella.frontdoor import Page, PageError, body_object, path_tail, respond_json
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import DisconnectedError
from lamella.ports.clock import Clock
from lamella.ports.images import ImageError, ImageStore, ResolvedImage, StoredImage
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack
from lamella.runtimes import host_architecture
from lamella.runtimes.offers import Offer
from lamella.runtimes.pack import Manifest

_HEARTBEAT_S: Final = 10.0
_STREAM: Final = "application/x-ndjson"

Users = Callable[[str, Architecture], Awaitable[Sequence[str]]]
"""Who uses a runtime, as people would name them."""
Progress = Callable[[str], None]


class Packs(Protocol):
    """The runtime packs of this node, as `lamella.runtimes.catalog.PackCatalog` has them.

    All but `packs` and `manifest` block, and raise `RuntimeNotInstalledError` with the reason.
    """

    def packs(self) -> Sequence[RuntimePack]:
        """All packs."""

    def manifest(self, name: str, architecture: Architecture | None = None) -> Manifest:
        """What is known of one of them."""

    def add(
        self,
        name: str,
        source: Path | None = None,
        *,
        architecture: Architecture | None = None,
        progress: Progress,
    ) -> RuntimePack:
        """Build and install a pack."""

    def add_image(self, name: str, image: StoredImage, root: Path, place: str, *, progress: Progress) -> RuntimePack:
        """Install a pack that is an image's root."""

    def remove(self, name: str, architecture: Architecture | None = None) -> Manifest:
        """Take a pack away."""


class Runtimes:
    """`GET`, `POST` and `DELETE /_lamella/runtimes`."""

    def __init__(
        self,
        packs: Packs,
        images: ImageStore,
        users: Users,
        offers: Callable[[date], Sequence[Offer]],
        clock: Clock,
        contents: Page | None = None,
    ) -> None:
        """Whatever else is asked of a runtime below the list is `contents`' to answer. `offers` blocks."""
        self._packs = packs
        self._images = images
        self._users = users
        self._offers = offers
        self._clock = clock
        self._contents = contents
        self._running: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Keep nobody waiting for a runtime any more. What builds it goes on in its thread until it is done."""
        for task in self._running:
            task.cancel()

    def pages(self) -> dict[tuple[str, str], Page]:
        """By method and first part of the path."""
        return {
            ("GET", "runtimes"): self.list_page,
            ("POST", "runtimes"): self.add_page,
            ("DELETE", "runtimes"): self.remove_page,
        }

    async def list_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """The packs of this node. Query: `available=1` for what could be added as well."""
        if self._contents is not None and path_tail(exchange):
            await self._contents(exchange, query)
            return
        document: dict[str, Any] = {"runtimes": [self._shown(pack) for pack in self._packs.packs()]}  # Any: JSON
        if query.get("available") == "1":
            installed = {pack["name"]: pack["from"] for pack in document["runtimes"]}
            offers = await asyncio.to_thread(self._offers, self._clock.now().date())
            sources = Counter(offer.name for offer in offers)
            document["available"] = [
                _offer(
                    offer,
                    # Of several ways to have a runtime, the one that it was made in.
                    installed=offer.name in installed
                    and (sources[offer.name] == 1 or _is_of(installed[offer.name], offer.source)),
                )
                for offer in offers
            ]
        respond_json(exchange, document)

    async def add_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes none
        """Body: `name`; and `from`, the path of an interpreter or pack, or `image`; and `architecture`.

        Answers with the pack. Who accepts `application/x-ndjson` gets lines with `progress` until it is there, and then
        one with `runtime`, or with `error`.
        """
        wanted = body_object(exchange)
        name, source, image = wanted.get("name"), wanted.get("from"), wanted.get("image")
        architecture = _architecture(wanted.get("architecture"))
        if not isinstance(name, str) or not isinstance(source, str | None) or not isinstance(image, str | None):
            raise PageError(400, 'Say which runtime: {"name": "python3.12"}')
        if source and image:
            raise PageError(400, "A runtime is made from a path or an image, not from both.")
        work = self._add_image if image else self._add
        add = partial(work, name, image or source or "", architecture)
        if _STREAM in exchange.request.header("accept", ""):
            await self._stream(exchange, add)
            return
        respond_json(exchange, await add(lambda _: None))

    async def remove_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """`/_lamella/runtimes/<name>`. Query: `architecture`, if it is not the host's. 409 if functions use it."""
        name = path_tail(exchange)
        try:
            manifest = self._packs.manifest(name, _architecture(query.get("architecture")))
            users = await self._users(manifest.name, manifest.architecture)
            if users:
                raise PageError(409, _in_use(manifest.name, users))
            await asyncio.to_thread(self._packs.remove, manifest.name, manifest.architecture)
        except RuntimeNotInstalledError as error:
            raise PageError(404, str(error)) from error
        respond_json(exchange, {"name": manifest.name, "architecture": manifest.architecture})

    async def _add(
        self, name: str, source: str, architecture: Architecture | None, progress: Progress
    ) -> dict[str, Any]:
        place = Path(source) if source else None
        try:
            pack = await asyncio.to_thread(
                partial(self._packs.add, name, place, architecture=architecture, progress=progress)
            )
        except RuntimeNotInstalledError as error:
            raise PageError(404, str(error)) from error
        return self._shown(pack)

    async def _add_image(
        self, name: str, uri: str, architecture: Architecture | None, progress: Progress
    ) -> dict[str, Any]:
        try:
            progress(f"Looking for {uri}")
            digest = _platform(await self._images.resolve(uri), architecture, uri)
            progress(f"Fetching {uri} (sha256:{digest[:12]})")
            image = await self._images.fetch(uri, digest)
            root = self._images.root(image.digest)
            pack = await asyncio.to_thread(partial(self._packs.add_image, name, image, root, uri, progress=progress))
        except (ImageError, RuntimeNotInstalledError) as error:
            raise PageError(404, str(error)) from error
        return self._shown(pack)

    async def _stream(
        self, exchange: Exchange, add: Callable[[Progress], Awaitable[dict[str, Any]]]
    ) -> None:  # Any: JSON
        """Tell of the progress of something, and how it ended. It goes on if nobody listens any more."""
        lines: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def run() -> None:
            outcome: dict[str, Any]  # Any: JSON
            try:
                outcome = {"runtime": await add(lambda text: _put(loop, lines, {"progress": text}))}
            except PageError as error:
                outcome = {"error": str(error), "status": error.status}
            except asyncio.CancelledError:
                outcome = {"error": "The server is being stopped.", "status": 503}
            _put(loop, lines, outcome)  # behind the progress that is still on its way
            _put(loop, lines, None)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(run(), name="add a runtime")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            exchange.start_response(200, (("Content-Type", _STREAM),))
            listening = True
            while (line := await _next(lines)) is not None:
                if listening:
                    try:
                        await exchange.write(json.dumps(line).encode() + b"\n" if line else b"\n")
                    except DisconnectedError:
                        listening = False
            if listening:
                exchange.finish()

    def _shown(self, pack: RuntimePack) -> dict[str, Any]:  # Any: JSON
        manifest = self._packs.manifest(pack.name, pack.architecture)
        return {
            "name": pack.name,
            "architecture": pack.architecture,
            "version": pack.version,
            "digest": pack.digest,
            "size_bytes": manifest.size_bytes,
            "from": manifest.origin.place or manifest.origin.interpreter,
            "image": None if manifest.image is None else f"sha256:{manifest.image}",
            "entrypoints": list(pack.entrypoints),
            "execution_env": pack.execution_env,
            "env": dict(pack.env),
            "path": str(pack.rootfs),
            "remarks": list(manifest.remarks),
        }


def _platform(resolved: ResolvedImage, architecture: Architecture | None, uri: str) -> str:
    """The digest of the image that is meant: the only one, or that of an architecture.

    Raises:
        PageError: There is none.
    """
    offered = {platform.architecture: platform.digest for platform in resolved.platforms}
    wanted = architecture or host_architecture()
    if wanted in offered:
        return offered[wanted]
    if architecture is None and len(offered) == 1:
        return next(iter(offered.values()))
    there = " and ".join(offered) or "none that Lambda has"
    raise PageError(404, f"{uri} is not for {wanted}; it is for {there}.")


def _architecture(value: object) -> Architecture | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in [*Architecture]:
        raise PageError(400, f"An architecture is {' or '.join(Architecture)}.")
    return Architecture(value)


def _in_use(name: str, users: Sequence[str]) -> str:
    named = ", ".join(users[:10]) + (f" and {len(users) - 10} more" if len(users) > 10 else "")
    return f"Runtime {name} is in use, so it stays: {named}. Update or delete these first."


def _is_of(interpreter: str | None, source: str) -> bool:
    """Whether an interpreter is what an offer names: itself, or the installation that it is part of."""
    return interpreter is not None and Path(interpreter).is_relative_to(source)


def _offer(offer: Offer, *, installed: bool) -> dict[str, Any]:  # Any: JSON
    return {
        "name": offer.name,
        "kind": offer.kind,
        "from": offer.source,
        "version": offer.version,
        "problem": offer.problem,
        "installed": installed,
    }


def _put(
    loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[dict[str, Any] | None], line: dict[str, Any] | None
) -> None:
    """From any thread: what builds packs works in one."""
    loop.call_soon_threadsafe(lines.put_nowait, line)


async def _next(lines: asyncio.Queue[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The next line; an empty one if there is none for some time, so that a listener who has gone is noticed."""
    try:
        return await asyncio.wait_for(lines.get(), _HEARTBEAT_S)
    except TimeoutError:
        return {}
