"""What Debian's package database says of files."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lamella.debian.licence import licence_of
from lamella.layers.packages import Ecosystem, Package


def packages_of(files: Mapping[str, Path]) -> tuple[Package, ...]:
    """The Debian packages that files of this machine belong to; none on a machine without dpkg.

    Args:
        files: Names in the layer, and where the files are.
    """
    query = shutil.which("dpkg-query")
    names = {str(path.resolve()): name for name, path in sorted(files.items(), reverse=True)}
    if query is None or not names:
        return ()
    # Where /lib has become a link to /usr/lib, dpkg still knows some files by their old names.
    names |= {path.removeprefix("/usr"): name for path, name in names.items() if path.startswith("/usr/lib")}
    found = subprocess.run([query, "--search", *sorted(names)], capture_output=True, text=True, check=False).stdout
    places: dict[str, str] = {}
    for line in found.splitlines():
        owners, separator, path = line.partition(": ")
        if separator and path in names:
            places |= dict.fromkeys(owners.split(", "), names[path])
    if not places:
        return ()
    command = [query, "--show", "--showformat=${binary:Package}\t${Package}\t${Version}\n", *sorted(places)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    packages: set[Package] = set()
    for line in shown.splitlines():
        qualified, name, version = line.split("\t")
        copyright_file = Path("/usr/share/doc", name, "copyright")
        text = copyright_file.read_text(encoding="utf-8", errors="replace") if copyright_file.is_file() else ""
        place = places.get(qualified, places.get(name, ""))
        packages.add(Package(Ecosystem.DEBIAN, name, version, licence_of(text), place))
    return tuple(sorted(packages))
