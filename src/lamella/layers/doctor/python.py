"""Whether Python packages fit the declared versions of Python, and have all that they need."""

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from email.parser import HeaderParser
from functools import cache
from itertools import islice
from typing import Final

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag
from packaging.version import InvalidVersion

from lamella.domain.function import Architecture
from lamella.layers.doctor.advisories import normal_name
from lamella.layers.doctor.subject import CheckedLayer, Subject, listed, others
from lamella.layers.errors import LayerReadError
from lamella.layers.facts import FACTS, Language, RuntimeFacts
from lamella.layers.findings import Finding
from lamella.layers.packages import Ecosystem, Package

_MODULE: Final = re.compile(r"(?P<stem>.+?)\.(?:cpython-(?P<major>\d)(?P<minor>\d+)[a-z]*-[^/]+|abi3|(?=so$))\.?so")
_IN_SITE: Final = re.compile(r"python/lib/python(\d\.\d+)/site-packages/")
# A tag stands for all that its parts can be put together to, so what is written in it is bounded.
_TAG: Final = re.compile(r"[\w.]{1,40}-[\w.]{1,40}-[\w.]{1,200}")
_METADATA_MOST_BYTES: Final = 4 * 1024 * 1024
_TEXT_MOST: Final = 1000
"""Characters of a requirement. Longer ones take packaging minutes, or have numbers that Python refuses."""
_VERSIONS_MOST: Final = 20
_REQUIREMENTS_MOST: Final = 20_000
"""Of all packages together; layers have some hundreds."""
_NEWEST_GLIBC: Final = 60
_MACHINE: Final = {Architecture.X86_64: "x86_64", Architecture.ARM64: "aarch64"}


def runtimes_for(subject: Subject, name: str) -> tuple[RuntimeFacts, ...]:
    """The runtimes that search a file for packages; none if it is not known which."""
    declared = subject.of(Language.PYTHON)
    match = _IN_SITE.match(name)
    if match is not None:
        own = FACTS.get(f"python{match[1]}")
        if not subject.runtimes:
            return (own,) if own is not None else ()
        return tuple(runtime for runtime in declared if runtime.version == match[1])
    return declared if name.startswith("python/") else ()


def modules(subject: Subject) -> Iterator[Finding]:
    """Extension modules that are there for other versions of Python only."""
    for layer in subject.layers:
        variants: dict[str, dict[str, str]] = {}
        for entry in layer.contents.files():
            if (
                entry.name.startswith("python/")
                and entry.name.endswith(".so")
                and (match := _MODULE.fullmatch(entry.name))
            ):
                version = f"{match['major']}.{match['minor']}" if match["major"] else "any"
                variants.setdefault(match["stem"], {})[version] = entry.name
        wrong: dict[str, list[str]] = {}
        for stem, found in variants.items():
            for runtime in runtimes_for(subject, stem):
                if "any" not in found and runtime.version not in found:
                    wrong.setdefault(runtime.name, []).append(next(iter(found.values())))
        for runtime_name, names in wrong.items():
            match = _MODULE.fullmatch(names[0])
            built = f"{match['major']}.{match['minor']}" if match else "another"
            yield layer.finding(
                "wrong-python-abi",
                names[0],
                f"It is compiled for Python {built}{others(names)}, and {runtime_name} does not see it: 'No module "
                f"named "
                f"{names[0].rpartition('/')[2].partition('.')[0]}'.",
                f"lamella layer build ... --runtime {runtime_name}",
                runtime=runtime_name,
            )


