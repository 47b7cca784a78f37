"""What a function sees at `/opt`: its layers laid over each other, the last one on top.

The rules are those of the overlay mount that Lamella makes of them. They give what extracting one archive after the
other into `/opt` gives, as AWS describes it: a file of a later layer replaces one of an earlier layer, directories
merge, and what is not a directory replaces a whole directory and the other way round. Nothing can take a file away:
whiteouts are devices, which layers cannot have. Source: Linux, `Documentation/filesystems/overlayfs.rst`, "Upper and
Lower"; developer guide, "packaging-layers".
"""

import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, takewhile
from typing import Final

from lamella.layers.contents import DAMAGE, ContentEntry, EntryKind, LayerContents
from lamella.layers.errors import LayerReadError
from lamella.layers.look.tree import Node, tree_of

_CHUNK_BYTES: Final = 1024 * 1024
_MAX_LINKS: Final = 40  # as the kernel's own limit


class Conflict(StrEnum):
    """How two layers are at odds about one name."""

    FILE = "file"
    """Both have a file or link."""
    FILE_OVER_DIRECTORY = "file-over-directory"
    """All that the earlier layer has below it is gone."""
    DIRECTORY_OVER_FILE = "directory-over-file"


@dataclass(frozen=True, slots=True)
class Override:
    """A name that a later layer takes from an earlier one.

    Attributes:
        winner: Number of the layer that is seen, in the function's order, from 0.
        loser: Number of the layer that is not.
        same: Whether both files have the same content, by size and checksum; `None` if they are not both files.
        hidden_files: How many files of the earlier layer are not seen because of it.
    """

    name: str
    winner: int
    loser: int
    conflict: Conflict
    same: bool | None
    hidden_files: int


@dataclass(frozen=True, slots=True)
class Merged:
    """What is seen at `/opt`.

    Attributes:
        files: Files and links by name below `/opt`, with the number of the layer that each comes from.
        directories: Directories by name, with the numbers of the layers that fill them, the last layer first; the
            empty name is `/opt` itself.
        listings: What is in each of them, by the last part of the name.
        links: Targets of links, by name.
        overrides: By name.
    """

    files: Mapping[str, int]
    directories: Mapping[str, tuple[int, ...]]
    listings: Mapping[str, tuple[str, ...]]
    links: Mapping[str, str]
    overrides: tuple[Override, ...]

    def children(self, directory: str) -> dict[str, tuple[int, ...]]:
        """What is in a directory: the last part of each name, with the layers it comes from; empty if it is none."""
        found: dict[str, tuple[int, ...]] = {}
        for part in self.listings.get(directory, ()):
            name = f"{directory}/{part}" if directory else part
            found[part] = self.directories[name] if name in self.directories else (self.files[name],)
        return found

    def count_below(self, directory: str) -> Counter[int]:
        """How many files and links of each layer are seen below a directory."""
        found: Counter[int] = Counter()
        todo = [directory]
        while todo:
            name = todo.pop()
            for part in self.listings[name]:
                inner = f"{name}/{part}" if name else part
                if inner in self.directories:
                    todo.append(inner)
                else:
                    found[self.files[inner]] += 1
        return found

    def overrides_below(self, directory: str) -> Iterator[Override]:
        """Those within a directory."""
        prefix = f"{directory}/"
        start = bisect_left(self.overrides, prefix, key=lambda override: override.name)
        return takewhile(lambda override: override.name.startswith(prefix), islice(self.overrides, start, None))

    def resolve(self, name: str, *, root: str = "/opt") -> str | None:
        """Where a name leads if the links in it are followed; `None` if it leads out of `root`, or nowhere."""
        todo, here, hops = name.split("/")[::-1], "", 0
        while todo:
            part = todo.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                if not here:
                    return None
                here = here.rpartition("/")[0]
                continue
            here = f"{here}/{part}" if here else part
            if here in self.links:
                hops += 1
                target = self.links[here]
                if target.startswith("/"):
                    if hops > _MAX_LINKS or not f"{target}/".startswith(f"{root}/"):
                        return None
                    here, target = "", target[len(root) :]
                else:
                    here = here.rpartition("/")[0]
                if hops > _MAX_LINKS:
                    return None
                todo.extend(target.split("/")[::-1])
            elif here not in self.files and here not in self.directories:
                return None
        return here


