"""Whether each shared library that a file needs is found, in the layers or in the runtime, as the loader would look.

The order is that of `ld.so(8)`: RPATH of the file and of those that led to it, `LD_LIBRARY_PATH`, RUNPATH, the system's
own. Lambda sets `LD_LIBRARY_PATH` to the runtime's and the system's directories before `/opt/lib` (developer guide,
"configuration-envvars"), so a copy of one of the system's libraries in `/opt/lib` is never loaded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from lamella.layers.doctor.chains import directories
from lamella.layers.doctor.elf import ElfFacts, ElfKind, is_musl
from lamella.layers.doctor.machine import is_passed_over
from lamella.layers.doctor.rules import RULES
from lamella.layers.doctor.subject import CheckedLayer, Subject, listed
from lamella.layers.facts import AL2023, RuntimeFacts
from lamella.layers.findings import Finding, Severity

_OPT_LIB: Final = "/opt/lib"
_STARTED: Final = ("bin/", "lib/", "extensions/")
"""What is in these stands alone; packages of a language may load a library before the module that needs it."""


_OF_LANGUAGES: Final = ("python/", "nodejs/", "java/", "ruby/")
"""What is in these is loaded by the runtime's own program."""
_User: TypeAlias = tuple[CheckedLayer, str, ElfFacts]


