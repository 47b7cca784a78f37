"""Requests that botocore signs for S3, and what must not hold."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lamella.awsapi.chunked import ChunkedGuard
from lamella.awsapi.guards import Guard, HashGuard
from lamella.awsapi.service_error import ServiceError
from lamella.awsapi.sigv4_s3 import check_object_claim, read_object_claim, verify_object_request

ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "localhost:4566"


@dataclass(frozen=True)
class Signed:
    """A request as the server sees it."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def by_header(cls, method: str, target: str, body: bytes = b"", **headers: str) -> "Signed":
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest(method, f"http://{HOST}{target}", headers={"Host": HOST, **names}, data=body)
        S3SigV4Auth(Credentials(ID, SECRET), "s3", "us-east-1").add_auth(request)
        return cls._of(method, request)

    @classmethod
    def by_url(cls, method: str, target: str, expires_s: int = 60, **headers: str) -> "Signed":
        request = AWSRequest(method, f"http://{HOST}{target}", headers={"Host": HOST, **headers})
        S3SigV4QueryAuth(Credentials(ID, SECRET), "s3", "us-east-1", expires=expires_s).add_auth(request)
        return cls._of(method, request)

    @classmethod
    def _of(cls, method: str, request: Any) -> "Signed":  # Any: botocore has no types
        parts = urlsplit(request.url)
        headers = [(name.lower(), value) for name, value in request.headers.items()]
        return cls(method, parts.path, parts.query, headers)

    def header(self, name: str, value: str | None) -> "Signed":
        others = [(known, text) for known, text in self.headers if known != name]
        return replace(self, headers=others if value is None else [*others, (name, value)])

    def guard(self, secret: str = SECRET, after_s: float = 0) -> Guard | None:
        claim = read_object_claim(self.headers, self.query)
        check_object_claim(claim, self.headers, claim.signed_at + timedelta(seconds=after_s))
        return verify_object_request(
            claim, secret, method=self.method, path=self.path, query=self.query, headers=self.headers
        )

    def refused(self, **options: Any) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            self.guard(**options)
        return caught.value


@pytest.mark.parametrize(
    "key",
    [
        "k",
        "a b",
        "ü/日本",
        "a//b",
        "./a/../b",
        "/lead",
        "trail/",
        "a+b%",
        "a%2Fb",
        "~!*'()",
        "k=v&w",
        "#?",
        "a:b@c,d$",
    ],
)
@pytest.mark.parametrize("query", ["", "?versionId=a%2Bb", "?uploads"])
def test_keys_of_objects_are_signed_as_they_are(key: str, query: str) -> None:
    target = f"/bucket/{quote(key, safe='/~')}{query}"
    assert isinstance(Signed.by_header("PUT", target, b"body").guard(), HashGuard)
    assert Signed.by_url("GET", target).guard() is None
    other = Signed.by_header("PUT", target, b"body")
    assert replace(other, path=other.path + "x").refused().code == "SignatureDoesNotMatch"


def test_what_a_client_leaves_unencoded_is_the_same_key() -> None:
    """The documentation says what is encoded in what is signed, not what goes over the wire."""
    signed = Signed.by_header("GET", "/bucket/a%3Ab%40c")
    replace(signed, path="/bucket/a:b@c").guard()
    assert replace(signed, path="/bucket/a:b@d").refused().code == "SignatureDoesNotMatch"


def test_a_body_with_its_hash() -> None:
    guard = Signed.by_header("PUT", "/b/k", b"hello world").guard()
    assert isinstance(guard, HashGuard)
    assert (guard.feed(b"hello "), guard.feed(b"world"), guard.finish()) == (b"", b"hello ", b"world")


@pytest.mark.parametrize("body", [b"", b"hello worlD", b"hello world!"])
def test_a_body_with_another_hash(body: bytes) -> None:
    guard = Signed.by_header("PUT", "/b/k", b"hello world").guard()
    assert guard is not None
    if body:
        assert guard.feed(body) == b""
    with pytest.raises(ServiceError) as caught:
        guard.finish()
    assert (caught.value.status, caught.value.code) == (400, "XAmzContentSHA256Mismatch")
    assert caught.value.members == {
        "ClientComputedContentSHA256": hashlib.sha256(b"hello world").hexdigest(),
        "S3ComputedContentSHA256": hashlib.sha256(body).hexdigest(),
    }


