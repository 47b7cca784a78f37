"""What is where, how large, and for which machine."""

import struct

from tests.unit.layers.look.making import DIRECTORY, Executable, Link, layer, library, python_package

from lamella.layers.look.overview import machines_of, odd_mode, parts_of, sizes_by_package
from lamella.layers.look.symbols import exported_symbols
from lamella.layers.look.tree import tree_of
from lamella.layers.packages import packages_of

SITE = "python/lib/python3.12/site-packages"


def elf(machine: int, *, order: int = 1) -> bytes:
    return (
        b"\x7fELF" + bytes([2, order]) + bytes(10) + struct.pack("<HH" if order == 1 else ">HH", 3, machine) + bytes(60)
    )


def test_every_file_is_in_one_part() -> None:
    contents = layer(
        {
            f"{SITE}/a/b.py": "12345",
            "python/c.py": "12",
            "python/lib/odd": "1",
            "nodejs/node22/node_modules/x/index.js": "1",
            "nodejs/node_modules/x/index.js": "1",
            "nodejs/package.json": "{}",
            "java/lib/x.jar": "1",
            "ruby/gems/3.3.0/gems/x/x.rb": "1",
            "bin/git": "1",
            "lib/x.so": "1",
            "lib64/x.so": "1",
            "extensions/e": "1",
            "bootstrap": "1",
            "empty": DIRECTORY,
        }
    )
    found = {part.place: (part.purpose, part.size_bytes, part.files) for part in parts_of(contents)}
    assert found[SITE] == ("modules of Python 3.12", 5, 1)
    assert found["python"] == ("modules of Python, every version", 3, 2)
    assert found["nodejs"] == ("", 2, 1)
    assert found["lib64"] == ("", 1, 1)
    assert found["bootstrap"] == ("custom runtime", 1, 1)
    assert sum(files for _, _, files in found.values()) == 13
    assert "empty" not in found


def test_sizes_of_packages() -> None:
    def npm(directory: str) -> dict[str, str]:
        return {
            f"{directory}/package.json": f'{{"name": "{directory[-1]}", "version": "1"}}',
            f"{directory}/x": "12345",
        }

    pillow = python_package("pillow", "1", {"PIL/x.py": "1234567", "../../bin/tool": "1", "/etc/passwd": "1"})
    contents = layer({**pillow, **npm("nodejs/node_modules/a"), **npm("nodejs/node_modules/a/node_modules/b")})
    sizes = {package.name: size for package, size in sizes_by_package(contents, packages_of(contents)).items()}
    own = sum(entry.size_bytes for entry in contents.files() if "dist-info" in entry.name)
    assert sizes == {"pillow": 7 + own, "a": 5 + 29, "b": 5 + 29}


def test_machines() -> None:
    contents = layer(
        {
            "lib/one.so": elf(62),
            "lib/two.so.1": elf(183),
            "lib/big.so": elf(22, order=2),
            "lib/cut.so": b"\x7fELF\x07" + bytes(100),
            "bin/tool": elf(62),
            "text.py": elf(62),
            "small.so": b"\x7fELF",
        }
    )
    assert machines_of(contents) == {"x86_64": 2, "arm64": 1, "s390x": 1, "damaged": 1}


def test_a_tree_sums_what_is_below() -> None:
    tree = tree_of(layer({"a/b/c": "123", "a/d": "4", "e": Link("a"), "f": DIRECTORY}))
    assert (tree.size_bytes, tree.files) == (4, 3)
    found = tree.find("a/b")
    assert found is not None
    assert (found.size_bytes, found.files, found.is_directory, found.entry) == (3, 1, True, None)
    assert [node.name for node in tree.ordered(by_size=True)] == ["a", "e", "f"]
    assert tree.find("a/x/y") is None
    assert tree.find("") is tree
    assert tree.children["f"].is_directory
    assert not tree.children["e"].is_directory


def test_a_name_that_is_both_file_and_directory_is_a_directory() -> None:
    tree = tree_of(layer({"a": "1", "a/b": "22"}))
    assert tree.children["a"].is_directory
    assert tree.size_bytes == 3


def test_modes_that_are_worth_showing() -> None:
    entries = layer({"a": "", "b": Executable(), "l": Link("a"), "d": DIRECTORY}).entries
    assert not any(odd_mode(entry) for entry in entries.values())


NAMES = {
    "global": (1, 0, 5),
    "weak": (2, 0, 5),
    "unique": (10, 3, 5),
    "local": (0, 0, 5),
    "hidden": (1, 2, 5),
    "wanted": (1, 0, 0),
}


def test_symbols_that_others_may_use() -> None:
    for gnu in (False, True):
        assert exported_symbols(library(NAMES, gnu=gnu)) == {"global", "weak", "unique"}
    assert exported_symbols(library({}, gnu=True)) == set()


def test_libraries_that_are_none_or_damaged() -> None:
    good = library(NAMES)
    assert exported_symbols(b"") is None
    assert exported_symbols(b"#!/bin/sh") is None
    assert exported_symbols(elf(62)) is None
    assert exported_symbols(good[:4] + b"\1" + good[5:]) is None
    assert exported_symbols(library(NAMES, count=2**31)) is None
    for length in range(0, len(good), 7):
        exported_symbols(good[:length])
    for place in range(0, len(good), 3):
        for value in (b"\xff" * 8, b"\x7f" * 4, b"\0" * 8):
            exported_symbols(good[:place] + value + good[place + len(value) :])
