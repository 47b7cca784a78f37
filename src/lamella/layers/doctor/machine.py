"""Whether programs and libraries are for the architectures and the system that functions run on."""

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from lamella.domain.function import Architecture
from lamella.layers.doctor.elf import ElfFacts, ElfKind
from lamella.layers.doctor.subject import CheckedLayer, Subject, megabytes, others
from lamella.layers.findings import Finding

# Packages of Node.js bring binaries for many platforms and choose when they are loaded: `prebuilds/darwin-x64/…`,
# `@img/sharp-win32-x64`, `@esbuild/linux-arm64`, `node.napi.musl.node`.
_CHOSEN: Final = re.compile(
    r"(?:^|[/_.@-])(?:linux|darwin|win32|freebsd|android|sunos|aix|linuxmusl|musl)(?:[_-]?(?:x64|arm64|arm|ia32|armv[67]l?|"
    r"s390x|ppc64le?|ppc64|riscv64|x86_64|aarch64|gnu|musl|glibc|universal))?(?:[/_.-]|$)"
)
_PYTHON_PACKAGE: Final = re.compile(r"python/(?:lib/python\d\.\d+/site-packages/)?[^/]+/")
_TARGET: Final = {Architecture.X86_64: "x86_64", Architecture.ARM64: "arm64"}
_ANYWHERE: Final = frozenset(_TARGET.values())
_ON: Final = {"x86_64": "x86_64", "arm64": "arm64 (aarch64)", "i386": "32-bit x86", "arm": "32-bit ARM"}
_SKIPPED: Final = (".o", ".debug", ".a", ".ko")


def architectures(subject: Subject) -> Iterator[Finding]:
    """Compiled code for another machine than those declared."""
    for layer in subject.layers:
        yield from _of_layer(subject, layer, _by_machine(layer))


def _by_machine(layer: CheckedLayer) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, elf in layer.elves():
        if elf.kind is not ElfKind.OTHER and not name.endswith(_SKIPPED):
            found.setdefault(elf.machine, []).append(name)
    return found


def _wanted(subject: Subject, by_machine: Mapping[str, Sequence[str]]) -> tuple[set[str], set[str]]:
    """Machines that the layer is for, and those that it has code for."""
    wanted = {_TARGET[architecture] for architecture in subject.architectures} or {"x86_64", "arm64"}
    held = {machine for machine, names in by_machine.items() if any(not is_chosen(name) for name in names)}
    if subject.architectures == () and len(held & wanted) == 1:
        wanted = held & wanted
    return wanted, held


def _of_layer(subject: Subject, layer: CheckedLayer, by_machine: dict[str, list[str]]) -> Iterator[Finding]:
    wanted, held = _wanted(subject, by_machine)
    served = _served(layer, wanted)
    for machine, names in by_machine.items():
        wrong = [name for name in names if not is_chosen(name) and package_of(name) not in served]
        if machine not in wanted and wrong:
            target = " or ".join(sorted(wanted))
            yield layer.finding(
                "wrong-architecture",
                wrong[0],
                f"It is built for {_ON.get(machine, machine)}{others(wrong)}, and the layer is for {target}: "
                f"{_consequence(wrong[0])}",
                f"lamella layer build ... --architecture {min(wanted)}",
            )
    if len(subject.architectures) > 1 and len(held & wanted) == 1:
        machine = next(iter(held & wanted))
        missing = next(iter(wanted - held))
        names = [name for name in by_machine[machine] if not is_chosen(name)]
        yield layer.finding(
            "one-architecture",
            names[0],
            f"The layer is declared for {' and '.join(sorted(wanted))}, but its compiled code is for {machine} alone"
            f"{others(names)}: functions on {missing} cannot load it.",
            f"lamella layer build ... --architecture {missing}, and publish one layer version for each architecture",
        )


def package_of(name: str) -> str:
    """The directory of the package that a file belongs to; empty if it belongs to none."""
    if "node_modules/" in name:
        before, found, after = name.rpartition("node_modules/")
        parts = after.split("/")
        return before + found + "/".join(parts[: 2 if parts[0].startswith("@") else 1])
    match = _PYTHON_PACKAGE.match(name)
    return match[0] if match else ""


def _served(layer: CheckedLayer, wanted: AbstractSet[str]) -> set[str]:
    """Packages that have a binary that fits: what else is in them is for elsewhere, and they choose."""
    return {package_of(name) for name, elf in layer.elves() if elf.machine in wanted and not elf.musl} - {""}


def _consequence(name: str) -> str:
    if name == "bootstrap" or name.startswith(("bin/", "extensions/")):
        return "'exec format error'."
    return "it cannot be loaded."


def is_chosen(name: str) -> bool:
    """Whether its path says for which platform it is, so that its package chooses among several."""
    return "node_modules/" in name and _CHOSEN.search(name[name.index("node_modules/") :]) is not None


def is_passed_over(subject: Subject, name: str, elf: ElfFacts) -> bool:
    """Whether it is for another platform than the layer's, so that its package chooses another one."""
    machines = {architecture.value for architecture in subject.architectures} or {"x86_64", "arm64"}
    return is_chosen(name) and (elf.machine not in machines or elf.musl)


def unused(subject: Subject) -> Iterator[Finding]:
    """Binaries for other machines and systems, in packages that choose among several."""
    for layer in subject.layers:
        by_machine = _by_machine(layer)
        wanted, _ = _wanted(subject, by_machine)
        served = _served(layer, wanted)
        names = [
            name
            for machine, found in by_machine.items()
            for name in found
            if machine not in wanted and (is_chosen(name) or package_of(name) in served)
        ]
        anywhere = _served(layer, _ANYWHERE)
        names += [
            name
            for name, facts in layer.survey.files.items()
            if facts.foreign and (is_chosen(name) or package_of(name) in anywhere)
        ]
        if names:
            yield _unused(layer, sorted(names))


def _unused(layer: CheckedLayer, names: list[str]) -> Finding:
    size = sum(layer.contents.entries[name].size_bytes for name in names)
    return layer.finding(
        "unused-prebuild",
        names[0],
        f"{len(names)} binar{'ies' if len(names) > 1 else 'y'} for other platforms than the layer's, "
        f"{megabytes(size)}.",
        "npm install --os=linux --cpu=x64 (or arm64) --libc=glibc ..., or delete them"
        if "node_modules/" in names[0]
        else "Delete them, if the size matters",
    )


def foreign(subject: Subject) -> Iterator[Finding]:
    """Programs and libraries for macOS or Windows."""
    for layer in subject.layers:
        by_system: dict[str, list[str]] = {}
        served = _served(layer, _ANYWHERE)
        for name, facts in layer.survey.files.items():
            if facts.foreign and not is_chosen(name) and package_of(name) not in served:
                by_system.setdefault(facts.foreign, []).append(name)
        for system, names in by_system.items():
            # Some packages bring launchers for Windows, e.g. setuptools' gui-64.exe, which nothing on Linux loads.
            loaded = [name for name in names if not name.lower().endswith((".exe", ".dll"))]
            if loaded:
                yield layer.finding(
                    "foreign-binary",
                    loaded[0],
                    f"It is built for {system}{others(loaded)}, and does not run on Linux.",
                    "lamella layer build ... installs for Lambda's platform, whatever this machine is",
                )
