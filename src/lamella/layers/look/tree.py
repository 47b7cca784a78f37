"""A layer as a tree of directories, each with the size of what is below it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lamella.layers.contents import ContentEntry, EntryKind, LayerContents


@dataclass(slots=True)
class Node:
    """A file, link or directory.

    Attributes:
        name: Below `/opt`; empty for the layer itself.
        entry: `None` for a directory that is only implied by what it holds.
        size_bytes: Of a file, or of all files below a directory.
        files: How many of them.
        children: Of a directory, by the last part of the name.
    """

    name: str
    entry: ContentEntry | None = None
    size_bytes: int = 0
    files: int = 0
    children: "dict[str, Node]" = field(default_factory=dict)

    @property
    def last_part(self) -> str:
        """What stands in a listing of its directory."""
        return self.name.rpartition("/")[2]

    @property
    def is_directory(self) -> bool:
        """Whether it is one: by what it holds if an archive is of two minds."""
        return bool(self.children) or self.entry is None or self.entry.kind is EntryKind.DIRECTORY

    def ordered(self, *, by_size: bool = False) -> "list[Node]":
        """The children by name, or the largest first."""
        key: Callable[[Node], tuple[int, str]] = lambda node: (-node.size_bytes if by_size else 0, node.name)  # noqa: E731
        return sorted(self.children.values(), key=key)

    def find(self, path: str) -> "Node | None":
        """What is at a path below it; itself for an empty one."""
        found: Node | None = self
        for part in PurePosixPath(path).parts:
            found = found.children.get(part) if found is not None else None
        return found

    def walk(self) -> "Iterator[Node]":
        """It and all that is below it, in no order that means anything."""
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(node.children.values())


def tree_of(contents: LayerContents) -> Node:
    """The tree of a layer."""
    return tree_of_entries(contents.entries.values())


def tree_of_entries(entries: Iterable[ContentEntry]) -> Node:
    """The tree of some entries of a layer."""
    root = Node("")
    for entry in entries:
        parents = [root]
        parts = entry.name.split("/")
        for part in parts[:-1]:
            above = parents[-1]
            if part not in above.children:
                above.children[part] = Node(f"{above.name}/{part}" if above.name else part)
            parents.append(above.children[part])
        leaf = parents[-1].children.setdefault(parts[-1], Node(entry.name))
        leaf.entry = entry
        if entry.kind is not EntryKind.DIRECTORY:
            for node in (*parents, leaf):
                node.size_bytes += entry.size_bytes
                node.files += 1
    return root
