"""Where the files of a root tree come from: this host, or a Debian of another release or architecture, unpacked."""

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from lamella.debian.unpack import libraries_below, merged
from lamella.domain.function import Architecture
from lamella.elf import LibraryFinder

MACHINES: Final = {Architecture.X86_64: "x86_64", Architecture.ARM64: "aarch64"}
"""Names of instruction sets as `uname -m` has them."""

_PROGRAMS: Final = "/usr/bin:/bin:/usr/local/bin"
# What an installation would have linked by update-alternatives.
_ALTERNATIVES: Final = {"awk": "mawk"}


def host_architecture() -> Architecture:
    """The instruction set of this host, under Lambda's name for it."""
    return Architecture.ARM64 if platform.machine() in {"aarch64", "arm64"} else Architecture.X86_64


@dataclass(frozen=True)
class System:
    """An operating system whose files are copied; nothing of it is started.

    Attributes:
        root: Its root directory; links in it do not lead out of it, unless it is the host's own.
        name: In words, for remarks: `This host`, `Debian 13 for arm64`.
        packages: Versions by name, of a system that was put together for this.
    """

    root: Path
    architecture: Architecture
    name: str
    packages: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def host(cls) -> "System":
        """This host."""
        return cls(Path("/"), host_architecture(), "This host")

    @property
    def is_host(self) -> bool:
        """Whether it is this host, whose files may change and whose programs run here."""
        return self.root == Path("/")

    @property
    def runs_here(self) -> bool:
        """Whether its programs are for this host's processor."""
        return self.architecture is host_architecture()

    @property
    def machine(self) -> str:
        """Its instruction set, as `uname -m` names it."""
        return MACHINES[self.architecture]

    @cached_property
    def finder(self) -> LibraryFinder:
        """Finds its libraries."""
        if self.is_host:
            return LibraryFinder()
        first = [self.root / f"usr/lib/{self.machine}-linux-gnu", self.root / "usr/lib"]
        return LibraryFinder(libraries_below(self.root), [], first=first, root=self.root)

    def path(self, inside: str) -> Path:
        """Where a file is whose path on that system is `inside`."""
        return Path(inside) if self.is_host else self.root / merged(inside)

    def take(self, file: Path | str, target: Path | str) -> None:
        """Have a file at another place: a copy of this host's, a link to what was only unpacked to be taken."""
        if not self.is_host:
            try:
                os.link(file, target, follow_symlinks=False)
            except OSError:  # another file system, or too many links
                pass
            else:
                return
        shutil.copyfile(file, target)
        shutil.copymode(file, target)

    def program(self, name: str) -> Path | None:
        """A program of the system by name, if it has it."""
        if self.is_host:
            found = shutil.which(name, path=_PROGRAMS)
            return None if found is None else Path(found)
        for candidate in (name, _ALTERNATIVES.get(name, name)):
            path = self.root / "usr/bin" / candidate
            if path.is_file():
                return path
        return None
