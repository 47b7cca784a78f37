"""`POST /_lamella/conformance/runtime`: examines a runtime in this server's sandboxes.

The answer is that of `lamella.pages.examining`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from lamella.conformance.report import Report
from lamella.conformance.runtime_checks import RUNTIME_CHECKS
from lamella.conformance.runtime_examination import RuntimeExaminer, Subject
from lamella.conformance.scenario import Pace
from lamella.domain.function import Architecture, FunctionConfig, FunctionVersion
from lamella.domain.image import IMAGE, Launch
from lamella.domain.names import FunctionReference, parse_layer_version
from lamella.domain.quotas import UNZIPPED, LimitProfile
from lamella.domain.runtimes import kept_runtime
from lamella.frontdoor import PageError
from lamella.httpserver.exchange import Exchange
from lamella.invoke.images import pack_of
from lamella.pages.examining import Tell, Turns
from lamella.ports.images import ImageError, ImageStore
from lamella.ports.runtimes import RuntimeCatalog, RuntimeNotInstalledError, RuntimePack
from lamella.ports.stores import AliasStore, ArchiveError, ArtifactStore, FunctionStore, LayerStore
from lamella.spool import Upload

_IDLE_MOST_S: Final = 900.0
_LAYERS_MOST: Final = 10
_DEFAULT_PACK: Final = "provided.al2023"


@dataclass(frozen=True, slots=True)
class Trees:
    """Where what is examined comes from.

    Attributes:
        managed: The customer-managed runtime of a function; `None` if it has none. Raises `RuntimeNotInstalledError`.
    """

    artifacts: ArtifactStore
    layers: LayerStore
    functions: FunctionStore
    aliases: AliasStore
    runtimes: RuntimeCatalog
    managed: Callable[[FunctionConfig], RuntimePack | None]
    images: ImageStore
    architecture: Architecture


class Conformance:
    """See the module."""

    def __init__(
        self,
        examiner: RuntimeExaminer,
        trees: Trees,
        *,
        directory: Path,
        limits: LimitProfile,
        account: str,
        region: str,
    ) -> None:
        """Nothing is asked yet.

        Args:
            examiner: Examines.
            trees: What can be named.
            directory: For uploads.
            limits: For the size of archives.
            account: For names of functions that do not say.
            region: Likewise.
        """
        self._examiner = examiner
        self._trees = trees
        self._most_bytes = limits.limit(UNZIPPED) - 1
        self._account = account
        self._region = region
        self._in_use: Counter[str] = Counter()
        self.turns = Turns()
        self.uploads = {("POST", "conformance/runtime"): Upload(self.runtime_page, directory, self._most_bytes)}

    def digests_in_use(self) -> frozenset[str]:
        """Artifacts, images and packs that are being examined, and must not be collected."""
        return frozenset(self._in_use)

    async def runtime_page(self, exchange: Exchange, query: Mapping[str, str], body: Path) -> None:
        """Body: a zip archive with the directories that the query names; empty if it names none.

        Query: `name`, for the report. One of `pack` (a runtime of this server, with its `architecture`), `function`
        (an ARN), `image` (a reference). `layer`, repeated, in order: the ARN of a layer version, or a directory of the
        archive. `code`: a directory of the archive, the function. `handler`. `variable`, repeated: `NAME=value`.
        `skip` and `only`: ids of checks with commas. `idle_s`.
        """
        pairs = parse_qsl(exchange.request.query, keep_blank_values=True)
        options = _options(query)
        async with self.turns.asking(), AsyncExitStack() as stack:
            archive = await self.archive(body, stack)
            subject = await self._subject(query, pairs, archive, stack)
            self._keep(subject.pack.digest, stack)

            async def examine(tell: Tell) -> Report:
                return await self._examiner.examine(subject, progress=tell, **options)

            await self.turns.answer(exchange, examine)

    async def archive(self, body: Path, stack: AsyncExitStack) -> Path | None:
        """The tree of what was sent; `None` if nothing was.

        Raises:
            PageError: It is no archive, or too large.
        """
        if not (await asyncio.to_thread(body.stat)).st_size:
            return None
        try:
            artifact = await self._trees.artifacts.add(body, max_unzipped_bytes=self._most_bytes)
        except ArchiveError as error:
            raise PageError(400, str(error)) from error
        stack.callback(self._trees.artifacts.release, artifact.digest)
        return self._trees.artifacts.tree(artifact.digest)

    async def _subject(
        self, query: Mapping[str, str], pairs: list[tuple[str, str]], archive: Path | None, stack: AsyncExitStack
    ) -> Subject:
        variables = dict(variable_of(value) for name, value in pairs if name == "variable")
        named = [name for name in ("pack", "function", "image") if query.get(name)]
        if len(named) > 1:
            raise PageError(400, f"Say one of {', '.join(named)}.")
        name = query.get("name", "") or next((query[one] for one in named), "the runtime")
        layers = [value for key, value in pairs if key == "layer"]
        for arn in (*layers, query.get("function", "")):
            # Of the account that asks; of any, where nobody is asked who they are.
            account = _scope_of(arn, self._account, self._region)[0]
            if arn.startswith("arn:") and query.get("account", account) != account:
                raise PageError(404, f"There is no {arn[:200]}.")
        if named == ["function"]:
            subject = await self._function(query["function"], stack)
        elif named == ["image"]:
            subject = await self._image(query["image"], stack)
        else:
            subject = Subject(name, self._pack(query.get("pack") or _DEFAULT_PACK, query.get("architecture", "")))
        if len(layers) > _LAYERS_MOST:
            raise PageError(400, f"There are {_LAYERS_MOST} layers at most.")
        trees = [await self.layer(layer, archive, stack) for layer in layers]
        code = query.get("code")
        if subject.launch is not None and (trees or code is not None):
            raise PageError(400, "A container image takes no layers and no other code.")
        return replace(
            subject,
            name=name,
            layers=(*subject.layers, *trees),
            task=subject.task if code is None else _directory(archive, code),
            handler=query.get("handler", subject.handler),
            variables={**subject.variables, **variables},
        )

    def _pack(self, name: str, architecture: str) -> RuntimePack:
        """A runtime of the server, for the architecture of its machine unless another is asked for."""
        try:
            wanted = Architecture(architecture) if architecture else self._trees.architecture
        except ValueError:
            raise PageError(400, f"An architecture is one of {', '.join(Architecture)}.") from None
        try:
            return self._trees.runtimes.find(name, wanted)
        except RuntimeNotInstalledError as error:
            raise PageError(404, str(error)) from error

    async def layer(self, layer: str, archive: Path | None, stack: AsyncExitStack) -> Path:
        """The tree of a layer version, by its ARN, or of a directory of the archive.

        Raises:
            PageError: There is none.
        """
        if not layer.startswith("arn:"):
            return _directory(archive, layer)
        key, number = parse_layer_version(layer)
        version = await self._trees.layers.get(key, number)
        if version is None:
            raise PageError(404, f"There is no layer version {layer[:200]}.")
        return self._kept(version.artifact.digest, stack)

    async def _function(self, arn: str, stack: AsyncExitStack) -> Subject:
        account, region = _scope_of(arn, self._account, self._region)
        reference = FunctionReference.parse(arn, account=account, region=region)
        version = await self._version(reference)
        config = version.config
        try:
            if config.package_type == IMAGE:
                self._keep(version.artifact.code_sha256, stack)
                pack, launch = pack_of(self._trees.images, version)
                variables = dict(config.environment or {})
                return Subject(arn, pack, handler=launch.handler, variables=variables, launch=launch)
            pack = self._trees.managed(config) or self._trees.runtimes.find(
                config.runtime or "", config.architecture, kept_runtime(config)
            )
        except RuntimeNotInstalledError as error:
            raise PageError(404, str(error)) from error
        layers = (*pack.layers, *(self._kept(layer.artifact.digest, stack) for layer in config.layers))
        task = self._kept(version.artifact.digest, stack)
        return Subject(arn, pack, layers, task, config.handler or "", dict(config.environment or {}))

    async def _version(self, reference: FunctionReference) -> FunctionVersion:
        number = reference.version
        if number is None:
            alias = await self._trees.aliases.get(reference.key, reference.qualifier or "")
            number = "" if alias is None else alias.version
        version = await self._trees.functions.get(reference.key, number) if number else None
        if version is None:
            raise PageError(404, f"There is no function {reference.arn}.")
        return version

    async def _image(self, uri: str, stack: AsyncExitStack) -> Subject:
        images, architecture = self._trees.images, self._trees.architecture
        try:
            resolved = await images.resolve(uri)
            fitting = [one for one in resolved.platforms if one.architecture is architecture]
            if not fitting:
                raise PageError(400, f"The image {uri[:200]} is not for {architecture.value}.")
            self._keep(fitting[0].digest, stack)
            stored = await images.fetch(uri, fitting[0].digest)
            root = images.root(stored.digest)
        except ImageError as error:
            raise PageError(400, f"{error.code}: {error}") from error
        launch = Launch.of(Launch(stored.entrypoint, stored.command, stored.working_directory), {})
        pack = RuntimePack(
            name="",
            architecture=stored.architecture,
            rootfs=root,
            digest=stored.digest,
            version="",
            entrypoints=(),
            env=stored.env,
            execution_env="AWS_Lambda_Image",
            command=launch.argv,
            working_directory=launch.working_directory,
            brings_code=True,
        )
        return Subject(uri, pack, handler=launch.handler, launch=launch)

    def _kept(self, digest: str, stack: AsyncExitStack) -> Path:
        """The tree of an artifact, which is not collected meanwhile."""
        self._keep(digest, stack)
        return self._trees.artifacts.tree(digest)

    def _keep(self, digest: str, stack: AsyncExitStack) -> None:
        self._in_use[digest] += 1
        stack.callback(self._give_back, digest)

    def _give_back(self, digest: str) -> None:
        self._in_use[digest] -= 1
        self._in_use += Counter()  # drops those that nobody uses any more


def _options(query: Mapping[str, str]) -> dict[str, Any]:  # Any: arguments of `examine`
    chosen = {}
    for name in ("skip", "only"):
        chosen[name] = [word for word in query.get(name, "").split(",") if word]
        unknown = [word for word in chosen[name] if word not in RUNTIME_CHECKS]
        if unknown:
            raise PageError(400, RUNTIME_CHECKS.unknown(unknown[0]))
    try:
        idle_s = float(query.get("idle_s", Pace().idle_s))
    except ValueError:
        idle_s = -1.0
    if not 0 < idle_s <= _IDLE_MOST_S:
        raise PageError(400, f"idle_s is a number of seconds, up to {_IDLE_MOST_S:.0f}.")
    return {**chosen, "pace": replace(Pace(), idle_s=idle_s)}


def variable_of(text: str) -> tuple[str, str]:
    """Name and value of an environment variable.

    Raises:
        PageError: That is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier() or "\0" in value:
        raise PageError(400, f"A variable is NAME=value, not {text[:80]!r}.")
    return name, value


def _directory(archive: Path | None, name: str) -> Path:
    """A directory at the top of the archive that was sent."""
    if archive is None or name in ("", ".", "..") or "/" in name or "\0" in name:
        raise PageError(400, f"Send a zip archive with the directory {name[:80]!r}.")
    found = archive / name
    if found.is_symlink() or not found.is_dir():
        raise PageError(400, f"The archive has no directory {name[:80]!r}.")
    return found


def _scope_of(arn: str, account: str, region: str) -> tuple[str, str]:
    """Account and region of an ARN; the server's own for a name."""
    parts = arn.split(":")
    return (parts[4], parts[3]) if len(parts) > 6 and parts[0] == "arn" else (account, region)
