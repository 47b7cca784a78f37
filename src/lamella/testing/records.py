"""Records, access keys and checkpoints in memory."""

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from lamella.domain.function import FunctionKey
from lamella.ports.credentials import AccessKey, Account
from lamella.ports.errors import ConflictError
from lamella.ports.records import WHOLE, AccountRecord, Change, Document, FunctionRecord
from lamella.ports.stores import Page
from lamella.testing.paging import Position, page
from lamella.testing.stores import MemoryFunctionStore


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
        return self.page(found, listing, limit, marker, where)

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
        return self.page(found, listing, limit, marker, where)

    async def every(self, kind: str) -> Sequence[FunctionRecord]:
        return [
            FunctionRecord(key, kind, qualifier, copy.deepcopy(document))
            for key in self._functions.with_records()
            for (qualifier, its_kind), document in sorted(
                self._functions.records(key).items(), key=lambda item: item[0]
            )
            if its_kind == kind
        ]

    def page(
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
        return page(rows, listing, limit=limit, marker=marker)


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
        return page(rows, listing, limit=limit, marker=marker)

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
