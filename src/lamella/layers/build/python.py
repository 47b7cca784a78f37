"""Python packages in a layer: wheels for the target's platform, whatever this machine is."""

import filecmp
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from lamella.layers.build.poetry import PoetryLock
from lamella.layers.build.recipe import PythonTable
from lamella.layers.build.sources import Collected, Progress, Target
from lamella.layers.build.tree import merge, walk
from lamella.layers.build.wheels import (
    Chosen,
    build_wheel,
    check_local,
    export_uv_lock,
    hashes_in,
    included_in,
    install,
    lines_to_install,
    resolve,
)
from lamella.layers.contents import open_contents
from lamella.layers.errors import LayerBuildError
from lamella.layers.facts import Language
from lamella.layers.packages import Package, packages_of
from lamella.layers.targets import PythonTarget

OFFLINE: Final = "the package index could not be reached; only packages of earlier builds were looked at"

# Written by installers, not by packages: where a wheel came from, who installed it and whether it was asked for.
_INSTALLER_FILES: Final = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
_ELF_MAGIC: Final = b"\x7fELF"


@dataclass(slots=True)
class PythonSource:
    """Fills module search directories for each Python runtime of a target.

    Attributes:
        directory: Where relative paths in requirements start.
        scratch: A directory of the caller's.
    """

    table: PythonTable
    directory: Path
    scratch: Path
    _built: dict[Path, Path] = field(default_factory=dict)
    """Wheels of local packages, by source: pure Python is built once for all targets."""

    def collect(self, target: Target, into: Path, progress: Progress) -> Collected:
        """As `Source.collect`."""
        runtimes = [facts.name for facts in target.facts if facts.language is Language.PYTHON]
        packages: list[Package] = []
        warnings: list[str] = []
        filled: dict[str, Path] = {}
        for runtime in runtimes:
            python = PythonTarget.of(runtime, target.architecture)
            place = Path(tempfile.mkdtemp(dir=self.scratch))
            site = place / python.directory(flat=self.table.flat)
            digests, told = self._fill(site, python, progress)
            with open_contents(place) as contents:
                found = packages_of(contents)
            packages += [replace(package, digest=digests.get(canonicalize_name(package.name), "")) for package in found]
            warnings += told
            if self.table.flat and filled:
                first = next(iter(filled))
                _check_same(filled[first], place, first, runtime)
            filled[runtime] = place
        for place in list(filled.values())[: 1 if self.table.flat else None]:
            merge(place, into, "[python]", {})
        if self.table.flat:
            packages = list(dict.fromkeys(packages))
        return Collected(tuple(packages), tuple(dict.fromkeys(warnings)))

    def _fill(self, site: Path, target: PythonTarget, progress: Progress) -> tuple[dict[str, str], list[str]]:
        """Install for one runtime; returns digests of wheels by name of the package, and warnings."""
        where = f"{target.runtime} on {target.architecture}"
        progress(f"Resolving for {where} ({target.platform})")
        scratch = Path(tempfile.mkdtemp(dir=self.scratch))
        table, warnings = self.table, []
        locked = self._locks(target, scratch)
        loose = self._loose(scratch)
        for file in (*table.requirements_files, *([table.pyproject] if table.pyproject else [])):
            if not file.is_file():
                raise LayerBuildError(f"There is no requirements file {file}")
        inputs = [*locked, *loose, *table.requirements_files]
        inputs += [table.pyproject] if table.pyproject is not None else []
        only_locked = bool(locked) and len(inputs) == len(locked)
        resolution = resolve(
            inputs,
            target,
            scratch,
            extras=table.extras if table.pyproject is not None else (),
            groups=[f"{table.pyproject}:{group}" for group in table.groups] if table.pyproject is not None else (),
            with_dependencies=not only_locked,
            directory=self.directory,
        )
        if not resolution.packages:
            raise LayerBuildError(f"The requirements name no package for {where}")
        if resolution.offline:
            warnings.append(OFFLINE)
        from_locks, from_files = _hashes(locked), _hashes(table.requirements_files)
        built = self._build(resolution.packages, progress)
        pinned = from_locks | from_files
        if locked and not only_locked:
            free = [one.name for one in resolution.packages if one.name not in pinned and one.name not in built]
            if free:
                warnings.append(f"not locked, so that another build may take other versions: {', '.join(free)}")
        strict = bool(from_files) or only_locked
        count = len(resolution.packages)
        progress(f"Installing {count} package{'' if count == 1 else 's'} for {where}")
        lines = lines_to_install(resolution.packages, built, pinned, strict=strict)
        install(site, target, lines, scratch, self.directory)
        clean(site)
        digests = {
            one.name: f"sha256:{one.sha256}"
            for one in resolution.packages
            if one.sha256
            and one.name not in built
            and f"sha256:{one.sha256}" in pinned.get(one.name, {f"sha256:{one.sha256}"})
        }
        return digests, warnings

    def _locks(self, target: PythonTarget, scratch: Path) -> list[Path]:
        """What locks pin, as requirements files."""
        table, files = self.table, []
        if table.uv_lock is not None:
            files.append(scratch / "uv-lock.txt")
            export_uv_lock(table.uv_lock, files[-1], extras=table.extras, groups=table.groups)
            check_python(table.uv_lock, target)
        if table.poetry_lock is not None:
            lock = PoetryLock.read(table.poetry_lock, table.extras, table.groups)
            files.append(scratch / "poetry-lock.txt")
            indexes = [f"--extra-index-url {url}" for url in lock.indexes]
            lines = [*indexes, *lock.requirements(target)]
            files[-1].write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return files

    def _loose(self, scratch: Path) -> list[Path]:
        """Requirements and local packages, as a requirements file."""
        lines = [*map(self._absolute, self.table.requirements), *map(str, self.table.packages)]
        for package in self.table.packages:
            check_local(package)
        if not lines:
            return []
        file = scratch / "requirements.txt"
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return [file]

    def _absolute(self, requirement: str) -> str:
        """A requirement whose path starts at the recipe's directory, wherever the file is that it is written to."""
        if "\n" in requirement or requirement.startswith("-"):
            raise LayerBuildError(f"{requirement!r} is not a requirement; options belong into a requirements file")
        named = requirement.partition("[")[0]
        is_path = "://" not in requirement and (
            named.startswith((".", "/", "~")) or named.endswith((".whl", ".tar.gz"))
        )
        return str(self.directory.absolute() / Path(requirement).expanduser()) if is_path else requirement

    def _build(self, packages: tuple[Chosen, ...], progress: Progress) -> dict[str, Path]:
        """Wheels of what is source code here, by name of the package."""
        found: dict[str, Path] = {}
        for package in packages:
            if not package.is_source:
                continue
            if package.path is None:
                raise LayerBuildError(
                    f"{package.name} is source code, and a layer is made of wheels only: build a wheel first "
                    "(uv build --wheel) and name that"
                )
            if package.path not in self._built:
                progress(f"Building {package.name} from {package.path}")
                self._built[package.path] = build_wheel(package.path, Path(tempfile.mkdtemp(dir=self.scratch)))
            found[package.name] = self._built[package.path]
        return found


