"""Deciding what to create, for names of every kind."""

import string

from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.zips import DIRECTORY, LINK, REGULAR, WINDOWS, Entry, make_zip

from lamella.adapters.filesystem.ziplayout import read_layout
from lamella.adapters.filesystem.zipplan import MAX_PATH_BYTES, Plan, make_plan
from lamella.ports.stores import ArchiveError

components = st.sampled_from(
    ["", ".", "..", "...", "a", "b", "C:", "\\", "a\\..", "\0", " ", "é", "x" * 256]
) | st.text(string.ascii_letters + "./\\:", max_size=5)
names = st.lists(components, max_size=6).map("/".join)
kinds = st.sampled_from([REGULAR, DIRECTORY, LINK, 0])


def plan(*entries: Entry, max_unzipped_bytes: int = 10**9) -> Plan:
    return make_plan(read_layout(make_zip(*entries)), max_unzipped_bytes=max_unzipped_bytes)


@given(st.lists(st.tuples(names, kinds, st.sampled_from([3, WINDOWS])), min_size=1, max_size=6))
@example([("a", LINK, 3), ("a/b", REGULAR, 3)])
@example([("a/b", REGULAR, 3), ("a", LINK, 3)])
def test_a_plan_stays_in_its_tree(entries: list[tuple[str, int, int]]) -> None:
    """Whatever the names: relative, no `..`, parents before children, and every parent a directory of the plan."""
    made = [
        Entry(name.encode(), b"" if name.endswith("/") or kind == DIRECTORY else b"t", mode=kind | 0o644, system=system)
        for name, kind, system in entries
    ]
    try:
        found = plan(*made)
    except ArchiveError:
        return
    created: set[bytes] = {b""}
    for path in [one.path for one in (*found.directories, *found.files, *found.links)]:
        assert path not in created
        assert not path.startswith(b"/")
        assert not {b"", b".", b".."} & set(path.split(b"/"))
        assert b"\0" not in path
        assert len(path) <= MAX_PATH_BYTES
        parent = path.rpartition(b"/")[0]
        assert parent in created
        created.add(path)
        assert not {one.path for one in (*found.files, *found.links)} & {parent}


@given(names)
def test_a_good_name_is_kept(name: str) -> None:
    try:
        found = plan(Entry(name.encode(), b"x"))
    except ArchiveError:
        return
    (entry,) = found.files
    assert entry.path == b"/".join(part for part in name.encode().split(b"/") if part not in (b"", b"."))


def test_sums_declared_sizes() -> None:
    found = plan(Entry(b"a", b"xy"), Entry(b"d/"), Entry(b"l", b"abc", mode=LINK | 0o777), max_unzipped_bytes=5)
    assert found.unzipped_bytes == 5