def test_a_wrong_secret_is_answered_with_what_should_have_been_signed() -> None:
    error = Signed.by_header("GET", "/b/k?x=1").refused(secret="other")
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
    assert error.members["AWSAccessKeyId"] == ID
    assert error.members["CanonicalRequest"].startswith("GET\n/b/k\nx=1\nhost:localhost:4566\n")
    digest = hashlib.sha256(error.members["CanonicalRequest"].encode()).hexdigest()
    assert error.members["StringToSign"].endswith(digest)
    assert bytes.fromhex(error.members["CanonicalRequestBytes"]).decode() == error.members["CanonicalRequest"]
    assert SECRET not in str(error.members)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"path": "/b/other"},
        {"query": "acl"},
    ],
)
@pytest.mark.parametrize("make", [Signed.by_header, Signed.by_url])
def test_what_was_changed_on_the_way(make: Any, change: Mapping[str, str]) -> None:
    signed = make("PUT", "/b/k?tagging")
    if "query" in change:
        change = {"query": signed.query.replace("tagging", "acl")}
    assert replace(signed, **change).refused().code == "SignatureDoesNotMatch"


def test_headers_that_were_changed_or_added() -> None:
    signed = Signed.by_header("PUT", "/b/k", x_amz_acl="private")
    assert signed.header("x-amz-acl", "public-read").refused().code == "SignatureDoesNotMatch"
    assert signed.header("host", "other").refused().code == "SignatureDoesNotMatch"
    for one in (signed, Signed.by_url("PUT", "/b/k")):
        error = one.header("x-amz-tagging", "a=b").header("x-amz-copy-source", "/b/secret").refused()
        assert (error.status, error.code) == (403, "AccessDenied")
        assert error.members == {"HeadersNotSigned": "x-amz-tagging, x-amz-copy-source"}


def test_a_header_that_stands_there_twice() -> None:
    signed = Signed.by_header("PUT", "/b/k", b"x")
    for name in ("x-amz-content-sha256", "x-amz-date", "authorization", "host"):
        twice = replace(signed, headers=[*signed.headers, (name, dict(signed.headers)[name])])
        assert twice.refused().code in ("InvalidRequest", "AuthorizationHeaderMalformed")


@pytest.mark.parametrize("after_s", [-900, 900])
def test_a_clock_that_is_off_by_fifteen_minutes(after_s: int) -> None:
    signed = Signed.by_header("GET", "/b/k")
    signed.guard(after_s=after_s)
    error = signed.refused(after_s=after_s + (1 if after_s > 0 else -1))
    assert (error.status, error.code) == (403, "RequestTimeTooSkewed")
    assert error.members["RequestTime"] == dict(signed.headers)["x-amz-date"]
    assert error.members["MaxAllowedSkewMilliseconds"] == "900000"
    assert datetime.strptime(error.members["ServerTime"], "%Y-%m-%dT%H:%M:%SZ")


def test_a_request_of_another_day() -> None:
    """Its key was made for the day that is signed; a new date needs a new signature."""
    signed = Signed.by_header("GET", "/b/k")
    moved = f"{datetime.now(UTC) + timedelta(minutes=5):%Y%m%dT%H%M%SZ}"
    codes = ("SignatureDoesNotMatch", "AuthorizationHeaderMalformed")  # the second about midnight
    assert signed.header("x-amz-date", moved).refused().code in codes
    error = signed.header("x-amz-date", "20130524T000000Z").refused()
    assert error.code == "AuthorizationHeaderMalformed"
    assert "20130524" in error.message


