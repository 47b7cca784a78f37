"""CloudWatch knows what functions did: the real client, moto's CloudWatch, real sandboxes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.functions import Function, bash
from tests.support.server import LamellaServer
from tests.support.services import Account

pytestmark = pytest.mark.sandbox

OWN, OTHER = "111122223333", "444455556666"
FAILS_ON_ORDER = """while true; do next
    case $BODY in
        *bad*) call POST "/invocation/$ID/error" --data-binary '{"errorMessage":"as told","errorType":"E"}' >/dev/null;;
        *) respond 1 >/dev/null;;
    esac
done\n"""


@pytest.fixture(scope="module")
def own() -> Iterator[Account]:
    with LamellaServer(state_delay_s="0", drain_timeout_s="1") as running:
        yield Account(running, OWN)


@pytest.fixture(scope="module")
def function(own: Account) -> Function:
    """Version 1 has run twice through `live`; `$LATEST` three times, once with an error; one call was throttled."""
    function = bash(own.functions, FAILS_ON_ORDER, Publish=True)
    own.functions.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    for qualifier, event in (("live", {}), ("live", {}), ("$LATEST", {}), ("$LATEST", "bad"), ("$LATEST", {})):
        own.functions.invoke(FunctionName=function.name, Qualifier=qualifier, Payload=f'"{event}"')
    own.functions.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequests"):
        own.functions.invoke(FunctionName=function.name, Qualifier="live")
    return function


def _query(metric: str, stat: str, **dimensions: str) -> dict[str, Any]:
    listed = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return {
        "Id": f"{metric.lower()}{len(dimensions)}{stat.lower()}",
        "MetricStat": {
            "Metric": {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": listed},
            "Period": 3600,
            "Stat": stat,
        },
    }


def _window() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"StartTime": now - timedelta(hours=1), "EndTime": now + timedelta(minutes=1)}


def test_a_query_has_what_was_invoked(own: Account, function: Function) -> None:
    name = function.name
    queries = [
        _query("Invocations", "Sum", FunctionName=name),
        _query("Errors", "Sum", FunctionName=name),
        _query("Throttles", "Sum", FunctionName=name),
        _query("Invocations", "Sum", FunctionName=name, Resource=f"{name}:live", ExecutedVersion="1"),
        _query("Duration", "p99", FunctionName=name, Resource=f"{name}:live"),
        _query("Invocations", "Sum", FunctionName=name, Resource=f"{name}:$LATEST"),
    ]
    queries[-1]["Id"] = "latest"
    found = own("cloudwatch").get_metric_data(MetricDataQueries=queries, **_window())["MetricDataResults"]
    values = {result["Id"]: sum(result["Values"]) for result in found}
    # Invocations are counted when extensions are done as well, which is after the answer: so the last may be missing
    # for a moment, but for the throttled call, which was made after a change of the function.
    assert values["invocations1sum"] == 5
    assert values["errors1sum"] == 1
    assert values["throttles1sum"] == 1
    assert values["invocations3sum"] == 2
    assert values["latest"] == 3
    assert 0 < values["duration2p99"] < 60_000


def test_statistics_and_lists_are_answered_too(own: Account, function: Function) -> None:
    cloudwatch = own("cloudwatch")
    dimensions = [{"Name": "FunctionName", "Value": function.name}]
    points = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Dimensions=dimensions,
        Period=3600,
        Statistics=["Sum", "Average"],
        **_window(),
    )["Datapoints"]
    assert sum(point["Sum"] for point in points) == 1
    assert {point["Unit"] for point in points} == {"Count"}
    assert "Maximum" not in points[0]
    listed = cloudwatch.list_metrics(Namespace="AWS/Lambda", MetricName="Invocations")["Metrics"]
    assert {"Name": "ExecutedVersion", "Value": "1"} in [one for metric in listed for one in metric["Dimensions"]]


def test_metrics_of_callers_are_mixed_with_ours(own: Account, function: Function) -> None:
    cloudwatch = own("cloudwatch")
    cloudwatch.put_metric_data(Namespace="Shop", MetricData=[{"MetricName": "Orders", "Value": 3.0}])
    orders = {
        "Id": "orders",
        "MetricStat": {"Metric": {"Namespace": "Shop", "MetricName": "Orders"}, "Period": 3600, "Stat": "Sum"},
    }
    queries = [_query("Errors", "Sum", FunctionName=function.name), orders]
    found = cloudwatch.get_metric_data(MetricDataQueries=queries, **_window())["MetricDataResults"]
    assert [(result["Id"], result["Values"]) for result in found] == [("errors1sum", [1.0]), ("orders", [3.0])]


def test_other_accounts_see_nothing_of_it(own: Account, function: Function) -> None:
    other = Account(own.server, OTHER)("cloudwatch")
    queries = [_query("Invocations", "Sum"), _query("Invocations", "Sum", FunctionName=function.name)]
    found = other.get_metric_data(MetricDataQueries=queries, **_window())["MetricDataResults"]
    assert [result["Values"] for result in found] == [[], []]
    assert other.list_metrics(Namespace="AWS/Lambda")["Metrics"] == []


def test_what_is_no_statistic_is_refused(own: Account, function: Function) -> None:
    with pytest.raises(ClientError, match="Sideways"):
        own("cloudwatch").get_metric_data(
            MetricDataQueries=[_query("Duration", "Sideways", FunctionName=function.name)], **_window()
        )
