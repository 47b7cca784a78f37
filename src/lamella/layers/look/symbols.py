"""The symbols that a shared library offers to others: what an update must not take away.

Read from the dynamic section, as the dynamic loader does: section headers may be stripped. Nothing in the file is
trusted. Source: System V ABI, chapter 5, "Symbol Table" and "Hash Table"; GNU hash table as binutils writes it.
"""

import struct
from dataclasses import dataclass
from typing import Final

_SYMBOLS_MOST: Final = 1_000_000
_TAGS_MOST: Final = 8192
_NAME_MOST_BYTES: Final = 4096
_LOAD, _DYNAMIC = 1, 2
_HASH, _STRTAB, _SYMTAB, _STRSZ, _GNU_HASH = 4, 5, 6, 10, 0x6FFFFEF5
_EXPORTING: Final = frozenset({1, 2, 10})  # global, weak, unique
_SEEN: Final = frozenset({0, 3})  # default, protected
_SYMBOL: Final = struct.Struct("<IBBHQQ")


def exported_symbols(data: bytes) -> frozenset[str] | None:
    """Names of the symbols that a 64-bit little-endian library defines and offers.

    Returns:
        `None` if it is no such library, or is damaged.
    """
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    try:
        return _exported(_Image(data))
    except (struct.error, IndexError, ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size_bytes: int


class _Image:
    """An ELF file, addressed as it would lie in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        (offset,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        if size != 56:
            raise ValueError("program headers of another size")
        self.segments = []
        for index in range(count):
            kind, _, place, address, _, in_file, _, _ = struct.unpack_from("<IIQQQQQQ", data, offset + 56 * index)
            self.segments.append(_Segment(kind, place, address, in_file))

    def offset(self, address: int) -> int:
        for segment in self.segments:
            if segment.kind == _LOAD and segment.address <= address < segment.address + segment.size_bytes:
                return address - segment.address + segment.offset
        raise ValueError("points outside of what is loaded")

    def tags(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for segment in self.segments:
            if segment.kind == _DYNAMIC:
                for index in range(min(segment.size_bytes // 16, _TAGS_MOST)):
                    tag, value = struct.unpack_from("<QQ", self.data, segment.offset + 16 * index)
                    if tag == 0:
                        break
                    found.setdefault(tag, value)
        return found


def _exported(image: _Image) -> frozenset[str] | None:
    tags = image.tags()
    if _SYMTAB not in tags or _STRTAB not in tags:
        return None
    table, names = image.offset(tags[_SYMTAB]), image.offset(tags[_STRTAB])
    end = min(names + tags.get(_STRSZ, 0), len(image.data))
    found: set[str] = set()
    for index in range(1, min(_count(image, tags), _SYMBOLS_MOST)):
        name, info, other, section, _, _ = _SYMBOL.unpack_from(image.data, table + _SYMBOL.size * index)
        if section == 0 or info >> 4 not in _EXPORTING or other & 3 not in _SEEN:
            continue
        start = names + name
        stop = image.data.find(b"\0", start, min(end, start + _NAME_MOST_BYTES))
        if stop > start:
            found.add(image.data[start:stop].decode("utf-8", "backslashreplace"))
    return frozenset(found)


def _count(image: _Image, tags: dict[int, int]) -> int:
    """How many symbols there are, which only the hash tables tell."""
    if _HASH in tags:
        (count,) = struct.unpack_from("<I", image.data, image.offset(tags[_HASH]) + 4)
        return int(count)
    if _GNU_HASH not in tags:
        return 0
    at = image.offset(tags[_GNU_HASH])
    buckets: int
    first: int
    buckets, first, words, _ = struct.unpack_from("<IIII", image.data, at)
    start = at + 16 + 8 * words
    if buckets > _SYMBOLS_MOST:
        raise ValueError("too many buckets")
    last = max(struct.unpack_from(f"<{buckets}I", image.data, start), default=0)
    if last < first:
        return first
    chains = start + 4 * buckets
    while last - first < _SYMBOLS_MOST:
        (value,) = struct.unpack_from("<I", image.data, chains + 4 * (last - first))
        last += 1
        if value & 1:
            return last
    raise ValueError("a chain without end")
