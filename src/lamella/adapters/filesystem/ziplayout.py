"""The layout of a zip archive, read with suspicion: where its entries are and what they claim to be.

Written by hand rather than with `zipfile`, which is made to read whatever it can: it takes overlapping entries (Python
before 3.11.8), several end records, names that differ between an entry's two headers, and does not know the Info-ZIP
field for Unicode names. Nothing is decompressed here.

Source: PKWARE APPNOTE 6.3.10; Info-ZIP's extra field 0x7075; Fifield, "A better zip bomb", for overlaps.
"""

import mmap
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final, TypeAlias

from lamella.ports.stores import ArchiveError

Archive: TypeAlias = bytes | mmap.mmap
"""In memory, or a file that is mapped."""

MAX_ENTRIES: Final = 200_000
"""Of an archive, directories that are only implied included. AWS documents no limit; this one saves inodes."""

_END: Final = struct.Struct("<IHHHHIIH")
_END_SIGNATURE: Final = 0x06054B50
_END64: Final = struct.Struct("<IQHHIIQQQQ")
_END64_SIGNATURE: Final = 0x06064B50
_LOCATOR64: Final = struct.Struct("<IIQI")
_LOCATOR64_SIGNATURE: Final = 0x07064B50
_CENTRAL: Final = struct.Struct("<IBBHHHHHIIIHHHHHII")
_CENTRAL_SIGNATURE: Final = 0x02014B50
_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
_LOCAL_SIGNATURE: Final = 0x04034B50
_EXTRA: Final = struct.Struct("<HH")
_EXTRA_ZIP64: Final = 0x0001
_EXTRA_UNICODE_PATH: Final = 0x7075

_FLAG_UTF8: Final = 1 << 11
_FLAGS_ENCRYPTED: Final = 1 << 0 | 1 << 6 | 1 << 13
_FLAG_PATCH: Final = 1 << 5
_MASK16: Final = 0xFFFF
_MASK32: Final = 0xFFFFFFFF


class Method(IntEnum):
    """Compression methods that are understood: those `zip` and every build tool write."""

    STORED = 0
    DEFLATED = 8


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry as its headers describe it.

    Attributes:
        name: Decoded, otherwise as written.
        system: Where it was made: 3 is Unix.
        attributes: External attributes; on Unix the upper half is `st_mode`.
        dos_time: Date in the upper, time in the lower 16 bits, of an unknown zone.
        data_offset: Of the compressed data within the archive.
    """

    name: str
    system: int
    attributes: int
    dos_time: int
    method: Method
    crc: int
    compressed_bytes: int
    size_bytes: int
    data_offset: int


def refusal(detail: str) -> ArchiveError:
    """The error for an archive that cannot be taken: AWS's sentence, then why."""
    return ArchiveError(
        f"Could not unzip uploaded file. Please check your file, then try to upload again. Reason: {detail}."
    )


def shown(name: str) -> str:
    """A name from an archive, made safe to print."""
    text = ascii(name)
    return text if len(text) <= 160 else f"{text[:160]}..."


def read_layout(archive: Archive) -> list[RawEntry]:
    """Find all entries.

    Raises:
        ArchiveError: Not a zip, empty, damaged, ambiguous, or made in a way that is not supported.
    """
    if not archive:
        raise ArchiveError("Uploaded file must be a non-empty zip")
    start, end, count, prefix = _find_directory(archive)
    if count == 0:
        raise ArchiveError("Uploaded file must be a non-empty zip")
    if count > MAX_ENTRIES:
        raise refusal(f"the archive has {count} entries, more than {MAX_ENTRIES}")
    entries: list[RawEntry] = []
    spans: list[tuple[int, int]] = []
    position = start
    for _ in range(count):
        entry, header_offset, position = _read_entry(archive, position, end, prefix)
        entries.append(entry)
        spans.append((header_offset, entry.data_offset + entry.compressed_bytes))
    if position != end:
        raise refusal("the central directory is damaged")
    spans.sort()
    spans.append((start, start))
    for (_, one_ends), (other_starts, _) in pairwise(spans):
        if one_ends > other_starts:
            raise refusal("entries of the archive overlap")
    return entries


def _find_directory(archive: Archive) -> tuple[int, int, int, int]:
    """Start and end of the central directory, its number of entries, and how many bytes precede the archive."""
    found = []
    earliest = max(0, len(archive) - _END.size - _MASK16)
    position = archive.rfind(b"PK\5\6", earliest)
    while position >= 0:
        if position + _END.size <= len(archive):
            record = _END.unpack_from(archive, position)
            if position + _END.size + record[7] == len(archive):
                found.append((position, record))
        position = archive.rfind(b"PK\5\6", earliest, position + 3) if position > earliest else -1
    if not found:
        raise refusal("this is not a zip archive, or its end is missing")
    if len(found) > 1:
        # Programs that look from the start and from the end would see different archives.
        raise refusal("the archive has more than one end record")
    end, (_, disk, first_disk, count_here, count, size, offset, _) = found[0]
    disks = {disk, first_disk}
    locator = end - _LOCATOR64.size
    if locator >= 0 and archive[locator : locator + 4] == b"PK\6\7":
        end -= _LOCATOR64.size + _END64.size
        narrow = (count, size, offset)
        if end < 0:
            raise refusal("the zip64 end record is missing")
        signature, length, _, _, disk, first_disk, count_here, count, size, offset = _END64.unpack_from(archive, end)
        if signature != _END64_SIGNATURE or length != _END64.size - 12:
            raise refusal("the zip64 end record is missing")
        for one, other, mask in zip(narrow, (count, size, offset), (_MASK16, _MASK32, _MASK32), strict=True):
            if one not in (other, mask):
                raise refusal("the end records contradict each other")
        disks = {disk, first_disk}
    if disks != {0} or count_here != count:
        raise refusal("the archive is split over several files")
    start = end - size
    if start < 0 or offset > start or count * _CENTRAL.size > size:
        raise refusal("the archive is damaged or cut off")
    return start, end, count, start - offset


