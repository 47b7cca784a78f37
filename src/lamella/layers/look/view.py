"""The file system as a function sees it: its code and its layers, whoever brought what."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.contents import LayerContents
from lamella.layers.look.merge import Merged, merge_layers
from lamella.layers.look.paths import OPT, TASK
from lamella.layers.packages import Ecosystem, Package

CODE: Final = "function code"
RUNTIME: Final = "runtime"


@dataclass(frozen=True, slots=True)
class Brought:
    """Something that the function's code or a layer brings.

    Attributes:
        label: What it is called: `function code`, or a layer's name and version.
        packages: Found in it.
    """

    label: str
    contents: LayerContents
    packages: tuple[Package, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """What is in a directory under one name.

    Attributes:
        path: Absolute, with links in its directory followed.
        by: Labels of those that brought it, the one that is on top first.
    """

    path: str
    is_directory: bool
    by: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """What is at `/opt` and at `/var/task`.

    Attributes:
        layers: In the function's order.
        code: The function's own; `None` if it cannot be looked at.
    """

    layers: Sequence[Brought]
    code: Brought | None = None
    opt: Merged = field(init=False)
    task: Merged = field(init=False)

    def __post_init__(self) -> None:
        """Lay the layers over each other."""
        object.__setattr__(self, "opt", merge_layers([layer.contents for layer in self.layers]))
        object.__setattr__(self, "task", merge_layers([self.code.contents] if self.code is not None else []))

    def directory(self, path: str) -> dict[str, Item] | None:
        """What is in a directory, by name; `None` if it does not exist, or is not of code or layers."""
        found = self._resolve(path)
        if found is None or found[1] not in found[0].merged.directories:
            return None
        place, name = found
        items: dict[str, Item] = {}
        for part, numbers in place.merged.children(name).items():
            inner = f"{name}/{part}" if name else part
            by = tuple(place.brought[number].label for number in numbers)
            items[part] = Item(f"{place.root}/{inner}", self._is_directory(place, inner), by)
        return items

    def filled_by(self, path: str) -> tuple[str, ...]:
        """Who brought a file or filled a directory, the one on top first; empty if there is no such thing."""
        found = self._resolve(path)
        if found is None:
            return ()
        place, name = found
        numbers = place.merged.directories.get(name) or (
            (place.merged.files[name],) if name in place.merged.files else ()
        )
        return tuple(place.brought[number].label for number in numbers)

    def version_at(self, path: str, label: str, ecosystem: Ecosystem) -> str:
        """The version of the package whose metadata somebody put at a path; empty if none is."""
        place = self._place(path)
        name = path[len(place.root) + 1 :]
        for brought in place.brought:
            for package in brought.packages if brought.label == label else ():
                if package.ecosystem is ecosystem and package.directory == name:
                    return package.version
        return ""

    def brought(self, label: str) -> Brought | None:
        """Who is called so."""
        return next((one for one in (*self.layers, *([self.code] if self.code else [])) if one.label == label), None)

    def _resolve(self, path: str) -> "tuple[_Place, str] | None":
        if not is_below(path, OPT) and not is_below(path, TASK):
            return None
        place = self._place(path)
        name = place.merged.resolve(path[len(place.root) + 1 :], root=place.root)
        return None if name is None else (place, name)

    def _place(self, path: str) -> "_Place":
        if is_below(path, TASK):
            return _Place(TASK, self.task, [self.code] if self.code is not None else [])
        return _Place(OPT, self.opt, self.layers)

    def _is_directory(self, place: "_Place", name: str) -> bool:
        resolved = place.merged.resolve(name, root=place.root)
        return (resolved if resolved is not None else name) in place.merged.directories


@dataclass(frozen=True, slots=True)
class _Place:
    root: str
    merged: Merged
    brought: Sequence[Brought]


def is_below(path: str, root: str) -> bool:
    """Whether a path is a directory or something in it, by its words."""
    parts = PurePosixPath(path).parts
    return parts[: len(PurePosixPath(root).parts)] == PurePosixPath(root).parts
