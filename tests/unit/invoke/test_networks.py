import logging

import pytest
from tests.unit.invoke.test_pool import KEY, VERSION

from lamella.domain.function import FunctionKey
from lamella.domain.network import NETWORK_TAG, Network, NetworkPolicy
from lamella.invoke.networks import Networks
from lamella.testing.stores import MemoryFunctionStore

ALL = NetworkPolicy(Network.NAT, frozenset(Network))


def tagged(value: str) -> dict[str, str]:
    return {NETWORK_TAG: value}


def test_a_function_that_nobody_told_of_gets_the_default() -> None:
    assert Networks(ALL).of(KEY) is Network.NAT


def test_only_another_network_is_a_change() -> None:
    networks = Networks(ALL)
    changes = [networks.learn(KEY, tags) for tags in ({}, tagged("nat"), tagged("none"), tagged("none"), {"a": "b"})]
    assert changes == [False, False, True, False, True]
    assert networks.of(KEY) is Network.NAT


def test_a_deleted_function_leaves_nothing_to_the_next_of_its_name() -> None:
    networks = Networks(ALL)
    networks.learn(KEY, tagged("host"))
    networks.forget(KEY)
    assert networks.of(KEY) is Network.NAT


async def test_tags_are_known_from_the_start() -> None:
    store = MemoryFunctionStore()
    await store.create(VERSION, tagged("none"))
    networks = Networks(ALL)
    await networks.load(store)
    assert networks.of(KEY) is Network.NONE
    assert networks.of(FunctionKey("000000000000", "us-east-1", "g")) is Network.NAT


def test_an_operator_is_told_of_the_hosts_network_once(caplog: pytest.LogCaptureFixture) -> None:
    networks = Networks(ALL)
    for _ in range(2):
        networks.learn(KEY, tagged("host"))
    assert [record.getMessage() for record in caplog.records] == [
        f"{KEY.arn()} shares the network of this host, with all that listens on it"
    ]


def test_an_operator_is_told_of_what_is_asked_for_in_vain(caplog: pytest.LogCaptureFixture) -> None:
    """As after a change of the settings: when the tag was set, it was allowed."""
    Networks(NetworkPolicy()).learn(KEY, tagged("nat"))
    assert caplog.records[0].levelno == logging.WARNING
    assert "asks for the network 'nat', which is not allowed or not possible here; it gets 'none'" in caplog.text
