"""Debian's releases as package sources: where this machine gets Debian from, else where Debian itself has it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lamella.debian.errors import DebianError

_KEYRINGS: Final = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
_ARCHIVE: Final = "http://deb.debian.org/debian"
_SECURITY: Final = "http://deb.debian.org/debian-security"
_FORMAT: Final = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Debian.

    Attributes:
        number: As `VERSION_ID` of `/etc/os-release` has it.
    """

    codename: str
    number: str


BOOKWORM: Final = Release("bookworm", "12")
TRIXIE: Final = Release("trixie", "13")


def sources_of(release: Release) -> str:
    """A list of package sources for a release with its updates, in apt's one-line format; signed by Debian's keys.

    Raises:
        DebianError: This machine does not have Debian's keys.
    """
    keyring = next((path for path in _KEYRINGS if path.is_file()), None)
    if keyring is None:
        raise DebianError(
            "Debian's packages are signed, and this machine does not have Debian's keys (looked for "
            f"{', '.join(map(str, _KEYRINGS))}). On Debian and Ubuntu: apt-get install debian-archive-keyring"
        )
    archive, security = mirrors(_index_targets())
    suites = (
        (archive, release.codename),
        (archive, f"{release.codename}-updates"),
        (security, f"{release.codename}-security"),
    )
    return "".join(f"deb [signed-by={keyring}] {uri} {suite} main\n" for uri, suite in suites)


def mirrors(targets: str) -> tuple[str, str]:
    """Where this machine gets Debian and its security updates from; Debian's own servers if from nowhere.

    Args:
        targets: Lines `origin|label|address`, as `apt-get indextargets` tells them of what it has fetched.
    """
    found: dict[str, str] = {}
    for line in targets.splitlines():
        origin, label, uri = [*line.split("|"), "", ""][:3]
        if origin == "Debian" and uri:
            found.setdefault(label, uri.rstrip("/"))
    return found.get("Debian", _ARCHIVE), found.get("Debian-Security", _SECURITY)


def _index_targets() -> str:
    command = ["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""  # that there is no apt is told by whoever uses it
