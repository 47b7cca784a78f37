"""Where the loader looks on behalf of those that led to a library."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from lamella.layers.contents import ContentEntry, DirectoryContents, EntryKind
from lamella.layers.doctor.chains import directories, inherited_paths
from lamella.layers.doctor.elf import ElfFacts, ElfKind
from lamella.layers.doctor.tree import MergedTree


def library(*needed: str, rpath: tuple[str, ...] = (), runpath: tuple[str, ...] = ()) -> ElfFacts:
    return ElfFacts("x86_64", ElfKind.LIBRARY, needed=needed, rpath=rpath, runpath=runpath)


def inherited(elves: Mapping[str, ElfFacts]) -> Mapping[str, tuple[str, ...]]:
    entries = {name: ContentEntry(name, EntryKind.FILE, 0o644) for name in elves}
    return inherited_paths(MergedTree([DirectoryContents(label="", entries=entries, root=Path())]), elves)


def test_a_wheel_s_libraries_find_each_other_through_the_module() -> None:
    libs = "python/PIL.libs"
    found = inherited(
        {
            "python/PIL/_imaging.so": library("libtiff.so.6", rpath=("$ORIGIN/../PIL.libs",)),
            f"{libs}/libtiff.so.6": library("libjpeg.so.62"),
            f"{libs}/libjpeg.so.62": library("libc.so.6"),
        }
    )
    place = "/opt/python/PIL/../PIL.libs"
    assert found == {f"{libs}/libtiff.so.6": (place,), f"{libs}/libjpeg.so.62": (place,)}


def test_a_runpath_hands_nothing_on_and_takes_nothing() -> None:
    elves = {"bin/a": library("b.so", runpath=("$ORIGIN/../x",)), "x/b.so": library("c.so"), "x/c.so": library()}
    assert inherited(elves) == {}
    elves = {
        "bin/a": library("b.so", rpath=("$ORIGIN/../x",)),
        "x/b.so": library("c.so", runpath=("/opt/y",)),
        "x/c.so": library(),
    }
    assert inherited(elves) == {}


def test_several_ways_are_all_inherited_and_circles_end() -> None:
    elves = {
        "bin/a": library("c.so", rpath=("/opt/x",)),
        "bin/b": library("c.so", rpath=("/opt/y", "/opt/x")),
        "x/c.so": library("d.so"),
        "x/d.so": library("c.so"),
    }
    found = inherited(elves)
    assert set(found["x/c.so"]) == set(found["x/d.so"]) == {"/opt/x", "/opt/y"}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("$ORIGIN", "/opt/lib/a"),
        ("${ORIGIN}/../b/", "/opt/lib/a/../b"),
        ("/opt/$LIB", "/opt/lib64"),
        ("/opt/lib", "/opt/lib"),
    ],
)
def test_words_of_the_loader_are_resolved(path: str, place: str) -> None:
    assert list(directories("lib/a/x.so", [path])) == [place]
