"""In-memory stores: the same answers as the real ones, gone with the process."""

import base64
import copy
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lamella.domain.alias import Alias
from lamella.domain.function import (
    LATEST,
    NO_ARCHIVE,
    Architecture,
    Artifact,
    FunctionKey,
    FunctionVersion,
    LastUpdateStatus,
    State,
)
from lamella.domain.image_code import images_of
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.domain.runtimes import kept_runtime
from lamella.ports.errors import ConflictError
from lamella.ports.records import Document
from lamella.ports.stores import ArchiveError, ArchiveTooLargeError, Page
from lamella.testing.paging import Position, page


@dataclass(slots=True)
class _Function:
    tags: dict[str, str]
    versions: dict[int, FunctionVersion]
    next_number: int = 1
    reserved: int | None = None
    records: dict[tuple[str, str], Document] = field(default_factory=dict)  # by qualifier and kind
    aliases: dict[str, Alias] = field(default_factory=dict)


def _number(version: str) -> int | None:
    if version == LATEST:
        return 0
    return int(version) if version.isascii() and version.isdigit() and not version.startswith("0") else None


class MemoryFunctionStore:
    """Implements `lamella.ports.stores.FunctionStore`."""

    def __init__(self) -> None:
        self._functions: dict[FunctionKey, _Function] = {}

    async def create(self, latest: FunctionVersion, tags: Mapping[str, str]) -> None:
        if latest.key in self._functions:
            raise ConflictError(f"function exists: {latest.key.arn()}")
        self._functions[latest.key] = _Function(dict(tags), {0: copy.deepcopy(latest)})

    async def get(self, key: FunctionKey, version: str = LATEST) -> FunctionVersion | None:
        function, number = self._functions.get(key), _number(version)
        return None if function is None or number is None else function.versions.get(number)

    async def replace(self, changed: FunctionVersion, *, expected_revision_id: str) -> None:
        stored = await self.get(changed.key, changed.version)
        if stored is None or stored.revision_id != expected_revision_id:
            raise ConflictError(f"gone or changed: {changed.key.arn(changed.version)}")
        number = _number(changed.version)
        assert number is not None
        self._functions[changed.key].versions[number] = copy.deepcopy(changed)

    async def publish(self, snapshot: FunctionVersion) -> FunctionVersion:
        function = self._existing(snapshot.key)
        published = copy.deepcopy(replace(snapshot, version=str(function.next_number)))
        function.versions[function.next_number] = published
        function.next_number += 1
        return published

    async def list_functions(
        self, account: str, region: str, *, all_versions: bool, limit: int, marker: str | None = None
    ) -> Page[FunctionVersion]:
        rows: list[tuple[Position, FunctionVersion]] = [
            ([key.name, number], function.versions[number])
            for key, function in sorted(self._functions.items(), key=lambda item: item[0])
            if (key.account, key.region) == (account, region)
            for number in (sorted(function.versions) if all_versions else [0])
        ]
        return page(rows, ["functions", account, region, all_versions], limit=limit, marker=marker)

    async def list_versions(self, key: FunctionKey, *, limit: int, marker: str | None = None) -> Page[FunctionVersion]:
        function = self._functions.get(key)
        versions = sorted(function.versions.items()) if function else []
        rows: list[tuple[Position, FunctionVersion]] = [([number], version) for number, version in versions]
        return page(rows, ["versions", key.account, key.region, key.name], limit=limit, marker=marker)

    async def delete(self, key: FunctionKey, version: str | None = None) -> bool:
        if version is None:
            return self._functions.pop(key, None) is not None
        function, number = self._functions.get(key), _number(version)
        if function is None or not number or number not in function.versions:
            return False
        if any(alias.refers_to(version) for alias in function.aliases.values()):
            raise ConflictError(f"aliases refer to {key.arn(version)}")
        function.records = {place: document for place, document in function.records.items() if place[0] != version}
        del function.versions[number]
        return True

    async def tags(self, key: FunctionKey) -> Mapping[str, str] | None:
        function = self._functions.get(key)
        return None if function is None else dict(function.tags)

    async def set_tags(self, key: FunctionKey, tags: Mapping[str, str]) -> None:
        self._existing(key).tags = dict(tags)

    async def reserve(self, key: FunctionKey, executions: int | None, *, at_most: int) -> bool:
        function = self._existing(key)
        others = sum(
            reserved
            for other, reserved in (await self.reservations()).items()
            if other != key and (other.account, other.region) == (key.account, key.region)
        )
        if executions is not None and others + executions > at_most:
            return False
        function.reserved = executions
        return True

    async def reservation(self, key: FunctionKey) -> int | None:
        function = self._functions.get(key)
        return None if function is None else function.reserved

    async def reservations(self) -> Mapping[FunctionKey, int]:
        return {key: one.reserved for key, one in self._functions.items() if one.reserved is not None}

    async def tagged(self, tag: str) -> Mapping[FunctionKey, str]:
        return {key: function.tags[tag] for key, function in self._functions.items() if tag in function.tags}

    async def kept_runtimes(self) -> frozenset[str]:
        return frozenset(digest for version in self._all() if (digest := kept_runtime(version.config)) is not None)

    async def users_of(self, runtime: str, architecture: Architecture) -> Sequence[tuple[FunctionKey, str]]:
        users = [
            (version.key, version.version)
            for version in self._all()
            if (version.config.runtime, version.config.architecture) == (runtime, architecture)
        ]
        return sorted(users, key=lambda user: (user[0], 0 if user[1] == LATEST else int(user[1])))

    async def unsettled(self) -> Sequence[FunctionVersion]:
        return [
            version
            for version in self._all()
            if version.state is State.PENDING or version.update_status is LastUpdateStatus.IN_PROGRESS
        ]

    async def usage(self, account: str, region: str) -> tuple[int, int]:
        count = sum((key.account, key.region) == (account, region) for key in self._functions)
        ours = [version for version in self._all() if (version.key.account, version.key.region) == (account, region)]
        return count, sum(version.artifact.size_bytes for version in ours)

    async def digests(self) -> frozenset[str]:
        code = {version.artifact.digest for version in self._all()} - {NO_ARCHIVE}
        return frozenset(code | {layer.artifact.digest for version in self._all() for layer in version.config.layers})

    async def images(self) -> Mapping[str, str]:
        return {digest: uri for version in self._all() for digest, uri in images_of(version).items()}

    def with_records(self) -> list[FunctionKey]:
        """All functions, sorted; for the store of their records."""
        return sorted(self._functions)

    def records(self, key: FunctionKey) -> dict[tuple[str, str], Document]:
        """A function's documents by qualifier and kind, to be changed by the store of records; none if it is gone."""
        function = self._functions.get(key)
        return {} if function is None else function.records

    def aliases(self, key: FunctionKey) -> dict[str, Alias]:
        """For the store of aliases: those of a function, to be changed in place."""
        function = self._functions.get(key)
        return {} if function is None else function.aliases

    def _existing(self, key: FunctionKey) -> _Function:
        try:
            return self._functions[key]
        except KeyError:
            raise ConflictError(f"no such function: {key.arn()}") from None

    def _all(self) -> list[FunctionVersion]:
        return [version for function in self._functions.values() for version in function.versions.values()]


