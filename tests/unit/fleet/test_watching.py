"""The new version beside the old one, and CloudWatch's figures."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lamella.fleet.cloudwatch import CloudWatchWatcher
from lamella.fleet.errors import FleetError, UnreachableError
from lamella.fleet.policy import Policy
from lamella.fleet.watching import Comparison, Stats, Watched, by_function, judge, too_quiet

POLICY = Policy(max_error_rate=0.01, max_duration_ratio=2.0)
SINCE = datetime(2026, 11, 26, 20, 30, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("new", "old", "bad"),
    [
        (Stats(), Stats(), False),
        (Stats(100, 0, 5.0), Stats(100, 0, 5.0), False),
        (Stats(100, 2, 5.0), Stats(100, 0, 5.0), True),
        (Stats(100, 1, 5.0), Stats(100, 0, 5.0), False),  # not more than may
        (Stats(1, 1, 5.0), Stats(), True),
        (Stats(100, 6, 5.0), Stats(100, 6, 5.0), False),  # the old one is no better
        (Stats(100, 50, 5.0), Stats(2, 1, 5.0), True),  # which two invocations do not tell
        (Stats(100, 0, 400.0), Stats(100, 0, 100.0), True),
        (Stats(100, 0, 199.0), Stats(100, 0, 100.0), False),
        (Stats(5, 0, 400.0), Stats(100, 0, 100.0), False),  # too few to tell
        (Stats(100, 0, 8.0), Stats(100, 0, 2.0), False),  # milliseconds are noise
        (Stats(100, 0, None), Stats(100, 0, 2.0), False),
    ],
)
def test_a_new_version_is_judged_by_the_old_one(new: Stats, old: Stats, bad: bool) -> None:
    assert bool(judge({"f": Comparison(new, old)}, POLICY)) is bad


def test_functions_that_nobody_invokes_can_be_too_quiet_to_tell() -> None:
    compared = {"a": Comparison(Stats(10, 0)), "b": Comparison(Stats(2, 0))}
    assert too_quiet(["a", "b", "c"], compared, POLICY) == {}
    assert list(too_quiet(["a", "b", "c"], compared, replace(POLICY, min_invocations=5))) == ["b", "c"]


def test_aliases_of_a_function_count_together() -> None:
    one, two = Watched("f", "live", "2", "1", 0.1), Watched("f", "test", "2", "1", 0.1)
    found = by_function({one: Comparison(Stats(10, 1, 10.0, 20.0)), two: Comparison(Stats(30, 0, 20.0, 50.0))})
    assert found["f"].new == Stats(40, 1, 17.5, 50.0)


class FakeCloudWatch:
    """Data points by dimensions and metric; and in pages, to be read to the end."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, ...], dict[datetime, float]] = {}
        self.calls: list[Any] = []

    def put(self, at: datetime, resource: str, version: str, **metrics: float) -> None:
        for name, value in metrics.items():
            self.points.setdefault(("f", resource, version, name), {})[at] = value

    def get_metric_data(self, *, MetricDataQueries: Sequence[Any], **window: Any) -> Any:  # noqa: N803
        self.calls.append((MetricDataQueries, window))
        assert len(MetricDataQueries) <= 500
        half = len(MetricDataQueries) // 2
        page = MetricDataQueries[half:] if "NextToken" in window else MetricDataQueries[:half]
        results = []
        for query in page:
            metric = query["MetricStat"]["Metric"]
            found = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
            key = (
                found["FunctionName"],
                found.get("Resource", ""),
                found.get("ExecutedVersion", ""),
                metric["MetricName"],
            )
            points = self.points.get(key, {})
            inside = {at: value for at, value in points.items() if window["StartTime"] <= at < window["EndTime"]}
            results.append({"Id": query["Id"], "Timestamps": list(inside), "Values": list(inside.values())})
        return {"MetricDataResults": results, **({} if "NextToken" in window else {"NextToken": "more"})}


def observe(fake: FakeCloudWatch, target: Watched) -> Comparison:
    found = CloudWatchWatcher(fake).observe([target], since=SINCE, until=SINCE + 2 * MINUTE)
    return found[target]


def test_versions_that_share_an_alias_are_told_apart() -> None:
    fake = FakeCloudWatch()
    at = SINCE.replace(second=0)
    fake.put(at, "f:live", "2", Invocations=10, Errors=3, Duration=50.0)
    fake.put(at + MINUTE, "f:live", "2", Invocations=30, Errors=0, Duration=10.0)
    fake.put(at, "f:live", "1", Invocations=90, Errors=1, Duration=20.0)
    fake.put(at - 30 * MINUTE, "f:live", "1", Invocations=10, Errors=0, Duration=20.0)
    fake.put(at - 90 * MINUTE, "f:live", "1", Invocations=999, Errors=999, Duration=20.0)
    found = observe(fake, Watched("f", "live", "2", "1", 0.1))
    assert found.new == Stats(40, 3, 20.0, 50.0)
    assert found.old == Stats(100, 1, 20.0, 20.0)


def test_an_alias_that_does_not_say_which_version_ran_is_compared_with_itself_before() -> None:
    fake = FakeCloudWatch()
    at = SINCE.replace(second=0)
    fake.put(at - MINUTE, "f:live", "", Invocations=50, Errors=0)
    fake.put(at, "f:live", "", Invocations=50, Errors=25)  # nobody knows before or after
    fake.put(at + MINUTE, "f:live", "", Invocations=20, Errors=5)
    found = observe(fake, Watched("f", "live", "2", "1", 1.0))
    assert (found.new, found.old) == (Stats(20, 5), Stats(50, 0))
    # While it shares, what is not told apart says nothing of the new version.
    assert observe(fake, Watched("f", "live", "2", "1", 0.1)).new == Stats()


def test_a_function_without_aliases_is_compared_with_itself_before() -> None:
    fake = FakeCloudWatch()
    at = SINCE.replace(second=0)
    fake.put(at - MINUTE, "", "", Invocations=50, Errors=0)
    fake.put(at + MINUTE, "", "", Invocations=20, Errors=5)
    found = observe(fake, Watched("f", "", "", "", 1.0))
    assert (found.new, found.old) == (Stats(20, 5), Stats(50, 0))


def test_many_functions_are_asked_for_in_few_calls() -> None:
    fake = FakeCloudWatch()
    targets = [Watched(f"f{number}", "live", "2", "1", 0.5) for number in range(100)]
    assert len(CloudWatchWatcher(fake).observe(targets, since=SINCE, until=SINCE)) == 100
    assert len(fake.calls) == 2 * 3  # 300 series of 4 metrics, and each of my calls has a second page


def test_metrics_that_cannot_be_read_are_said_before_anything_is_changed() -> None:
    class Deaf:
        def get_metric_data(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricData")

    with pytest.raises(FleetError, match="give --no-watch") as caught:
        CloudWatchWatcher(Deaf()).check()
    assert not isinstance(caught.value, UnreachableError)
    with pytest.raises(UnreachableError):
        CloudWatchWatcher(Deaf()).observe([Watched("f", "", "", "", 1.0)], since=SINCE, until=SINCE)
