"""What differs between two layers, as a rule two versions of one."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.contents import ContentEntry, EntryKind, LayerContents
from lamella.layers.errors import LayerReadError
from lamella.layers.findings import Finding
from lamella.layers.look.merge import same_content
from lamella.layers.look.modules import modules_of, normalised
from lamella.layers.look.symbols import exported_symbols
from lamella.layers.look.versions import compare_versions
from lamella.layers.packages import Ecosystem, Package

# Modules of Python: nobody links against them, the interpreter looks for one symbol of theirs.
_EXTENSION_MODULE: Final = re.compile(r"\.(cpython-[^/]*|abi3|pypy[^/]*)\.so$")
_LIBRARY_MOST_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package that only one layer has, or both in other versions.

    Attributes:
        old: Versions in the first layer, several where npm has nested them; empty if it is new.
        new: Versions in the second layer; empty if it is gone.
    """

    ecosystem: Ecosystem
    name: str
    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def direction(self) -> str:
        """`added`, `removed`, `up`, `down`, or `changed` where that cannot be told."""
        if not self.old or not self.new:
            return "removed" if self.old else "added"
        if len(self.old) > 1 or len(self.new) > 1:
            return "changed"
        order = compare_versions(self.old[0], self.new[0])
        return "up" if order > 0 else "down" if order < 0 else "changed"


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file or link that both layers have, with another content.

    Attributes:
        old: As it is in the first layer; `new` in the second.
    """

    name: str
    old: ContentEntry
    new: ContentEntry


@dataclass(frozen=True, slots=True)
class SymbolChange:
    """A shared library that both layers have, and that offers other symbols now.

    Attributes:
        removed: What programs linked against the first one may miss.
    """

    name: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerDiff:
    """What differs between two layers.

    Attributes:
        sizes: Unzipped bytes of both; `zipped` where both are archives.
        added, removed: Files and links.
        modes: Files of which the permissions alone, or they too, have changed.
        vanished_modules: Top-level modules of Python that the second layer does not have any more.
        new_findings, gone_findings: What a check says of one and not of the other; empty if there was none.
    """

    sizes: tuple[int, int]
    zipped: tuple[int | None, int | None]
    packages: tuple[PackageChange, ...] = ()
    added: tuple[ContentEntry, ...] = ()
    removed: tuple[ContentEntry, ...] = ()
    changed: tuple[FileChange, ...] = ()
    modes: tuple[FileChange, ...] = ()
    symbols: tuple[SymbolChange, ...] = ()
    vanished_modules: tuple[str, ...] = ()
    new_findings: tuple[Finding, ...] = field(default=())
    gone_findings: tuple[Finding, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """Whether a function sees the same files, with the same modes."""
        return not (self.added or self.removed or self.changed or self.modes)


Check = Callable[[LayerContents], Sequence[Finding]]
"""Says what is wrong with a layer."""


def diff_layers(
    old: LayerContents,
    new: LayerContents,
    *,
    packages: tuple[Iterable[Package], Iterable[Package]],
    check: Check | None = None,
) -> LayerDiff:
    """Compare two layers. Reads libraries that have changed, and files of directories.

    Args:
        old: The first one.
        new: The second one.
        packages: Of both.
        check: Of both, for findings; `None` for none.

    Raises:
        LayerReadError: A file is damaged.
    """
    before, after = _visible(old), _visible(new)
    both = [(before[name], after[name]) for name in before if name in after]
    changed = tuple(FileChange(one.name, one, other) for one, other in both if not same_content(old, one, new, other))
    findings = (check(old), check(new)) if check is not None else ((), ())
    return LayerDiff(
        (old.unzipped_bytes, new.unzipped_bytes),
        (old.zipped_bytes, new.zipped_bytes),
        diff_packages(*packages),
        tuple(entry for name, entry in after.items() if name not in before),
        tuple(entry for name, entry in before.items() if name not in after),
        changed,
        tuple(FileChange(one.name, one, other) for one, other in both if _mode_changed(one, other)),
        tuple(_symbols(old, new, changed)),
        tuple(sorted(modules_of(old) - modules_of(new))),
        *_new_and_gone(*findings),
    )


def diff_packages(old: Iterable[Package], new: Iterable[Package]) -> tuple[PackageChange, ...]:
    """Packages of which the versions differ, by ecosystem and name."""
    before, after = _versions(old), _versions(new)
    none: tuple[str, set[str]] = ("", set())
    changes = []
    for key in sorted(before.keys() | after.keys()):
        (old_name, old_versions), (new_name, new_versions) = before.get(key, none), after.get(key, none)
        if old_versions != new_versions:
            versions = tuple(sorted(old_versions)), tuple(sorted(new_versions))
            changes.append(PackageChange(key[0], new_name or old_name, *versions))
    return tuple(changes)


def _versions(packages: Iterable[Package]) -> dict[tuple[Ecosystem, str], tuple[str, set[str]]]:
    """Name as written and versions, by ecosystem and the name it is compared by."""
    found: dict[tuple[Ecosystem, str], tuple[str, set[str]]] = {}
    for package in packages:
        name = normalised(package.name) if package.ecosystem is Ecosystem.PYPI else package.name
        found.setdefault((package.ecosystem, name), (package.name, set()))[1].add(package.version)
    return found


def _visible(contents: LayerContents) -> dict[str, ContentEntry]:
    """Files and links: directories alone make no difference to anybody."""
    return {name: entry for name, entry in contents.entries.items() if entry.kind is not EntryKind.DIRECTORY}


def _mode_changed(old: ContentEntry, new: ContentEntry) -> bool:
    return EntryKind.FILE is old.kind is new.kind and old.mode != new.mode


def _symbols(old: LayerContents, new: LayerContents, changed: Iterable[FileChange]) -> Iterable[SymbolChange]:
    for change in changed:
        name = PurePosixPath(change.name).name
        if (
            ".so" not in name
            or _EXTENSION_MODULE.search(name)
            or max(change.old.size_bytes, change.new.size_bytes) > _LIBRARY_MOST_BYTES
        ):
            continue
        try:
            before, after = (exported_symbols(contents.read(change.name)) for contents in (old, new))
        except LayerReadError:
            continue  # damaged: a check says so
        if before is not None and after is not None and before != after:
            yield SymbolChange(change.name, tuple(sorted(before - after)), tuple(sorted(after - before)))


def _new_and_gone(old: Sequence[Finding], new: Sequence[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """By what they are about: the words may hold sizes that differ."""

    def keys(findings: Sequence[Finding]) -> set[tuple[str, str, str]]:
        return {(finding.code, finding.place, finding.runtime) for finding in findings}

    before, after = keys(old), keys(new)
    return (
        tuple(one for one in new if (one.code, one.place, one.runtime) not in before),
        tuple(one for one in old if (one.code, one.place, one.runtime) not in after),
    )