def metadata(subject: Subject) -> Iterator[Finding]:
    """What the packages say of themselves: tags of wheels, versions of Python, requirements, lists of files."""
    held: dict[str, dict[str, None]] = {}
    left = _REQUIREMENTS_MOST
    for layer in subject.layers:
        for package in _python_packages(layer):
            held.setdefault(normal_name(Ecosystem.PYPI, package.name), {})[package.version] = None
    missing: dict[tuple[str, str], tuple[CheckedLayer, Package, list[str], str]] = {}
    for layer in subject.layers:
        for package in _python_packages(layer):
            headers = _headers(layer, f"{package.directory}/METADATA") or _headers(
                layer, f"{package.directory}/PKG-INFO"
            )
            runtimes = runtimes_for(subject, f"{package.directory}/")
            yield from _wheel(layer, package, runtimes)
            yield from _record(layer, package)
            if headers is None:
                continue
            yield from _requires_python(layer, package, headers, runtimes)
            for runtime in runtimes:
                for requirement in _requirements(headers, runtime, subject.architectures, left):
                    left -= 1
                    name = normal_name(Ecosystem.PYPI, requirement.name)
                    if name in runtime.ships and name not in held:
                        continue
                    if name not in held:
                        entry = missing.setdefault((name, layer.label), (layer, package, [], str(requirement)))
                        if package.name not in entry[2]:
                            entry[2].append(package.name)
                    elif not any(_meets(requirement, version) for version in islice(held[name], _VERSIONS_MOST)):
                        yield layer.finding(
                            "wrong-dependency",
                            package.directory,
                            f"{package.name} {package.version} needs {requirement}, and the layers have "
                            f"{name} {listed(sorted(held[name]))}.",
                            f"lamella layer build {package.name} ... resolves all packages together",
                        )
    for (name, _), (layer, package, users, wanted) in missing.items():
        verb = "needs" if len(users) == 1 else "need"
        yield layer.finding(
            "missing-dependency",
            package.directory,
            f"{listed(users)} {verb} {wanted}, which is neither in the layers nor in the runtime: 'No module named "
            f"…', unless "
            "another layer or the function's code brings it.",
            f"lamella layer build {users[0]} {name} ...",
        )


def requirements_by_name(layer: CheckedLayer) -> dict[str, set[str]]:
    """What each Python package of a layer may require, by normalised names; for any of its extras too."""
    found: dict[str, set[str]] = {}
    left = _REQUIREMENTS_MOST
    for package in _python_packages(layer):
        headers = _headers(layer, f"{package.directory}/METADATA")
        names = found.setdefault(normal_name(Ecosystem.PYPI, package.name), set())
        texts = [] if headers is None else [str(text) for text in headers.get_all("Requires-Dist", [])[:left]]
        left -= len(texts)
        for text in texts:
            if len(text) <= _TEXT_MOST:
                with suppress(InvalidRequirement, RecursionError):
                    names.add(normal_name(Ecosystem.PYPI, Requirement(text).name))
    return found


def _python_packages(layer: CheckedLayer) -> Iterator[Package]:
    return (package for package in layer.survey.packages if package.ecosystem is Ecosystem.PYPI)


def _read(layer: CheckedLayer, name: str) -> str | None:
    if name not in layer.survey.files:
        return None
    try:
        return layer.contents.read(name, _METADATA_MOST_BYTES).decode("utf-8", "replace")
    except LayerReadError:
        return None


def _headers(layer: CheckedLayer, name: str) -> Message | None:
    text = _read(layer, name)
    return None if text is None else HeaderParser().parsestr(text, headersonly=True)


