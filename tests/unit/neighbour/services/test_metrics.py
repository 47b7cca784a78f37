"""Counts of functions, as CloudWatch sums them up."""

from typing import Any

import pytest
from moto.cloudwatch.exceptions import InvalidParameterValue

from lamella.domain.function import FunctionKey
from lamella.invoke.measurements import Measurements
from lamella.neighbour.services.metrics import Point, points

KEY = FunctionKey("111122223333", "us-east-1", "f")
BEGIN_S = 1_790_000_040 // 300 * 300


@pytest.fixture(scope="module")
def series() -> list[dict[str, Any]]:
    """Ten minutes of an alias: version 7 in all, and in the last two version 8, which fails half the time."""
    counted = Measurements()
    for minute in range(10):
        now_s = BEGIN_S + 60 * minute + 30
        for milliseconds in range(1, 101):
            counted.ended(KEY.arn("live"), "7", duration_s=milliseconds / 1000, failed=False, now_s=now_s)
        if minute >= 8:
            for number in range(10):
                counted.ended(KEY.arn("live"), "8", duration_s=0.2, failed=number % 2 == 0, now_s=now_s)
    counted.ended(KEY.arn("7"), "7", duration_s=0.001, failed=False, now_s=BEGIN_S + 30)
    counted.ended(KEY.arn(), "$LATEST", duration_s=0.001, failed=True, now_s=BEGIN_S + 30)
    counted.throttled(KEY.arn("live"), now_s=BEGIN_S + 30)
    return counted.read(KEY.account, KEY.region, begin_s=0, end_s=2e9)


def sums(series: list[dict[str, Any]], metric: str, dimensions: dict[str, str], period_s: int = 300) -> list[float]:
    return [point.sum for point in points(series, metric, dimensions, period_s=period_s, begin_s=BEGIN_S)]


@pytest.mark.parametrize(
    ("dimensions", "invocations", "errors"),
    [
        ({}, [502, 520], [1, 10]),
        ({"FunctionName": "f"}, [502, 520], [1, 10]),
        ({"FunctionName": "g"}, [], []),
        ({"FunctionName": "f", "Resource": "f"}, [1], [1]),
        ({"FunctionName": "f", "Resource": "f:7"}, [1], [0]),
        ({"FunctionName": "f", "Resource": "f:live"}, [500, 520], [0, 10]),
        ({"FunctionName": "f", "Resource": "f:live", "ExecutedVersion": "7"}, [500, 500], [0, 0]),
        ({"FunctionName": "f", "Resource": "f:live", "ExecutedVersion": "8"}, [20], [10]),
        ({"FunctionName": "f", "Resource": "f:7", "ExecutedVersion": "7"}, [], []),
        ({"FunctionName": "f", "Colour": "red"}, [], []),
    ],
)
def test_dimensions_are_those_of_lambda(
    series: list[dict[str, Any]], dimensions: dict[str, str], invocations: list[int], errors: list[int]
) -> None:
    assert sums(series, "Invocations", dimensions) == invocations
    assert sums(series, "Errors", dimensions) == errors


def test_points_lie_on_whole_periods(series: list[dict[str, Any]]) -> None:
    found = points(series, "Invocations", {"FunctionName": "f"}, period_s=300, begin_s=BEGIN_S)
    assert [point.timestamp.timestamp() for point in found] == [BEGIN_S, BEGIN_S + 300]
    assert len(points(series, "Invocations", {}, period_s=1, begin_s=BEGIN_S)) == 10
    assert sums(series, "Invocations", {}, 86_400)[0] == 1022
    late = points(series, "Invocations", {}, period_s=60, begin_s=BEGIN_S + 540)
    assert [point.timestamp.timestamp() for point in late] == [BEGIN_S + 540]


def test_durations_have_all_statistics(series: list[dict[str, Any]]) -> None:
    dimensions = {"FunctionName": "f", "Resource": "f:live", "ExecutedVersion": "7"}
    [point, _] = points(series, "Duration", dimensions, period_s=300, begin_s=BEGIN_S)
    assert [point.statistic(name) for name in ("SampleCount", "Minimum", "Maximum")] == [500, 1.0, 100.0]
    assert point.statistic("Average") == pytest.approx(50.5)
    assert point.statistic("p50") == pytest.approx(50, rel=0.06)
    assert point.statistic("p99") == pytest.approx(99, rel=0.06)
    assert point.statistic("p100") == 100.0
    assert point.unit == "Milliseconds"


def test_the_average_of_errors_is_their_rate(series: list[dict[str, Any]]) -> None:
    dimensions = {"FunctionName": "f", "Resource": "f:live", "ExecutedVersion": "8"}
    [point] = points(series, "Errors", dimensions, period_s=300, begin_s=BEGIN_S)
    assert (point.statistic("Average"), point.statistic("Maximum"), point.statistic("Minimum")) == (0.5, 1.0, 0.0)
    assert (point.statistic("p50"), point.statistic("p51")) == (0.0, 1.0)


def test_throttles_are_counted_where_no_version_ran(series: list[dict[str, Any]]) -> None:
    assert sums(series, "Throttles", {"FunctionName": "f", "Resource": "f:live"}) == [1]
    assert sums(series, "Throttles", {"FunctionName": "f", "Resource": "f:live", "ExecutedVersion": "7"}) == []


@pytest.mark.parametrize("name", ["p101", "tm99", "average", "p", ""])
def test_other_statistics_are_refused(name: str, series: list[dict[str, Any]]) -> None:
    point: Point = points(series, "Duration", {}, period_s=300, begin_s=BEGIN_S)[0]
    with pytest.raises(InvalidParameterValue, match="not supported"):
        point.statistic(name)
