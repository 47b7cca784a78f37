"""How invocations went, by the metrics that Lambda gives to CloudWatch.

Namespace `AWS/Lambda`, metrics `Invocations`, `Errors` and `Duration`, one data point a minute. `Resource` is
`FUNCTION:ALIAS`; `ExecutedVersion` says which of an alias's
versions it was. Sources: developer guide, "monitoring-metrics-types" (the latter dimension is "to compare error rates
for two versions of a function that are both targets of a weighted alias") and "monitoring-metrics-view". It is not said
whether an alias with one version has it, so where it is missing the alias as a whole is looked at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lamella.fleet.errors import FleetError, UnreachableError
from lamella.fleet.watching import Comparison, Stats, Watched

_PERIOD_S: Final = 60
_BASELINE: Final = timedelta(hours=1)
_MOST_QUERIES: Final = 500
"""In one call. Source: API reference of CloudWatch, GetMetricData."""
_METRICS: Final = (("Invocations", "Sum"), ("Errors", "Sum"), ("Duration", "Average"), ("Duration", "Maximum"))
_INSTEAD: Final = "give --no-watch to go on without looking at how invocations fare, best together with --probe"


@dataclass(frozen=True, slots=True)
class _Series:
    """One set of dimensions."""

    function: str
    resource: str = ""
    version: str = ""

    def dimensions(self) -> list[dict[str, str]]:
        found = {"FunctionName": self.function, "Resource": self.resource, "ExecutedVersion": self.version}
        return [{"Name": name, "Value": value} for name, value in found.items() if value]


_Points = Mapping[tuple[_Series, str, str], Mapping[datetime, float]]


class CloudWatchWatcher:
    """A `Watcher` of CloudWatch's metrics."""

    def __init__(self, client: Any) -> None:  # Any: botocore makes its clients' classes at run time
        self._client = client

    def check(self) -> None:
        """Ask for nothing in particular."""
        now = datetime.now(UTC)
        try:
            self._read([_Series("none")], now - timedelta(minutes=2), now)
        except UnreachableError as error:
            raise FleetError(f"{error}; {_INSTEAD}") from error

    def observe(self, targets: Sequence[Watched], *, since: datetime, until: datetime) -> Mapping[Watched, Comparison]:
        """Of the new version since then; of the old one since then and in the hour before."""
        series = list(dict.fromkeys(one for target in targets for one in _series_of(target)))
        begin = _minute(since) - _BASELINE
        end = _minute(until) + timedelta(seconds=_PERIOD_S)
        points: dict[tuple[_Series, str, str], Mapping[datetime, float]] = {}
        at_a_time = _MOST_QUERIES // len(_METRICS)
        for start in range(0, len(series), at_a_time):
            points.update(self._read(series[start : start + at_a_time], begin, end))
        return {target: _compare(target, points, since) for target in targets}

    def _read(self, series: Sequence[_Series], begin: datetime, end: datetime) -> _Points:
        keys = [(one, metric, statistic) for one in series for metric, statistic in _METRICS]
        queries = [
            {
                "Id": f"q{number}",
                "ReturnData": True,
                "MetricStat": {
                    "Metric": {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": one.dimensions()},
                    "Period": _PERIOD_S,
                    "Stat": statistic,
                },
            }
            for number, (one, metric, statistic) in enumerate(keys)
        ]
        found: dict[tuple[_Series, str, str], dict[datetime, float]] = {key: {} for key in keys}
        arguments: dict[str, Any] = {"MetricDataQueries": queries, "StartTime": begin, "EndTime": end}
        while True:
            try:
                answer = self._client.get_metric_data(**arguments)
            except (ClientError, BotoCoreError) as error:
                raise UnreachableError(f"metrics cannot be read: {error}") from error
            for result in answer.get("MetricDataResults", []):
                values = zip(result.get("Timestamps", []), result.get("Values", []), strict=False)
                found[keys[int(result["Id"][1:])]].update(values)
            if not (token := answer.get("NextToken")):
                return found
            arguments["NextToken"] = token


def _series_of(target: Watched) -> Iterator[_Series]:
    if not target.alias:
        yield _Series(target.function)  # without a published version all of its invocations are of `$LATEST`
        return
    resource = f"{target.function}:{target.alias}"
    yield _Series(target.function, resource)
    for version in (target.new, target.old):
        if version:
            yield _Series(target.function, resource, version)


def _compare(target: Watched, points: _Points, since: datetime) -> Comparison:
    """The minute in which the change fell counts neither as before nor as after where versions are not told apart."""
    changed = _minute(since)
    whole, *versions = _series_of(target)
    before = _stats(points, whole, (None, changed))
    after = _stats(points, whole, (changed + timedelta(seconds=_PERIOD_S), None))
    if not versions:
        return Comparison(after, before)
    new = _stats(points, versions[0], (changed, None))
    old = _stats(points, versions[1], (None, None)) if len(versions) > 1 else Stats()
    if not new.invocations and target.share == 1:
        new = after
    return Comparison(new, old if old.invocations else before)


def _stats(points: _Points, series: _Series, window: tuple[datetime | None, datetime | None]) -> Stats:
    begin, end = window

    def within(metric: str, statistic: str) -> dict[datetime, float]:
        every = points.get((series, metric, statistic), {})
        return {
            at: value for at, value in every.items() if (begin is None or at >= begin) and (end is None or at < end)
        }

    total = Stats()
    errors, averages, longest = within("Errors", "Sum"), within("Duration", "Average"), within("Duration", "Maximum")
    for at, count in within("Invocations", "Sum").items():
        total += Stats(int(count), int(errors.get(at, 0)), averages.get(at), longest.get(at))
    return total


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


class NoWatcher:
    """A `Watcher` for those who do not want one: has seen nothing."""

    def check(self) -> None:
        """Nothing to ask."""

    def observe(self, targets: Sequence[Watched], *, since: datetime, until: datetime) -> Mapping[Watched, Comparison]:
        """Nothing."""
        del targets, since, until
        return {}
