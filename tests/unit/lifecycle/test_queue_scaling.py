"""How many batches of a queue run at once. Source: developer guide, "Configuring scaling behavior"."""

from lamella.lifecycle.queue_scaling import FIRST, LEAST, MOST, QUIET_S, QueueScaling


def fill(scaling: QueueScaling, *, now_s: float) -> None:
    while scaling.room:
        scaling.begun((), now_s=now_s)


def wait(scaling: QueueScaling, start_s: int, end_s: int) -> None:
    """Stand with all places taken for so many seconds."""
    for second in range(start_s, end_s):
        scaling.waited(now_s=float(second + 1))


def standard(maximum: int = 0) -> QueueScaling:
    return QueueScaling(fifo=False, maximum=maximum, now_s=0.0)


def test_it_begins_with_five() -> None:
    scaling = standard()
    fill(scaling, now_s=0.0)
    assert (scaling.in_flight, scaling.places, scaling.room) == (FIRST, 5, False)


def test_while_all_places_are_taken_three_hundred_are_added_a_minute() -> None:
    scaling = standard()
    for second in range(60):
        fill(scaling, now_s=float(second))
        wait(scaling, second, second + 1)
    assert scaling.places == FIRST + 300


def test_there_is_an_end_to_it() -> None:
    scaling = standard()
    fill(scaling, now_s=0.0)
    wait(scaling, 0, 300)
    assert scaling.places == MOST == 1250


def test_no_place_is_added_while_some_are_free() -> None:
    scaling = standard()
    for second in range(60):
        scaling.begun((), now_s=float(second))
        scaling.ended((), refused=False)
    assert scaling.places == FIRST
    fill(scaling, now_s=60.0)
    scaling.waited(now_s=60.4)  # of what was before the last place was taken a second counts at most
    assert scaling.places == FIRST + 5


def test_when_nothing_is_found_it_goes_back_to_five_and_in_the_end_to_two() -> None:
    scaling = standard()
    fill(scaling, now_s=0.0)
    wait(scaling, 0, 10)
    assert scaling.places == 55
    scaling.found_nothing(now_s=10.0)
    assert scaling.places == FIRST
    for _ in range(FIRST):
        scaling.ended((), refused=False)
    scaling.found_nothing(now_s=QUIET_S - 1)
    assert scaling.places == FIRST
    scaling.found_nothing(now_s=QUIET_S)
    assert scaling.places == LEAST == 2
    fill(scaling, now_s=QUIET_S)
    scaling.waited(now_s=QUIET_S + 1)
    assert scaling.places == LEAST + 5


def test_what_is_in_flight_keeps_its_place() -> None:
    scaling = standard()
    fill(scaling, now_s=0.0)
    scaling.waited(now_s=1.0)
    fill(scaling, now_s=1.0)
    scaling.found_nothing(now_s=1.0)
    assert (scaling.in_flight, scaling.places) == (10, 10)


def test_refusals_halve_it() -> None:
    scaling = standard()
    fill(scaling, now_s=0.0)
    wait(scaling, 0, 3)
    assert scaling.places == 20
    scaling.ended((), refused=True)
    assert scaling.places == 10
    for _ in range(4):
        scaling.ended((), refused=True)
    assert scaling.places == LEAST


def test_a_maximum_is_one_and_is_never_undercut_when_it_is_quiet() -> None:
    low, high = standard(2), standard(40)
    fill(low, now_s=0.0)
    wait(low, 0, 60)
    assert low.places == 2
    fill(high, now_s=0.0)
    wait(high, 0, 60)
    assert high.places == 40
    for _ in range(FIRST):
        high.ended((), refused=False)
    high.found_nothing(now_s=1000.0)
    assert high.places == FIRST


def test_a_fifo_queue_has_as_many_as_there_are_groups_and_one_to_look_for_more() -> None:
    scaling = QueueScaling(fifo=True, maximum=0, now_s=0.0)
    assert scaling.places == 1
    scaling.begun({"a"}, now_s=0.0)
    scaling.begun({"b", "c"}, now_s=0.0)
    assert (scaling.places, scaling.room) == (4, True)
    scaling.ended({"b", "c"}, refused=True)
    assert scaling.places == 2
    bounded = QueueScaling(fifo=True, maximum=2, now_s=0.0)
    bounded.begun({"a"}, now_s=0.0)
    bounded.begun({"b"}, now_s=0.0)
    assert (bounded.places, bounded.room) == (2, False)
