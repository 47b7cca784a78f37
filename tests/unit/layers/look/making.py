"""Layers to look into, made in memory."""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from lamella.layers.contents import ContentEntry, EntryKind, LayerContents
from lamella.layers.look.view import Brought, View
from lamella.layers.packages import packages_of


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Executable:
    """A file with its x bits."""

    content: str = ""


DIRECTORY = object()
Made = Mapping[str, "str | bytes | Link | Executable | object"]


@dataclass(frozen=True, kw_only=True)
class MemoryContents(LayerContents):
    """A layer that has no archive."""

    data: Mapping[str, bytes] = field(repr=False)

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.data[name])


def layer(files: Made, label: str = "layer", *, with_crc: bool = True) -> MemoryContents:
    entries: dict[str, ContentEntry] = {}
    data: dict[str, bytes] = {}
    for name, given in sorted(files.items()):
        if isinstance(given, Link):
            entries[name] = ContentEntry(name, EntryKind.LINK, 0o777, target=given.target)
        elif given is DIRECTORY:
            entries[name] = ContentEntry(name, EntryKind.DIRECTORY, 0o755)
        else:
            content = given.content if isinstance(given, Executable) else given
            assert isinstance(content, str | bytes)
            data[name] = content.encode() if isinstance(content, str) else content
            mode = 0o755 if isinstance(given, Executable) else 0o644
            crc32 = zlib.crc32(data[name]) if with_crc else None
            entries[name] = ContentEntry(name, EntryKind.FILE, mode, len(data[name]), crc32=crc32)
    return MemoryContents(label=label, entries=entries, data=data)


def view(*layers: Made, code: Made | None = None) -> View:
    """A function's view of layers called `one:1`, `two:1`, `three:1` and so on."""
    names = ["one:1", "two:1", "three:1", "four:1", "five:1"]

    def brought(label: str, files: Made) -> Brought:
        contents = layer(files, label)
        return Brought(label, contents, packages_of(contents))

    return View(
        [brought(label, files) for label, files in zip(names, layers, strict=False)],
        None if code is None else brought("function code", code),
    )


def python_package(name: str, version: str, files: Mapping[str, str], site: str = "python") -> dict[str, str]:
    """A package as pip installs it."""
    info = f"{name}-{version}.dist-info"
    record = "".join(f"{file},,\n" for file in (*files, f"{info}/METADATA", f"{info}/RECORD"))
    return {
        **{f"{site}/{file}": content for file, content in files.items()},
        f"{site}/{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{site}/{info}/RECORD": record,
    }


def library(names: dict[str, tuple[int, int, int]], *, gnu: bool = False, count: int | None = None) -> bytes:
    """A library with these symbols: binding, visibility and section of each."""
    strings, symbols = b"\0", bytes(24)
    for name, (binding, visibility, section) in names.items():
        symbols += struct.pack("<IBBHQQ", len(strings), binding << 4, visibility, section, 0, 0)
        strings += name.encode() + b"\0"
    number = len(names) + 1 if count is None else count
    if gnu:
        table = struct.pack("<IIII", 1, 1, 1, 0) + bytes(8) + struct.pack("<I", bool(names))
        table += b"".join(struct.pack("<I", index == number - 2) for index in range(number - 1))
    else:
        table = struct.pack("<II", 1, number) + bytes(4 * (2 + len(names)))
    begin = 64 + 2 * 56
    places = [begin]
    for part in (symbols, strings, table):
        places.append(places[-1] + len(part))
    dynamic = b"".join(
        struct.pack("<QQ", tag, value)
        for tag, value in (
            (6, places[0]),
            (5, places[1]),
            (10, len(strings)),
            (0x6FFFFEF5 if gnu else 4, places[2]),
            (0, 0),
        )
    )
    size = places[3] + len(dynamic)
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    tags = struct.pack("<IIQQQQQQ", 2, 6, places[3], places[3], 0, len(dynamic), len(dynamic), 8)
    return header + load + tags + symbols + strings + table + dynamic
