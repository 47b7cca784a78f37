"""Packages that are there more than once: in the runtime, in several layers, or twice in one; and vulnerable ones."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from lamella.layers.contents import EntryKind
from lamella.layers.doctor.advisories import normal_name
from lamella.layers.doctor.python import requirements_by_name
from lamella.layers.doctor.subject import CheckedLayer, Subject, listed, megabytes
from lamella.layers.facts import Language
from lamella.layers.findings import Finding, Severity
from lamella.layers.packages import Ecosystem, Package

_LANGUAGES: Final = (
    (Language.PYTHON, Ecosystem.PYPI),
    (Language.NODE, Ecosystem.NPM),
    (Language.RUBY, Ecosystem.GEM),
)
_SDK: Final = frozenset({"boto3", "botocore", "s3transfer", "aws-sdk"})
_DIRECTORIES: Final = {
    "python-dateutil": ("dateutil",),
    "six": ("six.py",),
    "snapshot-restore-py": ("snapshot_restore_py",),
}
_ADVISORIES_NAMED: Final = 5


def shipped(subject: Subject) -> Iterator[Finding]:
    """Packages that the runtime has anyway."""
    for layer in subject.layers:
        for language, ecosystem in _LANGUAGES:
            runtimes = subject.of(language)
            if not runtimes:
                continue
            found = [
                package
                for package in layer.survey.packages
                if package.ecosystem is ecosystem
                # In all of them: a layer that one of its runtimes needs is not wasted.
                and all(_is_shipped(package, runtime.ships) for runtime in runtimes)
                and package.directory.count("node_modules") <= 1
            ]
            required = _required(layer, found) if language is Language.PYTHON else set()
            # One that another package requires is not there by mistake, and costs little, unless it is the SDK.
            found = [one for one in found if one.name in _SDK or normal_name(ecosystem, one.name) not in required]
            if found:
                yield _shipped(layer, found, [runtime.name for runtime in runtimes], kept=bool(_SDK & required))


def _required(layer: CheckedLayer, found: Sequence[Package]) -> set[str]:
    """Which of them a package that the runtime has not may require: 'layer build --slim' keeps those."""
    needs = requirements_by_name(layer)
    names = {normal_name(Ecosystem.PYPI, package.name) for package in found}
    todo, required = [name for name in needs if name not in names], set[str]()
    while todo:
        more = needs[todo.pop()] & names - required
        required |= more
        todo += more
    return required


def _is_shipped(package: Package, ships: frozenset[str]) -> bool:
    name = normal_name(package.ecosystem, package.name)
    return any(fnmatchcase(name, pattern) for pattern in ships)


def _shipped(layer: CheckedLayer, found: list[Package], runtimes: list[str], *, kept: bool) -> Finding:
    # The SDK first; what it needs others need as well, and in versions of their own.
    found = sorted(found, key=lambda package: (package.name not in _SDK, package.name))
    sdk = any(package.name in _SDK or package.name.startswith("@aws-sdk/") for package in found)
    size = sum(_size(layer, package) for package in found)
    names = listed([f"{package.name} {package.version}" for package in found])
    verb = "is" if len(found) == 1 else "are"
    return layer.finding(
        "shipped-by-runtime",
        found[0].directory,
        f"{names} {verb} part of {listed(runtimes)} already: {megabytes(size)} of the layer are wasted, unless you "
        f"need {'this very version' if len(found) == 1 else 'these very versions'}.",
        "Remove them from what you install, with what they alone depend on"
        if found[0].ecosystem is not Ecosystem.PYPI
        else "Another package requires the SDK, so --slim keeps it: ask for that package without its extra, if so"
        if kept
        else "lamella layer build --slim ... leaves out what the runtime has; or remove them from the requirements",
        severity=None if sdk else Severity.NOTE,
    )


def _size(layer: CheckedLayer, package: Package) -> int:
    if package.ecosystem is not Ecosystem.PYPI:
        return sum(entry.size_bytes for entry in layer.contents.below(package.directory))
    site = package.directory.rpartition("/")[0]
    name = package.name.replace("-", "_")
    places = [package.directory, *(f"{site}/{place}" for place in _DIRECTORIES.get(package.name, (name,)))]
    single = sum(layer.contents.entries[place].size_bytes for place in places if place in layer.contents.entries)
    return single + sum(entry.size_bytes for place in places for entry in layer.contents.below(place))


def across_layers(subject: Subject) -> Iterator[Finding]:
    """The same package in several layers, and files that override others."""
    owners: dict[tuple[Ecosystem, str], list[tuple[CheckedLayer, Package]]] = {}
    for layer in subject.layers:
        for package in layer.survey.packages:
            if package.directory.count("node_modules") <= 1:
                owners.setdefault((package.ecosystem, normal_name(package.ecosystem, package.name)), []).append(
                    (layer, package)
                )
    for found in owners.values():
        layers = list(dict.fromkeys(layer.label for layer, _ in found))
        if len(layers) < 2:
            continue
        versions = sorted({package.version for _, package in found})
        last, package = found[-1]
        held = listed([f"{owner.label} has {of.version}" for owner, of in found])
        yield last.finding(
            "duplicate-package",
            package.directory,
            f"{package.name} is in several layers: {held}. "
            + (
                "Their files are mixed in /opt where they have the same names, and the search path decides otherwise."
                if len(versions) > 1
                else "One of them is enough."
            ),
            f"Leave {package.name} out of all layers but one",
            severity=None if len(versions) > 1 else Severity.NOTE,
        )
    yield from _overridden(subject)


def _overridden(subject: Subject) -> Iterator[Finding]:
    for number, layer in enumerate(subject.layers):
        for below in subject.layers[:number]:
            same: list[str] = []
            different: list[str] = []
            for name, entry in layer.contents.entries.items():
                other = below.contents.entries.get(name)
                if other is None or entry.kind is EntryKind.DIRECTORY or other.kind is EntryKind.DIRECTORY:
                    continue
                alike = (entry.size_bytes, entry.crc32, entry.target) == (other.size_bytes, other.crc32, other.target)
                (same if alike else different).append(name)
            if different:
                also = f" {len(same)} more are the same in both." if same else ""
                yield layer.finding(
                    "overridden-files",
                    different[0],
                    f"{len(different)} file{'s' if len(different) > 1 else ''} of {below.label} are hidden by others "
                    f"of the "
                    f"same name: {listed(different)}.{also}",
                    "lamella layer explain FUNCTION shows which layer each file comes from",
                )


def within_layer(subject: Subject) -> Iterator[Finding]:
    """Two copies of a package in one layer, in places that are searched alike."""
    for layer in subject.layers:
        copies: dict[tuple[Ecosystem, str, str], list[Package]] = {}
        for package in layer.survey.packages:
            if package.ecosystem is Ecosystem.NPM and package.directory.count("node_modules") > 1:
                continue  # each package may have its own
            if package.ecosystem is Ecosystem.MAVEN and ":" not in package.name:
                continue
            scope = _scope(package)
            if scope is not None:
                key = (package.ecosystem, normal_name(package.ecosystem, package.name), scope)
                copies.setdefault(key, []).append(package)
        for found in copies.values():
            places = list(dict.fromkeys(package.directory for package in found))
            if len(places) > 1:
                yield layer.finding(
                    "duplicate-in-layer",
                    places[1],
                    f"{found[0].name} is there {len(places)} times: "
                    + listed([f"{package.version} in {package.directory}" for package in found])
                    + ". Only the one that is found first is used.",
                    "Delete the directory, and build it anew: pip install -t does not remove what was there",
                )


def _scope(package: Package) -> str | None:
    """Copies with different scopes are for different runtimes; `None` for those that are not on a path at all."""
    match = re.match(r"python/lib/python(\d\.\d+)/site-packages/[^/]+$", package.directory)
    if match:
        return match[1]
    if re.match(r"python/[^/]+$", package.directory):
        return "flat"
    match = re.match(r"nodejs/(node\d+)?/?node_modules/", package.directory)
    if match:
        return match[1] or "all"
    return "java" if re.fullmatch(r"java/lib/[^/]+\.jar", package.directory) else None


def vulnerable(subject: Subject) -> Iterator[Finding]:
    """Versions that an advisory names."""
    for layer in subject.layers:
        for package in layer.survey.packages:
            found = sorted(subject.advisories.of(package), key=lambda item: (not item[0].severe, item[0].id))
            # The same vulnerability often has records of several databases.
            unique = list({min((item[0].id, *item[0].aliases)): item for item in reversed(found)}.values())[::-1]
            if not unique:
                continue
            texts = [
                advisory.id
                + (f" ({', '.join(advisory.aliases[:2])})" if advisory.aliases else "")
                + (f": {advisory.summary}" if advisory.summary else "")
                for advisory, _ in unique[:_ADVISORIES_NAMED]
            ]
            more = f"; and {len(unique) - _ADVISORIES_NAMED} more" if len(unique) > _ADVISORIES_NAMED else ""
            fixes = list(dict.fromkeys(fixed for _, fixed in unique if fixed))
            yield layer.finding(
                "vulnerable-package",
                package.directory,
                f"{package.name} {package.version} has a known vulnerability: {'; '.join(texts)}{more}.",
                f"Update {package.name}: mended in {listed(fixes)}"
                if fixes
                else f"No version of {package.name} mends it yet",
                severity=Severity.ERROR if any(advisory.severe for advisory, _ in unique) else None,
            )
