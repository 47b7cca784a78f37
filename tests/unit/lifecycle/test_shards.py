"""In which order shards are read, and what may be forgotten of one."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from lamella.domain.stream import AT_TIMESTAMP, LATEST, TRIM_HORIZON, Checkpoint, Shard
from lamella.lifecycle.shards import Watermark, begin, follow, lane, readable

PARENT = Shard("p", closed=True)
ONE, OTHER = Shard("a", ("p",)), Shard("b", ("p",))
JOINED = Shard("j", ("a", "b"))
FAMILY = [PARENT, ONE, OTHER, JOINED]


def ids(shards: list[Shard]) -> set[str]:
    return {shard.id for shard in shards}


def test_parents_come_before_their_children_in_whatever_order_they_are_listed() -> None:
    for listed in permutations(FAMILY):
        assert ids(readable(listed, set())) == {"p"}
        assert ids(readable(listed, {"p"})) == {"a", "b"}
        assert ids(readable(listed, {"p", "a"})) == {"b"}
        assert ids(readable(listed, {"p", "a", "b"})) == {"j"}
        assert readable(listed, {"p", "a", "b", "j"}) == []


def test_a_parent_that_was_trimmed_hinders_nobody() -> None:
    assert ids(readable([ONE, OTHER, JOINED], set())) == {"a", "b"}


def test_from_the_latest_on_closed_shards_have_nothing_to_give() -> None:
    assert begin([PARENT, ONE], LATEST) == {"p": Checkpoint(LATEST, over=True), "a": Checkpoint(LATEST)}
    for position in (TRIM_HORIZON, AT_TIMESTAMP):
        assert begin([PARENT, ONE], position) == {"p": Checkpoint(position), "a": Checkpoint(position)}


def test_shards_that_come_later_are_read_from_their_beginning() -> None:
    assert follow([PARENT, ONE, OTHER], {"p", "a"}) == {"b": Checkpoint(TRIM_HORIZON)}


def test_a_key_stays_in_its_lane() -> None:
    lanes = [lane(f"key-{number}", 4) for number in range(200)]
    assert set(lanes) == {0, 1, 2, 3}
    assert lanes == [lane(f"key-{number}", 4) for number in range(200)]
    assert {lane("ünïcode\ud800", 1)} == {0}


def test_nothing_is_forgotten_behind_what_is_open() -> None:
    mark = Watermark()
    numbers = [mark.read(sequence) for sequence in "abcd"]
    assert not mark.done(numbers[1:3])
    assert (mark.sequence, mark.open) == ("", 4)
    assert mark.done([numbers[0]])
    assert (mark.sequence, mark.open) == ("c", 1)
    later = mark.read("e")
    assert mark.done([numbers[3], later])
    assert (mark.sequence, mark.open) == ("e", 0)


@given(st.permutations(range(12)), st.integers(1, 5))
def test_the_mark_is_the_last_of_those_that_have_nothing_open_before_them(order: list[int], step: int) -> None:
    mark, over = Watermark(), set[int]()
    assert [mark.read(str(number)) for number in range(12)] == list(range(12))
    for start in range(0, 12, step):
        over |= set(order[start : start + step])
        mark.done(order[start : start + step])
        whole = next((number for number in range(12) if number not in over), 12)
        assert mark.sequence == (str(whole - 1) if whole else "")
