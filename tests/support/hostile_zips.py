"""Archives that must be refused, and a word of the reason that must be given for each."""

from tests.support.zips import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    FIFO,
    LINK,
    REGULAR,
    SOCKET,
    STREAMED,
    UTF8,
    WINDOWS,
    Entry,
    central_part,
    end_record,
    local_part,
    make_zip,
    pack,
    unicode_path_extra,
    zip64_end,
    zip64_extra,
)

GOOD = make_zip(Entry(b"a.py", b"print(1)\n" * 50), Entry(b"b.py", b"print(2)\n"))
LIMIT_BYTES = 1_000_000


def overlapping() -> bytes:
    """Fifield's full overlap: many central entries share one local one."""
    kernel = Entry(b"k", b"\0" * 100_000)
    data = local_part(kernel)
    directory = central_part(kernel, 0) * 5
    return data + directory + end_record(5, len(directory), len(data))


def quoted_overlap() -> bytes:
    """Fifield's quoted overlap: an entry's data is a stored block holding the next entry's local header."""
    inner = Entry(b"b", b"\0" * 10_000)
    inner_local = local_part(inner)
    quote = b"\0" + len(inner_local).to_bytes(2, "little") + (len(inner_local) ^ 0xFFFF).to_bytes(2, "little")
    content = inner_local + b"x"
    outer = Entry(b"a", content, packed=quote + inner_local + b"\3\0")
    data = local_part(outer)
    directory = central_part(outer, 0) + central_part(inner, 31 + len(quote))
    return data + directory + end_record(2, len(directory), len(data))


def into_directory() -> bytes:
    """The last entry's data runs into the central directory."""
    entry = Entry(b"a", b"x" * 10, method=0)
    data, directory = local_part(entry)[:-5], central_part(entry, 0)
    return data + directory + end_record(1, len(directory), len(data))


def two_ends() -> bytes:
    """A second, complete end record in the comment of the first."""
    entry = Entry(b"a", b"x")
    data, directory = local_part(entry), central_part(entry, 0)
    inner = end_record(1, len(directory), len(data))
    return data + directory + end_record(1, len(directory), len(data), comment=inner)


