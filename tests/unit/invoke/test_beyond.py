import pytest

from lamella.domain.function import FunctionKey
from lamella.invoke.beyond import RateNotes
from lamella.lifecycle.admission import Throttle

F, G = (FunctionKey("000000000000", "us-east-1", name) for name in "fg")


def test_one_line_a_minute_for_each_function_and_rate(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [5.0]
    notes = RateNotes(lambda: now_s[0])

    def lines(key: FunctionKey, throttle: Throttle) -> int:
        caplog.clear()
        notes.note(key, throttle)
        return len(caplog.records)

    assert [lines(F, Throttle.ACCOUNT_RATE), lines(F, Throttle.SCALING_RATE)] == [1, 1]
    assert lines(G, Throttle.ACCOUNT_RATE) == 1
    assert lines(F, Throttle.ACCOUNT_RATE) == 0
    now_s[0] += 59.9
    assert lines(F, Throttle.ACCOUNT_RATE) == 0
    now_s[0] += 0.1
    assert lines(F, Throttle.ACCOUNT_RATE) == 1
    notes.forget(F)
    assert [lines(F, Throttle.ACCOUNT_RATE), lines(G, Throttle.ACCOUNT_RATE)] == [1, 1]
    assert lines(G, Throttle.ACCOUNT_RATE) == 0
