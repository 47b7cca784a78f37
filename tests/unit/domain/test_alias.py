"""Which version an invocation of an alias runs."""

import random

import pytest

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.alias import Alias, Route, routed
from lamella.domain.function import FunctionKey

KEY = FunctionKey("123456789012", "us-east-1", "f")


def alias(route: Route | None = None) -> Alias:
    return Alias(KEY, "live", "1", "r", route=route)


def test_its_arn() -> None:
    assert alias().arn == "arn:aws:lambda:us-east-1:123456789012:function:f:live"


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999999])
def test_without_a_route_there_is_one_version(draw: float) -> None:
    assert alias().choose(draw) == "1"


@pytest.mark.parametrize(
    ("weight", "draw", "version"),
    [
        (0.25, 0.0, "2"),
        (0.25, 0.249999, "2"),
        (0.25, 0.25, "1"),
        (0.25, 0.999999, "1"),
        (0.0, 0.0, "1"),
        (1.0, 0.999999, "2"),
    ],
)
def test_the_additional_version_gets_its_share(weight: float, draw: float, version: str) -> None:
    assert alias(Route("2", weight)).choose(draw) == version


def test_shares_come_out_over_many_invocations() -> None:
    draws = random.Random(4)
    chosen = [alias(Route("2", 0.1)).choose(draws.random()) for _ in range(10_000)]
    assert 900 < chosen.count("2") < 1100


def test_what_it_refers_to() -> None:
    assert alias().refers_to("1")
    assert not alias().refers_to("2")
    assert alias(Route("2", 0.0)).refers_to("2")


def test_what_becomes_a_route() -> None:
    assert routed("1", {}) is None
    assert routed("$LATEST", {}) is None
    assert routed("1", {"2": 0.25}) == Route("2", 0.25)
    route = routed("1", {"2": 1})
    assert route is not None
    assert isinstance(route.weight, float)


@pytest.mark.parametrize(
    ("version", "weights", "text"),
    [
        ("1", {"1": 0.8, "2": 0.2}, "Number of items in AdditionalVersionWeights cannot be greater than 1"),
        (
            "1",
            {"1": 0.5},
            "Invalid function version 1. Function version 1 is already included in routing configuration.",
        ),
        ("$LATEST", {"1": 0.5}, "$LATEST is not supported for an alias pointing to more than 1 version"),
    ],
)
def test_what_does_not(version: str, weights: dict[str, float], text: str) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        routed(version, weights)
    assert refused.value.message == text
