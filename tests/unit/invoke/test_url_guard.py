"""Who may call a function URL."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lamella.access import Caller as Signed
from lamella.domain.errors import InvalidSignatureException
from lamella.domain.function import FunctionKey
from lamella.domain.url import AuthType, FunctionUrl
from lamella.httpserver.message import Request
from lamella.invoke.url_event import Caller
from lamella.invoke.url_guard import ForbiddenError, OwnAccountGuard, Signer, VerifyingGuard

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PUBLIC = FunctionUrl("a" * 32, FunctionKey("111111111111", "us-east-1", "f"), None, AuthType.NONE, None, None, NOW, NOW)
SIGNED = replace(PUBLIC, auth_type=AuthType.AWS_IAM)


def request(key: str = "", *, region: str = "us-east-1", service: str = "lambda", query: str = "") -> Request:
    headers = []
    if key:
        scope = f"{key}/20260101/{region}/{service}/aws4_request"
        headers = [("authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0")]
    return Request("GET", b"/", "/", query, headers)


class Keys:
    """Knows the one that signs everything."""

    def __init__(self, signer: Signer | None) -> None:
        self.signer = signer

    async def caller(self, _: Request) -> Signer:
        if self.signer is None:
            raise InvalidSignatureException("no")
        return self.signer


OWN = Signed("111111111111", "us-east-1", "AKIA1")


@pytest.mark.parametrize("signer", [None, OWN])
async def test_a_public_url_needs_no_signature(signer: Signed | None) -> None:
    assert await VerifyingGuard(Keys(signer)).admit(PUBLIC, request()) is None


async def test_a_verified_key_of_the_functions_account() -> None:
    """Whatever the request says of itself."""
    assert await VerifyingGuard(Keys(OWN)).admit(SIGNED, request("222222222222")) == Caller("AKIA1", "111111111111")


@pytest.mark.parametrize(
    "signer",
    [None, replace(OWN, account="222222222222"), replace(OWN, region="eu-central-1"), replace(OWN, account="")],
)
async def test_no_other_key(signer: Signed | None) -> None:
    with pytest.raises(ForbiddenError):
        await VerifyingGuard(Keys(signer)).admit(SIGNED, request("111111111111"))


@pytest.mark.parametrize("key", ["", "111111111111", "222222222222"])
async def test_a_public_url_is_open(key: str) -> None:
    assert await OwnAccountGuard("000000000000").admit(PUBLIC, request(key)) is None


async def test_the_functions_account() -> None:
    guard = OwnAccountGuard("111111111111")
    assert await guard.admit(SIGNED, request("111111111111")) == Caller("111111111111", "111111111111")
    assert await guard.admit(SIGNED, request("test")) == Caller("test", "111111111111")
    presigned = "X-Amz-Credential=test/20260101/us-east-1/lambda/aws4_request"
    assert await guard.admit(SIGNED, request(query=presigned)) == Caller("test", "111111111111")


@pytest.mark.parametrize(
    "refused",
    [
        request(),
        request("222222222222"),
        request("test"),
        request("111111111111", region="eu-central-1"),
        request("111111111111", service="s3"),
        Request("GET", b"/", "/", "", [("authorization", "Bearer t")]),
        Request("GET", b"/", "/", "", [("authorization", "AWS4-HMAC-SHA256 nonsense")]),
        request(query="X-Amz-Credential=nonsense"),
    ],
)
async def test_nobody_else(refused: Request) -> None:
    with pytest.raises(ForbiddenError):
        await OwnAccountGuard("000000000000").admit(SIGNED, refused)
