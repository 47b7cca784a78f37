"""What Debian's package database and packages say of themselves."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lamella.layers.packages import Ecosystem, Package

_LICENCE: Final = re.compile(r"^License:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


def licence_of(copyright_text: str) -> str:
    """The licence of most of a package: that of its first paragraph about files, in Debian's short names.

    Empty if the file is not in the machine-readable form. Source: Debian, "Machine-readable debian/copyright file"
    (copyright-format 1.0).
    """
    if "copyright-format" not in copyright_text.partition("\n\n")[0]:
        return ""
    match = _LICENCE.search(copyright_text)
    return match.group(1) if match is not None else ""


def packages_of(files: Iterable[Path]) -> tuple[Package, ...]:
    """The Debian packages that files of this machine belong to; none on a machine without dpkg."""
    query = shutil.which("dpkg-query")
    paths = sorted({str(path.resolve()) for path in files})
    if query is None or not paths:
        return ()
    # Where /lib has become a link to /usr/lib, dpkg still knows some files by their old names.
    asked = [*paths, *(path.removeprefix("/usr") for path in paths if path.startswith("/usr/lib"))]
    found = subprocess.run([query, "--search", *asked], capture_output=True, text=True, check=False).stdout
    names = {name for line in found.splitlines() if ": /" in line for name in line.partition(": /")[0].split(", ")}
    if not names:
        return ()
    command = [query, "--show", "--showformat=${Package}\t${Version}\n", *sorted(names)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    packages: set[Package] = set()
    for line in shown.splitlines():
        name, version = line.split("\t")
        copyright_file = Path("/usr/share/doc", name, "copyright")
        text = copyright_file.read_text(encoding="utf-8", errors="replace") if copyright_file.is_file() else ""
        packages.add(Package(Ecosystem.DEBIAN, name, version, licence_of(text)))
    return tuple(sorted(packages))
