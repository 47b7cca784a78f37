"""Debian packages for either architecture, by apt, beside what is installed and without being root.

A private apt: its own lists, cache and database of installed packages (an empty one), so that the answer depends on the
package sources alone, and nothing of this machine changes. Signatures and hashes are checked by apt, as ever.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from lamella.debian.errors import DebianError
from lamella.domain.function import Architecture

Progress: TypeAlias = Callable[[str], None]
"""Told what is being done, in words for the operator."""

_ARCHITECTURES: Final = {Architecture.X86_64: "amd64", Architecture.ARM64: "arm64"}
_INST: Final = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) .*\[(?P<architecture>\w+)\]\)", re.MULTILINE)
_NO_NETWORK: Final = ("Temporary failure resolving", "Could not resolve", "Could not connect", "Connection timed out")
_TIMEOUT_S: Final = 900
_COMPLAINTS: Final = 5
"""So many of apt's lines are shown: where there is no network, each package has one."""
_LISTS_LAST_S: Final = 600
"""Lists of packages are not asked for again within this time: a layer is built for several targets in a row."""

# Settings of this machine that a private apt shares: proxies, certificates, retries. What is indexed, and what runs
# after an update, are matters of the machine.
_SHARED: Final = re.compile(r'^Acquire::(?!IndexTargets|Languages|AllowInsecure|AllowWeak)[^ ]+ ".*";$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Deb:
    """A package file.

    Attributes:
        source: Name of the source package it was built from.
    """

    path: Path
    name: str
    version: str
    source: str

    def digest(self) -> str:
        """Of the file, with the name of the algorithm."""
        with self.path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What apt answered: packages in the order of their names."""

    debs: tuple[Deb, ...]
    warnings: tuple[str, ...] = ()


def triplet(architecture: Architecture) -> str:
    """Debian's directory for libraries of an architecture."""
    return {Architecture.X86_64: "x86_64-linux-gnu", Architecture.ARM64: "aarch64-linux-gnu"}[architecture]


def fetch(
    packages: Sequence[str], architecture: Architecture, sources_list: Path | None, progress: Progress
) -> Fetched:
    """Download packages with all that they depend on (not what they recommend).

    Args:
        packages: Names, or `name=version`.
        architecture: Which machine's packages.
        sources_list: Of package sources, in either of apt's formats; this machine's own if `None`.
        progress: Told what is being done.

    Raises:
        DebianError: There is no apt, no such package, no network.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise DebianError(
                f"Debian packages need {program}, which this machine does not have: do this on Debian or Ubuntu"
            )
    for package in packages:
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+~:-]+)?", package):
            raise DebianError(f"{package!r} is not the name of a Debian package (name, or name=version)")
    if sources_list is not None and not sources_list.is_file():
        raise DebianError(f"There is no list of package sources {sources_list}")
    name = _ARCHITECTURES[architecture]
    with _private_apt(name, sources_list) as (directory, configuration):
        apt = _Apt(configuration)
        warnings = _update(apt, directory / "updated", name, progress)
        planned = apt.run("install", "--simulate", "--", *packages)
        if planned.returncode != 0:
            raise DebianError(explain(planned.stderr + planned.stdout, name, offline=bool(warnings)))
        chosen = sorted(match.groups() for match in _INST.finditer(planned.stdout))
        progress(f"Fetching {len(chosen)} Debian packages")
        downloaded = apt.run("install", "--yes", "--download-only", "--", *packages)
        if downloaded.returncode != 0:
            raise DebianError(explain(downloaded.stderr, name, offline=bool(warnings)))
        archives = directory / "cache/archives"
        return Fetched(tuple(_deb(archives, *facts) for facts in chosen), tuple(warnings))


def _update(apt: "_Apt", stamp: Path, architecture: str, progress: Progress) -> list[str]:
    """Fetch the lists of packages, unless that was done a moment ago; returns what to warn of."""
    if stamp.exists() and 0 <= time.time() - stamp.stat().st_mtime < _LISTS_LAST_S:
        return []
    progress(f"Reading the lists of Debian packages for {architecture}")
    updated = apt.run("update")
    failed = updated.returncode != 0 or "W: Failed to fetch" in updated.stderr
    if not failed:
        stamp.touch()
        return []
    if updated.returncode != 0 and not any(sign in updated.stderr for sign in _NO_NETWORK):
        raise DebianError(f"apt cannot read its package lists:\n{_complaints(updated.stderr)}")
    return ["The package sources cannot be reached: the lists of packages may be old"]


def explain(message: str, architecture: str, *, offline: bool) -> str:
    """What apt complained of, with what to do about it."""
    detail = _complaints(message)
    if offline or any(sign in message for sign in _NO_NETWORK):
        return f"The package sources cannot be reached, and apt's cache does not have all of it.\n{detail}"
    if "Unable to locate package" in message or "has no installation candidate" in message:
        return (
            f"A package is not among the package sources for {architecture}: check its name (apt-cache search), or "
            f"give a list of sources that have it.\n{detail}"
        )
    if "was not found" in message:
        return (
            "A package is not to be had in that version: sources drop versions when newer ones come. Name the new one, "
            f"or give a list of sources that keeps old ones, such as a snapshot.\n{detail}"
        )
    return f"apt cannot find a set of packages for {architecture} that go together.\n{detail}"


def _complaints(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith(("E:", "W:")) or " : Depends:" in line]
    more = [f"(and {len(lines) - _COMPLAINTS} more)"] if len(lines) > _COMPLAINTS else []
    return "\n".join(lines[:_COMPLAINTS] + more) or text.strip()


@contextmanager
def _private_apt(architecture: str, sources_list: Path | None) -> Iterator[tuple[Path, Path]]:
    """Directory and configuration of a private apt, for us alone as long as it lasts."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = sources_list.read_bytes() if sources_list is not None else b""
    name = f"{architecture}-{hashlib.sha256(content).hexdigest()[:12]}"
    directory = caches / "lamella" / "apt" / name
    try:
        for part in ("state/lists/partial", "cache/archives/partial"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        with (directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (directory / "status").write_bytes(b"")
            configuration = directory / "apt.conf"
            configuration.write_text(_configuration(directory, architecture, sources_list))
            yield directory, configuration
    except OSError as error:
        raise DebianError(f"Cannot keep Debian packages in {directory}: {error.strerror or error}") from error


def _configuration(directory: Path, architecture: str, sources_list: Path | None) -> str:
    shared = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    own = {
        "APT::Architecture": architecture,
        "APT::Install-Recommends": "false",
        "APT::Install-Suggests": "false",
        # Its directories are ours alone, which apt's own user could not enter.
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Binary::apt-get::APT::Keep-Downloaded-Packages": "true",
        "Dir::State": f"{directory}/state",
        "Dir::State::status": f"{directory}/status",
        "Dir::Cache": f"{directory}/cache",
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
    }
    if sources_list is not None:
        own |= {"Dir::Etc::sourcelist": str(sources_list.resolve()), "Dir::Etc::sourceparts": "/dev/null"}
    lines = [*_SHARED.findall(shared), *(f'{key} "{value}";' for key, value in own.items())]
    return "\n".join([*lines, f'APT::Architectures {{ "{architecture}"; }};', ""])


@dataclass(frozen=True, slots=True)
class _Apt:
    configuration: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run apt-get.

        Raises:
            DebianError: It took too long.
        """
        own = {
            "APT_CONFIG": str(self.configuration),
            "LC_ALL": "C",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        try:
            return subprocess.run(
                ["apt-get", "--quiet", *arguments],
                env=os.environ | own,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise DebianError(f"apt-get {arguments[0]} has taken {_TIMEOUT_S // 60} minutes: try again later") from None


def _deb(archives: Path, name: str, version: str, architecture: str) -> Deb:
    path = archives / f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
    result = subprocess.run(["dpkg-deb", "--field", path, "Source"], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise DebianError(f"The package {path.name} cannot be read: {result.stderr.strip()}")
    return Deb(path, name, version, result.stdout.partition("(")[0].strip() or name)
