"""`/_lamella/layers/…`: proofs of layers, and what the gate has found; and what is in a runtime."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from lamella.domain.function import Architecture
from lamella.domain.layer import LayerVersion
from lamella.domain.names import parse_layer_version
from lamella.domain.quotas import LAYERS, UNZIPPED, LimitProfile
from lamella.frontdoor import Page, PageError, path_tail, respond_json
from lamella.httpserver.exchange import Exchange, Phase
from lamella.httpserver.message import DisconnectedError
from lamella.layers.facts import FACTS
from lamella.ports.runtimes import RuntimeCatalog
from lamella.ports.stores import ArchiveError, ArtifactStore, LayerStore
from lamella.spool import Upload
from lamella.workshop.examiner import (
    RUNTIMES_MOST,
    Examination,
    ExaminationError,
    ExaminedLayer,
    Examiner,
    NoSandboxError,
)
from lamella.workshop.furnishing import furnishing_of
from lamella.workshop.gate import Gate

_WAITING_MOST: Final = 8
"""Proofs that may wait for their turn, or be made: each keeps an archive on the disk."""

_HEARTBEAT_S: Final = 2.0
_STOPPING: Final = "The server is being stopped."
_ARCHITECTURES: Final = tuple(architecture.value for architecture in Architecture)


class Layers:
    """`POST /_lamella/layers/prove` and `GET /_lamella/layers/findings`."""

    def __init__(
        self,
        examiner: Examiner,
        gate: Gate | None,
        layers: LayerStore,
        artifacts: ArtifactStore,
        *,
        directory: Path,
        limits: LimitProfile,
    ) -> None:
        """Nothing is asked yet.

        Args:
            examiner: Proves.
            gate: Knows what it has found; `None` if it is off.
            layers: That can be named.
            artifacts: Where archives that are sent in stay for a while.
            directory: For uploads.
            limits: For the size of archives, and how many layers there may be.
        """
        self._examiner = examiner
        self._gate = gate
        self._layers = layers
        self._artifacts = artifacts
        self._most_bytes = limits.limit(UNZIPPED) - 1
        self._layers_most = limits.limit(LAYERS)
        self._running: set[asyncio.Task[Examination]] = set()
        self._stopping = False
        self._asking = 0
        self.pages: dict[tuple[str, str], Page] = {("GET", "layers"): self.get_page}
        self.uploads = {("POST", "layers/prove"): Upload(self.prove_page, directory, self._most_bytes)}

    def stop(self) -> None:
        """End proofs: who waits for them is told that the server stops."""
        self._stopping = True
        for task in self._running:
            task.cancel()

    async def get_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """`layers/findings`; query: `arn`."""
        if path_tail(exchange) != "findings":
            raise PageError(404, "There is /_lamella/layers/findings?arn=…, and POST /_lamella/layers/prove.")
        if self._gate is None:
            raise PageError(404, "Nothing is checked when it is published: the server runs with layer_gate = off.")
        version = await self._version(query.get("arn", ""), query)
        known = await self._gate.findings(version)
        if known is None:
            reason = (
                "It was published before the gate was there, or its findings are gone."
                if version.runtimes
                else "It declares no compatible runtimes, so there is nothing to hold it against."
            )
            known = {"state": "not-checked", "reason": reason}
        shown = {name: value for name, value in known.items() if name not in ("layer", "digest")}
        respond_json(exchange, {"arn": version.arn, **shown})

    async def prove_page(self, exchange: Exchange, query: Mapping[str, str], body: Path) -> None:
        """Query: `runtime`, `architecture`, each repeated or with commas; `arn` in place of a body."""
        if self._asking >= _WAITING_MOST:
            raise PageError(429, f"{_WAITING_MOST} proofs are waiting already: try again in a minute.")
        self._asking += 1
        try:
            await self._prove_page(exchange, query, body)
        finally:
            self._asking -= 1

    async def _prove_page(self, exchange: Exchange, query: Mapping[str, str], body: Path) -> None:
        runtimes = _words(exchange, "runtime")
        if not runtimes or len(runtimes) > RUNTIMES_MOST:
            raise PageError(400, f"Say in which runtimes, 1 to {RUNTIMES_MOST}: ?runtime=python3.12")
        unknown = [name for name in runtimes if name not in FACTS]
        if unknown:
            raise PageError(400, f"There is no runtime {unknown[0][:80]!r}.")
        architectures = _words(exchange, "architecture")
        if not set(architectures) <= set(_ARCHITECTURES):
            raise PageError(400, f"An architecture is one of {', '.join(_ARCHITECTURES)}.")
        arns = _words(exchange, "arn")
        sent = (await asyncio.to_thread(body.stat)).st_size > 0
        if sent == bool(arns):
            raise PageError(400, "Send either a zip archive or ?arn=, the ARN of a layer version.")
        if arns:
            if len(arns) > self._layers_most:
                raise PageError(400, f"A function has at most {self._layers_most} layers.")
            versions = [await self._version(arn, query) for arn in arns]
            layers = [ExaminedLayer(version.artifact.digest, _label(version, versions)) for version in versions]
            await self._prove(exchange, layers, runtimes, architectures)
            return
        try:
            artifact = await self._artifacts.add(body, max_unzipped_bytes=self._most_bytes)
        except ArchiveError as error:
            raise PageError(400, str(error)) from error
        try:
            await self._prove(exchange, [ExaminedLayer(artifact.digest)], runtimes, architectures)
        finally:
            self._artifacts.release(artifact.digest)

    async def _prove(
        self,
        exchange: Exchange,
        layers: Sequence[ExaminedLayer],
        runtimes: Sequence[str],
        architectures: Sequence[str],
    ) -> None:
        """Answer with a proof, unless nobody waits for it any more.

        A client that has gone is only noticed by writing, so an answer that takes long begins with empty lines. What
        goes wrong after the first of them cannot be told by the status any more, and is told as the reason why the
        runtimes were not proved.
        """
        if self._stopping:
            raise PageError(503, _STOPPING)
        work = asyncio.create_task(
            self._examiner.examine(layers, runtimes=runtimes, architectures=architectures, static=False),
            name="prove layers",
        )
        self._running.add(work)
        try:
            while not (await asyncio.wait((work,), timeout=_HEARTBEAT_S))[0]:
                if exchange.phase is Phase.OPEN:
                    exchange.start_response(200, (("Content-Type", "application/json"),))
                await exchange.write(b"\n")
            status, document = _outcome(work, runtimes)
            if exchange.phase is not Phase.OPEN:
                await exchange.write(json.dumps(document).encode() + b"\n")
                exchange.finish()
            elif status != 200:
                raise PageError(status, document["not_proved"][0]["reason"])
            else:
                respond_json(exchange, document)
        except DisconnectedError:
            return
        finally:
            work.cancel()
            await asyncio.wait((work,))
            self._running.discard(work)
            if not work.cancelled():
                work.exception()  # has been told, or there is nobody to be told

    async def _version(self, arn: str, query: Mapping[str, str]) -> LayerVersion:
        """A layer version of the account that asks; of any, where nobody is asked who they are.

        Raises:
            PageError: There is none.
            ApiError: That is no ARN of one.
        """
        key, number = parse_layer_version(arn)
        version = None
        if query.get("account", key.account) == key.account:
            version = await self._layers.get(key, number)
        if version is None:
            raise PageError(404, f"There is no layer version {arn[:200]}.")
        return version


class RuntimeContents:
    """`GET /_lamella/runtimes/<name>/contents`."""

    def __init__(self, runtimes: RuntimeCatalog) -> None:
        """Nothing is read yet."""
        self._runtimes = runtimes
        self._known: dict[str, dict[str, Any]] = {}  # Any: JSON, by digest of the pack, which never changes

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Packages, search path, libraries and C library of a runtime of this node. Query: `architecture`."""
        name, slash, rest = path_tail(exchange).partition("/")
        if not slash or rest != "contents":
            raise PageError(404, "There is /_lamella/runtimes, and /_lamella/runtimes/<name>/contents.")
        architectures = [query["architecture"]] if "architecture" in query else [*Architecture]
        packs = [pack for pack in self._runtimes.packs() if pack.name == name and pack.architecture in architectures]
        pack = packs[0] if packs else None
        if pack is None:
            raise PageError(404, f"Runtime {name[:80]} is not installed on this node; 'lamella runtime list' tells.")
        if pack.digest not in self._known:
            self._known[pack.digest] = await asyncio.to_thread(furnishing_of, pack)
        respond_json(exchange, {"name": pack.name, "version": pack.version, **self._known[pack.digest]})


def _words(exchange: Exchange, name: str) -> list[str]:
    """Values of a parameter that may be repeated, or have several with commas between; each once."""
    pairs = parse_qsl(exchange.request.query)
    return list(dict.fromkeys(word for key, value in pairs if key == name for word in value.split(",") if word))


def _label(version: LayerVersion, versions: Sequence[LayerVersion]) -> str:
    return version.arn if len(versions) > 1 else ""


def _outcome(work: asyncio.Task[Examination], runtimes: Sequence[str]) -> tuple[int, dict[str, Any]]:  # Any: JSON
    """Status and document for a proof that has ended."""
    try:
        return 200, work.result().to_dict()
    except asyncio.CancelledError:
        status, reason = 503, _STOPPING
    except NoSandboxError as error:
        status, reason = 503, str(error)
    except ExaminationError as error:
        status, reason = 400, str(error)
    not_proved = [{"runtime": runtime, "reason": reason} for runtime in runtimes]
    return status, Examination((), (), tuple(not_proved)).to_dict()
