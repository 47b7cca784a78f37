"""`poetry.lock` without Poetry: which packages it locks for a target, with the hashes of their files.

Newer locks (2.1) say of each package under which markers and in which groups it is wanted. Of older ones that has to be
found out: from the project's own dependencies along those of each package, as Poetry does it.

Source: poetry-core's and Poetry's own `packages/locker.py`; "The lock file", python-poetry.org/docs.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lamella.domain.function import Architecture
from lamella.layers.errors import LayerBuildError
from lamella.layers.targets import PythonTarget

Table: TypeAlias = dict[str, Any]  # Any: TOML, looked at member by member

_MAIN: Final = "main"
_LINE: Final = re.compile(r"/|[A-Za-z0-9][A-Za-z0-9._-]*(?:==[A-Za-z0-9.+!_-]+ | @ \S+ )--hash=")
_URL: Final = re.compile(r"(?:https?|file)://[^\s#]+")
_MACHINE: Final = {Architecture.X86_64: "x86_64", Architecture.ARM64: "aarch64"}


def environment_of(target: PythonTarget) -> dict[str, str]:
    """What environment markers are evaluated against. Source: PEP 508, "Environment Markers"."""
    full = f"{target.version}.0"
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": _MACHINE[target.architecture],
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full,
        "python_version": target.version,
        "sys_platform": "linux",
    }


@dataclass(frozen=True, slots=True)
class PoetryLock:
    """A lock and the project that it belongs to.

    Attributes:
        directory: Paths of local packages start here.
    """

    lock: Table
    project: Table
    directory: Path
    extras: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    path: Path = field(default=Path("poetry.lock"))

    @classmethod
    def read(cls, path: Path, extras: Iterable[str] = (), groups: Iterable[str] = ()) -> "PoetryLock":
        """A lock from its file, and the `pyproject.toml` beside it.

        Raises:
            LayerBuildError: One is not there, or is not TOML.
        """
        project = path.with_name("pyproject.toml")
        if not path.is_file():
            raise LayerBuildError(f"There is no lock {path}: run poetry lock in {path.parent} first")
        if not project.is_file():
            raise LayerBuildError(f"Beside {path} there has to be the pyproject.toml that it was made from")
        documents = []
        for file in (path, project):
            try:
                documents.append(tomllib.loads(file.read_text(encoding="utf-8")))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
                raise LayerBuildError(f"{file} is not TOML: {error}") from None
        lock, about = documents
        named = frozenset(canonicalize_name(extra) for extra in extras)
        return cls(lock, about, path.absolute().parent, named, frozenset(groups), path)

    def requirements(self, target: PythonTarget) -> list[str]:
        """Lines of a requirements file, with hashes, for one target.

        Raises:
            LayerBuildError: The lock is not for this version of Python, or has something that cannot be built in.
        """
        try:
            return self._requirements(target)
        except (AttributeError, KeyError, TypeError, InvalidRequirement) as error:
            raise LayerBuildError(
                f"{self.path}, or its pyproject.toml, is not as Poetry writes it: {error!r}"
            ) from error

    def _requirements(self, target: PythonTarget) -> list[str]:
        environment = environment_of(target)
        allowed = self._metadata.get("python-versions", "*")
        if not satisfies(f"{target.version}.0", allowed) and not satisfies(f"{target.version}.999", allowed):
            raise LayerBuildError(f"{self.path} is for Python {allowed}, and {target.runtime} is not among it")
        wanted = self._by_marker(environment) if self._has_markers else self._by_walk(environment)
        lines = [self._line(package) for package in sorted(wanted, key=lambda package: str(package["name"]))]
        for line in lines:
            # It becomes a line that uv reads, which may as well be an option, or two lines.
            if not line.isprintable() or not _LINE.match(line):
                raise LayerBuildError(f"{self.path} locks something that is no package: {line[:200]!r}")
        return lines

    @property
    def _metadata(self) -> Table:
        metadata = self.lock.get("metadata", {})
        return metadata if isinstance(metadata, dict) else {}

    @property
    def _packages(self) -> list[Table]:
        packages = self.lock.get("package", [])
        if not isinstance(packages, list):
            raise LayerBuildError(f"{self.path} is not a lock of Poetry")
        return packages

    @property
    def _has_markers(self) -> bool:
        """Whether it is of version 2.1 or later."""
        match = re.match(r"(\d+)\.(\d+)", str(self._metadata.get("lock-version", "")))
        if match is None:
            raise LayerBuildError(f"{self.path} is not a lock of Poetry: it has no lock-version")
        return (int(match[1]), int(match[2])) >= (2, 1)

    def _by_marker(self, environment: dict[str, str]) -> Iterator[Table]:
        wanted = {_MAIN, *self.groups}
        for package in self._packages:
            groups = wanted & set(package.get("groups", [_MAIN]))
            markers = package.get("markers", "")
            for group in groups:
                marker = markers.get(group, "") if isinstance(markers, dict) else markers
                if holds(marker, environment, self.extras):
                    yield package
                    break

    def _by_walk(self, environment: dict[str, str]) -> list[Table]:
        by_name: dict[str, list[Table]] = {}
        for package in self._packages:
            by_name.setdefault(canonicalize_name(package["name"]), []).append(package)
        found: dict[int, Table] = {}
        seen: set[tuple[str, str, frozenset[str]]] = set()
        todo = list(self._roots(environment))
        while todo:
            name, constraint, extras = todo.pop()
            if (name, constraint, extras) in seen:
                continue
            seen.add((name, constraint, extras))
            for package in by_name.get(name, []):
                if not satisfies(package["version"], constraint) or not satisfies(
                    environment["python_full_version"], package.get("python-versions", "*")
                ):
                    continue
                found[id(package)] = package
                todo += self._dependencies(package, extras, environment)
        return list(found.values())

    def _roots(self, environment: dict[str, str]) -> Iterator[tuple[str, str, frozenset[str]]]:
        """What the project itself depends on: name, constraint and extras."""
        project = self.project.get("project", {})
        texts = list(project.get("dependencies", []))
        for extra, more in project.get("optional-dependencies", {}).items():
            texts += more if canonicalize_name(extra) in self.extras else []
        for text in texts:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                yield canonicalize_name(requirement.name), str(requirement.specifier), frozenset(requirement.extras)
        poetry = self.project.get("tool", {}).get("poetry", {})
        tables = [poetry.get("dependencies", {})]
        tables += [poetry.get("group", {}).get(group, {}).get("dependencies", {}) for group in self.groups]
        asked = {
            canonicalize_name(name)
            for extra, names in poetry.get("extras", {}).items()
            if canonicalize_name(extra) in self.extras
            for name in names
        }
        for table in tables:
            for name, value in table.items():
                if name != "python":
                    yield from self._alternatives(name, value, environment, (asked, self.extras))

    def _dependencies(
        self, package: Table, extras: frozenset[str], environment: dict[str, str]
    ) -> Iterator[tuple[str, str, frozenset[str]]]:
        known = {canonicalize_name(extra): texts for extra, texts in package.get("extras", {}).items()}
        asked = {
            canonicalize_name(re.split(r"[\s(\[;<>=!~]", text, maxsplit=1)[0])
            for extra in extras
            for text in known.get(canonicalize_name(extra), [])
        }
        for name, value in package.get("dependencies", {}).items():
            yield from self._alternatives(name, value, environment, (asked, extras))

    def _alternatives(
        self, name: str, value: object, environment: dict[str, str], chosen: tuple[set[Any], frozenset[str]]
    ) -> Iterator[tuple[str, str, frozenset[str]]]:
        """Of a dependency as Poetry writes it: a constraint, a table, or several tables for several environments.

        `chosen` has the optional dependencies that are wanted, and the extras by which they are.
        """
        asked, extras_of_owner = chosen
        for one in value if isinstance(value, list) else [value]:
            table: Table = one if isinstance(one, dict) else {"version": one}
            if table.get("optional") and canonicalize_name(name) not in asked:
                continue
            python = table.get("python", "*")
            if holds(table.get("markers", ""), environment, extras_of_owner) and satisfies(
                environment["python_full_version"], python
            ):
                extras = frozenset(canonicalize_name(extra) for extra in table.get("extras", []))
                yield canonicalize_name(name), str(table.get("version", "*")), extras

    def _line(self, package: Table) -> str:
        name, version = str(package["name"]), str(package["version"])
        source: Mapping[str, str] = package.get("source", {})
        kind = source.get("type", "")
        if kind == "directory":
            return str((self.directory / source["url"]).resolve())
        if kind == "git":
            raise LayerBuildError(
                f"{self.path} locks {name} as a commit of {source.get('url')}, which is source code, and a layer is "
                "made of wheels only: build a wheel of it and name that file as a requirement"
            )
        files = package.get("files") or self._metadata.get("files", {}).get(name, [])
        hashes = sorted({file["hash"] for file in files if file["hash"].startswith("sha256:")})
        if not hashes:
            raise LayerBuildError(f"{self.path} has no hash of {name}: run poetry lock again")
        where = f"{name}=={version}"
        if kind == "file":
            where = f"{name} @ {(self.directory / source['url']).resolve().as_uri()}"
        elif kind == "url":
            where = f"{name} @ {source['url']}"
        return " ".join([where, *(f"--hash={one}" for one in hashes)])

    @property
    def indexes(self) -> list[str]:
        """Addresses of package indexes beside the default one."""
        sources = [package.get("source", {}) for package in self._packages]
        urls = {str(source["url"]) for source in sources if source.get("type") == "legacy" and "url" in source}
        for url in urls:
            if not _URL.fullmatch(url):
                raise LayerBuildError(f"{self.path} names a package index that has no address: {url[:200]!r}")
        return sorted(urls)


def holds(marker: str, environment: dict[str, str], extras: Iterable[str]) -> bool:
    """Whether a marker holds with any of some extras, or without any.

    Raises:
        LayerBuildError: It is no marker.
    """
    if not marker:
        return True
    try:
        parsed = Marker(marker)
    except InvalidMarker as error:
        raise LayerBuildError(f"The lock has a marker that cannot be read: {error}") from None
    return any(parsed.evaluate({**environment, "extra": extra}) for extra in (*extras, ""))


def satisfies(version: str, constraint: str) -> bool:
    """Whether a version is within a constraint as Poetry writes it: `^1.2`, `~1.2`, `1.*`, `>=1,<2 || >=3`, `*`.

    What cannot be read counts as satisfied: it narrows the choice among versions that are locked, and no more.
    """
    return any(_within(version, part) for part in re.split(r"\s*\|\|?\s*", constraint))


def _within(version: str, constraint: str) -> bool:
    specifiers = [_specifier(part) for part in re.split(r"\s*,\s*|(?<=[\d*])\s+(?=[<>=!^~])", constraint.strip())]
    try:
        return Version(version) in SpecifierSet(",".join(one for one in specifiers if one), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


def _specifier(text: str) -> str:
    """One constraint of Poetry as PEP 440 has it."""
    text = text.strip()
    if text in ("", "*"):
        return ""
    if text.startswith(("^", "~")) and not text.startswith("~="):
        numbers = [int(number) for number in re.findall(r"\d+", text.split("-")[0])]
        if text.startswith("^"):
            at = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
        else:
            at = min(1, len(numbers) - 1)
        upper = ".".join(str(number) for number in [*numbers[:at], numbers[at] + 1])
        return f">={text[1:].strip()},<{upper}"
    if text[0].isdigit():
        return f"=={text}"
    return text
