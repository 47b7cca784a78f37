"""In-memory stores: the same answers as the real ones, gone with the process."""

import base64
import copy
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from lamella.domain.alias import Alias
from lamella.domain.function import LATEST, NO_ARCHIVE, Artifact, FunctionKey, FunctionVersion, LastUpdateStatus, State
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.domain.runtimes import kept_runtime
from lamella.ports.credentials import AccessKey, Account
from lamella.ports.errors import ConflictError
from lamella.ports.records import WHOLE, AccountRecord, Change, Document, FunctionRecord
from lamella.ports.stores import ArchiveError, ArchiveTooLargeError, Page

T = TypeVar("T")
Position = list[Any]  # Any: strings and numbers, of the listing's sort key


def _page(rows: Iterable[tuple[Position, T]], listing: Sequence[object], *, limit: int, marker: str | None) -> Page[T]:
    """Cut one page out of rows that are sorted by their positions; a marker is the position of the last item."""
    after = None
    if marker is not None:
        try:
            of_listing, after = json.loads(base64.urlsafe_b64decode(marker))
        except (ValueError, TypeError) as error:
            raise ValueError("not a marker of this listing") from error
        if of_listing != list(listing):
            raise ValueError("not a marker of this listing")
    rest = [(position, item) for position, item in rows if after is None or position > after]
    if len(rest) <= limit:
        return Page([item for _, item in rest])
    following = base64.urlsafe_b64encode(json.dumps([list(listing), rest[limit - 1][0]]).encode()).decode()
    return Page([item for _, item in rest[:limit]], following)


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
        return _page(rows, ["functions", account, region, all_versions], limit=limit, marker=marker)

    async def list_versions(self, key: FunctionKey, *, limit: int, marker: str | None = None) -> Page[FunctionVersion]:
        function = self._functions.get(key)
        versions = sorted(function.versions.items()) if function else []
        rows: list[tuple[Position, FunctionVersion]] = [([number], version) for number, version in versions]
        return _page(rows, ["versions", key.account, key.region, key.name], limit=limit, marker=marker)

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
        return _page(rows, ["aliases", key.account, key.region, key.name, version], limit=limit, marker=marker)

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


class MemoryFunctionRecordStore:
    """Implements `lamella.ports.records.FunctionRecordStore`, for the functions of a store."""

    def __init__(self, functions: MemoryFunctionStore) -> None:
        self._functions = functions

    async def get(self, key: FunctionKey, kind: str, qualifier: str = WHOLE) -> Document | None:
        return copy.deepcopy(self._functions.records(key).get((qualifier, kind)))

    async def put(self, key: FunctionKey, kind: str, document: Document, qualifier: str = WHOLE) -> None:
        await self.change(key, kind, lambda _: document, qualifier)

    async def change(self, key: FunctionKey, kind: str, change: Change, qualifier: str = WHOLE) -> Document | None:
        records = self._functions.records(key)
        return _change(records, (qualifier, kind), change, exists=await self._functions.get(key) is not None)

    async def delete(self, key: FunctionKey, kind: str, qualifier: str = WHOLE) -> bool:
        return self._functions.records(key).pop((qualifier, kind), None) is not None

    async def delete_qualifier(self, key: FunctionKey, qualifier: str) -> None:
        records = self._functions.records(key)
        for place in [place for place in records if place[0] == qualifier]:
            del records[place]

    async def list_function(
        self, key: FunctionKey, kind: str, *, limit: int, marker: str | None = None, where: Mapping[str, str] = {}
    ) -> Page[FunctionRecord]:
        listing = ["records", key.account, key.region, key.name, kind, sorted(map(list, where.items()))]
        found = [record for record in await self.every(kind) if record.key == key]
        return self._page(found, listing, limit, marker, where)

    async def list_account(
        self,
        account: str,
        region: str,
        kind: str,
        *,
        limit: int,
        marker: str | None = None,
        where: Mapping[str, str] = {},
    ) -> Page[FunctionRecord]:
        listing = ["records", account, region, kind, sorted(map(list, where.items()))]
        found = [
            record for record in await self.every(kind) if (record.key.account, record.key.region) == (account, region)
        ]
        return self._page(found, listing, limit, marker, where)

    async def every(self, kind: str) -> Sequence[FunctionRecord]:
        return [
            FunctionRecord(key, kind, qualifier, copy.deepcopy(document))
            for key in self._functions.with_records()
            for (qualifier, its_kind), document in sorted(
                self._functions.records(key).items(), key=lambda item: item[0]
            )
            if its_kind == kind
        ]

    def _page(
        self,
        found: Iterable[FunctionRecord],
        listing: Sequence[object],
        limit: int,
        marker: str | None,
        where: Mapping[str, str],
    ) -> Page[FunctionRecord]:
        rows: list[tuple[Position, FunctionRecord]] = [
            ([record.key.name, record.qualifier], record) for record in found if _holds(record.document, where)
        ]
        return _page(rows, listing, limit=limit, marker=marker)


