"""Whether the runtime's C and C++ libraries have what compiled code asks of them."""

import re
from collections.abc import Iterator
from typing import Final

from lamella.layers.doctor.elf import ElfFacts, ElfKind
from lamella.layers.doctor.libraries import Found, find_library, is_seen
from lamella.layers.doctor.machine import is_chosen
from lamella.layers.doctor.subject import CheckedLayer, Subject, listed
from lamella.layers.facts import AL2023, OperatingSystem
from lamella.layers.findings import Finding

_VERSION: Final = re.compile(r"(GLIBC|GLIBCXX|CXXABI)_(\d{1,4}(?:\.\d{1,4}){1,3})")
_RELATIVE_RELOCATIONS: Final = "GLIBC_ABI_DT_RELR"
"""The mark of relocations that glibc knows from 2.36 on. Source: its release notes."""


def too_new(subject: Subject) -> Iterator[Finding]:
    """Symbol versions that the runtime's libraries lack; for each system, the highest, and who asks for it."""
    for system in subject.systems:
        runtimes = [runtime for runtime in subject.runtimes if runtime.system is system]
        for layer in subject.layers:
            for family, code in (("GLIBC", "glibc-too-new"), ("GLIBCXX", "libstdcxx-too-new")):
                worst: list[tuple[tuple[int, ...], str, str]] = []
                for name, elf in layer.elves():
                    if elf.kind is ElfKind.OTHER or is_chosen(name) or not is_seen(subject, layer, name):
                        continue
                    found = _highest(subject, name, elf, system, family)
                    if found is not None:
                        worst.append((*found, name))
                if worst:
                    yield _finding(layer, code, sorted(worst, reverse=True), system, [r.name for r in runtimes])


def _highest(
    subject: Subject, name: str, elf: ElfFacts, system: OperatingSystem, family: str
) -> tuple[tuple[int, ...], str] | None:
    """The highest version that a file wants and the system lacks, as numbers and by name."""
    best: tuple[tuple[int, ...], str] | None = None
    for library, version in elf.wants:
        numbers = _numbers(version, system, family)
        if numbers is None or (best is not None and numbers <= best[0]):
            continue
        runtime = next((runtime for runtime in subject.runtimes if runtime.system is system), None)
        place = find_library(subject, name, elf, library, runtime)
        if place.found is Found.LAYER and version in _has(subject, place.name):
            continue
        best = (numbers, version)
    return best


def _numbers(version: str, system: OperatingSystem, family: str) -> tuple[int, ...] | None:
    """Of a version that the system lacks; `None` if it has it, or if it is of another family."""
    if version == _RELATIVE_RELOCATIONS:
        return (2, 36) if family == "GLIBC" and system.glibc < (2, 36) else None
    match = _VERSION.fullmatch(version)
    if match is None:
        return None
    numbers = tuple(int(part) for part in match[2].split("."))
    limits: dict[str, tuple[int, ...]] = {"GLIBC": system.glibc, "GLIBCXX": system.glibcxx, "CXXABI": system.cxxabi}
    # Both are libstdc++'s, and one is never newer without the other.
    of = "GLIBC" if match[1] == "GLIBC" else "GLIBCXX"
    return numbers if of == family and numbers > limits[match[1]] else None


def _has(subject: Subject, name: str) -> frozenset[str]:
    facts = subject.layers[subject.tree.owner[name]].survey.files.get(name)
    return facts.elf.has if facts is not None and facts.elf is not None else frozenset()


def _finding(
    layer: CheckedLayer,
    code: str,
    worst: list[tuple[tuple[int, ...], str, str]],
    system: OperatingSystem,
    runtimes: list[str],
) -> Finding:
    _, version, name = worst[0]
    names = [file for _, _, file in worst]
    who = f"{listed(runtimes)} ({system.title})" if runtimes else f"the newest runtimes ({system.title})"
    if code == "glibc-too-new":
        has, library = "glibc " + ".".join(map(str, system.glibc)), "libc.so.6"
    else:
        has, library = "GLIBCXX_" + ".".join(map(str, system.glibcxx)), "libstdc++.so.6"
    newer = "" if system is AL2023 else ", or a runtime on Amazon Linux 2023"
    return layer.finding(
        code,
        name,
        f"{listed(names)} need{'s' if len(names) == 1 else ''} the symbol version {version}, and {who} has {has}: "
        f"'/lib64/{library}: version `{version}' not found'.",
        f"Take a build for an older system: lamella layer build ... chooses wheels that fit{newer}; or build it on "
        f"{system.title}",
        runtime=runtimes[0] if len(runtimes) == 1 else "",
    )
