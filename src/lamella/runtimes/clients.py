"""AWS's runtime clients that come as files: fetched once by the tool of their registry, kept, checked at each use."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.interpreters import trusted
from lamella.runtimes.pack import file_digest

_TIMEOUT_S: Final = 600.0
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
# Pinned, so that the same plugin is used everywhere.
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

Fetch = Callable[[Path], None]
"""Puts files into an empty directory. Raises `PackBuildError` if it cannot."""


def pinned(language: str) -> dict[str, str]:
    """The files of AWS's client for a language, `node` or `java`: name → SHA-256, in the order of the list."""
    text = (resources.files("lamella.runtimes") / "resources" / language / "clients.txt").read_text()
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {row[0]: row[1] for row in rows}


def obtain(directory: Path, checksums: Mapping[str, str], fetch: Fetch) -> list[Path]:
    """Files of these names and checksums: those in the directory, else fetched into it.

    Whoever has no registry puts them there himself. Nothing that does not match is ever used.

    Args:
        directory: Where files are kept from one build to the next; made if it is not there.
        checksums: File name → SHA-256 in hexadecimal.
        fetch: Called if a file is missing or is not what it should be.

    Raises:
        PackBuildError: A file cannot be had; the text says which and where it could be put.
    """
    paths = [directory / name for name in checksums]
    if any(file_digest(path) != checksums[path.name] for path in paths):
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=directory) as scratch:
            try:
                fetch(Path(scratch))
            except PackBuildError as error:
                wanted = "\n".join(f"  {name}  (SHA-256 {checksum})" for name, checksum in checksums.items())
                raise PackBuildError(
                    f"{error}\nIt is needed once. Without a registry, put these files into {directory} "
                    f"and try again:\n{wanted}"
                ) from error
            for path in paths:
                found = file_digest(Path(scratch) / path.name)
                if found != checksums[path.name]:
                    raise PackBuildError(
                        f"{path.name} is not what it should be: SHA-256 {found or 'of nothing, it did not come'}, "
                        f"expected {checksums[path.name]}. The registry or its mirror serves another file."
                    )
                (Path(scratch) / path.name).replace(path)
    return paths


def from_npm(specification: str, node: Path) -> Fetch:
    """Fetches the archive of a package (`name@version`) as npm would install it; none of its scripts run.

    Args:
        specification: What npm is asked for.
        node: The interpreter of the pack: npm comes with it, unless the host has one.
    """

    def fetch(target: Path) -> None:
        npm = _npm(node)
        if npm is None:
            raise PackBuildError(
                f"AWS's runtime client {specification} comes from npm, which is neither on the PATH nor beside {node}. "
                "On Debian and Ubuntu: apt-get install npm"
            )
        command = [*npm, "pack", specification, "--ignore-scripts", "--prefer-offline"]
        command += ["--loglevel=error", "--fetch-retries=1"]  # else it tries for more than a minute
        # npm itself is a script for `node`.
        path = f"{node.parent}:{os.environ.get('PATH', _PATH)}"
        _run(command, target, specification, environment={**os.environ, "PATH": path})

    return fetch


def _npm(node: Path) -> list[str] | None:
    found = shutil.which("npm") or shutil.which("npm", path=_PATH)
    if found is not None:
        return [found]
    beside = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    return [str(node), str(trusted(beside))] if beside.is_file() else None


def from_maven(pom: str) -> Fetch:
    """Fetches the jars that a project needs at run time."""

    def fetch(target: Path) -> None:
        maven = shutil.which("mvn") or shutil.which("mvn", path=_PATH)
        if maven is None:
            raise PackBuildError(
                "AWS's runtime client for Java comes from Maven's repository, and mvn is not on the PATH. "
                "On Debian and Ubuntu: apt-get install maven"
            )
        with tempfile.TemporaryDirectory() as project:
            Path(project, "pom.xml").write_text(pom)
            command = [maven, "-B", "-q", "-Dstyle.color=never", "--strict-checksums", _COPY]
            command += [f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
            _run(command, Path(project), "aws-lambda-java-runtime-interface-client")

    return fetch


def _run(command: Sequence[str], directory: Path, what: str, environment: Mapping[str, str] | None = None) -> None:
    try:
        result = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackBuildError(f"Cannot fetch AWS's runtime client {what}: {error}") from error
    if result.returncode != 0:
        said = _COLOUR.sub("", result.stderr.strip() or result.stdout.strip()).splitlines()
        # The first lines have the reason; then come traces, and where to find more of them.
        reason = "\n".join(line.removeprefix("npm error ") for line in said[:4])
        raise PackBuildError(f"Cannot fetch AWS's runtime client {what}: {reason[:1000]}")
