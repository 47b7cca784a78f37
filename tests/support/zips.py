"""Zip archives made byte by byte, so that they can be wrong in any way."""

import struct
import zlib
from dataclasses import dataclass, replace

UTF8 = 1 << 11
STREAMED = 1 << 3
UNIX, WINDOWS, DARWIN = 3, 0, 19
REGULAR, DIRECTORY, LINK, FIFO, SOCKET, CHARACTER, BLOCK = (
    0o100000,
    0o040000,
    0o120000,
    0o010000,
    0o140000,
    0o020000,
    0o060000,
)
NOON = (2026 - 1980) << 25 | 5 << 21 | 17 << 16 | 12 << 11
"""2026-05-17 12:00:00, as a zip writes it."""


@dataclass(frozen=True)
class Entry:
    """One entry; everything can be overridden, and what is `None` is made right."""

    name: bytes
    content: bytes = b""
    mode: int = REGULAR | 0o644
    system: int = UNIX
    method: int = 8
    flags: int = 0
    dos_time: int = NOON
    attributes: int | None = None
    crc: int | None = None
    size_bytes: int | None = None
    compressed_bytes: int | None = None
    packed: bytes | None = None
    offset: int | None = None
    local_name: bytes | None = None
    extra: bytes = b""
    local_extra: bytes = b""
    comment: bytes = b""
    disk: int = 0


def pack(content: bytes, method: int = 8) -> bytes:
    if method != 8:
        return content
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(content) + deflater.flush()


def local_part(entry: Entry) -> bytes:
    """Local header, data, and the data descriptor if the entry is a streamed one."""
    full = complete(entry)
    name = entry.name if entry.local_name is None else entry.local_name
    sizes = (full.crc, full.compressed_bytes, full.size_bytes)
    inline = (0, 0, 0) if entry.flags & STREAMED else tuple(min(size, 0xFFFFFFFF) for size in sizes)
    header = struct.pack(
        "<IHHHHH", 0x04034B50, 20, entry.flags, entry.method, entry.dos_time & 0xFFFF, entry.dos_time >> 16
    )
    header += struct.pack("<IIIHH", *inline, len(name), len(entry.local_extra))
    descriptor = struct.pack("<IIII", 0x08074B50, *sizes) if entry.flags & STREAMED else b""
    return header + name + entry.local_extra + full.packed + descriptor


def central_part(entry: Entry, offset: int) -> bytes:
    full = complete(entry)
    attributes = entry.mode << 16 if entry.attributes is None else entry.attributes
    header = struct.pack("<IBBH", 0x02014B50, 20, entry.system, 20)
    header += struct.pack("<HHHH", entry.flags, entry.method, entry.dos_time & 0xFFFF, entry.dos_time >> 16)
    header += struct.pack("<III", full.crc, full.compressed_bytes, full.size_bytes)
    header += struct.pack("<HHH", len(entry.name), len(entry.extra), len(entry.comment))
    header += struct.pack("<HHII", entry.disk, 0, attributes, offset if entry.offset is None else entry.offset)
    return header + entry.name + entry.extra + entry.comment


def complete(entry: Entry) -> Entry:
    packed = pack(entry.content, entry.method) if entry.packed is None else entry.packed
    return replace(
        entry,
        packed=packed,
        crc=zlib.crc32(entry.content) if entry.crc is None else entry.crc,
        size_bytes=len(entry.content) if entry.size_bytes is None else entry.size_bytes,
        compressed_bytes=len(packed) if entry.compressed_bytes is None else entry.compressed_bytes,
    )


def end_record(count: int, size: int, offset: int, comment: bytes = b"") -> bytes:
    return struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, size, offset, len(comment)) + comment


def zip64_end(count: int, size: int, offset: int, at: int) -> bytes:
    """The zip64 end record and its locator."""
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, offset)
    return record + struct.pack("<IIQI", 0x07064B50, 0, at, 1)


def make_zip(
    *entries: Entry, comment: bytes = b"", prefix: bytes = b"", zip64: bool = False, count: int | None = None
) -> bytes:
    """A zip of the entries; `prefix` precedes it, and no offset knows of it."""
    data, directory = b"", b""
    for entry in entries:
        directory += central_part(entry, len(data))
        data += local_part(entry)
    count = len(entries) if count is None else count
    if zip64:
        wide = zip64_end(count, len(directory), len(data), len(data) + len(directory))
        end = wide + end_record(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, comment)
    else:
        end = end_record(count, len(directory), len(data), comment)
    return prefix + data + directory + end


def zip64_extra(*values: int) -> bytes:
    return struct.pack("<HH", 1, 8 * len(values)) + b"".join(struct.pack("<Q", value) for value in values)


def unicode_path_extra(raw_name: bytes, name: str) -> bytes:
    field = b"\1" + zlib.crc32(raw_name).to_bytes(4, "little") + name.encode()
    return struct.pack("<HH", 0x7075, len(field)) + field
