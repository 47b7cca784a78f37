"""Which invocations may begin."""

import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from lamella.domain.function import FunctionKey
from lamella.lifecycle.admission import Concurrency, Throttle

F, G, H = (FunctionKey("000000000000", "us-east-1", name) for name in "fgh")


def enter(concurrency: Concurrency, key: FunctionKey, times: int = 1) -> list[Throttle | None]:
    return [concurrency.of(key).enter() for _ in range(times)]


def test_functions_without_a_reservation_share_the_account() -> None:
    concurrency = Concurrency(3)
    assert enter(concurrency, F, 2) == [None, None]
    assert enter(concurrency, G, 2) == [None, Throttle.ACCOUNT]
    assert enter(concurrency, F) == [Throttle.ACCOUNT]
    concurrency.of(F).leave()
    assert enter(concurrency, G, 2) == [None, Throttle.ACCOUNT]


def test_accounts_and_regions_have_limits_of_their_own() -> None:
    concurrency = Concurrency(1)
    keys = [F, FunctionKey("111111111111", "us-east-1", "f"), FunctionKey("000000000000", "eu-west-1", "f")]
    assert [concurrency.of(key).enter() for key in keys] == [None, None, None]
    assert [concurrency.of(key).enter() for key in keys] == [Throttle.ACCOUNT] * 3


def test_a_reservation_works_both_ways() -> None:
    concurrency = Concurrency(5)
    concurrency.of(F).reserve(2)
    assert enter(concurrency, G, 4) == [None, None, None, Throttle.ACCOUNT]
    assert enter(concurrency, F, 3) == [None, None, Throttle.FUNCTION]
    concurrency.of(F).leave()
    assert enter(concurrency, F, 2) == [None, Throttle.FUNCTION]


def test_a_reservation_of_nothing_stops_the_function() -> None:
    concurrency = Concurrency(5)
    concurrency.of(F).reserve(0)
    assert enter(concurrency, F) == [Throttle.FUNCTION]
    assert enter(concurrency, G, 6) == [None] * 5 + [Throttle.ACCOUNT]
    concurrency.of(G).leave()
    concurrency.of(F).reserve(None)
    assert enter(concurrency, F, 2) == [None, Throttle.ACCOUNT]


def test_what_runs_when_a_reservation_is_lowered_goes_on() -> None:
    concurrency = Concurrency(5)
    assert enter(concurrency, F, 4) == [None] * 4
    concurrency.of(F).reserve(1)
    assert enter(concurrency, F) == [Throttle.FUNCTION]
    assert enter(concurrency, G, 5) == [None] * 4 + [Throttle.ACCOUNT]
    for _ in range(4):
        concurrency.of(F).leave()
    assert enter(concurrency, F, 2) == [None, Throttle.FUNCTION]


def test_a_deleted_function_frees_its_reservation() -> None:
    concurrency = Concurrency(2)
    concurrency.of(F).reserve(1)
    running = concurrency.of(F)
    assert running.enter() is None
    concurrency.forget(F)
    assert enter(concurrency, G, 2) == [None, Throttle.ACCOUNT]
    assert enter(concurrency, F) == [Throttle.ACCOUNT]  # one of the same name
    running.leave()
    assert enter(concurrency, F) == [None]
    concurrency.forget(H)  # never heard of


@given(
    st.lists(
        st.tuples(
            st.sampled_from([F, G, H]),
            st.one_of(st.sampled_from(["enter", "leave", "forget"]), st.none(), st.integers(0, 3)),
        ),
        max_size=60,
    )
)
def test_any_order_of_events_counts_right(events: list[tuple[FunctionKey, str | int | None]]) -> None:
    """As many begin as may: by a count of what runs, made anew for every decision."""
    limit = 10
    concurrency = Concurrency(limit)
    running = dict.fromkeys((F, G, H), 0)
    reserved: dict[FunctionKey, int] = {}
    for key, event in events:
        match event:
            case "enter":
                throttle = concurrency.of(key).enter()
                if key in reserved:
                    assert throttle is (Throttle.FUNCTION if running[key] >= reserved[key] else None)
                else:
                    shared = sum(count for other, count in running.items() if other not in reserved)
                    left = limit - sum(reserved.values())
                    assert throttle is (Throttle.ACCOUNT if shared >= left else None)
                running[key] += throttle is None
            case "leave":
                if running[key]:
                    concurrency.of(key).leave()
                    running[key] -= 1
            case "forget":
                concurrency.forget(key)
                reserved.pop(key, None)
            case None:
                concurrency.of(key).reserve(None)
                reserved.pop(key, None)
            case _:
                executions = int(event)
                concurrency.of(key).reserve(executions)
                reserved[key] = executions
        assert concurrency.of(key).running == running[key]


@pytest.mark.parametrize("throttle", Throttle)
def test_reasons_are_of_the_model(throttle: Throttle) -> None:
    shapes = Loader().load_service_model("lambda", "service-2")["shapes"]
    assert throttle.value in shapes["ThrottleReason"]["enum"]
