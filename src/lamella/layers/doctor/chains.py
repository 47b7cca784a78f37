"""Where the loader looks for the libraries of a library: also where the programs and modules look that led to it.

Wheels rely on that: their modules have an RPATH to the directory of the libraries they bring, and those need each other
and have none. Source: `ld.so(8)`, and glibc's `_dl_map_object`: the RPATH of each object up to the one that was started
is searched, unless the object that asks has a RUNPATH; and in the end the program's, also for what is loaded while
it runs (plug-ins, as those of ImageMagick).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.doctor.elf import ElfFacts
from lamella.layers.doctor.tree import MergedTree

_PATHS_MOST: Final = 64
"""That a file inherits; more than that only somebody makes who wants to keep the check busy."""


def directories(name: str, paths: Iterable[str]) -> Iterator[str]:
    """The directories that an RPATH or RUNPATH of a file names, `$ORIGIN` and `$LIB` resolved.

    Args:
        name: Of the file, below `/opt`.
        paths: The entries.
    """
    origin = str(PurePosixPath("/opt", name).parent)
    for path in paths:
        place = path.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", origin)
        # Both are `lib64` on Lambda, and neither is used in layers but by mistake.
        yield place.replace("${LIB}", "$LIB").replace("$LIB", "lib64").rstrip("/")


def inherited_paths(tree: MergedTree, elves: Mapping[str, ElfFacts]) -> Mapping[str, tuple[str, ...]]:
    """For each file that others lead to by their RPATH, the directories that it inherits from them, in no order.

    Args:
        tree: All layers.
        elves: Programs and libraries that are seen in it, by name.
    """
    found: dict[str, dict[str, None]] = {}
    todo = [(name, own) for name, elf in elves.items() if (own := own_paths(name, elf))]
    while todo:
        name, searched = todo.pop()
        for library in elves[name].needed:
            at = next((at for place in searched if (at := tree.find(place, library))), None)
            if at is None or at not in elves or elves[at].runpath:
                continue
            known = found.setdefault(at, {})
            if len(known) < _PATHS_MOST and not known.keys() >= set(searched):
                known.update(dict.fromkeys(searched))
                todo.append((at, (*own_paths(at, elves[at]), *known)))
    return {name: tuple(places) for name, places in found.items()}


def own_paths(name: str, elf: ElfFacts) -> tuple[str, ...]:
    """The directories of its RPATH, which is not looked at if it has a RUNPATH."""
    return () if elf.runpath else tuple(directories(name, elf.rpath))
