"""For whom the neighbour's child asks."""

import pytest

from lamella.domain.principal import ServicePrincipal
from lamella.neighbour.trust import BRIDGE_HEADER, TRUST_HEADERS, Claim, TrustError, knows_secret

ACCOUNT, REGION = "111122223333", "eu-west-1"
S3 = ServicePrincipal(("s3.amazonaws.com",), "arn:aws:s3:::b", ACCOUNT)


@pytest.mark.parametrize("principal", [None, S3, ServicePrincipal(("a.b", "c.d"))])
def test_what_is_written_is_read(principal: ServicePrincipal | None) -> None:
    claim = Claim(ACCOUNT, REGION, principal)
    assert Claim.read(claim.headers()) == claim
    assert {name for name, _ in claim.headers()} <= TRUST_HEADERS


@pytest.mark.parametrize("region", ["us-gov-west-1", "cn-north-1", "eusc-de-east-1"])
def test_regions(region: str) -> None:
    assert Claim.read(Claim(ACCOUNT, region).headers()).region == region


def test_what_is_missing_or_said_twice_is_no_claim() -> None:
    headers = Claim(ACCOUNT, REGION, S3).headers()
    for position in range(2):
        with pytest.raises(TrustError):
            Claim.read([*headers[:position], *headers[position + 1 :]])
    for header in headers:
        with pytest.raises(TrustError):
            Claim.read([*headers, header])


def test_a_secret_is_known_or_not() -> None:
    assert knows_secret([(BRIDGE_HEADER, "s")], "s")
    for wrong in ([], [(BRIDGE_HEADER, "S")], [(BRIDGE_HEADER, "")], [(BRIDGE_HEADER, "s"), (BRIDGE_HEADER, "s")]):
        assert not knows_secret(wrong, "s")


def test_a_service_asks_under_each_of_its_names() -> None:
    accesses = list(ServicePrincipal(("a.b", "c.d"), "arn:x", "").accesses("lambda:InvokeFunction", "arn:f"))
    assert [access.value("aws:principalservicename") for access in accesses] == ["a.b", "c.d"]
    assert accesses[0].value("aws:sourcearn") == "arn:x"
    assert accesses[0].value("aws:sourceaccount") is None
    assert accesses[0].value("aws:principalaccount") is None
