"""Which records belong together."""

import json
import math

from lamella.lifecycle.windows import GRACE_S, STATE_BYTES, Windows


def test_a_record_opens_the_window_in_which_it_arrived() -> None:
    windows = Windows(30, None)
    assert windows.deadline_s == math.inf
    assert windows.document() is None
    assert windows.takes(100.5)
    assert (windows.start_s, windows.end_s, windows.deadline_s) == (90, 120, 120 + GRACE_S)


def test_until_its_end_records_belong_to_it_and_so_do_late_ones() -> None:
    windows = Windows(30, None)
    assert windows.takes(90.0)
    assert [windows.takes(arrived_s) for arrived_s in (119.9, 60.0, 120.0)] == [True, True, False]


def test_a_window_that_is_finished_leaves_nothing() -> None:
    windows = Windows(30, None)
    windows.takes(90.0)
    windows.keep({"a": 1}, 10)
    windows.finish()
    assert (windows.document(), windows.state) == (None, {})
    assert windows.takes(120.0)


def test_one_that_ends_early_goes_on_without_a_state() -> None:
    windows = Windows(30, None)
    windows.takes(90.0)
    windows.keep({"a": 1}, STATE_BYTES)
    assert not windows.early
    windows.keep({"a": 1}, STATE_BYTES + 1)
    assert windows.early
    windows.finish()
    assert (windows.start_s, windows.state, windows.early) == (90, {}, False)


def test_what_is_stored_is_gone_on_with() -> None:
    windows = Windows(30, None)
    windows.takes(90.0)
    windows.keep({"a": [1]}, 10)
    again = Windows(30, json.loads(json.dumps(windows.document())))
    assert (again.start_s, again.state) == (90, {"a": [1]})
