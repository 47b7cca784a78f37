"""Configuration documents that need no table of their own. What a method has returned from is durable.

A document is JSON: an object of strings, numbers, booleans, nulls, lists and objects. Its kind is a word that its owner
chose, such as `recursion`; whoever keeps documents of a kind alone knows what is in them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from lamella.domain.function import FunctionKey
from lamella.ports.stores import Page

Document: TypeAlias = Mapping[str, Any]  # Any: JSON

Change: TypeAlias = Callable[[Document | None], Document | None]
"""From what is stored (`None`: nothing) to what shall be (`None`: nothing). Quick, without effects, in any thread.

What it raises ends the change, with nothing written, and reaches the caller as it is.
"""

WHOLE: Final = ""
"""The qualifier of documents that belong to a function as a whole."""


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """A document of a function, with where it belongs.

    Attributes:
        qualifier: `$LATEST`, the number of a version, the name of an alias, or `WHOLE`.
    """

    key: FunctionKey
    kind: str
    qualifier: str
    document: Document


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """A document of an account in a region, with where it belongs.

    Attributes:
        id: Unique among those of its kind in the account and region; up to 256 characters.
    """

    account: str
    region: str
    kind: str
    id: str
    document: Document


class FunctionRecordStore(Protocol):
    """One document for each function, qualifier and kind.

    They go with the function; those of a version's number go with the version. Nothing else is looked at: a qualifier
    need not exist.
    """

    async def get(self, key: FunctionKey, kind: str, qualifier: str = WHOLE) -> Document | None:
        """The document, or `None`."""

    async def put(self, key: FunctionKey, kind: str, document: Document, qualifier: str = WHOLE) -> None:
        """Store a document, in place of the one that may be there.

        Raises:
            ConflictError: The function is gone.
        """

    async def change(self, key: FunctionKey, kind: str, change: Change, qualifier: str = WHOLE) -> Document | None:
        """Read, change and write with nobody in between; returns what is stored afterwards.

        Raises:
            ConflictError: The function is gone.
        """

    async def delete(self, key: FunctionKey, kind: str, qualifier: str = WHOLE) -> bool:
        """Delete a document; false if it is not there."""

    async def delete_qualifier(self, key: FunctionKey, qualifier: str) -> None:
        """Delete the documents of all kinds that belong to a qualifier: an alias is gone."""

    async def list_function(
        self, key: FunctionKey, kind: str, *, limit: int, marker: str | None = None, where: Mapping[str, str] = {}
    ) -> Page[FunctionRecord]:
        """Documents of a function by qualifier, in the order of code points.

        `where` names members at the top of a document, each with the text that it must be.

        Raises:
            ValueError: The marker is not one of this listing's.
        """

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
        """Documents of all functions of an account in a region, by function and qualifier; else as `list_function`."""

    async def every(self, kind: str) -> Sequence[FunctionRecord]:
        """All documents of a kind, of all accounts: what a cache begins with."""


class AccountRecordStore(Protocol):
    """One document for each account, region, kind and id. A region may be empty: documents of the account alone."""

    async def get(self, account: str, region: str, kind: str, id_: str) -> Document | None:
        """The document, or `None`."""

    async def put(self, account: str, region: str, kind: str, id_: str, document: Document) -> None:
        """Store a document, in place of the one that may be there."""

    async def change(self, account: str, region: str, kind: str, id_: str, change: Change) -> Document | None:
        """Read, change and write with nobody in between; returns what is stored afterwards."""

    async def delete(self, account: str, region: str, kind: str, id_: str) -> bool:
        """Delete a document; false if it is not there."""

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
        """Documents by id, in the order of code points.

        `where` names members at the top of a document, each with the text that it must be.

        Raises:
            ValueError: The marker is not one of this listing's.
        """

    async def every(self, kind: str) -> Sequence[AccountRecord]:
        """All documents of a kind, of all accounts and regions: what a cache begins with."""


@dataclass(frozen=True, slots=True)
class Records:
    """Both stores, as a group of `awsapi.context.Services`."""

    functions: FunctionRecordStore
    accounts: AccountRecordStore
