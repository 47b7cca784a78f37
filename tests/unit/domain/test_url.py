"""Identifiers, host names and documents of function URLs."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.domain.function import FunctionKey
from lamella.domain.url import (
    ID_BYTES,
    AuthType,
    Cors,
    FunctionUrl,
    InvokeMode,
    UrlName,
    is_url_id,
    new_url_id,
    read_cors,
    show_cors,
    to_document,
    urls_of,
)

KEY = FunctionKey("000000000000", "eu-central-1", "f")
ID = "abcdefghijklmnopqrstuvwxyz234567"
DOMAINS = frozenset({"localhost", "lambda.test"})
URL = FunctionUrl(
    id=ID,
    key=KEY,
    alias=None,
    auth_type=AuthType.NONE,
    cors=None,
    invoke_mode=None,
    created_at=datetime(2026, 11, 26, 12, 0, 0, 5, tzinfo=UTC),
    modified_at=datetime(2026, 11, 26, 12, 0, 1, tzinfo=UTC),
)


@given(st.binary(min_size=ID_BYTES, max_size=ID_BYTES))
def test_an_identifier_looks_like_aws_own(random: bytes) -> None:
    identifier = new_url_id(random)
    assert is_url_id(identifier)
    assert UrlName.parse(f"{identifier}.lambda-url.us-east-1.localhost", DOMAINS) == UrlName(identifier, "us-east-1")


def test_identifiers_lose_none_of_their_randomness() -> None:
    one = bytes(ID_BYTES)
    others = {new_url_id((1 << bit).to_bytes(ID_BYTES)) for bit in range(8 * ID_BYTES)}
    assert len(others | {new_url_id(one)}) == 8 * ID_BYTES + 1


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_a_host_name_and_back(domain: str) -> None:
    name = UrlName(ID, "eu-central-1")
    assert UrlName.parse(name.host(domain), DOMAINS) == name


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        ID,
        f"{ID}.localhost",
        f"{ID}.lambda-url.localhost",
        f"{ID}.lambda-url.us-east-1",
        f"{ID}.lambda-url.us-east-1.evil.example",
        f"{ID}.lambda-url.us-east-1.localhost.evil.example",
        f"{ID}.lambda.us-east-1.localhost",
        f"{ID[1:]}.lambda-url.us-east-1.localhost",
        f"{ID}x.lambda-url.us-east-1.localhost",
        f"{ID[1:]}-.lambda-url.us-east-1.localhost",
        f"x.{ID}.lambda-url.us-east-1.localhost",
    ],
)
def test_another_host_name(host: str) -> None:
    assert UrlName.parse(host, DOMAINS) is None


@pytest.mark.parametrize(
    "url",
    [
        URL,
        replace(URL, auth_type=AuthType.AWS_IAM, invoke_mode=InvokeMode.RESPONSE_STREAM),
        replace(URL, alias="live", cors=Cors(), invoke_mode=InvokeMode.BUFFERED),
        replace(URL, alias="live", cors=Cors(True, ("X-A",), ("GET", "*"), (), ("X-B",), 0)),
    ],
)
def test_what_is_stored_is_read_again(url: FunctionUrl) -> None:
    assert urls_of(KEY, {url.alias or "$LATEST": to_document(url)}) == [url]


def test_the_urls_of_a_function_have_an_order() -> None:
    document = {place: to_document(URL) for place in ("live", "Beta", "_x", "$LATEST", "9a")}
    assert [url.alias for url in urls_of(KEY, document)] == [None, "9a", "Beta", "_x", "live"]


def test_only_what_was_given_of_cors_is_shown() -> None:
    assert show_cors(read_cors({})) == {}
    given_members = {"AllowCredentials": False, "AllowOrigins": ["*"], "MaxAge": 0, "ExposeHeaders": []}
    assert show_cors(read_cors(given_members)) == given_members


def test_a_url_knows_what_it_belongs_to() -> None:
    assert URL.arn == KEY.arn()
    assert replace(URL, alias="live").arn == KEY.arn("live")
    assert not URL.streams
    assert not replace(URL, invoke_mode=InvokeMode.BUFFERED).streams
    assert replace(URL, invoke_mode=InvokeMode.RESPONSE_STREAM).streams
