"""What came of a proof, in findings.

What a package wants only for some of its parts is no fault of the layer, so a failure counts as a warning where
functions are not expected to use the module by itself: it is private, or its distribution has another one that can be
imported, or it is for another platform. What another target brought along is not mentioned at all.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from lamella.layers.findings import Finding, Severity
from lamella.layers.proving.plan import Kind, Target
from lamella.layers.proving.reading import Outcome, Result

_CODES: Final = {
    Kind.PYTHON: "import-failed",
    Kind.NODE: "require-failed",
    Kind.JAVA: "class-load-failed",
    Kind.PROGRAM: "loader-failed",
    Kind.SCRIPT: "script-failed",
}
_DOING: Final = {
    Kind.PYTHON: "import {name}",
    Kind.NODE: "require('{name}')",
    Kind.JAVA: "Loading the classes of {name}",
    Kind.PROGRAM: "Loading {name}",
    Kind.SCRIPT: "Starting {name}",
}
_ELSEWHERE: Final = frozenset(
    {"winreg", "_winreg", "_winapi", "msvcrt", "win32api", "win32con", "win32file", "pywintypes", "pythoncom", "nt"}
    | {"AppKit", "Foundation", "objc", "CoreFoundation", "java", "org", "clr", "System", "js", "pyodide", "tkinter"}
)
"""Modules of other platforms, and of windows on a screen."""

_LIBRARY: Final = re.compile(r"(?P<name>[\w.+-]+\.so[\w.]*)(: cannot open shared object file| => not found)")
_VERSION: Final = re.compile(r"version [`'](?P<version>(GLIBC|GLIBCXX|CXXABI)_[\w.]+)' not found")
_CLASS_VERSION: Final = re.compile(r"class file version (\d+)")

_ALIKE_MOST: Final = 3
_BROKEN: Final = (Outcome.FAILED, Outcome.CRASHED, Outcome.TIMED_OUT)

NATIVE: Final = (
    "open shared object",
    "GLIBC",
    "CXXABI_",
    "ELF ",
    "undefined symbol",
    "too short",
    "NODE_MODULE_VERSION",
)
"""What errors speak of where a native library is the matter: no choice of the package's, so always an error."""


def findings_of(
    targets: Sequence[Target], results: Mapping[int, Result], loaded: set[int], runtime: str
) -> list[Finding]:
    """What is to be said of targets that were tried, in their order.

    Args:
        targets: As `plan_proof` made them.
        results: By index.
        loaded: Those that others brought along, by index.
        runtime: In which they were tried.
    """
    sound = {target.owner for index, target in enumerate(targets) if results[index].outcome is Outcome.OK}
    broken = {target.name for index, target in enumerate(targets) if results[index].outcome in _BROKEN}
    found: list[Finding] = []
    untried: list[Target] = []
    unfit: Counter[str] = Counter()
    for index, target in enumerate(targets):
        result = results[index]
        if result.outcome is Outcome.UNTRIED:
            untried.append(target)
        elif result.outcome in _BROKEN and index not in loaded and not _is_part_of_it(target, result, broken):
            top = target.name.partition(".")[0]
            unfit[top] += target.kind is Kind.PYTHON and result.missing == target.name
            if unfit[top] <= _ALIKE_MOST:  # of those that are for another Python a few say it for all
                secondary = target.minor or (target.owner in sound and target.owner != "")
                found.append(_finding(target, result, runtime, secondary=secondary))
    if untried:
        found.append(_untried(untried, runtime))
    return found


def _finding(target: Target, result: Result, runtime: str, *, secondary: bool) -> Finding:
    doing = _DOING[target.kind].format(name=target.name)
    severity = Severity.ERROR
    match result.outcome:
        case Outcome.TIMED_OUT:
            code = "probe-timeout"
            reason = f"{doing} does not come to an end in {runtime}: it was ended after {result.seconds:.0f} s"
            remedy = "What takes so long belongs into the handler: AWS ends the init phase after 10 s."
        case Outcome.CRASHED:
            code = "probe-crashed"
            reason = f"{doing} ends the process in {runtime}: {result.error}"
            remedy = _remedy_of_crash(result.error)
        case _:
            code = _CODES[target.kind]
            reason = f"{doing} fails in {runtime}: {result.error}" + (f" (at {result.at})" if result.at else "")
            remedy = _remedy(target, result)
            unfit = result.missing == target.name or _is_native(result.error)
            if result.missing in _ELSEWHERE or (secondary and not unfit):
                severity = Severity.WARNING
    if secondary and result.outcome is not Outcome.FAILED:
        severity = Severity.WARNING
    return Finding(code, severity, target.place, reason, remedy, target.layer, runtime)


