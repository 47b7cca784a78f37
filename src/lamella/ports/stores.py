"""Where functions, layers and their archives are kept. What a method has returned from is durable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from lamella.domain.alias import Alias
from lamella.domain.function import Architecture, Artifact, FunctionKey, FunctionVersion
from lamella.domain.layer import LayerKey, LayerVersion

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing.

    Attributes:
        items: In the listing's order.
        next_marker: Pass it on to get the page after this one; `None` at the end. Opaque to callers.
    """

    items: Sequence[T]
    next_marker: str | None = None


class FunctionStore(Protocol):
    """Functions, their versions and tags."""

    async def create(self, latest: FunctionVersion, tags: Mapping[str, str]) -> None:
        """Add a function with its `$LATEST`.

        Raises:
            ConflictError: A function of this key exists.
        """

    async def get(self, key: FunctionKey, version: str = "$LATEST") -> FunctionVersion | None:
        """One version, or `None`."""

    async def replace(self, changed: FunctionVersion, *, expected_revision_id: str) -> None:
        """Store a changed version in place of the one with the expected revision.

        Raises:
            ConflictError: It is gone, or has another revision by now.
        """

    async def publish(self, snapshot: FunctionVersion) -> FunctionVersion:
        """Add a published version; `snapshot.version` is ignored, the store allots the next number from 1 on.

        Numbers are never given twice, even if the version was deleted.

        Raises:
            ConflictError: The function is gone.
        """

    async def list_functions(
        self, account: str, region: str, *, all_versions: bool, limit: int, marker: str | None = None
    ) -> Page[FunctionVersion]:
        """Functions of an account and region by name: `$LATEST` of each, or all versions of each.

        Raises:
            ValueError: The marker is not one of this listing's.
        """

    async def list_versions(self, key: FunctionKey, *, limit: int, marker: str | None = None) -> Page[FunctionVersion]:
        """`$LATEST`, then the published versions in ascending order; empty if there is no such function.

        Raises:
            ValueError: The marker is not one of this listing's.
        """

    async def delete(self, key: FunctionKey, version: str | None = None) -> bool:
        """Delete one published version, or with `None` the function with everything of it. False if not there.

        Raises:
            ConflictError: An alias refers to the version.
        """

    async def tags(self, key: FunctionKey) -> Mapping[str, str] | None:
        """Tags of a function, or `None` if there is no such function."""

    async def set_tags(self, key: FunctionKey, tags: Mapping[str, str]) -> None:
        """Replace all tags.

        Raises:
            ConflictError: The function is gone.
        """

    async def reserve(self, key: FunctionKey, executions: int | None, *, at_most: int) -> bool:
        """Reserve concurrent executions for a function in place of what was reserved; `None` ends the reservation.

        Returns:
            False if all functions of the account in the region would have more than `at_most` together; nothing has
            changed then.

        Raises:
            ConflictError: The function is gone.
        """

    async def reservation(self, key: FunctionKey) -> int | None:
        """Concurrent executions that are reserved for a function; `None` if none are, or if there is no function."""

    async def reservations(self) -> Mapping[FunctionKey, int]:
        """All functions, of all accounts, that have a reservation. 0 is one as well."""

    async def tagged(self, tag: str) -> Mapping[FunctionKey, str]:
        """All functions, of all accounts, that have this tag, with its value."""

    async def kept_runtimes(self) -> frozenset[str]:
        """Digests of the runtimes that function versions keep, see `lamella.domain.runtimes.kept_runtime`."""

    async def users_of(self, runtime: str, architecture: Architecture) -> Sequence[tuple[FunctionKey, str]]:
        """All function versions, of all accounts, that have this runtime for this architecture; in their order."""

    async def unsettled(self) -> Sequence[FunctionVersion]:
        """All versions whose state is `Pending` or whose update is `InProgress`: what a crash interrupted."""

    async def usage(self, account: str, region: str) -> tuple[int, int]:
        """Number of functions, and bytes of all zips of function versions."""

    async def digests(self) -> frozenset[str]:
        """Digests of all artifacts that any function version refers to, as code or as a layer."""

    async def images(self) -> Mapping[str, str]:
        """Digests of all container images that function versions have, each with a name of it."""


