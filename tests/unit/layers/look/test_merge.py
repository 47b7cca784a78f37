"""Layers over each other, by the rules of the overlay mount."""

import pytest
from tests.unit.layers.look.making import DIRECTORY, Link, Made, layer

from lamella.layers.look.merge import Conflict, Merged, Override, merge_layers


def merge(*layers: Made, with_crc: bool = True) -> Merged:
    return merge_layers([layer(files, str(number), with_crc=with_crc) for number, files in enumerate(layers)])


@pytest.mark.parametrize("with_crc", [True, False])
def test_a_later_file_wins_and_directories_merge(with_crc: bool) -> None:
    merged = merge({"a/b": "1", "a/c": "=", "d": "x"}, {"a/b": "2", "a/c": "=", "a/e": "y"}, with_crc=with_crc)
    assert merged.files == {"a/b": 1, "a/c": 1, "a/e": 1, "d": 0}
    assert merged.directories == {"": (1, 0), "a": (1, 0)}
    assert merged.overrides == (
        Override("a/b", 1, 0, Conflict.FILE, False, 1),
        Override("a/c", 1, 0, Conflict.FILE, True, 1),
    )
    assert merged.children("a") == {"b": (1,), "c": (1,), "e": (1,)}
    assert merged.children("nowhere") == {}
    assert merged.count_below("a") == {1: 3}
    assert [override.name for override in merged.overrides_below("a")] == ["a/b", "a/c"]


def test_a_file_hides_a_directory_and_the_other_way_round() -> None:
    directory: Made = {"x/one": "1", "x/deep/two": "2"}
    file: Made = {"x": "file"}
    over = merge(directory, file)
    assert over.files == {"x": 1}
    assert over.overrides == (Override("x", 1, 0, Conflict.FILE_OVER_DIRECTORY, None, 2),)
    under = merge(file, directory)
    assert under.files == {"x/deep/two": 1, "x/one": 1}
    assert under.overrides == (Override("x", 1, 0, Conflict.DIRECTORY_OVER_FILE, None, 1),)


def test_a_directory_does_not_merge_through_a_file_between() -> None:
    merged = merge({"x/old": "1"}, {"x": "file"}, {"x/new": "2"})
    assert merged.files == {"x/new": 2}
    assert merged.directories["x"] == (2,)
    assert [(one.loser, one.conflict) for one in merged.overrides] == [
        (1, Conflict.DIRECTORY_OVER_FILE),
        (0, Conflict.DIRECTORY_OVER_FILE),
    ]


def test_a_link_is_a_file_whatever_it_leads_to() -> None:
    merged = merge({"lib/a": "1", "python/m.py": ""}, {"python": Link("lib")})
    assert merged.files == {"lib/a": 0, "python": 1}
    assert merged.resolve("python/a") == "lib/a"
    same = merge({"l": Link("a")}, {"l": Link("a")}, {"l": Link("b")})
    assert [(one.loser, one.same) for one in same.overrides] == [(1, False), (0, False)]
    assert merge({"l": Link("a")}, {"l": Link("a")}).overrides[0].same is True
    assert merge({"l": Link("a")}, {"l": ""}).overrides[0].same is False


def test_empty_directories_and_no_layers() -> None:
    assert merge({"empty": DIRECTORY}).directories == {"": (0,), "empty": (0,)}
    assert merge().files == {}
    assert merge().resolve("x") is None
    assert merge({"x/a": ""}, {"x": DIRECTORY}).directories["x"] == (1, 0)


def test_five_layers() -> None:
    merged = merge(*({"who": str(number), f"only-{number}": ""} for number in range(5)))
    assert merged.files == {"who": 4, **{f"only-{number}": number for number in range(5)}}
    assert [one.loser for one in merged.overrides] == [3, 2, 1, 0]
    assert {one.winner for one in merged.overrides} == {4}


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("/opt/lib/a", "lib/a"),
        ("lib/a", "lib/a"),
        ("../opt/lib/a", None),
        ("./lib/../lib//a", "lib/a"),
        ("/etc/passwd", None),
        ("/optional/lib/a", None),
        ("/opt", ""),
        ("loop", None),
        ("gone", None),
        ("lib/a/b", None),
        ("", ""),
    ],
)
def test_links_are_followed_within_opt(target: str, found: str | None) -> None:
    assert merge({"lib/a": "1", "loop": Link("loop"), "link": Link(target)}).resolve("link") == found


def test_deep_trees_need_no_deep_stack() -> None:
    name = "/".join(["d"] * 2000)
    merged = merge({f"{name}/a": "1"}, {f"{name}/a": "2"})
    assert merged.files == {f"{name}/a": 1}
    assert merged.count_below("") == {1: 1}
