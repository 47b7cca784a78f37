"""When environments are added and retired, and for whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.lifecycle.scaling import (
    PATIENCE_S,
    Load,
    Retire,
    Room,
    Scale,
    Start,
    Want,
    decide,
    next_step,
    overdue,
    yields,
)


@pytest.mark.parametrize(
    ("load", "grace_is_over", "expected"),
    [
        (Load(waiting=0, starting=0, soon_idle=0), False, Scale(0, recheck=False, covered=0)),
        (Load(waiting=1, starting=0, soon_idle=0), False, Scale(1, recheck=False, covered=0)),
        (Load(waiting=3, starting=2, soon_idle=0), False, Scale(1, recheck=False, covered=2)),
        (Load(waiting=2, starting=5, soon_idle=0), False, Scale(0, recheck=False, covered=2)),
        (Load(waiting=1, starting=0, soon_idle=1), False, Scale(0, recheck=True, covered=1)),
        (Load(waiting=1, starting=0, soon_idle=1), True, Scale(1, recheck=False, covered=0)),
        (Load(waiting=5, starting=1, soon_idle=2), False, Scale(2, recheck=True, covered=3)),
    ],
)
def test_decision(load: Load, *, grace_is_over: bool, expected: Scale) -> None:
    assert decide(load, grace_is_over=grace_is_over) == expected


@pytest.mark.parametrize(
    ("active", "most", "add"),
    [(0, None, 3), (9, None, 3), (0, 9, 3), (1, 3, 2), (1, 1, 0), (2, 1, 0), (0, 0, 1), (1, 0, 0)],
)
def test_a_reservation_bounds_what_is_active(active: int, most: int | None, add: int) -> None:
    """With a reservation of nothing one is made at a time, for what was accepted before."""
    load = Load(waiting=3, starting=0, soon_idle=0, active=active, most=most)
    assert decide(load, grace_is_over=True).add == add


A, B, C = (Want("a", 1, 10.0), Want("b", 2, 9.0), Want("c", 1, 11.0))


@pytest.mark.parametrize(
    ("room", "wants", "idle", "expected"),
    [
        (Room(2, 0, 0), [], [(1.0, "x")], None),
        (Room(2, 1, 0), [A], [(1.0, "x")], Start("a")),
        (Room(2, 1, 0), [A, B, C], [], Start("b")),
        (Room(2, 2, 0), [A], [], None),
        (Room(2, 2, 0), [A], [(3.0, "x"), (2.0, "y"), (4.0, "z")], Retire("y")),
        (Room(2, 2, 1), [A], [(3.0, "x")], None),
        (Room(2, 2, 1), [B], [(3.0, "x")], Retire("x")),
        (Room(2, 2, 2), [B], [(3.0, "x")], None),
    ],
    ids=[
        "nobody waits",
        "there is room",
        "the oldest first",
        "all are busy",
        "the longest idle makes room",
        "one is leaving for it",
        "one is leaving for one of two",
        "two are leaving for two",
    ],
)
def test_the_next_step(
    room: Room, wants: list[Want[str]], idle: list[tuple[float, str]], expected: Start[str] | Retire[str] | None
) -> None:
    assert next_step(room, wants, idle) == expected


@pytest.mark.parametrize(
    ("room", "since_s", "expected"),
    [
        (Room(2, 1, 0), 9.0 + PATIENCE_S + 0.1, False),
        (Room(2, 2, 0), 9.0, False),
        (Room(2, 2, 0), 9.0 + PATIENCE_S, False),
        (Room(2, 2, 0), 9.0 + PATIENCE_S + 0.1, True),
        (Room(2, 2, 1), 9.0 + PATIENCE_S + 0.1, False),
        (Room(2, 2, 1), 10.0 + PATIENCE_S + 0.1, True),
        (Room(2, 2, 2), 10.0 + PATIENCE_S + 0.1, False),
    ],
)
def test_patience(room: Room, since_s: float, *, expected: bool) -> None:
    assert yields(room, [A, B, C], since_s) is expected


@pytest.mark.parametrize(
    ("since_s", "starting", "expected"),
    [
        ([], 0, (0, 0)),
        ([], 2, (0, 0)),
        ([1.0, 2.0, 3.0], 0, (0, 2)),
        ([1.0, 2.0, 3.0], 1, (1, 2)),
        ([1.0, 2.0, 3.0], 2, (2, 2)),
        ([1.0, 2.0, 3.0], 5, (3, 3)),
        ([3.0], 0, (0, 0)),
    ],
)
def test_who_is_overdue(since_s: list[float], starting: int, expected: tuple[int, int]) -> None:
    assert overdue(since_s, starting, 2.0) == expected


WANTS = st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(1, 4), st.floats(0, 9)), max_size=6)
IDLE = st.dictionaries(st.sampled_from("uvwxyz"), st.lists(st.floats(0, 9), min_size=1, max_size=4), max_size=6)


@given(WANTS, IDLE, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_steps_come_to_an_end_and_help_as_far_as_there_is_room(
    wants: dict[str, tuple[int, float]], idle: dict[str, list[float]], busy: int, leaving: int, free: int
) -> None:
    """Each step is done at once here, and what is retired is gone only after all of them."""
    idle = {version: sorted(since_s) for version, since_s in idle.items()}
    existing = busy + leaving + sum(map(len, idle.values()))
    limit = existing + free
    while True:
        asked = [Want(version, add, since_s) for version, (add, since_s) in wants.items() if add]
        step = next_step(
            Room(limit, existing, leaving),
            asked,
            [(since_s[0], version) for version, since_s in idle.items() if since_s],
        )
        match step:
            case Start(version):
                assert all(want.since_s >= wants[version][1] for want in asked)
                existing += 1
                wants[version] = (wants[version][0] - 1, wants[version][1])
            case Retire(version):
                retired = idle[version].pop(0)
                assert all(since_s >= retired for others in idle.values() for since_s in others)
                leaving += 1
            case None:
                break
        assert existing <= limit
    wanted = sum(add for add, _ in wants.values())
    assert not wanted or existing == limit
    assert wanted <= leaving or not any(idle.values())
