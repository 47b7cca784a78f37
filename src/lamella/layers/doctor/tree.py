"""The layers of a function merged as they are in `/opt`, with links followed as the kernel would."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.contents import EntryKind, LayerContents

_LINKS_MOST: Final = 40
"""As Linux has it: `ELOOP` after these."""


@dataclass(frozen=True)
class MergedTree:
    """What a function sees in `/opt`."""

    layers: Sequence[LayerContents]

    @cached_property
    def owner(self) -> dict[str, int]:
        """Each file and link by name, with the number of the layer that it comes from."""
        return {
            name: number
            for number, layer in enumerate(self.layers)
            for name, entry in layer.entries.items()
            if entry.kind is not EntryKind.DIRECTORY
        }

    @cached_property
    def _links(self) -> dict[str, str]:
        return {
            name: self.layers[number].entries[name].target
            for name, number in self.owner.items()
            if self.layers[number].entries[name].kind is EntryKind.LINK
        }

    def find(self, directory: str, name: str) -> str | None:
        """The file of a name in an absolute directory, as `resolve`; most are told to be absent without a walk."""
        if "/" not in name and name not in self.by_file_name:
            return None
        return self.resolve(f"{directory}/{name}")

    def resolve(self, path: str) -> str | None:
        """The file that an absolute path leads to, as a name below `/opt`.

        `None` if there is none, or if it lies outside of `/opt`, or if links go in a circle.
        """
        left = list(PurePosixPath(path).parts[1:])
        at: list[str] = []
        links = 0
        while left:
            part = left.pop(0)
            if part == "..":
                at = at[:-1]
                continue
            at.append(part)
            target = self._links.get("/".join(at[1:])) if at[0] == "opt" else None
            if target is None:
                continue
            links += 1
            if links > _LINKS_MOST:
                return None
            at.pop()
            steps = PurePosixPath(target).parts
            if target.startswith("/"):
                at, steps = [], steps[1:]
            left = [*steps, *left]
        name = "/".join(at[1:])
        return name if at[:1] == ["opt"] and name in self.owner else None

    @cached_property
    def by_file_name(self) -> dict[str, list[str]]:
        """The names below `/opt` that end in a file name."""
        found: dict[str, list[str]] = {}
        for name in self.owner:
            found.setdefault(name.rpartition("/")[2], []).append(name)
        return found

    @cached_property
    def python_packages(self) -> dict[str, list[str]]:
        """The directories that are packages of Python, by their last part."""
        found: dict[str, list[str]] = {}
        for name in self.by_file_name.get("__init__.py", []):
            directory = name.rpartition("/")[0]
            found.setdefault(directory.rpartition("/")[2], []).append(directory)
        return found

    @cached_property
    def shared_objects(self) -> dict[str, list[str]]:
        """Files whose names end in `so`, by what stands before the first dot."""
        found: dict[str, list[str]] = {}
        for name in self.owner:
            if name.endswith("so"):
                found.setdefault(name.rpartition("/")[2].partition(".")[0], []).append(name)
        return found
