import itertools

import pytest

from lamella.domain.network import NETWORK_TAG, Network, NetworkPolicy, policy

NONE, NAT, HOST = Network
ALL = frozenset(Network)


def tagged(value: str) -> dict[str, str]:
    return {NETWORK_TAG: value, "team": "blue"}


@pytest.mark.parametrize("default", list(Network))
def test_without_the_tag_a_function_gets_the_default(default: Network) -> None:
    assert NetworkPolicy(default, ALL).choose({"team": "blue"}) is default


@pytest.mark.parametrize(("default", "wanted"), list(itertools.product(Network, Network)))
def test_a_tag_gets_what_it_asks_for_where_all_is_allowed(default: Network, wanted: Network) -> None:
    assert NetworkPolicy(default, ALL).choose(tagged(wanted)) is wanted


def test_a_tag_never_gets_more_than_is_allowed() -> None:
    assert NetworkPolicy(NAT, frozenset({NONE, NAT})).choose(tagged("host")) is NAT
    assert NetworkPolicy(NONE, frozenset({NONE})).choose(tagged("nat")) is NONE


def test_where_addresses_cannot_be_translated_less_is_given_and_not_more() -> None:
    assert NetworkPolicy(HOST, frozenset({NONE, HOST})).choose(tagged("nat")) is NONE


def test_a_stored_value_that_is_no_network_grants_nothing() -> None:
    assert NetworkPolicy(NAT, ALL).choose(tagged("internet")) is NONE


def test_tags_that_are_not_granted_are_refused_with_what_is() -> None:
    granting = NetworkPolicy(NAT, frozenset({NAT, NONE}))
    assert [granting.refusal(tags) for tags in ({}, tagged("none"), tagged("nat"))] == [None] * 3
    assert granting.refusal(tagged("host")) == (
        "The tag lamella:network asks for 'host', which this server does not allow. It allows: none, nat."
    )
    assert granting.refusal(tagged("Nat")) == (
        "The tag lamella:network has the value 'Nat'. This server knows and allows: none, nat."
    )


@pytest.mark.parametrize(
    ("default", "limit", "nat_works", "expected"),
    [
        (NAT, NAT, True, NetworkPolicy(NAT, frozenset({NONE, NAT}))),
        (NAT, NAT, False, NetworkPolicy(NONE, frozenset({NONE}))),
        (NAT, NONE, True, NetworkPolicy(NAT, frozenset({NONE, NAT}))),
        (NONE, NAT, True, NetworkPolicy(NONE, frozenset({NONE, NAT}))),
        (NAT, HOST, False, NetworkPolicy(NONE, frozenset({NONE, HOST}))),
        (HOST, HOST, True, NetworkPolicy(HOST, ALL)),
    ],
)
def test_the_policy_of_a_node(default: Network, limit: Network, nat_works: bool, expected: NetworkPolicy) -> None:
    assert policy(default, limit, nat_works=nat_works) == expected