class MemoryAliasStore:
    """Implements `lamella.ports.stores.AliasStore`, for the functions of a memory store."""

    def __init__(self, functions: MemoryFunctionStore) -> None:
        self._functions = functions

    async def create(self, alias: Alias) -> None:
        if await self.get(alias.key, alias.name) is not None:
            raise ConflictError(f"alias exists: {alias.arn}")
        await self._put(alias)

    async def get(self, key: FunctionKey, name: str) -> Alias | None:
        return self._functions.aliases(key).get(name)

    async def replace(self, changed: Alias, *, expected_revision_id: str) -> None:
        stored = await self.get(changed.key, changed.name)
        if stored is None or stored.revision_id != expected_revision_id:
            raise ConflictError(f"gone or changed: {changed.arn}")
        await self._put(changed)

    async def list_aliases(
        self, key: FunctionKey, *, limit: int, marker: str | None = None, version: str | None = None
    ) -> Page[Alias]:
        rows: list[tuple[Position, Alias]] = [
            ([name], alias)
            for name, alias in sorted(self._functions.aliases(key).items())
            if version is None or alias.refers_to(version)
        ]
        return page(rows, ["aliases", key.account, key.region, key.name, version], limit=limit, marker=marker)

    async def delete(self, key: FunctionKey, name: str) -> bool:
        if self._functions.aliases(key).pop(name, None) is None:
            return False
        records = self._functions.records(key)
        for place in [place for place in records if place[0] == name]:
            del records[place]
        return True

    async def _put(self, alias: Alias) -> None:
        versions = [alias.version] if alias.route is None else [alias.version, alias.route.version]
        for version in versions:
            if await self._functions.get(alias.key, version) is None:
                raise ConflictError(f"no such version: {alias.key.arn(version)}")
        self._functions.aliases(alias.key)[alias.name] = alias


def _declares(runtime: str | None, architecture: str | None) -> Callable[[LayerVersion], bool]:
    return lambda version: (
        (runtime is None or runtime in version.runtimes)
        and (architecture is None or architecture in version.architectures)
    )