def too_many_entries() -> bytes:
    count = 200_001
    directory = central_part(Entry(b""), 0) * count
    return directory + zip64_end(count, len(directory), 0, len(directory)) + end_record(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def two_disks() -> bytes:
    raw = bytearray(GOOD)
    at = raw.rfind(b"PK\5\6")
    raw[at + 4] = 1
    return bytes(raw)


def lying_zip64(length: int = 44, count: int = 7) -> bytes:
    entry = Entry(b"a", b"x")
    data, directory = local_part(entry), central_part(entry, 0)
    wide = bytearray(zip64_end(count, len(directory), len(data), len(data) + len(directory)))
    wide[4] = length
    return data + directory + bytes(wide) + end_record(1, len(directory), len(data))


HOSTILE: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "non-empty"),
    "an empty archive": (make_zip(), "non-empty"),
    "no zip": (b"\x7fELF" + b"\0" * 500, "not a zip"),
    "a gzip": (b"\x1f\x8b\x08\0" + b"\0" * 100, "not a zip"),
    "cut off in its end": (GOOD[:-1], "end is missing"),
    "cut off in the middle": (GOOD[: len(GOOD) // 2], "end is missing"),
    "a head that is missing": (GOOD[10:], "cut off"),
    "bytes after the end": (GOOD + b"junk", "end is missing"),
    "a parent directory": (make_zip(Entry(b"../evil", b"x")), "leads out"),
    "a parent directory in the middle": (make_zip(Entry(b"a/b/../../../evil", b"x")), "leads out"),
    "a parent directory that stays within": (make_zip(Entry(b"a/../b", b"x")), "leads out"),
    "a parent directory with backslashes": (make_zip(Entry(b"..\\evil", b"x")), "leads out"),
    "only a parent directory": (make_zip(Entry(b"..", b"x")), "leads out"),
    "an absolute path": (make_zip(Entry(b"/etc/passwd", b"x")), "absolute"),
    "an absolute path with two slashes": (make_zip(Entry(b"//etc/passwd", b"x")), "absolute"),
    "the root": (make_zip(Entry(b"/", mode=DIRECTORY | 0o755)), "absolute"),
    "a drive letter": (make_zip(Entry(b"C:\\evil", b"x")), "absolute"),
    "a drive letter with a slash": (make_zip(Entry(b"c:/evil", b"x")), "absolute"),
    "a share": (make_zip(Entry(b"\\\\host\\share", b"x")), "absolute"),
    "backslashes from Windows": (make_zip(Entry(b"a\\b", b"x", system=WINDOWS)), "backslashes"),
    "an empty name": (make_zip(Entry(b"", b"x")), "no name"),
    "a dot as a file": (make_zip(Entry(b"./.", b"x")), "not a file name"),
    "a NUL in a name": (make_zip(Entry(b"a\0b", b"x")), "NUL"),
    "a component that is too long": (make_zip(Entry(b"x" * 256, b"x")), "too long"),
    "a path that is too long": (make_zip(Entry(b"d/" * 2500 + b"x", b"x")), "too long"),
    "a name that is longer decoded": (make_zip(Entry(b"\x80" * 200, b"x")), "too long"),
    "a name that is not UTF-8": (make_zip(Entry(b"\xff\xfe", b"x", flags=UTF8)), "UTF-8"),
    "an evil Unicode path": (make_zip(Entry(b"a", b"x", extra=unicode_path_extra(b"a", "../b"))), "leads out"),
    "a file twice": (make_zip(Entry(b"a", b"1"), Entry(b"a", b"2")), "more than once"),
    "a file twice, spelt differently": (make_zip(Entry(b"a/b", b"1"), Entry(b"a//./b", b"2")), "more than once"),
    "a file and a link": (make_zip(Entry(b"a", b"/etc", mode=LINK | 0o777), Entry(b"a", b"2")), "more than once"),
    "a file and a directory": (make_zip(Entry(b"a", b"1"), Entry(b"a/")), "something else"),
    "a file below a file": (make_zip(Entry(b"a", b"1"), Entry(b"a/b", b"2")), "something else"),
    "a file below a file, child first": (make_zip(Entry(b"a/b", b"2"), Entry(b"a", b"1")), "something else"),
    "a file below a link": (
        make_zip(Entry(b"a", b"/tmp", mode=LINK | 0o777), Entry(b"a/evil", b"x")),
        "something else",
    ),
    "a fifo": (make_zip(Entry(b"a", mode=FIFO | 0o644)), "neither a file"),
    "a socket": (make_zip(Entry(b"a", mode=SOCKET | 0o644)), "neither a file"),
    "a character device": (make_zip(Entry(b"a", mode=CHARACTER | 0o666)), "neither a file"),
    "a block device": (make_zip(Entry(b"a", mode=BLOCK | 0o666)), "neither a file"),
    "a directory with content": (make_zip(Entry(b"a/", b"x")), "has content"),
    "a link with a slash": (make_zip(Entry(b"a/", b"/etc", mode=LINK | 0o777)), "both a directory"),
    "a link without a target": (make_zip(Entry(b"a", b"", mode=LINK | 0o777)), "target of 0 bytes"),
    "a link with a long target": (make_zip(Entry(b"a", b"x" * 4096, mode=LINK | 0o777)), "target of 4096"),
    "a link with a NUL": (make_zip(Entry(b"a", b"x\0y", mode=LINK | 0o777)), "NUL"),
    "an encrypted entry": (make_zip(Entry(b"a", b"x", flags=1)), "encrypted"),
    "a strongly encrypted entry": (make_zip(Entry(b"a", b"x", flags=1 << 6)), "encrypted"),
    "an encrypted directory": (make_zip(Entry(b"a", b"x", flags=1 << 13)), "encrypted"),
    "a patch": (make_zip(Entry(b"a", b"x", flags=1 << 5)), "only stored and deflated"),
    "bzip2": (make_zip(Entry(b"a", b"x", method=12)), "method 12"),
    "lzma": (make_zip(Entry(b"a", b"x", method=14)), "method 14"),
    "zstandard": (make_zip(Entry(b"a", b"x", method=93)), "method 93"),
    "a wrong checksum": (make_zip(Entry(b"a", b"x", crc=1)), "checksum"),
    "a wrong checksum of a stored file": (make_zip(Entry(b"a", b"x", method=0, crc=1)), "checksum"),
    "a wrong checksum of an empty file": (make_zip(Entry(b"a", b"", crc=1)), "checksum"),
    "a wrong checksum of a link": (make_zip(Entry(b"a", b"b", mode=LINK | 0o777, crc=1)), "checksum"),
    "damaged data": (make_zip(Entry(b"a", b"x", packed=b"\xff" * 9)), "damaged"),
    "data that is cut off": (make_zip(Entry(b"a", b"xyz" * 999, packed=pack(b"xyz" * 999)[:-4])), "cut off"),
    "data after its end": (make_zip(Entry(b"a", b"x", packed=pack(b"x") + b"junk")), "ends before"),
    "much data after its end": (make_zip(Entry(b"a", b"x", packed=pack(b"x") + b"j" * 600_000)), "ends before"),
    "more content than declared": (make_zip(Entry(b"a", b"x" * 100_000, size_bytes=99_999)), "longer than"),
    "a bomb that declares nothing": (make_zip(Entry(b"a", b"\0" * 50_000_000, size_bytes=0)), "longer than"),
    "less content than declared": (make_zip(Entry(b"a", b"x", size_bytes=2)), "1 bytes, not 2"),
    "two sizes of a stored file": (make_zip(Entry(b"a", b"xy", method=0, size_bytes=1)), "two sizes"),
    "overlapping entries": (overlapping(), "overlap"),
    "overlapping by quotation": (quoted_overlap(), "overlap"),
    "data that runs into the directory": (into_directory(), "overlap"),
    "an entry outside": (make_zip(Entry(b"a", b"x", offset=10**8)), "outside"),
    "an entry in the wrong place": (make_zip(Entry(b"a", b"x", offset=3)), "contradicts"),
    "another local name": (make_zip(Entry(b"a", b"x", local_name=b"b")), "contradicts"),
    "two end records": (two_ends(), "more than one end"),
    "an entry that is missing": (make_zip(Entry(b"a", b"x"), count=2), "damaged"),
    "an entry too many": (make_zip(Entry(b"a", b"x"), Entry(b"b", b"x"), count=1), "damaged"),
    "too many entries": (too_many_entries(), "200001 entries"),
    "too many implied directories": (
        make_zip(*(Entry(b"%d/" % number + b"d/" * 2030 + b"x", b"") for number in range(100))),
        "more than 200000 files",
    ),
    "several disks": (two_disks(), "split"),
    "an entry on another disk": (make_zip(Entry(b"a", b"x", disk=1)), "split"),
    "a zip64 record that contradicts": (lying_zip64(), "contradict"),
    "a zip64 record of a wrong length": (lying_zip64(length=45, count=1), "zip64"),
    "a zip64 record that is missing": (b"PK\6\7" + b"\0" * 16 + end_record(1, 0xFFFFFFFF, 0xFFFFFFFF), "zip64"),
    "a zip64 field that is missing": (make_zip(Entry(b"a", b"x", size_bytes=0xFFFFFFFF)), "zip64"),
    "a zip64 field that is cut off": (
        make_zip(Entry(b"a", b"x", size_bytes=0xFFFFFFFF, extra=zip64_extra(1)[:-1])),
        "zip64",
    ),
    "huge sizes in zip64": (
        make_zip(Entry(b"a", b"x", compressed_bytes=0xFFFFFFFF, extra=zip64_extra(2**63))),
        "overlap",
    ),
    "more than is allowed": (make_zip(Entry(b"a", b"\0" * (LIMIT_BYTES + 1))), "must be smaller"),
    "more than is allowed in all": (
        make_zip(*(Entry(b"%d" % number, b"\0" * (LIMIT_BYTES // 4)) for number in range(5))),
        "must be smaller",
    ),
    "more than is allowed by zip64": (
        make_zip(Entry(b"a", b"x", size_bytes=0xFFFFFFFF, extra=zip64_extra(2**62))),
        "must be smaller",
    ),
    "a good entry before a bad one": (make_zip(Entry(b"a", b"x" * 1000), Entry(b"b", b"x", crc=7)), "checksum"),
    "a streamed entry with a wrong checksum": (make_zip(Entry(b"a", b"x", flags=STREAMED, crc=7)), "checksum"),
    "a fifo that ends with a slash": (make_zip(Entry(b"a/", mode=FIFO | 0o644)), "neither a file"),
    "a directory that says it is a file with content": (make_zip(Entry(b"a/", b"x", mode=REGULAR | 0o644)), "content"),
}
