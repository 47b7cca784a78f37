"""Finding entries in archives of any bytes. The table of hostile archives is in tests/integration/filesystem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.zips import LINK, STREAMED, Entry, make_zip

from lamella.adapters.filesystem.ziplayout import Method, read_layout
from lamella.ports.stores import ArchiveError

GOOD = make_zip(
    Entry(b"a.py", b"print(1)\n" * 9),
    Entry(b"lib/", mode=0o040755),
    Entry(b"lib/b.so", b"\x7fELF", method=0, flags=STREAMED),
    Entry(b"link", b"a.py", mode=LINK | 0o777),
    comment=b"a comment",
    zip64=True,
)


def test_finds_data_where_it_is() -> None:
    for prefix in (b"", b"#!/bin/sh\n"):
        archive = make_zip(Entry(b"a", b"one", method=0), Entry(b"b", b"two", method=0), prefix=prefix)
        entries = read_layout(archive)
        assert [entry.name for entry in entries] == ["a", "b"]
        data = [archive[entry.data_offset : entry.data_offset + entry.compressed_bytes] for entry in entries]
        assert data == [b"one", b"two"]
        assert {entry.method for entry in entries} == {Method.STORED}


def test_refuses_an_archive_cut_off_anywhere() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(ArchiveError):
            read_layout(GOOD[:length])


def test_refuses_or_reads_an_archive_with_any_byte_changed() -> None:
    """Never another error than its own, and never data outside of the archive."""
    refused = 0
    for position in range(len(GOOD)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(GOOD)
            changed[position] ^= flip
            try:
                entries = read_layout(bytes(changed))
            except ArchiveError:
                refused += 1
            else:
                assert all(0 < entry.data_offset <= len(GOOD) - entry.compressed_bytes for entry in entries)
    assert refused > len(GOOD) // 2


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_refuses_noise(before: bytes, after: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_layout(before + b"PK\5\6" + after)


@given(st.binary(min_size=1, max_size=60))
def test_decodes_any_name(raw_name: bytes) -> None:
    (entry,) = read_layout(make_zip(Entry(raw_name, b"x")))
    assert entry.name.encode("utf-8") == raw_name or entry.name.encode("cp437") == raw_name
