"""What can be left out of Node packages."""

import re
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.build.slim import Looking, Trim

_MODULES: Final = "node_modules"
_TESTS: Final = frozenset({"test", "tests", "__tests__"})
_DOCS: Final = frozenset({"doc", "docs", "example", "examples"})
_CODE: Final = (".js", ".cjs", ".mjs", ".json")
_DECLARATIONS: Final = (".d.ts", ".d.mts", ".d.cts")
# They read declarations when they run.
_READS_DECLARATIONS: Final = frozenset({"typescript", "ts-morph", "@ts-morph/common", "ts-node"})


def package_of(name: str) -> str:
    """The directory of the package that a file belongs to, e.g. `nodejs/node_modules/@aws/x`; empty if none."""
    parts = PurePosixPath(name).parts
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == _MODULES:
            end = place + (3 if parts[place + 1].startswith("@") else 2)
            return "/".join(parts[:end]) if end < len(parts) else ""
    return ""


def tests(looking: Looking) -> None:
    """Directories of tests at the root of a package, unless its code names them."""
    _directories(looking, Trim.TESTS, _TESTS)


def documents(looking: Looking) -> None:
    """Directories of documents and examples at the root of a package, and Markdown wherever it is."""
    _directories(looking, Trim.DOCS, _DOCS)
    markdown = [name for name in looking.left() if package_of(name) and name.lower().endswith((".md", ".markdown"))]
    looking.remove(Trim.DOCS, markdown)


def _directories(looking: Looking, kind: Trim, words: frozenset[str]) -> None:
    found: dict[str, list[str]] = {}
    packages: dict[str, list[str]] = {}
    for name in looking.left():
        if package := package_of(name):
            packages.setdefault(package, []).append(name)
            parts = PurePosixPath(name.removeprefix(f"{package}/")).parts
            if len(parts) > 1 and parts[0] in words:
                found.setdefault(f"{package}/{parts[0]}", []).append(name)
    for directory, names in found.items():
        word = PurePosixPath(directory).name
        others = [name for name in packages[package_of(names[0])] if not name.startswith(f"{directory}/")]
        pattern = re.compile(rb"""["'](?:[^"'\s:]*/)?%s(?:/[^"'\s:]*)?["']""" % word.encode())
        user = next((name for name in others if name.endswith(_CODE) and _names(looking, name, pattern)), "")
        if user:
            looking.spare(kind, directory, f"named in {user.removeprefix(f'{package_of(user)}/')}")
        else:
            looking.remove(kind, names)


def _names(looking: Looking, name: str, pattern: re.Pattern[bytes]) -> bool:
    text = looking.read(name)
    if PurePosixPath(name).name != "package.json":
        return pattern.search(text) is not None
    # What is there to be found by others; `scripts` and `files` are for its own developers.
    text = re.sub(
        rb'"(scripts|files|directories|devDependencies|mocha|jest|nyc|ava|tap)"\s*:\s*(\{[^{}]*\}|\[[^\[\]]*\])',
        b"",
        text,
    )
    return pattern.search(text) is not None


def declarations(looking: Looking) -> None:
    """Types of TypeScript, unless the package reads its own."""
    for name in list(looking.left()):
        package = package_of(name)
        if not package or not name.endswith((*_DECLARATIONS, ".d.ts.map")):
            continue
        if package.rpartition(f"{_MODULES}/")[2] not in _READS_DECLARATIONS:
            looking.remove(Trim.STUBS, [name])
