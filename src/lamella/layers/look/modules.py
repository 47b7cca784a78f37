"""Which modules of Python a directory on the search path has, and which package each belongs to."""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.contents import LayerContents
from lamella.layers.errors import LayerReadError
from lamella.layers.packages import Ecosystem, Package

_RECORD_MOST_BYTES: Final = 4 * 1024 * 1024
_FILE: Final = re.compile(r"(?P<name>[^\W\d]\w*)(\.[^/]*)?\.(py|pyc|so)")
_DIRECTORY: Final = re.compile(r"[^\W\d]\w*")
# Directories that lie beside modules and are none.
_NO_MODULES: Final = frozenset({"__pycache__", "bin", "lib", "include", "share"})


def module_of(name: str, *, is_directory: bool) -> str | None:
    """The module that a file or directory right in a directory on the search path is; `None` if it is none.

    Directories without `__init__.py` count: they are namespace packages.
    """
    if is_directory:
        return name if _DIRECTORY.fullmatch(name) and name not in _NO_MODULES else None
    match = _FILE.fullmatch(name)
    return match["name"] if match else None


def site_directories(names: Iterable[str]) -> set[str]:
    """Of the names of directories, those that Python's runtimes look into for modules."""
    return {name for name in names if re.fullmatch(r"python(/lib/python3\.\d+/site-packages)?", name)}


def modules_of(contents: LayerContents) -> set[str]:
    """The top-level modules of a layer, whichever version of Python sees them."""
    found: set[str] = set()
    for entry in contents.files():
        parts = PurePosixPath(entry.name).parts
        for depth in (1, 4):
            if len(parts) > depth and site_directories(["/".join(parts[:depth])]):
                module = module_of(parts[depth], is_directory=len(parts) > depth + 1)
                if module is not None:
                    found.add(module)
    return found


def normalised(name: str) -> str:
    """A package's name as PyPI compares names. Source: PyPA, "Names and normalization"."""
    return re.sub(r"[-_.]+", "-", name).lower()


def recorded(contents: LayerContents, package: Package) -> Iterator[str]:
    """The files of a Python package by its `RECORD`, as names below `/opt`; none if it has no such list.

    Names that lead out of the layer are left out.
    """
    record = f"{package.directory}/RECORD"
    if record not in contents.entries:
        return
    try:
        text = contents.read(record, _RECORD_MOST_BYTES).decode("utf-8", "replace")
        rows = list(csv.reader(text.splitlines()))
    except (LayerReadError, csv.Error):
        return  # a damaged list is no list
    site = str(PurePosixPath(package.directory).parent)
    prefix = "" if site == "." else f"{site}/"
    for row in rows:
        if row and not row[0].startswith(("/", "../")) and "/../" not in row[0]:
            yield prefix + row[0]


def owner_of(contents: LayerContents, packages: Iterable[Package], site: str, module: str) -> Package | None:
    """The package that a module in a directory belongs to, as far as the layer says so."""
    here = [
        package
        for package in packages
        if package.ecosystem is Ecosystem.PYPI and str(PurePosixPath(package.directory).parent) == site
    ]
    for package in here:
        if normalised(package.name) == normalised(module):
            return package
    start = module if site == "." else f"{site}/{module}"
    for package in here:
        if any(name.startswith((f"{start}/", f"{start}.")) for name in recorded(contents, package)):
            return package
    return None
