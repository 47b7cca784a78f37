"""Metrics of functions in CloudWatch: Lamella has counted, and this answers what is asked of the namespace AWS/Lambda.

Metrics that a caller has put there himself are moto's, as all others.

Source: developer guide, "Types of metrics for Lambda functions"; CloudWatch API reference, "GetMetricData" (points lie
on whole periods, newest first unless told otherwise) and "Statistics definitions" (percentiles are written `p99`).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from moto.cloudwatch.exceptions import InvalidParameterValue
from moto.cloudwatch.models import CloudWatchBackend, MetricAggregatedDatum

from lamella.neighbour.bridge import read_metrics
from lamella.neighbour.services.patching import replace

NAMESPACE: Final = "AWS/Lambda"
_COUNTS: Final = {"Invocations": "invocations", "Errors": "errors", "Throttles": "throttles"}
_DURATION: Final = "Duration"
_NAMES: Final = (*_COUNTS, _DURATION)
_BASE: Final = 1.05
_KINDS: Final[Sequence[set[str]]] = [
    set(),
    {"FunctionName"},
    {"FunctionName", "Resource"},
    {"FunctionName", "Resource", "ExecutedVersion"},
]
"""The dimensions that Lambda's metrics have."""
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
_LISTED_S: Final = 3 * 3600
"""ListMetrics shows what has had points lately; on AWS within two weeks."""

_listing: ContextVar[bool] = ContextVar("listing", default=False)

Document = Mapping[str, Any]  # JSON


@dataclass
class Point:
    """One period of a metric, as CloudWatch sums it up. Named as moto answers with it."""

    timestamp: datetime
    unit: str
    sample_count: float = 0.0
    sum: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    classes: dict[int, int] = field(default_factory=dict)

    @property
    def average(self) -> float:
        """Of all values."""
        return self.sum / self.sample_count

    def add(self, metric: str, minute: Document) -> None:
        """Add what was counted in a minute."""
        if metric == _DURATION:
            self.sample_count += minute["invocations"]
            self.sum += minute["total_ms"]
            self.minimum = min(self.minimum, minute["least_ms"])
            self.maximum = max(self.maximum, minute["most_ms"])
            for number, count in minute["classes"].items():
                self.classes[int(number)] = self.classes.get(int(number), 0) + count
            return
        # One value of 0 or 1 for each invocation, so that the average of errors is their rate; likewise for throttles.
        count = minute[_COUNTS[metric]]
        self.sample_count += count if metric == "Throttles" else minute["invocations"]
        self.sum += count
        self.minimum = min(self.minimum, 1.0 if count == (minute["invocations"] or count) else 0.0)
        self.maximum = max(self.maximum, 1.0 if count else 0.0)

    def statistic(self, name: str) -> float:
        """Its value.

        Raises:
            InvalidParameterValue: There is no such statistic.
        """
        match name:
            case "SampleCount":
                return self.sample_count
            case "Sum":
                return self.sum
            case "Average":
                return self.average
            case "Minimum":
                return self.minimum
            case "Maximum":
                return self.maximum
            case _:
                pass
        if (found := _PERCENTILE.fullmatch(name)) is None:
            raise InvalidParameterValue(f"The value {name} for parameter Stat is not supported.")
        return self._percentile(float(found[1]))

    def _percentile(self, percent: float) -> float:
        """Of durations within 5 %; of counts, which are 0 or 1, exactly."""
        rank = max(1, math.ceil(self.sample_count * percent / 100))
        if not self.classes:
            return 1.0 if rank > self.sample_count - self.sum else 0.0
        seen = 0
        for number in sorted(self.classes):
            seen += self.classes[number]
            if seen >= rank:
                return min(self.maximum, max(self.minimum, _BASE**number))
        return self.maximum


def points(
    series: Iterable[Document], metric: str, dimensions: Mapping[str, str], *, period_s: int, begin_s: float
) -> list[Point]:
    """The periods that have values, oldest first.

    Args:
        series: What Lamella has counted.
        metric: One that Lambda has.
        dimensions: By name; nothing has others than Lambda gives.
        period_s: A whole number of minutes; shorter ones get the minutes.
        begin_s: What came before it counts only in the period that it lies in.
    """
    period_s = max(60, period_s)
    unit = "Milliseconds" if metric == _DURATION else "Count"
    found: dict[int, Point] = {}
    for one in series:
        if not _is_meant(one, dimensions):
            continue
        for minute in one["minutes"]:
            if not (minute["throttles"] if metric == "Throttles" else minute["invocations"]):
                continue
            at_s = minute["at"] // period_s * period_s
            if at_s < begin_s // period_s * period_s:
                continue
            if at_s not in found:
                found[at_s] = Point(datetime.fromtimestamp(at_s, UTC), unit)
            found[at_s].add(metric, minute)
    return [found[at_s] for at_s in sorted(found)]


def _is_meant(series: Document, dimensions: Mapping[str, str]) -> bool:
    name, qualifier, version = series["function"], series["qualifier"], series["version"]
    actual = {"FunctionName": name, "Resource": f"{name}:{qualifier}" if qualifier else name}
    if qualifier and not _is_version(qualifier):
        actual["ExecutedVersion"] = version
    # Throttled invocations of an alias have executed no version.
    if set(dimensions) not in _KINDS:
        return False
    return all(actual.get(name) == value for name, value in dimensions.items())


def _is_version(qualifier: str) -> bool:
    return qualifier.isdigit() or qualifier.startswith("$LATEST")


def _of_lambda(namespace: str | None, metric: str | None, dimensions: Mapping[str, str]) -> bool:
    """Whether Lambda has such a metric; what else is in the namespace was put there by somebody."""
    return namespace == NAMESPACE and metric in _NAMES and set(dimensions) in _KINDS


