"""Which packages are in a layer, found as each ecosystem's own tools find what is installed."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final

from lamella.layers.contents import DAMAGE, ContentEntry, LayerContents
from lamella.layers.zips import of_bytes

_METADATA_MOST_BYTES: Final = 4 * 1024 * 1024
_PROPERTIES_MOST_BYTES: Final = 64 * 1024
_SHADED_MOST: Final = 1000
"""Packages in one jar; the largest that people make have some hundreds."""
_TEXT_MOST: Final = 256
"""Characters of a name or a version; those of PyPI, npm and Maven are shorter."""
_LICENCE_MOST: Final = 2000
_GEM: Final = re.compile(r"(?P<name>.+)-(?P<version>\d[\w.]*)")
_JAR: Final = re.compile(r"(?P<name>.+?)-(?P<version>\d[\w.+-]*)\.jar")


class Ecosystem(StrEnum):
    """Where a package comes from, by the name that package URLs have for it."""

    PYPI = "pypi"
    NPM = "npm"
    MAVEN = "maven"
    GEM = "gem"
    DEBIAN = "deb"


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A package inside a layer.

    Attributes:
        name: As its ecosystem writes it; of Maven's `group:artifact`, or the artifact alone if the group is not known.
        licence: As its metadata states it, an SPDX expression or a name; empty if they do not.
        directory: What it was found by: the directory or file below `/opt` that holds its metadata.
        digest: Of the file that it came in (wheel, tarball, jar), e.g. `sha256:` and 64 hex digits; empty if not known.
    """

    ecosystem: Ecosystem
    name: str
    version: str
    licence: str = ""
    directory: str = ""
    digest: str = ""

    @property
    def purl(self) -> str:
        """Its package URL. Source: package-url/purl-spec, "purl-types"."""
        name = self.name.lower().replace("_", "-") if self.ecosystem is Ecosystem.PYPI else self.name
        if self.ecosystem is Ecosystem.MAVEN:
            name = name.replace(":", "/")
        kind = "deb/debian" if self.ecosystem is Ecosystem.DEBIAN else self.ecosystem.value
        return f"pkg:{kind}/{name.replace('@', '%40')}@{self.version.replace('+', '%2B')}"


def packages_of(contents: LayerContents) -> tuple[Package, ...]:
    """All packages of a layer, by ecosystem and name.

    Raises:
        LayerReadError: A file is damaged.
    """
    found: set[Package] = set()
    for entry in contents.files():
        found.update(packages_in(contents, entry))
    return tuple(sorted(found, key=lambda package: (package.ecosystem, package.name.lower(), package.version)))


def packages_in(contents: LayerContents, entry: ContentEntry) -> Iterable[Package]:
    """The packages that one file tells of: none of most files, several of a jar with others shaded into it.

    Raises:
        LayerReadError: It is damaged.
    """
    path = PurePosixPath(entry.name)
    directory = str(path.parent)
    if path.name == "METADATA" and path.parent.name.endswith(".dist-info"):
        return _python(contents.read(entry.name, _METADATA_MOST_BYTES), directory)
    if path.name == "PKG-INFO" and path.parent.name.endswith((".egg-info", "EGG-INFO")):
        return _python(contents.read(entry.name, _METADATA_MOST_BYTES), directory)
    if path.name == "package.json" and "node_modules" in path.parts and _is_package_root(path):
        return _node(contents.read(entry.name, _METADATA_MOST_BYTES), directory)
    if path.suffix == ".jar":
        return _java(contents, entry.name)
    if path.suffix == ".gemspec" and path.parent.name == "specifications":
        match = _GEM.fullmatch(path.stem)
        return () if match is None else (Package(Ecosystem.GEM, match["name"], match["version"], "", entry.name),)
    return ()


def _is_package_root(path: PurePosixPath) -> bool:
    """Whether it is `node_modules/name/package.json` or `node_modules/@scope/name/package.json`."""
    parent = path.parent
    above = parent.parent
    return above.name == "node_modules" or (above.name.startswith("@") and above.parent.name == "node_modules")


def _python(metadata: bytes, directory: str) -> Iterator[Package]:
    headers = HeaderParser().parsestr(metadata.decode("utf-8", "replace"), headersonly=True)
    name, version = headers.get("Name"), headers.get("Version")
    if not name or not version:
        return
    licence = str(headers.get("License-Expression") or "")
    if not licence:
        stated = str(headers.get("License") or "").strip()
        classified = [
            line.rpartition("::")[2].strip()
            for line in headers.get_all("Classifier", [])
            if str(line).startswith("License ::")
        ]
        # Some put the whole text of the licence into the header.
        licence = stated if stated and "\n" not in stated and len(stated) <= 80 else " OR ".join(classified)
    yield Package(Ecosystem.PYPI, str(name)[:_TEXT_MOST], str(version)[:_TEXT_MOST], licence[:_LICENCE_MOST], directory)


def _node(text: bytes, directory: str) -> Iterator[Package]:
    try:
        document: Any = json.loads(text)  # Any: JSON, looked at member by member
    except (ValueError, RecursionError):  # the latter where it is nested without end
        return
    if not isinstance(document, dict):
        return
    name, version, licence = document.get("name"), document.get("version"), document.get("license", "")
    if isinstance(licence, dict):  # as it was written before SPDX
        licence = licence.get("type", "")
    if isinstance(name, str) and isinstance(version, str):
        licence = licence[:_LICENCE_MOST] if isinstance(licence, str) else ""
        yield Package(Ecosystem.NPM, name[:_TEXT_MOST], version[:_TEXT_MOST], licence, directory)


def _java(contents: LayerContents, name: str) -> Iterator[Package]:
    """What a jar says of itself; a jar with others shaded into it has several."""
    found = False
    try:
        with of_bytes(contents.read(name)) as jar:
            poms = [
                member
                for member in jar.namelist()
                if member.startswith("META-INF/maven/") and member.endswith("/pom.properties")
            ]
            for member in poms[:_SHADED_MOST]:
                with jar.open(member) as file:
                    lines = file.read(_PROPERTIES_MOST_BYTES).decode("utf-8", "replace").splitlines()
                facts = dict(line.partition("=")[::2] for line in lines if "=" in line)
                if facts.get("artifactId") and facts.get("version"):
                    artifact = f"{facts.get('groupId', '').strip()}:{facts['artifactId'].strip()}"
                    version = facts["version"].strip()[:_TEXT_MOST]
                    yield Package(Ecosystem.MAVEN, artifact.lstrip(":")[:_TEXT_MOST], version, "", name)
                    found = True
    except (*DAMAGE, RuntimeError):  # RuntimeError: a member is encrypted
        return
    match = _JAR.fullmatch(PurePosixPath(name).name)
    if not found and match is not None:
        yield Package(Ecosystem.MAVEN, match["name"], match["version"], "", name)
