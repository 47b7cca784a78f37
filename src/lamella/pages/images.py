"""`/_lamella/images`: the container images of this node, for its operator."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lamella.control.garbage import Garbage
from lamella.domain.function import Architecture
from lamella.frontdoor import Page, PageError, path_tail, respond_json
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import DisconnectedError
from lamella.images.manifest import IMAGE_MOST_BYTES
from lamella.images.records import ImageRecord
from lamella.images.store import FilesystemImageStore, Progress
from lamella.ports.images import ImageError, Platform, ResolvedImage
from lamella.spool import Upload

Json = dict[str, Any]  # Any: JSON

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")
_HEARTBEAT_S: Final = 1.0
_STATUS: Final = {"ImageAccessDenied": 403, "ImageDeleted": 404, "InvalidImage": 400, "InternalError": 502}
_NDJSON: Final = (("Content-Type", "application/x-ndjson"),)


class ImagePages:
    """What `lamella image` asks for.

    Args:
        store: The images.
        garbage: Knows which of them are used, and takes others away while nobody begins to use them.
        directory: For archives while they come; on the file system of the store.
        architecture: Of this machine: what is taken of an index if nothing else is asked for.
    """

    def __init__(
        self,
        store: FilesystemImageStore,
        garbage: Garbage,
        directory: Path,
        architecture: Architecture,
    ) -> None:
        self._store = store
        self._garbage = garbage
        self._architecture = architecture
        self._running: set[asyncio.Task[Json]] = set()
        self.uploads = {("PUT", "images"): Upload(self.load_page, directory, IMAGE_MOST_BYTES)}

    def pages(self) -> dict[tuple[str, str], Page]:
        """By method and first part of the path."""
        return {
            ("GET", "images"): self.list_page,
            ("POST", "images"): self.post_page,
            ("DELETE", "images"): self.remove_page,
        }

    def stop(self) -> None:
        """End what is being fetched: who waits for it is told that the server stops."""
        for task in self._running:
            task.cancel()

    async def list_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes none
        """All images; of `images/<digest or name>` those that it means."""
        used = await self._garbage.images_in_use()
        wanted = path_tail(exchange)
        records = self._found(wanted) if wanted else self._by_name()
        respond_json(exchange, {"images": [self._shown(record, used) for record in records]})

    async def post_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """`images/pull`, with `uri` and perhaps `architecture`; `images/prune`, with `everything=1` or without."""
        match path_tail(exchange):
            case "pull":
                uri, architecture = query.get("uri", ""), _architecture(query)
                if not uri:
                    raise PageError(400, "Say which image: ?uri=public.ecr.aws/lambda/provided:al2023")
                await self._tell(exchange, lambda progress: self._pull(uri, architecture, progress))
            case "prune":
                before = {record.image.digest: self._shown(record, ()) for record in self._store.records()}
                everything = query.get("everything") == "1"
                gone = await self._refusing(self._garbage.collect_images(everything=everything))
                respond_json(exchange, {"removed": [before[digest] for digest in gone if digest in before]})
            case _:
                raise PageError(404, "There is POST /_lamella/images/pull and POST /_lamella/images/prune.")

    async def load_page(self, exchange: Exchange, query: Mapping[str, str], body: Path) -> None:
        """Body: an archive of images. Query: `name`, and `tag` if it has several."""
        name, tag = query.get("name", ""), query.get("tag", "")
        if not name:
            raise PageError(400, "Say what functions will call it: ?name=registry/repository:tag")
        await self._tell(exchange, lambda progress: self._load(body, name, tag, progress))

    async def remove_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes none
        """`images/<digest or name>`: what nothing uses; by a name, all images that it stands for."""
        wanted = path_tail(exchange)
        found = self._found(wanted)
        if len(found) > 1 and _DIGEST.fullmatch(wanted):
            raise PageError(409, f"{len(found)} images begin with {wanted}: give more of the digest.")
        removed = [self._shown(record, ()) for record in found]
        used = await self._refusing(self._garbage.remove_images([record.image.digest for record in found]))
        if used:
            raise PageError(409, f"The image sha256:{min(used)} is used by a function or a runtime: delete that first.")
        respond_json(exchange, {"removed": removed})

    async def _pull(self, uri: str, architecture: Architecture | None, progress: Progress) -> Json:
        resolved = await self._store.resolve(uri)
        platform = self._choose(resolved, architecture)
        await self._store.fetch(uri, platform.digest, progress)
        await self._store.keep(platform.digest, uri)
        return await self._fetched(resolved, [platform])

    async def _load(self, archive: Path, name: str, tag: str, progress: Progress) -> Json:
        resolved = await self._store.load(archive, name, tag, progress)
        return await self._fetched(resolved, resolved.platforms)

    async def _fetched(self, resolved: ResolvedImage, platforms: Collection[Platform]) -> Json:
        used = await self._garbage.images_in_use()
        records = {record.image.digest: record for record in self._store.records()}
        images = [self._shown(records[one.digest], used) for one in platforms if one.digest in records]
        return {"uri": resolved.uri, "digest": f"sha256:{resolved.digest}", "images": images}

    def _choose(self, resolved: ResolvedImage, architecture: Architecture | None) -> Platform:
        for wanted in (architecture,) if architecture else (self._architecture, *Architecture):
            for platform in resolved.platforms:
                if platform.architecture is wanted:
                    return platform
        offered = " and ".join(one.architecture for one in resolved.platforms) or "no architecture that Lambda knows"
        raise ImageError(f"{resolved.uri} is an image for {offered}, not for {architecture or 'any'}.", "InvalidImage")

    async def _tell(self, exchange: Exchange, work: Callable[[Progress], Awaitable[Json]]) -> None:
        """Do something long, and tell how far it is: lines of JSON, the last of them with `result` or `error`."""
        state: Json = {}

        def progress(done: int, layers: int, size_bytes: int) -> None:
            state.update(layers_done=done, layers=layers, next_bytes=size_bytes)

        async def run() -> Json:
            return await work(progress)

        task = asyncio.create_task(run(), name="fetch an image")
        self._running.add(task)
        exchange.start_response(200, _NDJSON)
        told: Json = {}
        try:
            while not (await asyncio.wait((task,), timeout=_HEARTBEAT_S))[0]:
                line = json.dumps({"progress": state}) if state != told else ""  # an empty one shows who has gone
                told = dict(state)
                await exchange.write(line.encode() + b"\n")
            await exchange.write(json.dumps(_outcome(task)).encode() + b"\n")
            exchange.finish()
        except DisconnectedError:
            return  # what is being fetched is finished all the same
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait((task,))
            self._running.discard(task)

    def _by_name(self) -> list[ImageRecord]:
        return sorted(
            self._store.records(),
            key=lambda record: ([*(self._store.names_of(record.image.digest) or record.uris)], record.image.digest),
        )

    def _found(self, wanted: str) -> list[ImageRecord]:
        digest = _DIGEST.fullmatch(wanted)
        found = [
            record
            for record in self._store.records()
            if (digest is not None and record.image.digest.startswith(digest[1]))
            or wanted in self._store.names_of(record.image.digest)
        ]
        if not found:
            raise PageError(404, f"There is no image {wanted[:200]!r} here; 'lamella image list' shows all.")
        return found

    def _shown(self, record: ImageRecord, used: Collection[str]) -> Json:
        image = record.image
        names = list(self._store.names_of(image.digest))
        return {
            "digest": f"sha256:{image.digest}",
            "architecture": image.architecture.value,
            "size_bytes": image.size_bytes,
            "layers": [f"sha256:{layer}" for layer in image.layers],
            "names": names,
            "fetched_from": list(record.uris),
            "fetched_at": datetime.fromtimestamp(record.fetched_s, UTC).isoformat(timespec="seconds"),
            "in_use": image.digest in used,
            "kept": record.kept or bool(names),  # one that was loaded stays until it is removed, as one that was pulled
            "entrypoint": list(image.entrypoint),
            "command": list(image.command),
            "working_directory": image.working_directory,
            "env": dict(image.env),
            "user": image.user,
            "labels": dict(image.labels),
        }

    @staticmethod
    async def _refusing(work: Awaitable[Any]) -> Any:  # Any: as the work gives
        try:
            return await work
        except ImageError as error:
            raise PageError(_STATUS.get(error.code, 500), str(error)) from error


def _architecture(query: Mapping[str, str]) -> Architecture | None:
    text = query.get("architecture", "")
    try:
        return Architecture(text) if text else None
    except ValueError:
        raise PageError(400, f"An architecture is one of {', '.join(Architecture)}.") from None


def _outcome(task: asyncio.Task[Json]) -> Json:
    """What the last line tells. A bug of ours is raised, for the server's log."""
    if task.cancelled():
        return {"error": {"code": "InternalError", "message": "The server is being stopped."}}
    error = task.exception()
    if isinstance(error, ImageError):
        return {"error": {"code": error.code, "message": str(error)}}
    if error is not None:
        raise error
    return {"result": task.result()}
