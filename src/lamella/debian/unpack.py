"""What Debian packages hold, unpacked below one directory: whole packages, or their shared libraries alone.

`dpkg-deb -x` would do, but for three things: `/lib` and `/usr/lib` are one directory on today's Debian and not in its
packages, absolute links would lead out of the directory, and most of what a package holds is of no use in a layer.
"""

import fnmatch
import os
import posixpath
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lamella.debian.apt import Deb
from lamella.debian.errors import DebianError
from lamella.debian.licence import licence_of

_LIBRARY: Final = re.compile(r"usr/lib/.*\.so(\.[\w.]+)?")
# What `/bin` and the like are links to, which newer releases have in a package.
_MERGED: Final = frozenset({"usr/bin", "usr/sbin", "usr/lib"})
_COPYRIGHT_MOST_BYTES: Final = 1024 * 1024
_USELESS: Final = re.compile(
    r"usr/share/(doc|doc-base|man|info|locale|lintian|bug|bash-completion|zsh|fish|applications|icons|pixmaps|menu"
    r"|metainfo|appdata|gtk-doc|help|pkgconfig|initramfs-tools|gitweb|reportbug)/.*"
    r"|usr/include/.*|usr/lib/(mime|systemd|udev|sysusers\.d|tmpfiles\.d|debug)/.*|usr/lib/.*/(pkgconfig|cmake)/.*"
    r"|.*\.a|etc/(bash_completion\.d|init\.d|default|cron[^/]*|apparmor\.d|logrotate\.d|systemd)/.*|(var|run|boot)/.*"
    r"|usr/lib/.*/glibc-hwcaps/.*"
)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A directory of unpacked packages.

    Attributes:
        owners: Names of the packages, by paths below the root.
        whole: Paths of the packages that were unpacked whole.
        licences: By name of the package.
    """

    root: Path
    owners: dict[str, str]
    whole: frozenset[str]
    licences: dict[str, str]


def merged(name: str) -> str:
    """Where a path of a package is on a system whose `/bin`, `/lib` and `/sbin` are links into `/usr`.

    Empty for the root itself and for what would lead out of it.
    """
    path = posixpath.normpath(name.lstrip("/"))
    if path in ("", ".") or path == ".." or path.startswith("../"):
        return ""
    first, _, rest = path.partition("/")
    if first in ("bin", "sbin", "lib", "lib64"):
        return f"usr/{'lib' if first == 'lib64' else first}/{rest}".rstrip("/")
    if path.startswith("usr/lib64/"):
        return f"usr/lib/{path.removeprefix('usr/lib64/')}"
    return path


def link_target(name: str, target: str) -> str:
    """A link's target relative to the link, whatever it was; both within the root.

    Args:
        name: Of the link, as `merged` has it.
        target: As the package has it.
    """
    directory = posixpath.dirname(name)
    absolute = merged(target) if target.startswith("/") else merged(posixpath.join(directory, target))
    return posixpath.relpath(absolute or ".", directory or ".")


def copyright_of(package: str) -> str:
    """Where a package has the texts of its licences, which most of them want to be passed on."""
    return f"usr/share/doc/{package}/copyright"


def is_useless(name: str, leave_out: Sequence[str] = ()) -> bool:
    """Whether a file is of no use in a layer: documentation, headers, or what the user left out."""
    return _USELESS.fullmatch(name) is not None or any(fnmatch.fnmatchcase(name, pattern) for pattern in leave_out)


def unpack(debs: Sequence[Deb], whole: frozenset[str], root: Path, leave_out: Sequence[str] = ()) -> Unpacked:
    """Unpack packages.

    Args:
        debs: All of them.
        whole: Names of those to unpack whole; of the others, shared libraries and licences alone.
        root: An empty directory.
        leave_out: Patterns of paths.

    Raises:
        DebianError: A package is damaged.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # each waits for a program that decompresses
        parts = list(pool.map(lambda deb: _unpack(deb, root, deb.name in whole, leave_out), debs))
    owners = {path: deb.name for deb, (paths, _) in zip(debs, parts, strict=True) for path in paths}
    licences = {deb.name: licence for deb, (_, licence) in zip(debs, parts, strict=True)}
    return Unpacked(root, owners, frozenset(path for path, name in owners.items() if name in whole), licences)


def _unpack(deb: Deb, root: Path, whole: bool, leave_out: Sequence[str]) -> tuple[list[str], str]:
    paths: list[str] = []
    licence = ""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb.path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    name = merged(member.name)
                    if name == copyright_of(deb.name) and member.isreg() and _put(archive, member, name, root):
                        with (root / name).open("rb") as file:
                            licence = licence_of(file.read(_COPYRIGHT_MOST_BYTES).decode("utf-8", "replace"))
                        continue
                    wanted = bool(name) and (whole or _LIBRARY.fullmatch(name) is not None)
                    if wanted and not is_useless(name, leave_out) and _put(archive, member, name, root):
                        paths.append(name)
        except (tarfile.TarError, OSError) as error:
            process.kill()
            raise DebianError(f"The package {deb.path.name} cannot be unpacked: {error}") from error
    return paths, licence


def _put(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, root: Path) -> bool:
    """Write one file or link of a package; whether there was something to write."""
    path = root / name
    if not (member.isreg() or member.issym() or member.islnk()) or name in _MERGED:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(link_target(name, member.linkname))
    elif member.islnk():
        first = root / merged(member.linkname)
        if not first.is_file() or first.is_symlink():
            return False
        shutil.copyfile(first, path)
        path.chmod(0o755 if first.stat().st_mode & 0o100 else 0o644)
    else:
        content = archive.extractfile(member)
        assert content is not None
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)
    return True


def libraries_below(root: Path) -> dict[str, Path]:
    """All shared libraries of a tree by name, those of the outermost directories first.

    Some are in directories that an installation would have linked to (`libblas.so.3` in `…/blas`).
    """
    found: dict[str, Path] = {}
    paths = (path for path in (root / "usr/lib").rglob("*.so*") if path.is_file())
    for path in sorted(paths, key=lambda path: (len(path.parts), str(path))):
        found.setdefault(path.name, path)
    return found