class MemoryLayerStore:
    """Implements `lamella.ports.stores.LayerStore`."""

    def __init__(self) -> None:
        self._versions: dict[LayerKey, dict[int, LayerVersion]] = {}
        self._next_numbers: dict[LayerKey, int] = {}

    async def publish(self, draft: LayerVersion) -> LayerVersion:
        number = self._next_numbers.get(draft.key, 1)
        self._next_numbers[draft.key] = number + 1
        published = replace(draft, version=number)
        self._versions.setdefault(draft.key, {})[number] = published
        return published

    async def add(self, version: LayerVersion) -> None:
        versions = self._versions.setdefault(version.key, {})
        if version.version in versions:
            raise ConflictError(f"layer version exists: {version.arn}")
        versions[version.version] = version
        self._next_numbers[version.key] = max(self._next_numbers.get(version.key, 1), version.version + 1)

    async def get(self, key: LayerKey, version: int) -> LayerVersion | None:
        return self._versions.get(key, {}).get(version)

    async def list_versions(
        self,
        key: LayerKey,
        *,
        limit: int,
        marker: str | None = None,
        runtime: str | None = None,
        architecture: str | None = None,
    ) -> Page[LayerVersion]:
        matching = filter(_declares(runtime, architecture), self._versions.get(key, {}).values())
        rows: list[tuple[Position, LayerVersion]] = sorted(
            (([-version.version], version) for version in matching), key=lambda row: row[0]
        )
        listing = ["versions", key.account, key.region, key.name, runtime, architecture]
        return page(rows, listing, limit=limit, marker=marker)

    async def list_layers(
        self,
        account: str,
        region: str,
        *,
        limit: int,
        marker: str | None = None,
        runtime: str | None = None,
        architecture: str | None = None,
    ) -> Page[LayerVersion]:
        newest: dict[str, LayerVersion] = {}
        for key, versions in self._versions.items():
            if (key.account, key.region) == (account, region):
                for version in filter(_declares(runtime, architecture), versions.values()):
                    newest[key.name] = max(newest.get(key.name, version), version, key=lambda one: one.version)
        rows: list[tuple[Position, LayerVersion]] = [([name], newest[name]) for name in sorted(newest)]
        return page(rows, ["layers", account, region, runtime, architecture], limit=limit, marker=marker)

    async def delete(self, key: LayerKey, version: int) -> bool:
        return self._versions.get(key, {}).pop(version, None) is not None

    async def usage(self, account: str, region: str) -> int:
        return sum(
            version.artifact.size_bytes
            for version in self._all()
            if (version.key.account, version.key.region) == (account, region)
        )

    async def digests(self) -> frozenset[str]:
        return frozenset(version.artifact.digest for version in self._all())

    def _all(self) -> list[LayerVersion]:
        return [version for versions in self._versions.values() for version in versions.values()]


@dataclass(slots=True)
class MemoryArtifactStore:
    """Implements `lamella.ports.stores.ArtifactStore` for well-meant zips; it is no defence against hostile ones.

    Attributes:
        root: Where zips and trees are written, for code under test that opens them; by default nothing is written,
            and `tree` and `archive` name files that do not exist.
    """

    root: Path | None = None
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    protected: dict[str, int] = field(default_factory=dict)

    async def add(self, archive: bytes | Path, *, max_unzipped_bytes: int) -> Artifact:
        if isinstance(archive, Path):
            archive = archive.read_bytes()  # noqa: ASYNC240  # a fake may block
        if not archive:
            raise ArchiveError("Uploaded file must be a non-empty zip")
        try:
            opened = zipfile.ZipFile(io.BytesIO(archive))
        except zipfile.BadZipFile as error:
            text = "Could not unzip uploaded file. Please check your file, then try to upload again."
            raise ArchiveError(text) from error
        with opened:
            if not opened.infolist():
                raise ArchiveError("Uploaded file must be a non-empty zip")
            unzipped_bytes = sum(entry.file_size for entry in opened.infolist())
            if unzipped_bytes > max_unzipped_bytes:
                raise ArchiveTooLargeError(f"Unzipped size must be smaller than {max_unzipped_bytes} bytes")
            hashed = hashlib.sha256(archive)
            digest = hashed.hexdigest()
            if self.root is not None and digest not in self.artifacts:
                opened.extractall(self.tree(digest))
                self.archive(digest).write_bytes(archive)
        artifact = Artifact(digest, base64.b64encode(hashed.digest()).decode(), len(archive), unzipped_bytes)
        self.artifacts[digest] = artifact
        self.protected[digest] = self.protected.get(digest, 0) + 1
        return artifact

    def release(self, digest: str) -> None:
        self.protected[digest] -= 1
        if not self.protected[digest]:
            del self.protected[digest]

    def tree(self, digest: str) -> Path:
        return (self.root or Path("/nonexistent")) / digest

    def archive(self, digest: str) -> Path:
        return (self.root or Path("/nonexistent")) / f"{digest}.zip"

    async def collect(self, live: frozenset[str]) -> int:
        dead = self.artifacts.keys() - live - self.protected.keys()
        for digest in dead:
            del self.artifacts[digest]
        return len(dead)
