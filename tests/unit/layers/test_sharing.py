from typing import Any

import pytest

from lamella.layers.sharing import PUBLIC, Grant, Grantee, SharingError, grants

ACCOUNT = Grantee("account", "111122223333")
ORGANIZATION = Grantee("organization", "o-a1b2c3d4e5")


def statement(principal: object, **more: Any) -> dict[str, Any]:
    return {"Sid": "s", "Effect": "Allow", "Principal": principal, "Action": "lambda:GetLayerVersion", **more}


def test_requests_name_whom_they_are_for() -> None:
    assert ACCOUNT.request() == {
        "StatementId": "lamella-account-111122223333",
        "Action": "lambda:GetLayerVersion",
        "Principal": "111122223333",
    }
    assert ORGANIZATION.request()["OrganizationId"] == "o-a1b2c3d4e5"
    assert (ORGANIZATION.request()["Principal"], PUBLIC.request()["Principal"]) == ("*", "*")
    assert PUBLIC.statement_id == "lamella-public"


@pytest.mark.parametrize("number", ["", "1", "1" * 13, "11112222333a", "١١١١٢٢٢٢٣٣٣٣"])
def test_what_is_no_account(number: str) -> None:
    with pytest.raises(SharingError):
        Grantee.account(number)


@pytest.mark.parametrize("name", ["", "o-", "o-short", "o-" + "a" * 33, "O-a1b2c3d4e5", "x-a1b2c3d4e5"])
def test_what_is_no_organization(name: str) -> None:
    with pytest.raises(SharingError):
        Grantee.organization(name)


@pytest.mark.parametrize(
    ("principal", "more", "expected"),
    [
        ("*", {}, [PUBLIC]),
        ({"AWS": "*"}, {}, [PUBLIC]),
        ({"AWS": "arn:aws:iam::111122223333:root"}, {}, [ACCOUNT]),
        ({"AWS": "111122223333"}, {}, [ACCOUNT]),
        ({"AWS": ["111122223333", "*"]}, {}, [ACCOUNT, PUBLIC]),
        ({"AWS": "arn:aws:iam::111122223333:role/r"}, {}, [Grantee("other", "arn:aws:iam::111122223333:role/r")]),
        ("*", {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}}, [ORGANIZATION]),
        ("*", {"Condition": {"StringEquals": {"aws:principalorgid": ["o-a1b2c3d4e5"]}}}, [ORGANIZATION]),
        # What is narrower than it looks is never told as everybody.
        ("*", {"Condition": {"StringEquals": {"aws:SourceIp": "1.2.3.4"}}}, [Grantee("other", "* under conditions")]),
        ("*", {"Condition": {"StringLike": {"aws:PrincipalOrgID": "o-*"}}}, [Grantee("other", "* under conditions")]),
        ("*", {"Effect": "Deny"}, [Grantee("other", "Deny *")]),
    ],
)
def test_who_a_policy_lets_in(principal: object, more: dict[str, Any], expected: list[Grantee]) -> None:
    policy = {"Statement": [statement(principal, **more)]}
    assert grants(policy) == [Grant(grantee, "s") for grantee in expected]
    assert grants({"Statement": statement(principal, **more)}) == grants(policy)


def test_no_policy_lets_nobody_in() -> None:
    assert grants(None) == grants({}) == []