def merge_layers(layers: Sequence[LayerContents]) -> Merged:
    """Lay layers over each other.

    Args:
        layers: In the function's order; what Lambda would refuse of one is not seen.

    Raises:
        LayerReadError: A file of a directory cannot be read, whose content has to be compared.
    """
    files: dict[str, int] = {}
    directories: dict[str, tuple[int, ...]] = {}
    listings: dict[str, tuple[str, ...]] = {}
    links: dict[str, str] = {}
    overrides: list[Override] = []
    trees = [(number, tree_of(contents)) for number, contents in enumerate(layers)]
    todo: list[tuple[str, list[tuple[int, Node]]]] = [("", trees[::-1])] if trees else []
    while todo:
        name, nodes = todo.pop()
        top, above = nodes[0]
        if not above.is_directory:
            files[name] = top
            if above.entry is not None and above.entry.kind is EntryKind.LINK:
                links[name] = above.entry.target
        # A directory merges with those right below it; the first that is none ends that, as in the kernel.
        depth = next((index for index, (_, node) in enumerate(nodes) if not node.is_directory), len(nodes))
        merging = nodes[:depth] if above.is_directory else nodes[:1]
        overrides.extend(_override(layers, name, nodes[0], lower) for lower in nodes[len(merging) :])
        if not above.is_directory:
            continue
        directories[name] = tuple(number for number, _ in merging)
        below: dict[str, list[tuple[int, Node]]] = {}
        for number, node in merging:
            for part, child in node.children.items():
                below.setdefault(part, []).append((number, child))
        listings[name] = tuple(sorted(below))
        todo.extend((f"{name}/{part}" if name else part, children) for part, children in below.items())
    return Merged(
        dict(sorted(files.items())),
        dict(sorted(directories.items())),
        listings,
        links,
        tuple(sorted(overrides, key=lambda override: (override.name, -override.loser))),
    )


def _override(layers: Sequence[LayerContents], name: str, upper: tuple[int, Node], lower: tuple[int, Node]) -> Override:
    (winner, above), (loser, below) = upper, lower
    if above.is_directory:
        # Also a directory further down, which a file between the two hides.
        conflict = Conflict.DIRECTORY_OVER_FILE
    elif below.is_directory:
        conflict = Conflict.FILE_OVER_DIRECTORY
    else:
        conflict = Conflict.FILE
    same: bool | None = None
    if conflict is Conflict.FILE and above.entry is not None and below.entry is not None:
        same = same_content(layers[winner], above.entry, layers[loser], below.entry)
    return Override(name, winner, loser, conflict, same, below.files)


def same_content(first: LayerContents, one: ContentEntry, second: LayerContents, other: ContentEntry) -> bool:
    """Whether two files have the same content, by size and checksum, or two links the same target.

    Raises:
        LayerReadError: One has no checksum yet, and cannot be read.
    """
    if one.kind is not other.kind or one.size_bytes != other.size_bytes or one.target != other.target:
        return False
    return one.kind is not EntryKind.FILE or checksum(first, one) == checksum(second, other)


def checksum(contents: LayerContents, entry: ContentEntry) -> int:
    """The CRC-32 of a file: that of the archive, or of what is read.

    Raises:
        LayerReadError: It cannot be read.
    """
    if entry.crc32 is not None:
        return entry.crc32
    value = 0
    with contents.open(entry.name) as file:
        try:
            while chunk := file.read(_CHUNK_BYTES):
                value = zlib.crc32(chunk, value)
        except DAMAGE as error:
            raise LayerReadError(f"Cannot read {entry.name} of {contents.label}: {error}") from error
    return value
