"""A Debian system to make runtimes of, for either architecture: fetched by apt, unpacked beside this host's own.

What a runtime pack takes from the host where it can, it takes from here where it cannot: for functions of the other
architecture, and for languages that this host has in another version. apt checks what it fetches against Debian's
signatures. Nothing of it runs while it is unpacked: no package's scripts, so what those would have made is made here.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lamella.debian import DebianError
from lamella.debian.apt import Progress, fetch
from lamella.debian.releases import BOOKWORM, TRIXIE, Release, sources_of
from lamella.debian.unpack import unpack
from lamella.domain.function import Architecture
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.system import System

# What every root has: programs, libraries, certificates, time zones (`populate_base` takes it from there).
_BASE: Final = (
    *("bash", "ca-certificates", "coreutils", "curl", "findutils", "grep", "gzip", "libc-bin", "libcrypt1"),
    *("libstdc++6", "mawk", "sed", "tar", "tzdata", "zlib1g"),
)
_BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Language:
    """The Debian that has a runtime's language.

    Attributes:
        packages: Those that hold it, besides what every root has.
        main: The one whose version is the language's.
    """

    release: Release
    packages: tuple[str, ...] = ()
    main: str = ""


def _python(version: str, release: Release) -> Language:
    name = f"python{version}"
    return Language(release, (name, f"lib{name}-stdlib"), f"{name}-minimal")


# Debian 12 has Ruby 3.1, which Lambda never had.
LANGUAGES: Final[Mapping[str, Language]] = {
    "provided.al2": Language(BOOKWORM),
    "provided.al2023": Language(BOOKWORM),
    "nodejs20.x": Language(TRIXIE, ("nodejs",), "nodejs"),
    "python3.11": _python("3.11", BOOKWORM),
    "python3.13": _python("3.13", TRIXIE),
    "ruby3.3": Language(TRIXIE, ("ruby3.3",), "libruby3.3"),
}
"""Runtimes that a Debian release has all of, by name."""


def debian_system(name: str, architecture: Architecture, root: Path, progress: Progress) -> System:
    """Unpack the Debian that a runtime is made of.

    Args:
        name: One of `LANGUAGES`.
        architecture: What it is to run on.
        root: An empty directory.
        progress: Told what is being done.

    Raises:
        PackBuildError: There is no apt, no network, or a package is damaged.
    """
    language = LANGUAGES[name]
    try:
        with tempfile.NamedTemporaryFile("w", prefix="lamella-", suffix=".list") as sources:
            sources.write(sources_of(language.release))
            sources.flush()
            fetched = fetch((*_BASE, *language.packages), architecture, Path(sources.name), progress)
        for warning in fetched.warnings:
            progress(warning)
        progress(f"Unpacking {len(fetched.debs)} packages of Debian {language.release.number} for {architecture}")
        unpack(fetched.debs, frozenset(deb.name for deb in fetched.debs), root)
    except DebianError as error:
        raise PackBuildError(f"Cannot make {name} for {architecture} of Debian's packages: {error}") from error
    _add_certificates(root)
    versions = {deb.name: deb.version for deb in fetched.debs}
    return System(root, architecture, f"Debian {language.release.number} for {architecture}", versions)


def version_of(name: str, system: System) -> str:
    """The version of a runtime's language, such as `3.3.8`."""
    return upstream_version(system.packages[LANGUAGES[name].main])


def remark(name: str, system: System) -> str:
    """Where a runtime is from, for whoever looks at it."""
    shown = [package for package in ("libc6", LANGUAGES[name].main) if package]
    versions = ", ".join(f"{package} {system.packages[package]}" for package in shown)
    return (
        f"Made of {len(system.packages)} packages of {system.name}, among them {versions}. "
        "It gets their updates when it is added again"
    )


def upstream_version(version: str) -> str:
    """The language's own version out of a package's: `3.11.2` out of `1:3.11.2-6+deb12u6`."""
    return version.rpartition(":")[2].partition("-")[0].partition("+")[0]


def _add_certificates(root: Path) -> None:
    """What `update-ca-certificates` would have made: all authorities that Debian trusts, in one file."""
    certificates = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle = root / _BUNDLE
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(path.read_bytes() for path in certificates))
