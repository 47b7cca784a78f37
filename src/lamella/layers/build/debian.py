"""Programs from Debian packages, for either architecture, with all they need and without installing anything.

The layer gets a part of a Debian system below `/opt/debian`: all that the named packages brought, and the libraries
that their programs and plugins need. Nothing there knows that it is not at `/`, so each program has a wrapper in `bin/`
that names its data by environment variables before it starts it.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from lamella.debian import DebianError, apt
from lamella.debian.unpack import Unpacked, copyright_of, libraries_below, unpack
from lamella.elf import ElfError, LibraryFinder, is_elf
from lamella.layers.build.carry import Carried, carry, carry_libraries, check_directory, place
from lamella.layers.build.sources import Collected, Progress, Target
from lamella.layers.build.wrapper import variables_of, wrapper
from lamella.layers.errors import LayerBuildError
from lamella.layers.packages import Ecosystem, Package

_PROGRAMS: Final = ("usr/bin", "usr/sbin", "usr/games")
_SHELLS: Final = frozenset({"/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash", "/usr/bin/env"})
_PACKAGE_OF: Final = {"/usr/bin/perl": "perl-base", "/usr/bin/python3": "python3-minimal"}
# Names that a package's installation would link to another program's, by update-alternatives.
_ALTERNATIVE: Final = re.compile(r"(?P<name>[a-z]+)-im[67]\.q16(hdri)?")
_LIBRARY: Final = re.compile(r"\.so(\.|$)")
_LINKED_FROM_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianSource:
    """Debian packages.

    Attributes:
        packages: Names, or `name=version`. All of them is taken, and all of the other packages that were built from the
            same source and are needed; of any others that are needed, the shared libraries alone.
        programs: Names of those to have in `bin/`; if empty all of the named packages', or none if there are libraries.
        libraries: Names of shared libraries (`libmagic.so.1`) to have in `lib/`, for the runtime to load.
        whole: Names of needed packages to take all of, such as `perl`.
        leave_out: Patterns of paths not to take: `usr/lib/git-core/git-http-*`.
        sources_list: Package sources to be used in place of this machine's. One of a snapshot pins all versions.
        directory: Of the packages' files, below `/opt`.
    """

    packages: tuple[str, ...]
    programs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    sources_list: Path | None = None
    directory: str = "debian"

    def collect(self, target: Target, into: Path, progress: Progress) -> Collected:
        """As `Source.collect`.

        Raises:
            LayerBuildError: A package is not to be had, brings no programs, or cannot run on the target.
        """
        check_directory(self.directory)
        try:
            return self._collect(target, into, progress)
        except DebianError as error:
            raise LayerBuildError(str(error)) from error

    def _collect(self, target: Target, into: Path, progress: Progress) -> Collected:
        fetched = apt.fetch(self.packages, target.architecture, self.sources_list, progress)
        named = {package.partition("=")[0] for package in self.packages}
        family = {deb.source for deb in fetched.debs if deb.name in named}
        whole = frozenset(deb.name for deb in fetched.debs if deb.source in family or deb.name in self.whole)
        unknown = set(self.whole) - {deb.name for deb in fetched.debs}
        if unknown:
            raise LayerBuildError(f"Nothing needs {', '.join(sorted(unknown))}: name it among the packages")
        with tempfile.TemporaryDirectory(prefix="lamella-debian-") as scratch:
            root = Path(scratch).resolve()
            progress(f"Unpacking {len(fetched.debs)} Debian packages")
            tree = unpack(fetched.debs, whole, root, self.leave_out)
            own = frozenset(deb.name for deb in fetched.debs if deb.source in family)
            programs = self._programs(tree, named, own)
            progress("Collecting libraries")
            filled, warnings = self._fill(tree, own, programs, target, into)
            packages = self._packages(fetched.debs, tree, own, filled)
            texts = (copyright_of(package.name) for package in packages)
            _copy(list(texts), root, into / self.directory)
        return Collected(packages, (*fetched.warnings, *warnings))

    def _programs(self, tree: Unpacked, named: set[str], own: frozenset[str]) -> dict[str, str]:
        """Names in `bin/`, and the paths of the programs: of the named packages and those built with them."""
        present = sorted(
            path for path in tree.whole if tree.owners[path] in own and str(PurePosixPath(path).parent) in _PROGRAMS
        )
        found = {PurePosixPath(path).name: path for path in reversed(present)}
        for name, path in list(found.items()):
            match = _ALTERNATIVE.fullmatch(name)
            if match is not None:
                found.setdefault(match["name"], path)
        missing = [name for name in self.programs if name not in found]
        if missing:
            known = ", ".join(sorted(found)) or "none at all"
            raise LayerBuildError(f"The packages have no program {', '.join(missing)}; they have {known}")
        if not found and not self.libraries:
            raise LayerBuildError(
                f"The packages {', '.join(sorted(named))} bring no programs themselves: name the packages that they "
                "depend on and that do, or the libraries that are wanted"
            )
        if self.libraries and not self.programs:
            return {}
        return {name: found[name] for name in self.programs or sorted(found)}

    def _fill(
        self, tree: Unpacked, own: frozenset[str], programs: Mapping[str, str], target: Target, into: Path
    ) -> tuple[dict[str, Path], list[str]]:
        """Put programs and libraries into the layer; returns the files by their names there, and what to warn of."""
        directories = [f"usr/lib/{apt.triplet(target.architecture)}", "usr/lib"]
        finder = LibraryFinder(
            libraries_below(tree.root), [], first=[tree.root / name for name in directories], root=tree.root
        )
        used: dict[str, Path] = {}
        warnings: list[str] = []
        if programs:
            kept = _kept(tree, own, programs, directories)
            carried, left_out = self._carry(kept, tree, target, into, finder)
            used |= {f"{self.directory}/{path}": tree.root / path for path in kept} | dict(carried.files)
            warnings += [*left_out, *carried.warnings(target, f"Programs of {', '.join(self.packages)} want version")]
            prefix = into / self.directory
            _copy(kept - {path for path in kept if _elf(tree.root / path)}, tree.root, prefix)
            _link(kept, tree.root, prefix)
            warnings += _mend_scripts(prefix, f"/opt/{self.directory}")
            variables = variables_of(prefix, f"/opt/{self.directory}")
            for name, path in programs.items():
                text = wrapper(f"/opt/{self.directory}/{path}", variables)
                _write(into / "bin" / name, text)
        if self.libraries:
            named = {}
            for library in self.libraries:
                found = finder.find_by_name(library)
                if found is None:
                    raise LayerBuildError(f"No library {library} is among the packages {', '.join(self.packages)}")
                named[library] = found
            used |= carry_libraries(named, target, into, finder)
        return used, warnings

    def _packages(
        self, debs: Sequence[apt.Deb], tree: Unpacked, own: frozenset[str], filled: Mapping[str, Path]
    ) -> tuple[Package, ...]:
        """The packages that something in the layer is from, with the largest of their files there."""
        largest: dict[str, tuple[int, str]] = {}
        for name, path in filled.items():
            source = path.resolve()
            if source.is_file() and source.is_relative_to(tree.root):
                owner = tree.owners.get(source.relative_to(tree.root).as_posix(), "")
                largest[owner] = max(largest.get(owner, (0, "")), (source.stat().st_size, name))
        named = {package.partition("=")[0] for package in self.packages}
        first = max(own & largest.keys(), key=lambda name: (name in named, *largest[name]), default="")
        found: list[Package] = []
        for deb in debs:
            if deb.name in largest:
                # What is no other package's is its, who was asked for.
                directory = self.directory if deb.name == first and not self.libraries else largest[deb.name][1]
                licence = tree.licences[deb.name]
                found.append(Package(Ecosystem.DEBIAN, deb.name, deb.version, licence, directory, deb.digest()))
        return tuple(found)

    def _carry(
        self, kept: set[str], tree: Unpacked, target: Target, into: Path, finder: LibraryFinder
    ) -> tuple[Carried, list[str]]:
        """Carry programs and plugins; a plugin whose libraries are in none of the packages is left out."""
        files: dict[str, Path] = {}
        left_out: list[str] = []
        seen: dict[str, str] = {}
        for path in sorted(path for path in kept if _elf(tree.root / path)):
            file = tree.root / path
            same = _digest(file)
            if same in seen:  # packages have some programs twice, as hard links
                file.unlink()
                file.symlink_to(os.path.relpath(seen[same], PurePosixPath(path).parent))
                continue
            try:
                finder.closure([file])
            except ElfError as error:
                if finder.read(file).interpreter is not None:
                    raise LayerBuildError(str(error)) from error
                left_out.append(f"{path} was left out: {str(error).replace(f'{tree.root}/', '')}")
                kept.discard(path)
                continue
            if file.stat().st_size >= _LINKED_FROM_BYTES:
                seen[same] = path
            files[f"{self.directory}/{path}"] = file
        return carry(files, f"{self.directory}/lib", target, into, finder), left_out


def _kept(tree: Unpacked, own: frozenset[str], programs: Mapping[str, str], directories: Sequence[str]) -> set[str]:
    """Paths to have in the layer: all but programs that are not wanted, and libraries, which are found later.

    Args:
        tree: The packages.
        own: Names of those whose programs are wanted, or not; of others, all are there for these.
        programs: Paths of the wanted programs.
        directories: Where libraries are.
    """
    wanted = set(programs.values())
    for path in programs.values():  # a program may be a link to another
        resolved = (tree.root / path).resolve()
        if resolved.is_relative_to(tree.root):
            wanted.add(resolved.relative_to(tree.root).as_posix())
    kept: set[str] = set()
    for path in tree.whole:
        parent = str(PurePosixPath(path).parent)
        unwanted = parent in _PROGRAMS and tree.owners[path] in own and path not in wanted
        if not unwanted and not (parent in directories and _LIBRARY.search(path)):
            kept.add(path)
    # Modules of Lua are links, from where Lua looks, to libraries that no program needs.
    linked = {(tree.root / path).resolve() for path in kept if (tree.root / path).is_symlink()}
    return kept | {path for path in tree.whole - kept if tree.root / path in linked and _LIBRARY.search(path)}


def _elf(path: Path) -> bool:
    return not path.is_symlink() and path.is_file() and is_elf(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(names: Iterable[str], root: Path, prefix: Path) -> None:
    for name in names:
        source = root / name
        if not source.is_symlink() and source.is_file():
            place(source, prefix / name, executable=bool(source.stat().st_mode & 0o100))


def _link(names: Iterable[str], root: Path, prefix: Path) -> None:
    """Make the links whose targets are in the layer, also those that lead to other links."""
    links = {name: (root / name).readlink() for name in sorted(names) if (root / name).is_symlink()}
    for name, target in links.items():
        path = prefix / name
        if not path.is_symlink():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
    while dangling := [name for name in links if (prefix / name).is_symlink() and not (prefix / name).exists()]:
        for name in dangling:
            (prefix / name).unlink()


def _mend_scripts(prefix: Path, at: str) -> list[str]:
    """Let scripts use an interpreter of the layer, if it has theirs; returns what to warn of."""
    lacking: dict[str, list[str]] = {}
    for path in sorted(prefix.rglob("*")):
        if path.is_symlink() or not path.is_file() or not path.stat().st_mode & 0o100:
            continue
        content = path.read_bytes()
        match = re.match(rb"#![ \t]*(/\S+)", content)
        if match is None:
            continue
        interpreter = os.fsdecode(match[1])
        own = prefix / f"usr{interpreter}" if interpreter.startswith("/bin/") else prefix / interpreter[1:]
        if interpreter in _SHELLS:
            continue
        if own.exists():
            path.write_bytes(b"#!" + os.fsencode(f"{at}/{own.relative_to(prefix)}") + content[match.end() :])
        else:
            lacking.setdefault(interpreter, []).append(path.name)
    return [
        f"Scripts for {interpreter}, which is not in the layer ({', '.join(names[:3])}"
        f"{f' and {len(names) - 3} more' if len(names) > 3 else ''}): if they are needed, name "
        f"{_PACKAGE_OF.get(interpreter, 'its package')} in `whole`"
        for interpreter, names in lacking.items()
    ]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise LayerBuildError(f"Two sources bring bin/{path.name}: leave one of them out")
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
