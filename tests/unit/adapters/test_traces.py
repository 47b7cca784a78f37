"""Where the records of failures are kept."""

from pathlib import Path

import pytest

from lamella.adapters.traces import FileTraceStore


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    store = FileTraceStore(tmp_path / "a" / "traces")
    assert store.names() == ()
    assert store.read("20260101T000000.000000Z-e-f") is None
    store.save("20260101T000000.000000Z-e-f", b"{}")
    assert store.read("20260101T000000.000000Z-e-f") == b"{}"
    assert store.names() == ["20260101T000000.000000Z-e-f"]


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    store = FileTraceStore(tmp_path, max_files=3)
    for name in "abcde":
        store.save(name, b"{}")
    assert store.names() == ["c", "d", "e"]


def test_the_oldest_go_when_they_are_too_large(tmp_path: Path) -> None:
    store = FileTraceStore(tmp_path, max_bytes=10)
    for name in "abc":
        store.save(name, bytes(4))
    assert store.names() == ["b", "c"]
    store.save("d", bytes(100))
    assert store.names() == ["d"]  # the newest is kept whatever it takes


def test_what_a_crash_left_is_no_document_and_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / ".unfinished").write_bytes(b'{"ha')
    store = FileTraceStore(tmp_path)
    assert store.names() == []
    store.save("a", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_nothing_is_left_of_what_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    (tmp_path / "a.json" / "in the way").touch()
    store = FileTraceStore(tmp_path)
    with pytest.raises(OSError, match=r"a\.json"):
        store.save("a", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("name", ["", "..", ".unfinished", "../a", "a/b", "a\0b", "a" * 200])
def test_a_name_cannot_lead_elsewhere(tmp_path: Path, name: str) -> None:
    assert FileTraceStore(tmp_path).read(name) is None
