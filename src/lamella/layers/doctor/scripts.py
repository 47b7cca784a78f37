"""Whether what Lambda or a function starts can be started: mode, first line, line ends."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.contents import EntryKind
from lamella.layers.doctor.elf import ElfKind
from lamella.layers.doctor.libraries import is_seen
from lamella.layers.doctor.subject import CheckedLayer, Subject, listed, others
from lamella.layers.doctor.survey import FileFacts
from lamella.layers.facts import FACTS, Language, RuntimeFacts
from lamella.layers.findings import Finding, Severity

_SYSTEM: Final = frozenset({"/bin", "/usr/bin"})
_OS_ONLY: Final = FACTS["provided.al2023"]


@dataclass(frozen=True, slots=True)
class Started:
    """A file that something starts.

    Attributes:
        by_lambda: By Lambda itself; else by the function, by its name on `PATH`.
    """

    layer: CheckedLayer
    name: str
    facts: FileFacts
    by_lambda: bool


def started(subject: Subject) -> Iterator[Started]:
    """The bootstrap, the extensions, and what is in `bin/`."""
    for layer in subject.layers:
        for name, facts in layer.survey.files.items():
            if not is_seen(subject, layer, name) or facts.damage:
                continue
            if name == "bootstrap" and subject.runtimes and not subject.of(Language.NATIVE):
                continue  # managed runtimes have their own, see `structure.bootstrap`
            if name == "bootstrap" or re.fullmatch(r"extensions/[^/.][^/]*", name):
                yield Started(layer, name, facts, True)
            elif re.fullmatch(r"bin/[^/]+", name):
                yield Started(layer, name, facts, False)


def runtimes_of(subject: Subject, name: str) -> tuple[RuntimeFacts, ...]:
    """The runtimes in which a file is started; for a bootstrap those that have none of their own."""
    if name == "bootstrap":
        return subject.of(Language.NATIVE) or (_OS_ONLY,)
    return subject.runtimes or (_OS_ONLY,)


def modes(subject: Subject) -> Iterator[Finding]:
    """Files that cannot be executed, or not even be read."""
    for file in started(subject):
        entry = file.layer.contents.entries[file.name]
        program = file.facts.elf is not None and file.facts.elf.kind is ElfKind.PROGRAM
        if entry.executable or not (file.by_lambda or program or file.facts.head.startswith("#!")):
            continue
        why = "Lambda cannot start it" if file.by_lambda else "a function cannot start it by its name"
        yield file.layer.finding(
            "not-executable",
            file.name,
            f"Its mode is {entry.mode:04o}, so {why}: 'permission denied'.",
            f"chmod 755 {file.name} and zip it anew on Linux or macOS; Windows' zip has no modes",
        )
    for layer in subject.layers:
        unreadable = [
            entry.name
            for entry in layer.contents.entries.values()
            if (entry.kind is EntryKind.FILE and not entry.mode & 0o004)
            or (entry.kind is EntryKind.DIRECTORY and entry.mode & 0o005 != 0o005)
        ]
        if unreadable:
            mode = layer.contents.entries[unreadable[0]].mode
            yield layer.finding(
                "not-readable",
                unreadable[0],
                f"Its mode is {mode:04o}{others(unreadable)}, and functions run as a user that does not own it: "
                "'permission denied'.",
                "chmod -R go+rX layer, and zip it anew",
            )


def first_lines(subject: Subject) -> Iterator[Finding]:
    """Line ends of Windows, missing first lines, and interpreters that are not there."""
    for file in started(subject):
        if not file.facts.text:
            continue
        entry = file.layer.contents.entries[file.name]
        if not file.facts.head.startswith("#!"):
            if file.by_lambda or (entry.executable and entry.size_bytes):
                yield file.layer.finding(
                    "no-shebang",
                    file.name,
                    "It is text, and its first line does not begin with #!, so it cannot be started: 'exec format "
                    "error'.",
                    "Begin it with #!/bin/sh, or another interpreter that the runtime has",
                    severity=None if file.by_lambda else Severity.WARNING,
                )
            continue
        if file.facts.carriage_return:
            interpreter = file.facts.head[2:].strip()
            yield file.layer.finding(
                "windows-line-ends",
                file.name,
                f"Its lines end as Windows has it (CRLF), so the kernel looks for '{interpreter}\\r': 'no such file or "
                "directory', 'bad interpreter'.",
                f"sed -i 's/\\r$//' {file.name}",
            )
        yield from _interpreter(subject, file)


def _interpreter(subject: Subject, file: Started) -> Iterator[Finding]:
    program = interpreter_of(file.facts.head)
    if not program:
        return
    lacking = [runtime for runtime in runtimes_of(subject, file.name) if not _is_there(subject, program, runtime)]
    if not lacking:
        return
    everywhere = len(lacking) == len(runtimes_of(subject, file.name))
    by_whom = "Lambda starts it" if file.by_lambda else "It is started"
    name = PurePosixPath(program).name
    have = (
        ""
        if name not in {"python3", "node", "ruby", "python"}
        else f", and no {_LANGUAGE[name]} unless a layer brings it"
    )
    yield file.layer.finding(
        "missing-interpreter",
        file.name,
        f"{by_whom} with {file.facts.head[2:].strip()}, which {listed([runtime.name for runtime in lacking])} does not "
        f"have: 'no such file or directory'. OS-only runtimes have sh and bash{have}.",
        "Write it for sh, make it a program without needs (Go, Rust), or bring the interpreter in the layer",
        # Without declared runtimes nobody knows where it is to run.
        severity=None if everywhere and (subject.runtimes or file.name == "bootstrap") else Severity.WARNING,
    )


_LANGUAGE: Final = {"python3": "Python", "python": "Python", "node": "Node.js", "ruby": "Ruby"}


def interpreter_of(head: str) -> str:
    """The program that the first line of a script leads to: a path, or a name that `env` looks for in `PATH`."""
    words = head[2:].split()
    if not words:
        return ""
    if PurePosixPath(words[0]).name != "env":
        return words[0]
    rest = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return rest[0] if rest else ""


def _is_there(subject: Subject, program: str, runtime: RuntimeFacts) -> bool:
    if "/" not in program:
        # PATH is /var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin (developer guide, "configuration-envvars").
        return program in runtime.programs or subject.tree.resolve(f"/opt/bin/{program}") is not None
    path = PurePosixPath(program)
    if str(path.parent) == "/var/lang/bin":
        return path.name in runtime.programs
    if str(path.parent) in _SYSTEM:
        return path.name in _OS_ONLY.programs
    return subject.tree.resolve(program) is not None
