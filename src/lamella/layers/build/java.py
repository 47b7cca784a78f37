"""Jars for Java runtimes: from Maven repositories with all they need, and from this machine."""

import fnmatch
import hashlib
import re
import struct
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lamella.layers.build.carry import place
from lamella.layers.build.maven import Artifact, Coordinates, Maven, licence_of
from lamella.layers.build.sources import Collected, Progress, Target
from lamella.layers.contents import open_contents
from lamella.layers.errors import LayerBuildError, LayerReadError
from lamella.layers.facts import Language
from lamella.layers.packages import Ecosystem, Package, packages_of

_DIRECTORY: Final = "java/lib"
_CLASS_MAGIC: Final = 0xCAFEBABE
_FIRST_CLASS_VERSION: Final = 44
"""Java N writes class files of version 44 + N. Source: Java virtual machine specification, 4.1."""

_NOT_RUN: Final = re.compile(r"META-INF/versions/.*|(.*/)?module-info\.class")
"""Classes of other Java releases than the oldest that a jar supports, and descriptors that the class path ignores."""

# Gradle locks platforms as well, which have no jar.
_PLATFORM: Final = re.compile(r".*-(bom|dependencies)")


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaSource:
    """Jars for `java/lib`; their bytes stay as they are.

    Attributes:
        coordinates: `group:artifact:version` or `group:artifact:version:classifier`, as Maven and Gradle have them.
        pom: A `pom.xml`, of which all dependencies at run time are taken, but not what it builds.
        gradle: A `gradle.lockfile`, of which exactly what is on the run-time class path is taken.
        jars: Files of this machine.
        exclude: `group:artifact`, with `*` for any; not taken, nor what only they need if they are of `coordinates`.
        repositories: Addresses of Maven repositories, asked before those of Maven's own settings.
    """

    coordinates: tuple[str, ...] = ()
    pom: Path | None = None
    gradle: Path | None = None
    jars: tuple[Path, ...] = ()
    exclude: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()

    def collect(self, target: Target, into: Path, progress: Progress) -> Collected:
        """As `Source.collect`.

        Raises:
            LayerBuildError: There is no Maven, no such artifact, no network; a jar is damaged.
        """
        artifacts = self._resolve(progress)
        artifacts = [
            artifact
            for artifact in artifacts
            if not any(fnmatch.fnmatchcase(artifact.key, pattern) for pattern in self.exclude)
        ]
        placed: dict[str, Path] = {}
        packages: list[Package] = []
        for artifact in artifacts:
            name = artifact.path.name
            if name in placed:  # two groups may have artifacts of one name
                name = f"{artifact.group}.{name}"
            placed[name] = artifact.path
            licence = licence_of(artifact)
            with artifact.path.open("rb") as file:
                digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            place_in = f"{_DIRECTORY}/{name}"
            packages.append(Package(Ecosystem.MAVEN, artifact.key, artifact.version, licence, place_in, digest))
        resolved = set(placed)
        for jar in self.jars:
            if not jar.is_file():
                raise LayerBuildError(f"There is no jar {jar}")
            if jar.name in placed:
                raise LayerBuildError(f"Two jars would be {_DIRECTORY}/{jar.name}; one of them is {jar}")
            placed[jar.name] = jar
        if not placed:
            raise LayerBuildError("No jar is left for the layer: name coordinates, a pom.xml, a gradle.lockfile, jars")
        newest = {name: class_version(path) for name, path in placed.items()}
        for name, path in sorted(placed.items()):
            place(path, into / _DIRECTORY / name, executable=False)
        packages += _said_by_themselves(into, set(placed) - resolved)
        return Collected(tuple(sorted(packages)), tuple(_warnings(newest, target)))

    def _resolve(self, progress: Progress) -> list[Artifact]:
        """What Maven finds for coordinates, pom.xml and lock: each artifact once."""
        if not (self.coordinates or self.pom or self.gradle):
            return []
        maven = Maven.find()
        found: dict[str, Artifact] = {}
        if self.pom is not None:
            pom = self.pom / "pom.xml" if self.pom.is_dir() else self.pom
            if not pom.is_file():
                raise LayerBuildError(f"There is no {pom}")
            progress(f"Resolving the dependencies of {pom.name} with Maven")
            found |= {artifact.identity: artifact for artifact in maven.resolve_pom(pom)}
        if self.coordinates:
            wanted = [Coordinates.parse(text) for text in self.coordinates]
            progress(f"Resolving {', '.join(map(str, wanted))} with Maven")
            artifacts = maven.resolve(wanted, self.repositories, self.exclude)
            found |= {artifact.identity: artifact for artifact in artifacts}
        if self.gradle is not None:
            locked = read_gradle_lock(self.gradle)
            progress(f"Fetching {len(locked)} artifacts of {self.gradle.name} with Maven")
            artifacts = maven.resolve(locked, self.repositories, ("*:*",))
            found |= {artifact.identity: artifact for artifact in artifacts}
        versions: dict[str, str] = {}
        for artifact in found.values():
            if versions.setdefault(artifact.unversioned, artifact.version) != artifact.version:
                raise LayerBuildError(
                    f"{artifact.key} is wanted in version {versions[artifact.unversioned]} and in {artifact.version}: "
                    "put all that is wanted into one pom.xml, so that Maven can choose"
                )
        return sorted(found.values(), key=lambda artifact: artifact.identity)