def check_python(lock: Path, target: PythonTarget) -> None:
    """Refuse a `uv.lock` that is for other versions of Python.

    Raises:
        LayerBuildError: It is.
    """
    wanted = str(tomllib.loads(lock.read_text(encoding="utf-8")).get("requires-python", ""))
    try:
        fits = any(f"{target.version}.{patch}" in SpecifierSet(wanted) for patch in (0, 999))
    except InvalidSpecifier:
        return
    if not fits:
        raise LayerBuildError(
            f"{lock} is for Python {wanted}, and {target.runtime} is not among it: choose another runtime, or change "
            "requires-python in the project and lock it again"
        )


def _hashes(files: Iterable[Path]) -> dict[str, frozenset[str]]:
    """The hashes in requirements files and in those that they include, by name of the package."""
    found: dict[str, frozenset[str]] = {}
    todo, seen = list(files), set[Path]()
    while todo:
        file = todo.pop().resolve()
        if file in seen or not file.is_file():  # one that is missing uv has told of
            continue
        seen.add(file)
        text = file.read_text(encoding="utf-8", errors="replace")
        todo += [file.parent / name for name in included_in(text)]
        for name, hashes in hashes_in(text).items():
            found[name] = found.get(name, frozenset()) | hashes
    return found


def clean(site: Path) -> None:
    """Remove what installers and this machine left among the packages."""
    for path in list(walk(site)):
        name = path.relative_to(site)
        in_metadata = name.parts[0].endswith(".dist-info")
        # Console scripts name this machine's interpreter in their first line, and are on no PATH there.
        is_script = name.parts[0] == "bin" and not _is_elf(path)
        left = "__pycache__" in name.parts or name.parts == (".lock",)
        if left or is_script or (in_metadata and name.name in _INSTALLER_FILES):
            path.unlink()


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _ELF_MAGIC


def _check_same(one: Path, other: Path, runtime: str, another: str) -> None:
    """Refuse one directory for two runtimes that need different files."""
    names = {str(path.relative_to(root)) for root in (one, other) for path in walk(root)}
    for name in sorted(names):
        first, second = one / name, other / name
        if not first.is_file() or not second.is_file() or not filecmp.cmp(first, second, shallow=False):
            short = name.removeprefix("python/")
            raise LayerBuildError(
                f"{runtime} and {another} need different packages ({short} is not the same): leave out flat, so that "
                "each has its own directory"
            )