def _is_part_of_it(target: Target, result: Result, broken: set[str]) -> bool:
    """Whether a failure is only what is said of the package around it, or what the package may do without."""
    if target.kind is not Kind.PYTHON:
        return False
    parts = target.name.split(".")
    if any(".".join(parts[:end]) in broken for end in range(1, len(parts))):
        return True
    # Extension modules inside of packages are tried for what they are linked with; some are for optional extras.
    optional = target.minor and len(parts) > 1 and result.outcome is Outcome.FAILED
    return optional and result.missing != target.name and not _is_native(result.error)


def _is_native(error: str) -> bool:
    return any(word in error for word in NATIVE)


def _untried(targets: Sequence[Target], runtime: str) -> Finding:
    names = ", ".join(target.name for target in targets[:5]) + (", …" if len(targets) > 5 else "")
    reason = (
        f"{len(targets)} of the layer's modules and programs were not tried in {runtime}, for want of time: {names}"
    )
    remedy = "Check again when the server is less busy; or see what takes so long before them."
    return Finding("not-proved", Severity.WARNING, "", reason, remedy, targets[0].layer, runtime)


def _remedy(target: Target, result: Result) -> str:
    """What mends it, as far as the error tells."""
    error = result.error
    if "libc.musl" in error or "ld-musl" in error:
        return "It is built for musl, as for Alpine Linux: take the wheel or package for glibc (manylinux, linux-gnu)."
    if library := _LIBRARY.search(error):
        return (
            f"Put {library['name']} into the layer's lib/, which is on LD_LIBRARY_PATH as /opt/lib: name it among the "
            "native programs of layer.toml and build again with 'lamella layer build'."
        )
    if version := _VERSION.search(error):
        return (
            f"It was linked with a C or C++ library that has {version['version']}, which the runtime's has not: take a "
            "wheel or package for an older one (manylinux2014 or manylinux_2_28), or build it on Amazon Linux."
        )
    if "NODE_MODULE_VERSION" in error:
        return "It is built for another Node.js: install the packages again with that of the runtime."
    if "wrong ELF class" in error or "invalid ELF header" in error or "Exec format error" in error:
        return "It is for another architecture: build the layer again with the right --architecture."
    if "cannot open shared object file" in error and "file too short" in error:
        return "The file is damaged: build the layer again."
    if "library not found" in error:
        return "A native library that it looks for is missing: put it into the layer's lib/, or take a package with it."
    if "Read-only file system" in error:
        return "Only /tmp can be written to: point it there by a variable of the function, or change its configuration."
    if "HOME" in error or "home directory" in error:
        return "HOME is not set in a function: set the variable HOME=/tmp in its configuration."
    if error.startswith("SystemExit"):
        return "It ends the process when it is imported: put what it does there below if __name__ == '__main__'."
    match target.kind:
        case Kind.PYTHON if result.missing:
            return _missing_module(target, result.missing)
        case Kind.NODE if result.missing:
            return f"Add {result.missing} to package.json's dependencies, and build the layer again."
        case Kind.JAVA if classes := _CLASS_VERSION.search(error):
            return f"It is for Java {int(classes[1]) - 44}: take a release for an older Java, or a newer runtime."
        case Kind.JAVA:
            return "Add the jar that holds the missing class to java/lib."
        case Kind.PROGRAM:
            return "Build it again with 'lamella layer build', which collects what it is linked with."
        case Kind.SCRIPT:
            return "Mend the first line, the x bit (chmod +x) or the line ends (LF) of the script, and zip it again."
        case _:
            return "See the line that raises it; 'lamella layer show' lists packages with their versions."


def _remedy_of_crash(error: str) -> str:
    if "more memory" in error:
        return "Give the function more memory, and load less when it is imported."
    if "with status" in error:
        return "It ends the process by itself (sys.exit, process.exit): no function can use it before that is gone."
    if "without end" in error:
        return "No function can use it before that is gone."
    return "Build the layer again for this runtime and architecture, or take another version of it."


def _missing_module(target: Target, missing: str) -> str:
    if missing == target.name:
        return "No file of it fits this runtime: build the layer again for the runtimes that it declares."
    if missing.startswith((f"{target.name}.", "_")):
        return f"A part of it is missing ({missing}), as if it was built for another Python: build the layer again."
    return f"Add the package that brings the module {missing} to the layer's requirements, and build it again."