def _read_entry(archive: Archive, position: int, end: int, prefix: int) -> tuple[RawEntry, int, int]:
    """One entry, the offset of its local header, and where the next one begins in the central directory."""
    if position + _CENTRAL.size > end:
        raise refusal("the central directory is damaged")
    (
        signature,
        _version,
        system,
        _version_needed,
        flags,
        method,
        time,
        date,
        crc,
        compressed_bytes,
        size_bytes,
        name_length,
        extra_length,
        comment_length,
        disk,
        _internal,
        attributes,
        offset,
    ) = _CENTRAL.unpack_from(archive, position)
    name_at = position + _CENTRAL.size
    extra_at = name_at + name_length
    following = extra_at + extra_length + comment_length
    if signature != _CENTRAL_SIGNATURE or following > end:
        raise refusal("the central directory is damaged")
    raw_name = archive[name_at:extra_at]
    extras = _read_extras(archive[extra_at : extra_at + extra_length])
    name = _decode_name(raw_name, flags, extras)
    if flags & _FLAGS_ENCRYPTED:
        raise refusal(f"{shown(name)} is encrypted")
    if flags & _FLAG_PATCH or method not in (Method.STORED, Method.DEFLATED):
        raise refusal(f"{shown(name)} uses compression method {method}; only stored and deflated are supported")
    if _MASK32 in (size_bytes, compressed_bytes, offset):
        wide = extras.get(_EXTRA_ZIP64, b"")
        try:
            if size_bytes == _MASK32:
                (size_bytes,), wide = struct.unpack("<Q", wide[:8]), wide[8:]
            if compressed_bytes == _MASK32:
                (compressed_bytes,), wide = struct.unpack("<Q", wide[:8]), wide[8:]
            if offset == _MASK32:
                (offset,), wide = struct.unpack("<Q", wide[:8]), wide[8:]
        except struct.error:
            raise refusal(f"{shown(name)} has a damaged zip64 field") from None
    if disk:
        raise refusal("the archive is split over several files")
    offset += prefix
    data_offset = _find_data(archive, offset, raw_name, name)
    if method == Method.STORED and compressed_bytes != size_bytes:
        raise refusal(f"{shown(name)} is stored, but its two sizes differ")
    entry = RawEntry(
        name=name,
        system=system,
        attributes=attributes,
        dos_time=date << 16 | time,
        method=Method(method),
        crc=crc,
        compressed_bytes=compressed_bytes,
        size_bytes=size_bytes,
        data_offset=data_offset,
    )
    return entry, offset, following


def _find_data(archive: Archive, offset: int, raw_name: bytes, name: str) -> int:
    if offset + _LOCAL.size > len(archive):
        raise refusal(f"{shown(name)} lies outside of the archive")
    header: tuple[int, ...] = _LOCAL.unpack_from(archive, offset)
    signature, name_length, extra_length = header[0], header[-2], header[-1]
    name_at = offset + _LOCAL.size
    # The sizes here may be missing, if the archive was written as a stream; the central directory's are what counts.
    if signature != _LOCAL_SIGNATURE or archive[name_at : name_at + name_length] != raw_name:
        raise refusal(f"{shown(name)} has a local header that contradicts the central directory")
    return name_at + name_length + extra_length


def _read_extras(extra: bytes) -> dict[int, bytes]:
    """Extra fields by id, the first of each; what does not parse is ignored, as every other program does."""
    fields: dict[int, bytes] = {}
    position = 0
    while position + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, position)
        position += _EXTRA.size
        fields.setdefault(kind, extra[position : position + length])
        position += length
    return fields


def _decode_name(raw_name: bytes, flags: int, extras: dict[int, bytes]) -> str:
    """The name as text.

    Without the flag for UTF-8, the standard means code page 437; but macOS and many libraries write UTF-8 and do not
    say so, and text in another code page is hardly ever valid UTF-8 by accident.
    """
    unicode_path = extras.get(_EXTRA_UNICODE_PATH, b"")
    if unicode_path[:1] == b"\1" and unicode_path[1:5] == zlib.crc32(raw_name).to_bytes(4, "little"):
        raw_name, flags = unicode_path[5:], flags | _FLAG_UTF8
    try:
        return raw_name.decode("utf-8")
    except UnicodeDecodeError:
        if flags & _FLAG_UTF8:
            raise refusal(f"the name {shown(raw_name.decode('latin-1'))} is not valid UTF-8") from None
        return raw_name.decode("cp437")
