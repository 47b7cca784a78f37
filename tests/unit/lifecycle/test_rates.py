"""How often something may happen."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.lifecycle.rates import Backoff, Rate


def test_all_at_once_and_then_one_by_one() -> None:
    rate = Rate(4, 2.0)
    assert [rate.take(100.0) for _ in range(5)] == [True] * 4 + [False]
    assert rate.wait_s(100.0) == pytest.approx(0.5)
    assert not rate.take(100.4)
    assert rate.take(100.5)
    assert not rate.take(100.5)
    assert [rate.take(101.5) for _ in range(3)] == [True, True, False]


def test_what_is_not_used_is_lost() -> None:
    rate = Rate(2, 1.0)
    assert rate.wait_s(0.0) == 0.0
    assert [rate.take(1e6) for _ in range(3)] == [True, True, False]


def test_nothing_may_ever_happen() -> None:
    rate = Rate(0, 1.0)
    assert not rate.take(5.0)
    assert rate.wait_s(5.0) == math.inf


@given(
    st.integers(1, 50),
    st.floats(0.1, 20),
    st.lists(st.floats(0, 0.5), max_size=200),
    st.floats(0, 1e7),
)
def test_never_more_than_a_portion_and_what_came_meanwhile(
    count: int, period_s: float, pauses_s: list[float], now_s: float
) -> None:
    rate = Rate(count, period_s)
    taken_s: list[float] = []
    for pause_s in pauses_s:
        now_s += pause_s
        wait_s = rate.wait_s(now_s)
        if rate.take(now_s):
            taken_s.append(now_s)
            assert wait_s <= 1e-6
        else:
            assert wait_s > 0
            assert len(taken_s) >= count
    for index, first_s in enumerate(taken_s):
        for later, last_s in enumerate(taken_s[index:], 1):
            assert later <= count + (last_s - first_s) * count / period_s + 1e-3


def test_each_failure_waits_longer() -> None:
    backoff = Backoff(5.0, 30.0)
    assert [backoff.failed() for _ in range(5)] == [5.0, 10.0, 20.0, 30.0, 30.0]
    backoff.succeeded()
    assert backoff.failed() == 5.0