class MemoryAccountRecordStore:
    """Implements `lamella.ports.records.AccountRecordStore`."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str, str, str], Document] = {}

    async def get(self, account: str, region: str, kind: str, id_: str) -> Document | None:
        return copy.deepcopy(self._records.get((account, region, kind, id_)))

    async def put(self, account: str, region: str, kind: str, id_: str, document: Document) -> None:
        await self.change(account, region, kind, id_, lambda _: document)

    async def change(self, account: str, region: str, kind: str, id_: str, change: Change) -> Document | None:
        return _change(self._records, (account, region, kind, id_), change)

    async def delete(self, account: str, region: str, kind: str, id_: str) -> bool:
        return self._records.pop((account, region, kind, id_), None) is not None

    async def list(
        self,
        account: str,
        region: str,
        kind: str,
        *,
        limit: int,
        marker: str | None = None,
        where: Mapping[str, str] = {},
    ) -> Page[AccountRecord]:
        rows: list[tuple[Position, AccountRecord]] = [
            ([record.id], record)
            for record in await self.every(kind)
            if (record.account, record.region) == (account, region) and _holds(record.document, where)
        ]
        listing = ["account records", account, region, kind, sorted(map(list, where.items()))]
        return _page(rows, listing, limit=limit, marker=marker)

    async def every(self, kind: str) -> Sequence[AccountRecord]:
        return [
            AccountRecord(*place, copy.deepcopy(document))
            for place, document in sorted(self._records.items(), key=lambda item: item[0])
            if place[2] == kind
        ]


K = TypeVar("K")


def _change(records: dict[K, Document], place: K, change: Change, *, exists: bool = True) -> Document | None:
    after = copy.deepcopy(change(copy.deepcopy(records.get(place))))
    if after is None:
        records.pop(place, None)
    elif not exists:
        raise ConflictError("no such function")
    else:
        records[place] = after
    return copy.deepcopy(after)


def _holds(document: Document, where: Mapping[str, str]) -> bool:
    return all(document.get(member) == value for member, value in where.items())


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
        return _page(rows, listing, limit=limit, marker=marker)

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
        return _page(rows, ["layers", account, region, runtime, architecture], limit=limit, marker=marker)

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


class MemoryCredentialStore:
    """Implements `lamella.ports.credentials.CredentialStore`."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, AccessKey] = {}

    async def add_account(self, account: Account) -> None:
        if account.id in self._accounts:
            raise ConflictError(f"account exists: {account.id}")
        self._accounts[account.id] = account

    async def accounts(self) -> Sequence[Account]:
        return sorted(self._accounts.values(), key=lambda account: account.id)

    async def delete_account(self, account: str) -> bool:
        self._keys = {key.id: key for key in self._keys.values() if key.account != account}
        return self._accounts.pop(account, None) is not None

    async def add_key(self, key: AccessKey) -> None:
        if key.id in self._keys or key.account not in self._accounts:
            raise ConflictError(f"key exists, or account does not: {key.id} of {key.account}")
        self._keys[key.id] = key

    async def keys(self) -> Sequence[AccessKey]:
        return sorted(self._keys.values(), key=lambda key: (key.account, key.id))

    async def delete_key(self, key: str) -> bool:
        return self._keys.pop(key, None) is not None


class MemoryCheckpointStore:
    """Implements `lamella.ports.checkpoints.CheckpointStore`."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, Document]] = {}

    async def load(self, mapping: str) -> Mapping[str, Document]:
        return copy.deepcopy(self._documents.get(mapping, {}))

    async def save(self, mapping: str, documents: Mapping[str, Document]) -> None:
        self._documents.setdefault(mapping, {}).update(copy.deepcopy(dict(documents)))

    async def forget(self, mapping: str, shards: Collection[str] | None = None) -> None:
        kept = self._documents.pop(mapping, {})
        if shards is not None:
            self._documents[mapping] = {shard: kept[shard] for shard in kept if shard not in shards}
