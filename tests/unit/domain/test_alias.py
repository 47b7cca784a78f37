"""Which version an invocation of an alias runs."""

import random

import pytest

from lamella.domain.alias import Alias, Route
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
