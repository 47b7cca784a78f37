"""What can be said of an extension without starting it: whether it could be, and what it seems to be there for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lamella.invoke.entrypoint import View, launch_problem
from lamella.invoke.processes import EXTENSIONS
from lamella.lifecycle.extension import MAX_EXTENSIONS
from lamella.ports.runtimes import RuntimePack

DEFAULT_COLLECTOR: Final = "TELEMETRY_ENDPOINT"
_READ_BYTES: Final = 32 * 1024 * 1024
_SUBSCRIPTIONS: Final = (b"/2022-07-01/telemetry", b"/2020-08-15/logs")
_PATH: Final = ("/var/lang/bin", "/usr/local/bin", "/usr/bin", "/bin", "/opt/bin")


@dataclass(frozen=True, slots=True)
class Hints:
    """What a program seems to be there for.

    Attributes:
        telemetry: It speaks of telemetry.
        collector: It mentions the variable that tells it where to send things.
    """

    telemetry: bool
    collector: bool


def view_of(pack: RuntimePack, layers: Sequence[Path], task: Path) -> View:
    """The files that an extension would see beside a function of a runtime."""
    return View(rootfs=pack.rootfs, task=task, layers=layers)


def names_of(view: View) -> tuple[str, ...]:
    """All extensions."""
    return view.files(EXTENSIONS)


def problem_of(name: str, pack: RuntimePack, view: View) -> str:
    """Why an extension cannot be started in a runtime, as the service words it; empty if it can be."""
    program = f"{EXTENSIONS}/{name}"
    problem = launch_problem(program, view, pack.architecture)
    if problem:
        interpreter = _first_line(name, view).split()[:1]
        missing = interpreter and "no such file" in problem and view.find(interpreter[0]) is None
        return f"{problem} (its first line names {interpreter[0]})" if missing else problem
    words = _first_line(name, view).split()
    if len(words) < 2 or not words[0].endswith("/env"):
        return ""
    wanted = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
    if not wanted or any(view.find(f"{folder}/{wanted}") is not None for folder in _PATH):
        return ""
    return f"{words[0]}: {wanted!r}: no such file or directory, and a script needs its interpreter"


def hints_of(name: str, view: View, collector: str) -> Hints:
    """What a program seems to be there for; a script by its words, another by the paths in it."""
    found = view.find(f"{EXTENSIONS}/{name}")
    if found is None or not found.is_file():
        return Hints(telemetry=False, collector=False)
    with found.open("rb") as file:
        text = file.read(_READ_BYTES)
    script = text.startswith(b"#!")
    telemetry = any(path in text for path in _SUBSCRIPTIONS) or "telemetry" in name.lower()
    telemetry = telemetry or (script and b"telemetry" in text.lower())
    return Hints(telemetry=telemetry, collector=bool(collector) and collector.encode() in text)


def files_problem(name: str, names: Sequence[str], pack: RuntimePack, view: View) -> str:
    """What is wrong with the files beside an extension; empty if nothing is."""
    if len(names) > MAX_EXTENSIONS:
        return f"There are {len(names)} files in extensions: {', '.join(names[:MAX_EXTENSIONS])} ..."
    wrong = [f"{other}: {problem}" for other in names if other != name and (problem := problem_of(other, pack, view))]
    return "; ".join(wrong)


def _first_line(name: str, view: View) -> str:
    """What follows `#!`; empty for what is no script."""
    found = view.find(f"{EXTENSIONS}/{name}")
    if found is None or not found.is_file():
        return ""
    with found.open("rb") as file:
        head = file.read(512)
    return head[2:].partition(b"\n")[0].decode("utf-8", "replace") if head.startswith(b"#!") else ""
