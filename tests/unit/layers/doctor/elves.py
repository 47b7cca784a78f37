"""ELF files for the doctor, as small as a loader would take them."""

import struct
from collections.abc import Sequence

MACHINES = {"x86_64": 62, "arm64": 183, "riscv64": 243}
_BASE = 0x1000


def elf(
    machine: str = "x86_64",
    *,
    needed: Sequence[str] = (),
    wants: Sequence[tuple[str, str]] = (),
    has: Sequence[str] = (),
    interpreter: str = "",
    soname: str = "",
    rpath: str = "",
    runpath: str = "",
    symbols: Sequence[str] = (),
    program: bool = False,
) -> bytes:
    """A file with a dynamic section that says this.

    Args:
        wants: Library and symbol version.
        has: Symbol versions that it defines.
        symbols: Names that stand in its table of names.
        program: Without an interpreter: a static one.
    """
    names = b"\0"

    def place(text: str) -> int:
        nonlocal names
        at = len(names)
        names += text.encode() + b"\0"
        return at

    tags = [(1, place(name)) for name in needed]
    for tag, text in ((14, soname), (15, rpath), (29, runpath)):
        if text:
            tags.append((tag, place(text)))
    needs = b""
    for index, (library, version) in enumerate(wants):
        following = 32 if index < len(wants) - 1 else 0
        needs += struct.pack("<HHIII", 1, 1, place(library), 16, following)
        needs += struct.pack("<IHHII", 0, 0, 2 + index, place(version), 0)
    defined = b""
    for index, version in enumerate(has):
        following = 28 if index < len(has) - 1 else 0
        defined += struct.pack("<HHHHIII", 1, 0, index + 1, 1, 0, 20, following)
        defined += struct.pack("<II", place(version), 0)
    for symbol in symbols:
        place(symbol)
    loader = interpreter.encode() + b"\0" if interpreter else b""
    static = program and not interpreter and not tags
    headers = 1 + bool(loader) + (not static)
    start = 64 + 56 * headers
    at_names, at_needs = start + len(loader), start + len(loader) + len(names)
    at_defined = at_needs + len(needs)
    at_dynamic = at_defined + len(defined)
    tags += [(5, _BASE + at_names), (10, len(names))]
    if wants:
        tags += [(0x6FFFFFFE, _BASE + at_needs), (0x6FFFFFFF, len(wants))]
    if has:
        tags += [(0x6FFFFFFC, _BASE + at_defined), (0x6FFFFFFD, len(has))]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    size = at_dynamic + len(dynamic)
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack(
        "<HHIQQQIHHHHHH", 2 if static else 3, MACHINES[machine], 1, 0, 64, 0, 0, 64, 56, headers, 64, 0, 0
    )
    table = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 4096)
    if loader:
        table += struct.pack("<IIQQQQQQ", 3, 4, start, _BASE + start, 0, len(loader), len(loader), 1)
    if not static:
        table += struct.pack("<IIQQQQQQ", 2, 6, at_dynamic, _BASE + at_dynamic, 0, len(dynamic), len(dynamic), 8)
    return head + table + loader + names + needs + defined + dynamic


LOADER = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}


def executable(machine: str = "x86_64", *, needed: Sequence[str] = ("libc.so.6",), **more: object) -> bytes:
    """A program that the loader starts."""
    return elf(machine, needed=needed, interpreter=LOADER[machine], **more)  # type: ignore[arg-type]
