"""Whether modules for Node.js fit the declared versions of it, and have binaries for Lambda's platform."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from lamella.layers.doctor.machine import is_chosen, package_of
from lamella.layers.doctor.subject import CheckedLayer, Subject, listed, others
from lamella.layers.doctor.versions import satisfies
from lamella.layers.errors import LayerReadError
from lamella.layers.facts import NODE_ABI, Language, RuntimeFacts
from lamella.layers.findings import Finding
from lamella.layers.packages import Ecosystem

_IN_VERSION: Final = re.compile(r"nodejs/node(\d+)/node_modules/")
_PLATFORM: Final = re.compile(
    r"(?:linuxmusl|linux|darwin|win32|freebsd|android|sunos|aix)|(?:x64|arm64|armv?[67]?l?|ia32|s390x|ppc64(?:le)?|riscv64)|"
    r"(?:musl|gnu|glibc|msvc)"
)
_NAMED_ABI: Final = re.compile(r"(?:[./-]abi|node-v)(\d{2,3})(?=[.-])")
_NEWEST_RELEASE: Final = 9999
_PACKAGE_MOST_BYTES: Final = 1024 * 1024


def runtimes_for(subject: Subject, name: str) -> tuple[RuntimeFacts, ...]:
    """The declared runtimes that search a file for modules."""
    match = _IN_VERSION.match(name)
    declared = subject.of(Language.NODE)
    if match is not None:
        return tuple(runtime for runtime in declared if runtime.version == match[1])
    return declared if name.startswith("nodejs/") else ()


def abi(subject: Subject) -> Iterator[Finding]:
    """Native modules that were compiled for one version of Node.js, which is not the runtime's."""
    for layer in subject.layers:
        versions: dict[str, dict[str, int]] = {}
        for name, elf in layer.elves():
            if name.endswith(".node"):
                named = _NAMED_ABI.search(name)
                version = 0 if elf.node_api else elf.node_abi or (int(named[1]) if named else 0)
                versions.setdefault(package_of(name), {})[name] = version
        for modules in versions.values():
            for runtime in runtimes_for(subject, next(iter(modules))):
                wrong = [name for name, version in modules.items() if version not in (0, runtime.node_abi)]
                if runtime.node_abi is None or not wrong or len(wrong) < len(modules):
                    continue  # of several, the package chooses the one that fits
                built = modules[wrong[0]]
                major = next((major for major, number in NODE_ABI.items() if number == built), "")
                yield layer.finding(
                    "wrong-node-abi",
                    wrong[0],
                    f"It is compiled for NODE_MODULE_VERSION {built}{f' (Node.js {major})' if major else ''}"
                    f"{others(wrong)}, and {runtime.name} has {runtime.node_abi}: 'was compiled against a different "
                    f"Node.js "
                    "version'.",
                    f"Install with Node.js {runtime.version}, or npm rebuild --target={runtime.version}.0.0",
                    runtime=runtime.name,
                )


def platforms(subject: Subject) -> Iterator[Finding]:
    """Packages that have binaries for other platforms, and none for Lambda's."""
    wanted = {architecture.value for architecture in subject.architectures} or {"x86_64", "arm64"}
    for layer in subject.layers:
        families: dict[str, list[str]] = {}
        usable: dict[str, set[str]] = {}
        for name, facts in layer.survey.files.items():
            if "node_modules/" not in name or not (facts.elf or facts.foreign) or not is_chosen(name):
                continue
            package = package_of(name)
            family = _PLATFORM.sub("", package).rstrip("-/_.")
            families.setdefault(family, []).append(name)
            if facts.elf is not None and not facts.elf.musl and "musl" not in name:
                usable.setdefault(family, set()).add(facts.elf.machine)
        for family, names in families.items():
            have = usable.get(family, set())
            lacking = wanted - have if subject.architectures else (set() if have & wanted else {"x86_64"})
            if lacking:
                cpu = "arm64" if lacking == {"arm64"} else "x64"
                packages = list(dict.fromkeys(package_of(name).rpartition("node_modules/")[2] for name in names))
                yield layer.finding(
                    "wrong-prebuild",
                    names[0],
                    f"{listed(packages)} has binaries, but none for Linux with glibc on "
                    f"{' and '.join(sorted(lacking))}: the "
                    "package cannot be loaded.",
                    f"npm install --prefix layer/nodejs --os=linux --cpu={cpu} --libc=glibc PACKAGE",
                )


def engines(subject: Subject) -> Iterator[Finding]:
    """Packages whose `engines.node` leaves the runtime out."""
    for layer in subject.layers:
        unfit: dict[str, list[tuple[str, str, str]]] = {}
        for package in layer.survey.packages:
            if package.ecosystem is not Ecosystem.NPM:
                continue
            runtimes = runtimes_for(subject, package.directory)
            wanted = _engine(layer, f"{package.directory}/package.json") if runtimes else ""
            for runtime in runtimes:
                if wanted and not satisfies((int(runtime.version), _NEWEST_RELEASE, 0), wanted):
                    unfit.setdefault(runtime.name, []).append(
                        (f"{package.name} {package.version}", wanted, package.directory)
                    )
        for runtime_name, found in unfit.items():
            name, wanted, directory = found[0]
            more = f" (and {len(found) - 1} more packages)" if len(found) > 1 else ""
            yield layer.finding(
                "node-engines",
                directory,
                f"{name} needs Node.js {wanted}{more}, and the layer is for {runtime_name}.",
                f"Install a version of {name.partition(' ')[0]} that supports {runtime_name}, or declare another "
                f"runtime",
                runtime=runtime_name,
            )


def _engine(layer: CheckedLayer, name: str) -> str:
    try:
        document: Any = json.loads(layer.contents.read(name, _PACKAGE_MOST_BYTES))  # Any: JSON, checked at once
    except (KeyError, ValueError, RecursionError, LayerReadError):
        return ""
    engines = document.get("engines") if isinstance(document, dict) else None
    wanted = engines.get("node") if isinstance(engines, dict) else None
    return wanted[:256] if isinstance(wanted, str) else ""
