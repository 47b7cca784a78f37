"""What a runtime brings along, so that a layer can be held against it: packages, search path, libraries."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from lamella.layers.contents import open_contents
from lamella.layers.facts import FACTS, Language
from lamella.layers.packages import packages_of
from lamella.ports.runtimes import RuntimePack
from lamella.rooted import find_in

_GLIBC: Final = re.compile(rb"GNU C Library[^\0]{0,200}?release version (\d+\.\d+)")
_PACKAGES: Final = ("var/runtime", "var/lang/lib")
_LIBRARY_MOST_BYTES: Final = 64 * 1024 * 1024
_LIBRARIES: Final = ("usr/lib64", "var/lang/lib", "var/runtime/lib")


def furnishing_of(pack: RuntimePack) -> dict[str, Any]:  # Any: a JSON document
    """Contents of a runtime pack. Blocking: reads the metadata of its packages, and the names of its files.

    A pack may be anybody's image, so links in it are followed as a sandbox would, and not on the host.

    Raises:
        LayerReadError: The pack is damaged.
    """
    packages: set[tuple[str, str]] = set()
    for directory in _PACKAGES:
        path = find_in(pack.rootfs, f"/{directory}")
        if path is not None and path.is_dir():
            with open_contents(path) as contents:
                packages.update((package.name, package.version) for package in packages_of(contents))
    return {
        "packages": [{"name": name, "version": version} for name, version in sorted(packages)],
        "search": list(_search(pack)),
        "libraries": sorted(set(_libraries(pack.rootfs))),
        "glibc": _glibc(find_in(pack.rootfs, "/usr/lib64/libc.so.6")),
    }


def _search(pack: RuntimePack) -> Iterator[str]:
    """Where the runtime looks for what a function names, the first place first, its own library aside.

    Source: developer guide, "python-package" and "nodejs-package" (search path).
    """
    facts = FACTS.get(pack.name)
    if facts is None:
        return
    match facts.language:
        case Language.PYTHON:
            yield "/var/task"
            yield from facts.search
            yield f"/var/lang/lib/python{facts.version}/site-packages"
            yield "/var/runtime"
        case Language.NODE:
            yield "/var/task/node_modules"
            yield from [path for path in pack.env.get("NODE_PATH", ":".join(facts.search)).split(":") if path]
        case Language.JAVA:
            yield "/var/task"
            yield "/var/task/lib"
            yield from facts.search
        case Language.RUBY | Language.DOTNET | Language.NATIVE:
            yield from facts.search


def _libraries(rootfs: Path) -> Iterator[str]:
    for directory in _LIBRARIES:
        found = find_in(rootfs, f"/{directory}")
        if found is not None and found.is_dir():
            yield from (path.name for path in found.iterdir() if ".so" in path.name)


def _glibc(library: Path | None) -> str:
    if library is None or not library.is_file():
        return ""
    try:
        with library.open("rb") as file:
            found = _GLIBC.search(file.read(_LIBRARY_MOST_BYTES))
    except OSError:
        return ""
    return "" if found is None else found[1].decode()