@cache
def _tags(version: str, machine: str) -> frozenset[Tag]:
    """Tags that fit a Python on a machine, however new their C library: that is told from the symbols."""
    major, minor = (int(part) for part in version.split("."))
    platforms = [f"manylinux_2_{number}_{machine}" for number in range(_NEWEST_GLIBC, 4, -1)]
    platforms += [f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux")]
    python = (major, minor)
    return frozenset(
        [*cpython_tags(python, platforms=platforms), *compatible_tags(python, f"cp{major}{minor}", platforms)]
    )


def _wheel(layer: CheckedLayer, package: Package, runtimes: tuple[RuntimeFacts, ...]) -> Iterator[Finding]:
    headers = _headers(layer, f"{package.directory}/WHEEL")
    texts = [] if headers is None else [str(text) for text in headers.get_all("Tag", [])][:64]
    tags = {tag for text in texts if _TAG.fullmatch(text) for tag in parse_tag(text)}
    if not tags:
        return
    for runtime in runtimes:
        # The architecture of what is in it is told from the files themselves.
        if any(tags & _tags(runtime.version, machine) for machine in _MACHINE.values()):
            continue
        text = texts[0]
        why = (
            "it is for musl (Alpine), and Lambda has glibc"
            if "musllinux" in text
            else "it is for macOS"
            if "macosx" in text
            else "it is for Windows"
            if "-win" in text
            else f"it is for Python {', '.join(sorted({_python(tag.interpreter) for tag in tags}))}"
        )
        yield layer.finding(
            "wrong-wheel",
            f"{package.directory}/WHEEL",
            f"{package.name} {package.version} was installed from a wheel {text}, which does not fit {runtime.name}: "
            f"{why}.",
            f"lamella layer build {package.name}=={package.version} --runtime {runtime.name}",
            runtime=runtime.name,
        )


def _python(interpreter: str) -> str:
    match = re.fullmatch(r"[a-z]+(\d)(\d*)", interpreter)
    return interpreter if match is None else f"{match[1]}.{match[2]}" if match[2] else match[1]


def _requires_python(
    layer: CheckedLayer, package: Package, headers: Message, runtimes: tuple[RuntimeFacts, ...]
) -> Iterator[Finding]:
    text = headers.get("Requires-Python")
    if not text or len(text) > _TEXT_MOST:
        return
    try:
        wanted = SpecifierSet(str(text))
    except InvalidSpecifier:
        return
    for runtime in runtimes:
        if not wanted.contains(f"{runtime.version}.99"):
            yield layer.finding(
                "requires-python",
                package.directory,
                f"{package.name} {package.version} needs Python {text}, and {runtime.name} has {runtime.version}.",
                f"lamella layer build {package.name} --runtime {runtime.name} chooses a version that fits",
                runtime=runtime.name,
            )


def _requirements(
    headers: Message, runtime: RuntimeFacts, architectures: tuple[Architecture, ...], most: int
) -> Iterator[Requirement]:
    environment = {
        "python_version": runtime.version,
        "python_full_version": f"{runtime.version}.0",
        "implementation_name": "cpython",
        "implementation_version": f"{runtime.version}.0",
        "platform_python_implementation": "CPython",
        "platform_machine": _MACHINE[architectures[0]] if architectures else "x86_64",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_release": "",
        "platform_version": "",
        "extra": "",
    }
    for text in headers.get_all("Requires-Dist", [])[: min(1000, max(most, 0))]:
        if len(text) > _TEXT_MOST:
            continue
        try:
            requirement = Requirement(str(text))
            if requirement.marker is not None and not requirement.marker.evaluate(environment):
                continue
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName, InvalidVersion, RecursionError):
            continue
        requirement.marker = None
        yield requirement


def _meets(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(version, prereleases=True)
    except InvalidVersion:
        return True


def _recorded(text: str) -> list[str]:
    try:
        return [row[0] for row in csv.reader(text.splitlines()[:100_000]) if row]
    except csv.Error:
        return []


def _record(layer: CheckedLayer, package: Package) -> Iterator[Finding]:
    """Modules that the package's own list names and that are not there."""
    text = _read(layer, f"{package.directory}/RECORD")
    if text is None:
        return
    site = package.directory.rpartition("/")[0]
    missing = []
    for name in _recorded(text):
        if name.startswith(("/", "..")) or not (name.endswith(("/__init__.py", ".so")) or name == "__init__.py"):
            continue
        if not re.search(r"(?:^|/)(?:tests?|testing|_tests?|examples?|docs?|benchmarks?)/", name) and (
            f"{site}/{name}" not in layer.contents.entries
        ):
            missing.append(name)
    if missing:
        yield layer.finding(
            "incomplete-package",
            f"{package.directory}/RECORD",
            f"{package.name} {package.version} lists {listed(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            f"not in "
            "the layer.",
            "Build it anew; do not rename files while zipping: (cd layer && zip -r ../layer.zip .)",
        )