class AliasStore(Protocol):
    """Aliases of functions. They refer to versions that exist, and go with their function."""

    async def create(self, alias: Alias) -> None:
        """Add an alias.

        Raises:
            ConflictError: It exists, or a version it refers to does not.
        """

    async def get(self, key: FunctionKey, name: str) -> Alias | None:
        """One alias, or `None`."""

    async def replace(self, changed: Alias, *, expected_revision_id: str) -> None:
        """Store a changed alias in place of the one with the expected revision.

        Raises:
            ConflictError: It is gone, has another revision by now, or refers to a version that does not exist.
        """

    async def list_aliases(
        self, key: FunctionKey, *, limit: int, marker: str | None = None, version: str | None = None
    ) -> Page[Alias]:
        """Aliases of a function by name; with a version, those that refer to it. Empty if there is no such function.

        Raises:
            ValueError: The marker is not one of this listing's.
        """

    async def delete(self, key: FunctionKey, name: str) -> bool:
        """Delete an alias with its records; False if it is not there."""


class LayerStore(Protocol):
    """Layers and their versions."""

    async def publish(self, draft: LayerVersion) -> LayerVersion:
        """Add a version; `draft.version` is ignored, the store allots the next number from 1 on, never one twice."""

    async def add(self, version: LayerVersion) -> None:
        """Add a version under the number that it has; what is published later gets higher ones.

        Raises:
            ConflictError: There is a version of this number.
        """

    async def get(self, key: LayerKey, version: int) -> LayerVersion | None:
        """One version, or `None`."""

    async def list_versions(
        self,
        key: LayerKey,
        *,
        limit: int,
        marker: str | None = None,
        runtime: str | None = None,
        architecture: str | None = None,
    ) -> Page[LayerVersion]:
        """Versions of a layer, newest first, that declare the runtime and the architecture if these are given.

        Raises:
            ValueError: The marker is not one of this listing's.
        """

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
        """The newest (matching) version of each layer, by layer name.

        Raises:
            ValueError: The marker is not one of this listing's.
        """

    async def delete(self, key: LayerKey, version: int) -> bool:
        """Delete a version; False if it is not there. Functions that hold it keep it."""

    async def usage(self, account: str, region: str) -> int:
        """Bytes of all zips of the account's layer versions in the region."""

    async def digests(self) -> frozenset[str]:
        """Digests of all artifacts that any layer version refers to."""


class ArchiveError(Exception):
    """A zip archive was refused; the text is fit for the person who uploaded it, and nothing of it is left."""


class ArchiveTooLargeError(ArchiveError):
    """The archive's contents are larger than allowed."""


class ArtifactStore(Protocol):
    """Zip archives and the trees extracted from them, by digest. Content never changes."""

    async def add(self, archive: bytes | Path, *, max_unzipped_bytes: int) -> Artifact:
        """Check a zip as a whole, store it, and extract it once. The same bytes again cost nothing.

        A file must not change meanwhile, and may be gone afterwards. It is not read into memory as a whole.

        Durable (fsynced) when it returns. The artifact is safe from `collect` until `release` was called as often as
        `add` returned it: between the two, the caller commits a row that refers to it.

        Raises:
            ArchiveTooLargeError: More than `max_unzipped_bytes` in all, or the archive lies about its sizes.
            ArchiveError: Not a zip, damaged, or an entry that cannot be extracted safely.
        """

    def release(self, digest: str) -> None:
        """End the protection that `add` gave."""

    def tree(self, digest: str) -> Path:
        """Directory with the extracted files: root:root, read-only by convention, never changed."""

    def archive(self, digest: str) -> Path:
        """The zip as it was uploaded."""

    async def collect(self, live: frozenset[str]) -> int:
        """Delete every artifact that is neither in `live` nor protected; returns how many were deleted."""
