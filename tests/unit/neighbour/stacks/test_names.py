"""Physical names."""

import re

import pytest

from lamella.neighbour.stacks.names import physical_name


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("AWS::Lambda::Function", r"shop-Orders-[A-Za-z0-9]{12}"),
        ("AWS::S3::Bucket", r"shop-orders-[a-z0-9]{12}"),
    ],
)
def test_a_name_says_what_it_is(kind: str, pattern: str) -> None:
    assert re.fullmatch(pattern, physical_name("shop", "Orders", kind, {}))


def test_no_name_is_given_twice() -> None:
    assert len({physical_name("a", "b", "AWS::IAM::Role", {}) for _ in range(100)}) == 100


@pytest.mark.parametrize("stack", ["s" * 128, "s" * 10])
@pytest.mark.parametrize("logical_id", ["L" * 200, "L"])
@pytest.mark.parametrize(("kind", "most"), [("AWS::Lambda::Function", 64), ("AWS::S3::Bucket", 63)])
def test_long_ones_are_cut(stack: str, logical_id: str, kind: str, most: int) -> None:
    name = physical_name(stack, logical_id, kind, {})
    assert len(name) <= most
    assert name.lower().startswith("s")
    assert re.fullmatch(r"[A-Za-z0-9-]+-[A-Za-z0-9]{12}", name)


def test_queues_in_order_have_their_suffix() -> None:
    assert physical_name("a", "b", "AWS::SQS::Queue", {"FifoQueue": "true"}).endswith(".fifo")
    assert not physical_name("a", "b", "AWS::SQS::Queue", {}).endswith(".fifo")
