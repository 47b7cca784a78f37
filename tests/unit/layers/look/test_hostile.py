"""Archives that mean harm to those who look into them."""

import io

import pytest
from tests.support.hostile_zips import GOOD
from tests.support.zips import LINK, UTF8, Entry, make_zip

from lamella.cli.layer.trees import tree_document, tree_lines
from lamella.layers.contents import open_contents
from lamella.layers.errors import LayerReadError
from lamella.layers.look.diff import diff_layers
from lamella.layers.look.merge import merge_layers
from lamella.layers.look.overview import machines_of, parts_of, sizes_by_package
from lamella.layers.look.tree import tree_of
from lamella.layers.packages import packages_of


def look(data: bytes) -> list[str]:
    """Look into an archive in every way; returns the tree as it is printed."""
    with open_contents(io.BytesIO(data), label="hostile") as contents, open_contents(io.BytesIO(GOOD)) as good:
        packages = packages_of(contents)
        sizes_by_package(contents, packages)
        machines_of(contents)
        parts_of(contents)
        merge_layers([contents, good, contents])
        diff_layers(contents, good, packages=(packages, ()))
        tree_document(tree_of(contents), 200, by_size=True)
        return list(tree_lines(tree_of(contents), None, by_size=False, all_modes=True))


def test_names_are_printed_so_that_a_terminal_takes_them_for_names() -> None:
    names = [b"a\x1b]0;title\x07", b"line\nfeed", "turn\u202eround".encode(), "\x9b31m".encode(), b"tab\there"]
    lines = look(
        make_zip(*(Entry(name, flags=UTF8) for name in names), Entry(b"l", b"/etc/\x1b[2J", mode=LINK | 0o777))
    )
    assert len(lines) == 7
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    "data",
    [
        make_zip(Entry(b"a/" * 30_000 + b"x"), Entry(b"ok")),
        make_zip(Entry(b"a/" * 2_000 + b"x"), Entry(b"ok")),
        make_zip(Entry(b"n" * 60_000)),
        make_zip(Entry(b"python/" + b"n" * 256 + b"/__init__.py")),
        make_zip(Entry(b"d"), Entry(b"d/e"), Entry(b"d/e/f"), Entry(b"d")),
        make_zip(
            Entry(b"python/x-1.dist-info/RECORD", b'"' * 1000),
            Entry(b"python/x-1.dist-info/METADATA", b"Name: x\nVersion: 1"),
        ),
        make_zip(
            Entry(b"python/x-1.dist-info/RECORD", b"../../../etc/passwd,,\n/etc/passwd,,\n,,\n\n"),
            Entry(b"python/x-1.dist-info/METADATA", b"Name: x\nVersion: 1"),
        ),
        make_zip(Entry(b"nodejs/node_modules/x/package.json", b"[" * 100_000)),
        make_zip(Entry(b"python/" + b"m.py" * 3), Entry(b"python", b"..", mode=LINK | 0o777)),
        make_zip(Entry(b"lib/x.so", b"\x7fELF\2\1" + b"\xff" * 5000)),
        make_zip(*(Entry(b"x%d" % number, b"x%d" % (number + 1), mode=LINK | 0o777) for number in range(100))),
    ],
)
def test_nothing_is_beyond_a_look(data: bytes) -> None:
    look(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-30],
        make_zip(Entry(b"\xff\xfe", flags=UTF8)),
        make_zip(Entry(b"lib/x.so", b"\x7fELF" + bytes(100), crc=1)),
        make_zip(Entry(b"nodejs/node_modules/x/package.json", b"{}", packed=b"\xff\xff")),
    ],
)
def test_what_is_damaged_is_said_to_be(data: bytes) -> None:
    with pytest.raises(LayerReadError):
        look(data)


def test_names_that_no_file_can_have_are_problems() -> None:
    with open_contents(io.BytesIO(make_zip(Entry(b"a/" * 30_000), Entry(b"n" * 256), Entry(b"n" * 255)))) as contents:
        assert [len(name) for name in contents.entries] == [255]
        assert ["too long" in problem.detail for problem in contents.problems] == [True, True]
        assert max(len(problem.name) for problem in contents.problems) == 200
