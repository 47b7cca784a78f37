"""CPython interpreters on this host, and that of an unpacked Debian."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.system import System

OLDEST: Final = (3, 8)
"""The oldest version that AWS's runtime client still has binary wheels for."""

_PROBE: Final = """
import json, platform, ssl, sys, sysconfig
paths = ssl.get_default_verify_paths()
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": list(sys.version_info[:3]),
    "machine": platform.machine(),
    "libc": platform.libc_ver()[0],
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "stdlib": sysconfig.get_path("stdlib"),
    "dynload": sysconfig.get_config_var("DESTSHARED"),
    "platlibdir": getattr(sys, "platlibdir", "lib"),
    "ca_file": paths.openssl_cafile,
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython on this host; of a virtual environment, the one it was made from.

    Attributes:
        version: Three numbers.
        stdlib: The pure-Python standard library.
        dynload: Extension modules of the standard library.
        ca_file: Where its OpenSSL looks for certificates.
    """

    executable: Path
    version: tuple[int, int, int]
    stdlib: Path
    dynload: Path
    platlibdir: str
    ca_file: str

    @property
    def runtime(self) -> str:
        """The Lambda runtime it can be, e.g. `python3.11`."""
        return f"python{self.version[0]}.{self.version[1]}"


def probe(path: Path) -> Interpreter:
    """Ask an interpreter what it is.

    Raises:
        PackBuildError: It does not run, is not CPython on glibc, or is too old.
    """
    try:
        result = subprocess.run(
            [path, "-I", "-S", "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True, cwd="/"
        )
        facts = json.loads(result.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        detail = getattr(error, "stderr", None) or error
        raise PackBuildError(f"{path} does not run as a Python interpreter: {str(detail).strip()}") from error
    version = (int(facts["version"][0]), int(facts["version"][1]), int(facts["version"][2]))
    dotted = ".".join(str(part) for part in version)
    if facts["implementation"] != "cpython":
        raise PackBuildError(f"{path} is {facts['implementation']} {dotted}; Lambda's Python runtimes are CPython")
    if version < OLDEST:
        raise PackBuildError(f"{path} is Python {dotted}; the oldest that AWS's runtime client supports is 3.8")
    if facts["libc"] != "glibc":
        raise PackBuildError(f"{path} does not use glibc; Lambda's runtimes do, and binary wheels need it")
    stdlib = Path(facts["stdlib"])
    # What was built in tells where they were when it was installed, and it may have been moved since.
    dynload = stdlib / "lib-dynload"
    if not dynload.is_dir() and facts["dynload"]:
        dynload = Path(facts["dynload"])
    if not (stdlib / "os.py").is_file():
        raise PackBuildError(f"{path} has no standard library at {stdlib}")
    return Interpreter(
        executable=Path(facts["executable"]).resolve(),
        version=version,
        stdlib=stdlib,
        dynload=dynload,
        platlibdir=facts["platlibdir"],
        ca_file=facts["ca_file"],
    )


def of_debian(runtime: str, version: str, system: System) -> Interpreter:
    """The Python of an unpacked Debian, which may not be able to say itself what it is: where Debian has everything."""
    numbers = (*(int(number) for number in version.split(".")), 0, 0)
    library = system.path(f"/usr/lib/{runtime}")
    return Interpreter(
        executable=system.path(f"/usr/bin/{runtime}"),
        version=(numbers[0], numbers[1], numbers[2]),
        stdlib=library,
        dynload=library / "lib-dynload",
        platlibdir="lib",
        ca_file="/usr/lib/ssl/cert.pem",
    )


def trusted(path: Path) -> Path:
    """The program behind a path that somebody has named, without links.

    A server that makes sandboxes runs as root and asks no local user who he is; it must not run as root what he wrote.

    Raises:
        PackBuildError: Another user could have written it.
    """
    try:
        program = path.resolve(strict=True)
        for place in (program, *program.parents):
            status = place.stat()
            if status.st_uid not in (0, os.geteuid()):
                raise PackBuildError(
                    f"{path} is not used: {place} belongs to user {status.st_uid}, and the server would run what that "
                    f"user can change. Name an interpreter that belongs to root, or make this one so: "
                    f"chown -R root {place}"
                )
            if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
                raise PackBuildError(
                    f"{path} is not used: every user can change {place}, and the server would run it. "
                    f"Forbid that first: chmod o-w {place}"
                )
    except FileNotFoundError as error:
        raise PackBuildError(f"There is no {path} on the server's machine") from error
    except (OSError, ValueError) as error:
        raise PackBuildError(f"{path} does not run as an interpreter: {error}") from error
    return program


def candidates() -> Iterator[tuple[str, Path]]:
    """Interpreters by runtime name, best first; not started, so some of them may turn out unusable.

    The operating system's come first: they are built with profile-guided optimisation and get its security updates.
    """
    for directory in ("/usr/bin", "/usr/local/bin"):
        yield from _named(Path(directory), "python3.*")
    running = Path(getattr(sys, "_base_executable", sys.executable))
    yield f"python{sys.version_info.major}.{sys.version_info.minor}", running
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    installed = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    yield from _named(installed, "cpython-3.*/bin/python3.*")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from _named(pyenv / "versions", "3.*/bin/python3.*")
    yield from _named(Path.home() / ".local/bin", "python3.*")


def _named(directory: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    if not directory.is_dir():
        return
    for path in sorted(directory.glob(pattern), key=_numbers, reverse=True):
        if re.fullmatch(r"python3\.\d+", path.name):
            yield path.name, path


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(path)))


def find_interpreter(runtime: str) -> Interpreter | None:
    """The best interpreter on this host for a runtime name; never another version."""
    for name, path in candidates():
        if name == runtime:
            try:
                interpreter = probe(path)
            except PackBuildError:
                continue  # a broken or half-removed installation; the next may do
            if interpreter.runtime == runtime:
                return interpreter
    return None
