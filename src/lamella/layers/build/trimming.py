"""Which rule finds what can be trimmed; and doing it to a directory."""

import shutil
import struct
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from lamella.layers.build import slim_node, slim_python
from lamella.layers.build.slim import (
    Removed,
    Rule,
    Spared,
    Trim,
    bytecode,
    manuals,
    plan_trimming,
    static_libraries,
)
from lamella.layers.contents import open_contents

RULES: Final[Mapping[Trim, Sequence[Rule]]] = {
    Trim.RUNTIME: (slim_python.shipped,),  # first: whole packages, of which nothing needs to be looked at
    Trim.BYTECODE: (bytecode,),
    Trim.TESTS: (slim_python.tests, slim_node.tests),
    Trim.DOCS: (manuals, slim_python.documents, slim_node.documents),
    Trim.STUBS: (slim_python.stubs, slim_node.declarations),
    Trim.HEADERS: (slim_python.headers,),
    Trim.STATIC: (static_libraries,),
}
_STRIPPERS: Final = {"x86_64": ("x86_64-linux-gnu-strip",), "arm64": ("aarch64-linux-gnu-strip",)}
_ELF_MAGIC: Final = b"\x7fELF"


def trim(
    root: Path, kinds: Sequence[Trim], keep: Sequence[str], architecture: str, *, wanted: Sequence[str] = ()
) -> tuple[tuple[Removed, ...], tuple[Spared, ...]]:
    """Remove from a directory that stands for `/opt` what can go; see `plan_trimming`.

    Raises:
        LayerReadError: A file cannot be read.
    """
    if not kinds:
        return (), ()
    with open_contents(root) as contents:
        plan = plan_trimming(contents, kinds, keep, RULES, wanted=wanted)
        sizes = {entry.name: entry.size_bytes for entry in contents.entries.values()}
    for name in plan.names:
        (root / name).unlink()
    removed, spared = list(plan.removed(sizes)), list(plan.spared)
    if Trim.SYMBOLS in kinds:
        left = [root / name for name, size in sizes.items() if name not in plan.names and size]
        stripped, not_stripped = strip_symbols(root, left, architecture)
        removed += stripped
        spared += not_stripped
    return tuple(removed), tuple(spared)


def strip_symbols(root: Path, files: Iterable[Path], architecture: str) -> tuple[list[Removed], list[Spared]]:
    """Remove debug symbols of programs and libraries, as far as they stay sound.

    `strip` breaks some libraries that `patchelf` has changed, as wheels have them: whatever no longer maps is put back.
    """
    program = next((found for name in (*_STRIPPERS[architecture], "llvm-strip") if (found := shutil.which(name))), None)
    if program is None:
        wanted = ", ".join((*_STRIPPERS[architecture], "llvm-strip"))
        return [], [Spared(Trim.SYMBOLS, "", f"this machine has none of {wanted}")]
    stripped: dict[str, int] = {}
    spared: list[Spared] = []
    for file in files:
        if file.is_symlink() or not _is_elf(file):
            continue
        name = file.relative_to(root).as_posix()
        copy = file.with_name(f"{file.name}.stripped")
        result = subprocess.run(
            [program, "--strip-debug", "-o", copy, file], capture_output=True, text=True, check=False
        )
        try:
            if result.returncode != 0 or not copy.exists() or not _same_to_the_loader(file, copy):
                spared.append(Spared(Trim.SYMBOLS, name, "strip would damage it"))
            elif (less := file.stat().st_size - copy.stat().st_size) > 0:
                copy.chmod(file.stat().st_mode)
                copy.replace(file)
                stripped[name] = less
        finally:
            copy.unlink(missing_ok=True)
    if not stripped:
        return [], spared
    places = sorted(stripped, key=lambda name: (-stripped[name], name))[:3]
    return [Removed(Trim.SYMBOLS, len(stripped), sum(stripped.values()), tuple(places))], spared


def _is_elf(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == _ELF_MAGIC


def _same_to_the_loader(before: Path, after: Path) -> bool:
    """Whether the dynamic loader finds the same segments and the same dynamic section in both, with sound offsets."""
    try:
        return _loaded(before) == _loaded(after)
    except (ELFError, struct.error, AssertionError):
        return False


def _loaded(path: Path) -> list[tuple[object, ...]]:
    with path.open("rb") as file:
        elf = ELFFile(file)
        found: list[tuple[object, ...]] = []
        for segment in elf.iter_segments():
            if segment["p_type"] == "PT_LOAD":
                sound = segment["p_align"] <= 1 or (segment["p_offset"] - segment["p_vaddr"]) % segment["p_align"] == 0
                found.append((segment["p_vaddr"], segment["p_memsz"], segment["p_flags"], sound))
            elif isinstance(segment, DynamicSegment):
                found.append(tuple((tag.entry.d_tag, tag.entry.d_val) for tag in segment.iter_tags()))
        return found