def _dimensions(listed: Sequence[Any] | None) -> dict[str, str]:
    return {str(one["Name"]): str(one["Value"]) for one in listed or () if one.get("Value")}


def _read(
    backend: CloudWatchBackend, begin: datetime, end: datetime, functions: Iterable[str] = ()
) -> list[dict[str, Any]]:
    return read_metrics(
        backend.account_id,
        backend.region_name,
        begin_s=_seconds(begin),
        end_s=_seconds(end),
        functions=sorted(set(functions)),
    )


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _data(theirs: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    def get_metric_data(
        backend: CloudWatchBackend,
        queries: list[dict[str, Any]],
        start_time: datetime,
        end_time: datetime,
        scan_by: str = "TimestampDescending",
    ) -> list[dict[str, Any]]:
        ours: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {}
        for query in queries:
            stat = query.get("MetricStat")
            if not stat:
                continue
            metric = stat["Metric"]
            dimensions = _dimensions(metric.get("Dimensions"))
            if _of_lambda(metric.get("Namespace"), metric.get("MetricName"), dimensions):
                ours[query["Id"]] = (query, stat, dimensions)
        # Moto validates the times, and sums up what is not ours.
        rest = theirs(
            backend,
            queries=[query for query in queries if query["Id"] not in ours],
            start_time=start_time,
            end_time=end_time,
            scan_by=scan_by,
        )
        if not ours:
            return rest
        names = [dimensions.get("FunctionName", "") for _, _, dimensions in ours.values()]
        series = _read(backend, start_time, end_time, names if all(names) else ())
        answered = {result["id"]: result for result in rest}
        for id_, (query, stat, dimensions) in ours.items():
            if not query.get("ReturnData", True):
                continue
            metric = stat["Metric"]["MetricName"]
            found = points(series, metric, dimensions, period_s=int(stat["Period"]), begin_s=_seconds(start_time))
            if scan_by != "TimestampAscending":
                found.reverse()
            answered[id_] = {
                "id": id_,
                "label": query.get("Label") or metric,
                "values": [point.statistic(stat["Stat"]) for point in found],
                "timestamps": [point.timestamp for point in found],
                "status_code": "Complete",
            }
        return [answered[query["Id"]] for query in queries if query["Id"] in answered]

    return get_metric_data


def _statistics(theirs: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def get_metric_statistics(
        backend: CloudWatchBackend,
        namespace: str,
        metric_name: str,
        start_time: datetime,
        end_time: datetime,
        period: int,
        stats: list[str],
        dimensions: list[dict[str, str]],
        unit: str | None = None,
    ) -> list[Any]:
        wanted = _dimensions(dimensions)
        found = theirs(backend, namespace, metric_name, start_time, end_time, period, stats, dimensions, unit)
        if not _of_lambda(namespace, metric_name, wanted):
            return found
        functions = [wanted["FunctionName"]] if wanted else []
        series = _read(backend, start_time, end_time, functions)
        return [
            _Shown(point, stats)
            for point in points(series, metric_name, wanted, period_s=period, begin_s=_seconds(start_time))
        ]

    return get_metric_statistics


class _Shown:
    """A point with the statistics that were asked for; the serialiser leaves out what is none."""

    def __init__(self, point: Point, stats: Sequence[str]) -> None:
        self.timestamp = point.timestamp
        self.unit = point.unit
        self.sample_count = point.sample_count if "SampleCount" in stats else None
        self.sum = point.sum if "Sum" in stats else None
        self.average = point.average if "Average" in stats else None
        self.minimum = point.minimum if "Minimum" in stats else None
        self.maximum = point.maximum if "Maximum" in stats else None


def _metrics(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def get_all_metrics(backend: CloudWatchBackend) -> list[Any]:
        return [*theirs(backend), *(_listed(backend) if _listing.get() else ())]

    return get_all_metrics


def _list(theirs: Callable[..., Any]) -> Callable[..., Any]:
    def list_metrics(
        backend: CloudWatchBackend, next_token: str | None, namespace: str, metric_name: str, dimensions: Any
    ) -> Any:
        token = _listing.set(namespace in (None, "", NAMESPACE))
        try:
            return theirs(backend, next_token, namespace, metric_name, dimensions)
        finally:
            _listing.reset(token)

    return list_metrics


def _listed(backend: CloudWatchBackend) -> list[MetricAggregatedDatum]:
    now = datetime.now(UTC)
    begin = datetime.fromtimestamp(now.timestamp() - _LISTED_S, UTC)
    kinds: dict[tuple[str, tuple[tuple[str, str], ...]], None] = {}
    for series in _read(backend, begin, now):
        name, qualifier, version = series["function"], series["qualifier"], series["version"]
        resource = ("Resource", f"{name}:{qualifier}" if qualifier else name)
        combinations = [(), (("FunctionName", name),), (("FunctionName", name), resource)]
        if qualifier and not _is_version(qualifier) and version:
            combinations.append((("FunctionName", name), resource, ("ExecutedVersion", version)))
        kinds |= {(metric, dimensions): None for metric in _NAMES for dimensions in combinations}
    return [
        MetricAggregatedDatum(
            NAMESPACE, metric, 0, 0, 0, 0, [{"Name": name, "Value": value} for name, value in dimensions], now
        )
        for metric, dimensions in kinds
    ]


def install() -> None:
    """Let CloudWatch know of functions.

    Raises:
        UnknownMotoError: This version of moto is built differently.
    """
    replace(CloudWatchBackend, "get_metric_data", _data)
    replace(CloudWatchBackend, "get_metric_statistics", _statistics)
    replace(CloudWatchBackend, "get_all_metrics", _metrics)
    replace(CloudWatchBackend, "list_metrics", _list)
