"""Which invocations may begin."""

import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from lamella.domain.function import FunctionKey
from lamella.lifecycle.admission import Concurrency, Limits, Throttle

F, G, H = (FunctionKey("000000000000", "us-east-1", name) for name in "fgh")


def enter(concurrency: Concurrency, key: FunctionKey, times: int = 1) -> list[Throttle | None]:
    return [concurrency.of(key).enter() for _ in range(times)]


def test_functions_without_a_reservation_share_the_account() -> None:
    concurrency = Concurrency(Limits(3))
    assert enter(concurrency, F, 2) == [None, None]
    assert enter(concurrency, G, 2) == [None, Throttle.ACCOUNT]
    assert enter(concurrency, F) == [Throttle.ACCOUNT]
    concurrency.of(F).leave()
    assert enter(concurrency, G, 2) == [None, Throttle.ACCOUNT]


def test_accounts_and_regions_have_limits_of_their_own() -> None:
    concurrency = Concurrency(Limits(1))
    keys = [F, FunctionKey("111111111111", "us-east-1", "f"), FunctionKey("000000000000", "eu-west-1", "f")]
    assert [concurrency.of(key).enter() for key in keys] == [None, None, None]
    assert [concurrency.of(key).enter() for key in keys] == [Throttle.ACCOUNT] * 3


def test_a_reservation_works_both_ways() -> None:
    concurrency = Concurrency(Limits(5))
    concurrency.of(F).reserve(2)
    assert enter(concurrency, G, 4) == [None, None, None, Throttle.ACCOUNT]
    assert enter(concurrency, F, 3) == [None, None, Throttle.FUNCTION]
    concurrency.of(F).leave()
    assert enter(concurrency, F, 2) == [None, Throttle.FUNCTION]


def test_a_reservation_of_nothing_stops_the_function() -> None:
    concurrency = Concurrency(Limits(5))
    concurrency.of(F).reserve(0)
    assert enter(concurrency, F) == [Throttle.FUNCTION]
    assert enter(concurrency, G, 6) == [None] * 5 + [Throttle.ACCOUNT]
    concurrency.of(G).leave()
    concurrency.of(F).reserve(None)
    assert enter(concurrency, F, 2) == [None, Throttle.ACCOUNT]


def test_what_runs_when_a_reservation_is_lowered_goes_on() -> None:
    concurrency = Concurrency(Limits(5))
    assert enter(concurrency, F, 4) == [None] * 4
    concurrency.of(F).reserve(1)
    assert enter(concurrency, F) == [Throttle.FUNCTION]
    assert enter(concurrency, G, 5) == [None] * 4 + [Throttle.ACCOUNT]
    for _ in range(4):
        concurrency.of(F).leave()
    assert enter(concurrency, F, 2) == [None, Throttle.FUNCTION]


def test_a_deleted_function_frees_its_reservation() -> None:
    concurrency = Concurrency(Limits(2))
    concurrency.of(F).reserve(1)
    running = concurrency.of(F)
    assert running.enter() is None
    concurrency.forget(F)
    assert enter(concurrency, G, 2) == [None, Throttle.ACCOUNT]
    assert enter(concurrency, F) == [Throttle.ACCOUNT]  # one of the same name
    running.leave()
    assert enter(concurrency, F) == [None]
    concurrency.forget(H)  # never heard of


def test_what_is_provisioned_is_taken_from_the_share_of_all() -> None:
    concurrency = Concurrency(Limits(5))
    concurrency.of(F).provision(3)
    assert enter(concurrency, G, 3) == [None, None, Throttle.ACCOUNT]
    assert enter(concurrency, F) == [Throttle.ACCOUNT]  # it spills over to what is left
    concurrency.of(F).provision(-1)
    assert enter(concurrency, F) == [None]


def test_nothing_is_left_where_as_much_is_provisioned_as_reserved() -> None:
    concurrency = Concurrency(Limits(5))
    concurrency.of(F).reserve(2)
    concurrency.of(F).provision(2)
    assert enter(concurrency, F) == [Throttle.FUNCTION]
    assert (concurrency.of(F).most, concurrency.of(F).room, concurrency.of(G).room) == (0, 0, 3)
    concurrency.of(F).reserve(3)
    assert enter(concurrency, F, 2) == [None, Throttle.FUNCTION]
    concurrency.of(F).reserve(None)
    assert concurrency.of(G).room == 2  # of five, two are provisioned and one runs
    concurrency.forget(F)
    concurrency.of(F).leave()
    assert concurrency.of(G).room == 3
    concurrency.of(F).provision(-2)
    assert concurrency.of(G).room == 5


def test_requests_in_a_second() -> None:
    concurrency = Concurrency(Limits(2, request_rate=2))
    f, g, h = (concurrency.of(key) for key in (F, G, H))
    h.reserve(1)
    assert [function.request(10.0) for function in (f, g, f, g, f)] == [None] * 4 + [Throttle.ACCOUNT_RATE]
    assert [h.request(10.0) for _ in range(3)] == [None, None, Throttle.FUNCTION_RATE]
    assert f.wait_s(Throttle.ACCOUNT_RATE, 10.0) == pytest.approx(0.25)
    assert h.wait_s(Throttle.FUNCTION_RATE, 10.0) == pytest.approx(0.5)
    assert h.wait_s(Throttle.FUNCTION, 10.0) is None
    assert [f.request(10.25), f.request(10.25)] == [None, Throttle.ACCOUNT_RATE]
    h.reserve(None)
    assert h.request(10.25) is Throttle.ACCOUNT_RATE


def test_environments_of_each_function_in_ten_seconds() -> None:
    concurrency = Concurrency(Limits(scaling_rate=2))
    f, g = concurrency.of(F), concurrency.of(G)
    assert [f.grow(0.0) for _ in range(3)] == [None, None, Throttle.SCALING_RATE]
    assert g.grow(0.0) is None
    assert f.wait_s(Throttle.SCALING_RATE, 0.0) == pytest.approx(5.0)
    assert [f.grow(5.0), f.grow(5.0)] == [None, Throttle.SCALING_RATE]


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
    concurrency = Concurrency(Limits(limit))
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