def test_a_url_is_valid_as_long_as_it_says() -> None:
    signed = Signed.by_url("GET", "/b/k", 3600)
    signed.guard(after_s=3600)
    signed.guard(after_s=-900)
    error = signed.refused(after_s=3601)
    assert (error.status, error.code, error.message) == (403, "AccessDenied", "Request has expired")
    assert error.members["X-Amz-Expires"] == "3600"
    error = signed.refused(after_s=-901)
    assert (error.status, error.message) == (403, "Request is not yet valid")
    longer = replace(signed, query=signed.query.replace("Expires=3600", "Expires=7200"))
    assert longer.refused(after_s=3601).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "requires the X-Amz-Algorithm"),
        ("-1", "should be a number"),
        ("1e3", "should be a number"),
        ("604801", "less than a week"),
        ("9" * 5000, "less than a week"),
    ],
)
def test_a_url_that_says_nonsense_about_its_time(text: str, problem: str) -> None:
    signed = Signed.by_url("GET", "/b/k", 3600)
    error = replace(signed, query=signed.query.replace("Expires=3600", f"Expires={text}")).refused()
    assert (error.status, error.code) == (400, "AuthorizationQueryParametersError")
    assert problem in error.message


def test_who_does_not_sign_or_signs_in_the_old_way() -> None:
    error = Signed("GET", "/b/k", "", [("host", HOST)]).refused()
    assert (error.status, error.code, error.message) == (403, "AccessDenied", "Access Denied")
    old = [("host", HOST), ("authorization", f"AWS {ID}:frJIUN8DYpKDtOLCwo//yllqDzg=")]
    by_url = f"AWSAccessKeyId={ID}&Signature=x&Expires=1"
    for request in (Signed("GET", "/b/k", "", old), Signed("GET", "/b/k", by_url)):
        error = request.refused()
        assert (error.status, error.code) == (400, "InvalidRequest")
        assert "Please use AWS4-HMAC-SHA256." in error.message


def test_a_signature_that_is_malformed() -> None:
    signed = Signed.by_header("GET", "/b/k")
    for text in ("AWS4-HMAC-SHA256 Credential=x", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1 a=b", "Bearer x"):
        error = signed.header("authorization", text).refused()
        assert (error.status, error.code) == (400, "AuthorizationHeaderMalformed")
    url = Signed.by_url("GET", "/b/k")
    cut = replace(url, query=url.query.replace("X-Amz-SignedHeaders", "X-Amz-Signed"))
    assert cut.refused().code == "AuthorizationQueryParametersError"


def test_what_is_said_of_the_body() -> None:
    assert Signed.by_header("PUT", "/b/k").header("x-amz-content-sha256", None).refused().code == "InvalidRequest"


class _Declares(S3SigV4Auth):
    """Signs what a header says of the body, as signers of chunks do."""

    def payload(self, request: Any) -> str:
        return str(request.headers["X-Amz-Content-SHA256"])

    def _modify_request_before_signing(self, request: Any) -> None:
        kept = request.headers["X-Amz-Content-SHA256"]
        super()._modify_request_before_signing(request)
        request.headers.replace_header("X-Amz-Content-SHA256", kept)


def declared(kind: str, **headers: str) -> Signed:
    names = {"x-amz-content-sha256": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = AWSRequest("PUT", f"http://{HOST}/b/k", headers={"Host": HOST, **names})
    _Declares(Credentials(ID, SECRET), "s3", "us-east-1").add_auth(request)
    return Signed._of("PUT", request)


def test_bodies_that_are_not_signed_or_signed_in_chunks() -> None:
    assert declared("UNSIGNED-PAYLOAD").guard() is None
    for kind in (
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    ):
        assert isinstance(declared(kind, x_amz_decoded_content_length="5").guard(), ChunkedGuard)
        for length in ({}, {"x_amz_decoded_content_length": "-5"}, {"x_amz_decoded_content_length": "9" * 14}):
            assert declared(kind, **length).refused().status == 411
        other = declared(kind, x_amz_decoded_content_length="5").header("x-amz-decoded-content-length", "6")
        assert other.refused().code == "SignatureDoesNotMatch"
    for kind in ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "nonsense", "A" * 64):
        assert declared(kind, x_amz_decoded_content_length="5").refused().code == "InvalidArgument"
    swapped = declared("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", x_amz_decoded_content_length="5")
    for kind in ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        assert swapped.header("x-amz-content-sha256", kind).refused().code == "SignatureDoesNotMatch"
