"""Reads of a program or shared library what the dynamic loader would read, and trusts nothing in it.

Not with pyelftools: it goes through section headers, which a stripped file need not have, and takes ten times as long.
Source: System V ABI, chapters 4 and 5; Linux Standard Base, "Symbol Versioning".
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

MAGIC: Final = b"\x7fELF"
_ENTRIES_MOST: Final = 8192
"""Of each table; a C++ library of a hundred megabytes has some dozens."""
_NAME_MOST_BYTES: Final = 4096
_NAMES_MOST_BYTES: Final = 256 * 1024
"""Of all names together, which a file may let overlap."""
_NEEDED_MOST: Final = 1024
_DIRECTORIES_MOST: Final = 64
_MACHINES: Final = {3: "i386", 40: "arm", 62: "x86_64", 183: "arm64", 243: "riscv64", 21: "ppc64", 22: "s390x"}
_LOAD, _DYNAMIC, _INTERP = 1, 2, 3
_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 1, 5, 10, 14, 15, 29
_VERNEED, _VERNEEDNUM, _VERDEF, _VERDEFNUM = 0x6FFFFFFE, 0x6FFFFFFF, 0x6FFFFFFC, 0x6FFFFFFD
_WEAK: Final = 2
_NODE_MODULE: Final = re.compile(rb"\0node_register_module_v(\d{1,5})\0")


def is_musl(library: str) -> bool:
    """Whether a library is musl, whose name without Alpine's additions is `libc.so`: glibc's is `libc.so.6`."""
    return library == "libc.so" or library.startswith(("libc.musl-", "ld-musl-"))


class ElfDamagedError(Exception):
    """An ELF file is cut off, or says of itself what cannot be."""


class ElfKind(Enum):
    """What an ELF file is for."""

    PROGRAM = "program"
    LIBRARY = "library"
    OTHER = "object file"


@dataclass(frozen=True, slots=True)
class ElfFacts:
    """A program or library.

    Attributes:
        machine: As Lambda names architectures, or another name that Lambda has no architecture of.
        interpreter: The dynamic loader that a program asks for; empty for libraries and static programs.
        soname: The name that others ask for; empty if it has none.
        needed: Names of libraries, in the order in which they are searched.
        rpath: Directories that are searched before `LD_LIBRARY_PATH`, `$ORIGIN` as it stands.
        runpath: Directories that are searched after it.
        wants: Library and symbol version, e.g. `("libc.so.6", "GLIBC_2.34")`.
        has: Symbol versions that it defines itself.
        node_abi: `NODE_MODULE_VERSION` of a module for Node.js that says it; 0 if it does not.
        node_api: Whether it is one that works with every version.
    """

    machine: str
    kind: ElfKind
    interpreter: str = ""
    soname: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    wants: tuple[tuple[str, str], ...] = ()
    has: frozenset[str] = frozenset()
    node_abi: int = 0
    node_api: bool = False

    @property
    def static(self) -> bool:
        """Whether it needs no library at all."""
        return not self.needed and not self.interpreter

    @property
    def musl(self) -> bool:
        """Whether it was built for the C library of Alpine."""
        return "ld-musl-" in self.interpreter or any(is_musl(name) for name in self.needed)


def read_elf(data: bytes) -> ElfFacts:
    """Read a whole ELF file. Takes time and memory by what is in its dynamic section, bounded, not by its size.

    Raises:
        ElfDamagedError: It is not sound.
    """
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise ElfDamagedError(f"is cut off or not sound: {error}") from error


def _read(data: bytes) -> ElfFacts:
    if len(data) < 52 or data[:4] != MAGIC:
        raise ElfDamagedError("is cut off within its header")
    bits, order = data[4], data[5]
    if bits not in (1, 2) or order not in (1, 2):
        raise ElfDamagedError("has a header that says neither 32 nor 64 bits, or no byte order")
    kind, machine = struct.unpack_from("<HH" if order == 1 else ">HH", data, 16)
    name = _MACHINES.get(machine, f"machine number {machine}")
    if bits == 1 or order == 2:
        # Lambda runs nothing of these: that it is another machine is all there is to say.
        what = ElfKind.LIBRARY if kind in (2, 3) else ElfKind.OTHER
        return ElfFacts(name if name not in ("x86_64", "arm64") else f"32-bit {name}", what)
    if kind not in (2, 3):
        return ElfFacts(name, ElfKind.OTHER)
    offset, _, _, _, size, count = struct.unpack_from("<QQIHHH", data, 32)
    if count and size != 56:
        raise ElfDamagedError(f"has program headers of {size} bytes")
    headers = [_Header(*struct.unpack_from("<IIQQQQQQ", data, offset + 56 * index)) for index in range(count)]
    interpreter = ""
    dynamic: _Header | None = None
    for header in headers:
        if header.kind == _INTERP:
            interpreter = _text(data, header.offset, header.offset + header.file_size)
        elif header.kind == _DYNAMIC:
            dynamic = header
    what = ElfKind.PROGRAM if interpreter or kind == 2 else ElfKind.LIBRARY
    if dynamic is None:
        return ElfFacts(name, ElfKind.PROGRAM if kind == 2 else what, interpreter)
    return _dynamic(data, name, what, interpreter, headers, dynamic)


@dataclass(frozen=True, slots=True)
class _Header:
    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    file_size: int
    memory_size: int
    align: int


def _dynamic(
    data: bytes, machine: str, kind: ElfKind, interpreter: str, headers: list[_Header], dynamic: _Header
) -> ElfFacts:
    tags = list(_tags(data, dynamic))
    values = dict(tags)
    if _STRTAB not in values:
        return ElfFacts(machine, kind, interpreter)
    start = _offset(headers, values[_STRTAB])
    end = start + values.get(_STRSZ, 0)
    if end > len(data):
        raise ElfDamagedError("has a table of names that goes beyond its end")

    left_bytes = _NAMES_MOST_BYTES

    def name(at: int) -> str:
        nonlocal left_bytes
        if at >= end - start:
            raise ElfDamagedError("has a name outside of its table of names")
        text = _text(data, start + at, end)
        left_bytes -= len(text)
        if left_bytes < 0:
            raise ElfDamagedError("has more names than any program or library")
        return text

    def directories(tag: int) -> tuple[str, ...]:
        parts = name(values[tag]).split(":") if tag in values else ()
        return tuple(part for part in parts if part)[:_DIRECTORIES_MOST]

    needed = [value for tag, value in tags if tag == _NEEDED]
    if len(needed) > _NEEDED_MOST:
        raise ElfDamagedError(f"needs {len(needed)} libraries, more than any program")
    runpath = directories(_RUNPATH)
    names = data[start:end]
    node = _NODE_MODULE.search(names)
    return ElfFacts(
        machine,
        kind,
        interpreter,
        name(values[_SONAME]) if _SONAME in values else "",
        tuple(dict.fromkeys(map(name, needed))),
        () if runpath else directories(_RPATH),  # with a RUNPATH, the RPATH is not looked at
        runpath,
        tuple(
            dict.fromkeys(
                (name(library), name(version))
                for library, version in _wanted(data, headers, values.get(_VERNEED), values.get(_VERNEEDNUM, 0))
            )
        ),
        frozenset(name(at) for at in _defined(data, headers, values.get(_VERDEF), values.get(_VERDEFNUM, 0))),
        int(node[1]) if node else 0,
        b"\0napi_register_module_v1\0" in names or b"\0napi_module_register\0" in names,
    )


def _tags(data: bytes, dynamic: _Header) -> Iterator[tuple[int, int]]:
    for index in range(min(dynamic.file_size // 16, _ENTRIES_MOST)):
        tag, value = struct.unpack_from("<QQ", data, dynamic.offset + 16 * index)
        if tag == 0:
            return
        yield tag, value


def _wanted(data: bytes, headers: list[_Header], address: int | None, count: int) -> Iterator[tuple[int, int]]:
    """Places of names: of the library, of the version."""
    if address is None:
        return
    at = _offset(headers, address)
    left = _ENTRIES_MOST
    for _ in range(min(count, _ENTRIES_MOST)):
        _, versions, library, first, following = struct.unpack_from("<HHIII", data, at)
        inner = at + first
        for _ in range(versions):
            left -= 1
            if left < 0:
                raise ElfDamagedError("has a table of versions without end")
            _, flags, _, version, further = struct.unpack_from("<IHHII", data, inner)
            if not flags & _WEAK:  # the loader starts without those
                yield library, version
            if not further:
                break
            inner += further
        if not following:
            return
        at += following


def _defined(data: bytes, headers: list[_Header], address: int | None, count: int) -> Iterator[int]:
    """Places of the names of versions."""
    if address is None:
        return
    at = _offset(headers, address)
    for _ in range(min(count, _ENTRIES_MOST)):
        _, _, _, _, _, first, following = struct.unpack_from("<HHHHIII", data, at)
        (name,) = struct.unpack_from("<I", data, at + first)
        yield name
        if not following:
            return
        at += following


def _offset(headers: list[_Header], address: int) -> int:
    """Where in the file an address is."""
    for header in headers:
        if header.kind == _LOAD and header.address <= address < header.address + header.file_size:
            return address - header.address + header.offset
    raise ElfDamagedError("points outside of what is loaded")


def _text(data: bytes, start: int, end: int) -> str:
    stop = data.find(b"\0", start, min(end, start + _NAME_MOST_BYTES))
    if start >= len(data) or stop < 0:
        raise ElfDamagedError("has a name without end")
    return data[start:stop].decode("utf-8", "backslashreplace")