def read_gradle_lock(path: Path) -> list[Coordinates]:
    """What a lock of Gradle has for the class path at run time.

    Raises:
        LayerBuildError: It is not there, or is no such file.

    Source: Gradle user manual, "Locking dependency versions": `group:artifact:version=configuration,configuration`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        build = path.with_name("build.gradle")
        hint = f" ({build.name} itself is not read)" if build.exists() else ""
        raise LayerBuildError(
            f"There is no lock {path}{hint}: make one with gradle dependencies --write-locks, or name the coordinates"
        ) from error
    found: list[Coordinates] = []
    for line in lines:
        coordinates, separator, configurations = line.partition("=")
        if line.startswith("#") or not separator or coordinates == "empty":
            continue
        if "runtimeClasspath" in configurations.split(","):
            parsed = Coordinates.parse(coordinates.strip())
            if _PLATFORM.fullmatch(parsed.artifact) is None:
                found.append(parsed)
    if not found:
        raise LayerBuildError(f"{path} has nothing for the configuration runtimeClasspath")
    return found


def class_version(jar: Path) -> int:
    """The newest Java release that classes of a jar need, e.g. 17; 0 if it has no classes.

    Raises:
        LayerBuildError: It is not a jar that can be read.
    """
    newest = 0
    try:
        with zipfile.ZipFile(jar) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".class") or _NOT_RUN.fullmatch(info.filename):
                    continue
                with archive.open(info) as file:
                    head = file.read(8)
                if len(head) == 8:
                    magic, _, major = struct.unpack(">IHH", head)
                    newest = max(newest, major - _FIRST_CLASS_VERSION) if magic == _CLASS_MAGIC else newest
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise LayerBuildError(f"{jar} cannot be read as a jar: {error}") from error
    return newest


def _warnings(newest: dict[str, int], target: Target) -> Iterable[str]:
    for facts in target.facts:
        if facts.language is not Language.JAVA:
            continue
        too_new = {name: version for name, version in sorted(newest.items()) if version > int(facts.version)}
        for name, version in too_new.items():
            yield (
                f"{name} was compiled for Java {version}, and {facts.name} runs Java {facts.version}: its classes "
                "cannot be loaded (UnsupportedClassVersionError). Choose an older version of it, or a newer runtime"
            )


def _said_by_themselves(into: Path, names: set[str]) -> Sequence[Package]:
    """What jars of this machine say of themselves."""
    if not names:
        return []
    try:
        with open_contents(into / _DIRECTORY) as contents:
            return [
                Package(found.ecosystem, found.name, found.version, found.licence, f"{_DIRECTORY}/{found.directory}")
                for found in packages_of(contents)
                if found.directory in names
            ]
    except LayerReadError as error:
        raise LayerBuildError(str(error)) from error