class Found(Enum):
    """Where a library was found."""

    LAYER = "in the layers"
    SYSTEM = "in the runtime"
    DOUBTFUL = "in the runtime's image, but not promised"
    ELSEWHERE = "in the layers, where the loader does not look"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a library is.

    Attributes:
        name: Below `/opt`, if it is in the layers.
    """

    found: Found
    name: str = ""


def is_seen(subject: Subject, layer: CheckedLayer, name: str) -> bool:
    """Whether a file of a layer is what is at that place in `/opt`."""
    return subject.layers[subject.tree.owner[name]] is layer


def find_library(subject: Subject, name: str, elf: ElfFacts, library: str, runtime: RuntimeFacts | None) -> Place:
    """Look for a library as the loader would.

    Args:
        subject: The layers.
        name: Below `/opt`, of the file that needs it.
        elf: That file.
        library: As it asks for it.
        runtime: `None` if none is declared.
    """
    tree, system = subject.tree, (AL2023 if runtime is None else runtime.system)
    certain = system.libraries if runtime is None else runtime.libraries
    if "/" in library:
        at = tree.resolve(library)
        return Place(Found.LAYER, at) if at else Place(Found.NOWHERE)
    inherited = () if elf.runpath else subject.inherited_paths.get(name, ())
    if elf.kind is ElfKind.LIBRARY and not elf.runpath and not name.startswith(_OF_LANGUAGES):
        inherited += subject.program_paths  # it is a plug-in of one of them, or needed by one
    for directory in (*directories(name, elf.rpath), *inherited):
        if at := tree.find(directory, library):
            return Place(Found.LAYER, at)
    if library in certain:
        return Place(Found.SYSTEM)
    for directory in (_OPT_LIB, *directories(name, elf.runpath)):
        if at := tree.find(directory, library):
            return Place(Found.LAYER, at)
    if library in system.doubtful:
        return Place(Found.DOUBTFUL)
    for at in tree.by_file_name.get(library, ()):
        if tree.resolve(f"/opt/{at}"):
            return Place(Found.ELSEWHERE, at)
    return Place(Found.NOWHERE)


def missing(subject: Subject) -> Iterator[Finding]:
    """Libraries that are missing, in the wrong place, or not promised; each once, with who needs it."""
    runtimes: tuple[RuntimeFacts | None, ...] = subject.runtimes or (None,)
    reported: set[tuple[str, Found]] = set()
    for runtime in runtimes:
        needs: dict[tuple[str, Found, str], list[_User]] = {}
        for layer in subject.layers:
            for name, elf in layer.elves():
                if not _is_looked_at(subject, layer, name, elf):
                    continue
                for library in elf.needed:
                    if is_musl(library):
                        continue
                    place = find_library(subject, name, elf, library, runtime)
                    if place.found in (Found.NOWHERE, Found.ELSEWHERE, Found.DOUBTFUL):
                        needs.setdefault((library, place.found, place.name), []).append((layer, name, elf))
        # Libraries that the same files need have one cause and one remedy.
        alike: dict[tuple[Found, tuple[str, ...]], tuple[list[_User], dict[str, str]]] = {}
        for (library, found, at), users in needs.items():
            if (library, found) in reported:  # of several runtimes, the first speaks for all
                continue
            reported.add((library, found))
            key = (found, tuple(name for _, name, _ in users))
            alike.setdefault(key, (users, {}))[1][library] = at
        for (found, _), (users, libraries) in alike.items():
            yield _finding(found, users, libraries, runtime)


def _is_looked_at(subject: Subject, layer: CheckedLayer, name: str, elf: ElfFacts) -> bool:
    if elf.kind is ElfKind.OTHER or not is_seen(subject, layer, name) or is_passed_over(subject, name, elf):
        return False
    machines = {architecture.value for architecture in subject.architectures}
    return elf.machine in (machines or {"x86_64", "arm64"})


def _finding(
    found: Found, users: Sequence[_User], libraries: Mapping[str, str], runtime: RuntimeFacts | None
) -> Finding:
    layer, name, elf = users[0]
    who = listed([user for _, user, _ in users])
    needs = f"{who} {'needs' if len(users) == 1 else 'need'} {', '.join(libraries)}"
    are = "is" if len(libraries) == 1 else "are"
    where = runtime.name if runtime else "the runtimes on Amazon Linux 2023"
    first = next(iter(libraries))
    collect = f"Put {', '.join(libraries)} into lib/: lamella layer build collects the libraries of programs"
    match found:
        case Found.ELSEWHERE:
            places = list(libraries.values())
            alone = elf.kind is ElfKind.PROGRAM or name.startswith(_STARTED) or "/" not in name
            return layer.finding(
                "library-not-found",
                name,
                f"{needs}, which {are} in the layer at {listed(places)}, but the loader looks in "
                f"{', '.join([*elf.rpath, '/opt/lib', *elf.runpath])} (LD_LIBRARY_PATH has /opt/lib).",
                f"Move {'it' if len(places) == 1 else 'them'} to lib/: mkdir -p lib && mv {' '.join(places)} lib/",
                # A package may load the library itself before its modules need it, as many that bring several do.
                severity=None if alone else Severity.NOTE,
            )
        case Found.DOUBTFUL:
            return layer.finding(
                "library-not-promised",
                name,
                f"{needs}, which {are} not in the layer and not known to be in the execution environment of {where}.",
                collect,
            )
        case _:
            return layer.finding(
                "missing-library",
                name,
                f"{needs}, which {are} neither in the layer nor in {where}: 'error while loading shared libraries: "
                f"{first}: cannot open shared object file'. Libraries of a layer are found in /opt/lib.",
                collect,
            )


def musl(subject: Subject) -> Iterator[Finding]:
    """Programs and libraries that were built for musl."""
    for layer in subject.layers:
        names = [
            name
            for name, elf in layer.elves()
            if _is_looked_at(subject, layer, name, elf)
            and elf.musl
            and not any(subject.tree.by_file_name.get(library) for library in elf.needed if is_musl(library))
        ]
        if names:
            yield RULES["musl-binary"].finding(
                names[0],
                f"{listed(names)}: built for musl (Alpine), which Lambda's runtimes do not have: "
                "'libc.musl-x86_64.so.1: cannot open shared object file', or 'no such file or directory'.",
                "Install the glibc build: lamella layer build ... chooses manylinux wheels, npm install --libc=glibc "
                "...",
                layer=layer.label,
            )


def loaders(subject: Subject) -> Iterator[Finding]:
    """Programs that ask for a dynamic loader that is not there."""
    for layer in subject.layers:
        for name, elf in layer.elves():
            loader = elf.interpreter
            if not loader or "ld-musl-" in loader or not _is_looked_at(subject, layer, name, elf):
                continue
            system = loader.startswith(("/lib64/", "/lib/", "/usr/lib64/", "/usr/lib/"))
            if (system and loader.rpartition("/")[2] in AL2023.libraries) or subject.tree.resolve(loader):
                continue
            yield layer.finding(
                "missing-interpreter",
                name,
                f"It asks for the dynamic loader {loader}, which is not there: 'no such file or directory'.",
                f"patchelf --set-interpreter /lib64/ld-linux-x86-64.so.2 {name}, or build it on Amazon Linux",
            )
