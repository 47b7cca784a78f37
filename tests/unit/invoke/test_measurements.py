"""What is counted of functions."""

from lamella.domain.function import FunctionKey
from lamella.invoke.measurements import Measurements, size_class

ACCOUNT, REGION = "111122223333", "eu-central-1"
KEY = FunctionKey(ACCOUNT, REGION, "f")
OTHER = FunctionKey(ACCOUNT, REGION, "g")
NOON_S = 1_790_000_040.0  # 40 s into a minute


def read(measurements: Measurements, begin_s: float = 0, end_s: float = 2e9, **more: frozenset[str]) -> list[dict]:  # type: ignore[type-arg]
    return measurements.read(ACCOUNT, REGION, begin_s=begin_s, end_s=end_s, **more)


def test_invocations_are_counted_by_how_the_function_was_called_and_what_ran() -> None:
    measurements = Measurements()
    for version, failed, seconds in (("7", False, 0.010), ("8", True, 0.030), ("8", False, 0.020)):
        measurements.ended(KEY.arn("live"), version, duration_s=seconds, failed=failed, now_s=NOON_S)
    measurements.ended(KEY.arn(), "$LATEST", duration_s=1.0, failed=False, now_s=NOON_S)
    found = {(one["qualifier"], one["version"]): one["minutes"] for one in read(measurements)}
    assert set(found) == {("live", "7"), ("live", "8"), ("", "$LATEST")}
    [minute] = found["live", "8"]
    assert (minute["invocations"], minute["errors"], minute["throttles"]) == (2, 1, 0)
    assert (minute["least_ms"], minute["most_ms"], round(minute["total_ms"])) == (20.0, 30.0, 50)
    assert minute["classes"] == {str(size_class(20.0)): 1, str(size_class(30.0)): 1}


def test_an_invocation_belongs_to_the_minute_in_which_it_began() -> None:
    measurements = Measurements()
    measurements.ended(KEY.arn("1"), "1", duration_s=55.0, failed=False, now_s=NOON_S)
    [series] = read(measurements)
    assert [minute["at"] for minute in series["minutes"]] == [int(NOON_S - 55) // 60 * 60]


def test_throttles_are_counted_without_a_version() -> None:
    measurements = Measurements()
    measurements.throttled(KEY.arn("live"), now_s=NOON_S)
    [series] = read(measurements)
    assert (series["version"], series["minutes"][0]["throttles"], series["minutes"][0]["invocations"]) == ("", 1, 0)


def test_what_is_read_is_bounded_by_time_account_and_function() -> None:
    measurements = Measurements()
    for key in (KEY, OTHER, FunctionKey("999999999999", REGION, "f"), FunctionKey(ACCOUNT, "us-east-1", "f")):
        for minute in range(3):
            measurements.ended(key.arn(), "1", duration_s=0.0, failed=False, now_s=NOON_S + 60 * minute)
    assert {one["function"] for one in read(measurements)} == {"f", "g"}
    [own] = read(measurements, functions=frozenset({"f"}))
    assert len(own["minutes"]) == 3
    begin_s = int(NOON_S) // 60 * 60 + 61
    [own] = read(measurements, begin_s=begin_s, end_s=begin_s + 50, functions=frozenset({"f"}))
    assert [minute["at"] for minute in own["minutes"]] == [begin_s - 1]


def test_a_day_is_kept_and_a_deleted_function_is_not() -> None:
    measurements = Measurements()
    measurements.ended(KEY.arn(), "1", duration_s=0.0, failed=False, now_s=NOON_S)
    measurements.ended(OTHER.arn(), "1", duration_s=0.0, failed=False, now_s=NOON_S + 86_300)
    assert {one["function"] for one in read(measurements)} == {"f", "g"}
    measurements.ended(OTHER.arn(), "1", duration_s=0.0, failed=False, now_s=NOON_S + 86_460)
    assert {one["function"] for one in read(measurements)} == {"g"}
    measurements.forget(OTHER)
    assert read(measurements) == []
