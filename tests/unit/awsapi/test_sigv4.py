import hashlib
import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from lamella.awsapi.sigv4 import (
    Claim,
    Credential,
    account_of,
    check_claim,
    is_signed_by,
    parse_credential,
    read_claim,
)
from lamella.domain.errors import (
    ApiError,
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
)

SCOPE = "AKIDEXAMPLE/20261120/eu-west-1/lambda/aws4_request"
CREDENTIAL = Credential("AKIDEXAMPLE", "20261120", "eu-west-1", "lambda")


def header(value: str) -> list[tuple[str, str]]:
    return [("host", "localhost"), ("authorization", value)]


@pytest.mark.parametrize("separator", [", ", ","])
def test_the_authorization_header(separator: str) -> None:
    parts = separator.join([f"Credential={SCOPE}", "SignedHeaders=host", "Signature=ab"])
    assert parse_credential(header(f"AWS4-HMAC-SHA256 {parts}"), "") == CREDENTIAL


def test_a_presigned_url() -> None:
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={SCOPE.replace('/', '%2F')}&X-Amz-Signature=ab"
    assert parse_credential([], query) == CREDENTIAL


@pytest.mark.parametrize(("headers", "query"), [([], ""), ([("host", "x")], "a=b"), (header("Bearer x"), "")])
def test_unsigned_requests(headers: list[tuple[str, str]], query: str) -> None:
    assert parse_credential(headers, query) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=ab",
            (
                "Authorization header requires 'Credential' parameter. "
                "Authorization header requires 'Signature' parameter. "
                "Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256"
            ),
        ),
        (
            f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host",
            "Authorization header requires 'Signature' parameter. Authorization=AWS4-HMAC-SHA256",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AKID/20261120/lambda, SignedHeaders=host, Signature=ab",
            (
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
                "got 'AKID/20261120/lambda'"
            ),
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AKID/20261120//lambda/aws4_request, SignedHeaders=host, Signature=ab",
            (
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
                "got 'AKID/20261120//lambda/aws4_request'"
            ),
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AKID/20261120/r/lambda/aws5, SignedHeaders=host, Signature=ab",
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'.",
        ),
    ],
)
def test_malformed_signatures(value: str, message: str) -> None:
    with pytest.raises(IncompleteSignatureException) as caught:
        parse_credential(header(value), "")
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("access_key", "account"),
    [
        ("123456789012", "123456789012"),
        ("AKIDEXAMPLE", "000000000000"),
        ("12345678901", "000000000000"),
        ("1234567890123", "000000000000"),
        ("12345678901a", "000000000000"),
        ("١٢٣٤٥٦٧٨٩٠١٢", "000000000000"),
    ],
)
def test_the_account_of_an_access_key(access_key: str, account: str) -> None:
    assert account_of(access_key, "000000000000") == account


SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
URL = "http://localhost:4566"
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
    "Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True)
class Signed:
    """A request as the server gets it."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def claim(self) -> Claim:
        return read_claim(self.headers, self.query)

    def verify(self, *, now: datetime | None = None, secret: str = SECRET) -> bool:
        claim = self.claim()
        check_claim(claim, self.headers, now or claim.signed_at)
        return is_signed_by(
            claim,
            secret,
            method=self.method,
            path=self.path,
            query=self.query,
            headers=self.headers,
            payload_sha256=hashlib.sha256(self.body).hexdigest(),
        )

    def with_header(self, name: str, value: str) -> "Signed":
        return replace(self, headers=(*((known, old) for known, old in self.headers if known != name), (name, value)))

    def header(self, name: str) -> str:
        return dict(self.headers)[name]


def signed(
    method: str = "POST",
    path: str = "/2015-03-31/functions/f/invocations",
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"{}",
    *,
    token: str | None = None,
    presigned_s: int | None = None,
    service: str = "lambda",
    region: str = "eu-west-1",
) -> Signed:
    """Have botocore sign a request."""
    url = f"{URL}{path}{'?' if query else ''}{query}"
    request = AWSRequest(method, url, headers={"Host": "localhost:4566", **(headers or {})}, data=body)
    credentials = Credentials("AKIDEXAMPLE", SECRET, token)
    if presigned_s is None:
        SigV4Auth(credentials, service, region).add_auth(request)
    else:
        SigV4QueryAuth(credentials, service, region, expires=presigned_s).add_auth(request)
    parts = urlsplit(request.url)
    # What comes off the wire: names in lower case, bytes decoded from latin-1.
    fields = tuple((name.lower(), value.encode().decode("latin-1")) for name, value in request.headers.items())
    return Signed(method, parts.path, parts.query, fields, body)


class TestBotocore:
    """What botocore signs is verified, and nothing else is."""

    text = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
    segments = st.lists(text.map(lambda part: quote(part, safe="")), max_size=4)
    slashes = st.sampled_from(["/", "//", "/./", "/x/../"])
    queries = st.lists(st.tuples(text, text), max_size=4).map(lambda pairs: urlencode(pairs, quote_via=quote, safe=""))
    values = st.text(string.ascii_letters + ' \t"àé€', max_size=12)
    names = st.sampled_from(["X-Amz-Client-Context", "X-Amz-Invocation-Type", "Content-Type", "X-Other"])

    @given(
        method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
        segments=segments,
        slash=slashes,
        query=queries,
        headers=st.dictionaries(names, values, max_size=3),
        body=st.binary(max_size=64),
        token=st.none() | st.text(string.ascii_letters + "/+=", min_size=1, max_size=20),
        presigned_s=st.none() | st.integers(1, 604_800),
    )
    def test_what_it_signs_is_verified(
        self,
        method: str,
        segments: list[str],
        slash: str,
        query: str,
        headers: dict[str, str],
        body: bytes,
        token: str | None,
        presigned_s: int | None,
    ) -> None:
        path = slash + "/".join(segments)
        if presigned_s is not None:
            body = b""  # botocore would make parameters of it
        request = signed(method, path, query, headers, body, token=token, presigned_s=presigned_s)
        assert request.verify()
        assert request.claim().session_token == (token or "")
        assert request.claim().credential.region == "eu-west-1"
        assert not request.verify(secret=SECRET[:-1])
        assert not replace(request, body=body + b" ").verify()
        assert not replace(request, method="PATCH").verify()
        assert not replace(request, path=request.path + "x").verify()
        assert not replace(request, query=f"{request.query}&injected=1").verify()

    @given(position=st.integers(0, 63), digit=st.sampled_from("0123456789abcdef"))
    def test_each_digit_of_a_signature_counts(self, position: int, digit: str) -> None:
        request = signed()
        claim = request.claim()
        changed = claim.signature[:position] + digit + claim.signature[position + 1 :]
        authorization = request.header("authorization").replace(claim.signature, changed)
        assert request.with_header("authorization", authorization).verify() == (changed == claim.signature)

    def test_a_date_header_does_as_well(self) -> None:
        assert signed(headers={"Date": "whatever, it is replaced"}).verify()

    def test_a_signed_payload_hash_is_that_of_the_payload(self) -> None:
        body = b'{"a": 1}'
        digest = hashlib.sha256(body).hexdigest()
        request = signed(headers={"X-Amz-Content-SHA256": digest}, body=body)
        assert request.verify()
        assert not replace(request, body=b'{"a": 2}').verify()

    @pytest.mark.parametrize(
        "value", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"]
    )
    def test_the_payload_cannot_be_left_unsigned(self, value: str) -> None:
        assert not signed(headers={"X-Amz-Content-SHA256": value}).verify()


class TestTampering:
    def test_repeated_headers_count_in_their_order(self) -> None:
        request = signed(headers={"X-Amz-Invocation-Type": "DryRun"})
        assert not replace(request, headers=(("x-amz-invocation-type", "Event"), *request.headers)).verify()
        assert not replace(request, headers=(*request.headers, ("x-amz-invocation-type", "Event"))).verify()

    def test_a_second_authorization_header_is_not_looked_at(self) -> None:
        request = signed()
        assert replace(request, headers=(*request.headers, ("authorization", "AWS4-HMAC-SHA256 x"))).verify()
        other = request.header("authorization").replace("AKIDEXAMPLE", "OTHER")
        first = replace(request, headers=(("authorization", other), *request.headers))
        assert first.claim().credential.access_key == "OTHER"

    def test_a_signed_header_cannot_be_changed_or_taken_away(self) -> None:
        request = signed(headers={"X-Amz-Client-Context": "e30="})
        assert not request.with_header("x-amz-client-context", "e30").verify()
        assert not request.with_header("host", "localhost").verify()
        without = tuple(field for field in request.headers if field[0] != "x-amz-client-context")
        assert not replace(request, headers=without).verify()

    @pytest.mark.parametrize("presigned_s", [None, 60])
    def test_a_header_with_an_effect_cannot_be_added(self, presigned_s: int | None) -> None:
        request = signed(presigned_s=presigned_s).with_header("x-amz-invocation-type", "Event")
        with pytest.raises(InvalidSignatureException, match="'x-amz-invocation-type' must be a 'SignedHeader'"):
            request.verify()

    def test_what_proxies_add_need_not_be_signed(self) -> None:
        assert signed().with_header("x-amzn-trace-id", "Root=1-0-0").with_header("user-agent", "x").verify()

    def test_the_host_must_be_signed(self) -> None:
        request = signed()
        unsigned = request.header("authorization").replace("SignedHeaders=host;", "SignedHeaders=")
        with pytest.raises(InvalidSignatureException) as caught:
            request.with_header("authorization", unsigned).verify()
        assert caught.value.message == "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."

    def test_a_path_that_only_looks_the_same(self) -> None:
        """Dots that are encoded are not taken out, for the router does not take them out either."""
        assert not replace(signed(path="/a/b"), path="/a/%2e/b").verify()

    def test_an_encoded_path_is_not_the_decoded_one(self) -> None:
        request = signed(path="/2015-03-31/functions/a%2Fb")
        assert request.verify()
        assert not replace(request, path="/2015-03-31/functions/a/b").verify()

    @pytest.mark.parametrize("parameter", ["X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"])
    def test_two_values_of_a_parameter_that_differ(self, parameter: str) -> None:
        request = signed(presigned_s=60)
        with pytest.raises(InvalidSignatureException):
            replace(request, query=f"{request.query}&{parameter}=1").claim()

    def test_a_lifetime_is_signed(self) -> None:
        request = signed(presigned_s=60)
        assert not replace(request, query=request.query.replace("Expires=60", "Expires=604800")).verify()

    def test_signed_twice(self) -> None:
        request = signed(presigned_s=60).with_header("authorization", signed().header("authorization"))
        with pytest.raises(InvalidSignatureException) as caught:
            request.claim()
        assert caught.value.message == MISMATCH

    def test_one_large_header_is_not_multiplied(self) -> None:
        """A canonical request is at most as large as the request."""
        request = signed(headers={"X-Amz-A": "x" * 100_000})
        many = request.header("authorization").replace("SignedHeaders=", "SignedHeaders=" + "x-amz-a;" * 10_000)
        with pytest.raises(InvalidSignatureException):
            request.with_header("authorization", many).claim()
        names = ";".join(f"h{number}" for number in range(513))
        many = request.header("authorization").replace("SignedHeaders=", f"SignedHeaders={names};")
        with pytest.raises(InvalidSignatureException):
            request.with_header("authorization", many).claim()


class TestScope:
    def test_another_service(self) -> None:
        with pytest.raises(InvalidSignatureException) as caught:
            signed(service="s3").verify()
        assert caught.value.message == "Credential should be scoped to correct service: 'lambda'. "

    def test_the_region_is_part_of_the_signature(self) -> None:
        request = signed(region="eu-west-1")
        moved = request.header("authorization").replace("eu-west-1", "us-east-1")
        assert not request.with_header("authorization", moved).verify()

    def test_the_day_is_that_of_the_timestamp(self) -> None:
        request = signed()
        day = request.claim().timestamp[:8]
        moved = request.header("authorization").replace(f"/{day}/", "/20200101/")
        with pytest.raises(InvalidSignatureException) as caught:
            request.with_header("authorization", moved).verify()
        assert caught.value.message == (
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'20200101' != '{day}', from '{request.claim().timestamp}'."
        )


class TestTime:
    NOW = datetime(2015, 8, 6, 13, 20, 34, 500_000, tzinfo=UTC)

    def claim(self, timestamp: str, lifetime_s: int | None = None) -> Claim:
        return Claim(replace(CREDENTIAL, date=timestamp[:8]), timestamp, ("host",), "", "", lifetime_s)

    def test_an_old_one(self) -> None:
        """Word for word as Lambda answered in serverless/serverless issue 27."""
        with pytest.raises(InvalidSignatureException) as caught:
            check_claim(self.claim("20150806T131223Z"), (), self.NOW)
        assert caught.value.message == (
            "Signature expired: 20150806T131223Z is now earlier than 20150806T131534Z (20150806T132034Z - 5 min.)"
        )

    def test_one_from_the_future(self) -> None:
        with pytest.raises(InvalidSignatureException) as caught:
            check_claim(self.claim("20150806T132535Z"), (), self.NOW)
        assert caught.value.message == (
            "Signature not yet current: 20150806T132535Z is still later than 20150806T132534Z "
            "(20150806T132034Z + 5 min.)"
        )

    @pytest.mark.parametrize("timestamp", ["20150806T131534Z", "20150806T132034Z", "20150806T132534Z"])
    def test_the_edges_are_within(self, timestamp: str) -> None:
        check_claim(self.claim(timestamp), (), self.NOW)

    def test_a_presigned_url_lives_as_long_as_it_says(self) -> None:
        claim = self.claim("20150806T122034Z", 3600)
        check_claim(claim, (), self.NOW)
        with pytest.raises(InvalidSignatureException, match=r"\(20150806T132035Z - 60 min\.\)"):
            check_claim(claim, (), self.NOW + timedelta(seconds=1))
        with pytest.raises(InvalidSignatureException, match="not yet current"):
            check_claim(claim, (), self.NOW - timedelta(seconds=3901))

    def test_a_short_lifetime_is_not_made_longer_by_the_skew(self) -> None:
        with pytest.raises(InvalidSignatureException, match=r"- 30 sec\.\)"):
            check_claim(self.claim("20150806T132003Z", 30), (), self.NOW)


def authorization(**changed: str | None) -> list[tuple[str, str]]:
    parts: dict[str, str | None] = {"Credential": SCOPE, "SignedHeaders": "host", "Signature": "ab", **changed}
    text = ", ".join(f"{name}={value}" for name, value in parts.items() if value is not None)
    return [*header(f"AWS4-HMAC-SHA256 {text}"), ("x-amz-date", "20261120T010203Z")]


def query(**changed: str | None) -> str:
    parts: dict[str, str | None] = {
        "Algorithm": "AWS4-HMAC-SHA256",
        "Credential": SCOPE,
        "Date": "20261120T010203Z",
        "SignedHeaders": "host",
        "Signature": "ab",
        **changed,
    }
    return urlencode({f"X-Amz-{name}": value for name, value in parts.items() if value is not None})


MISSING = "Authorization header requires"
INCLUDE = "AWS query-string parameters must include"
AGAIN = "Re-examine the query-string parameters."


@pytest.mark.parametrize(
    ("headers", "given_query", "kind", "message"),
    [
        ([], "", MissingAuthenticationTokenException, "Missing Authentication Token"),
        ([], query(Algorithm="AWS4-HMAC-SHA512"), MissingAuthenticationTokenException, "Missing Authentication Token"),
        (header("Bearer x"), "", IncompleteSignatureException, "Unsupported AWS 'algorithm': 'Bearer'."),
        (header(""), "", IncompleteSignatureException, "Unsupported AWS 'algorithm': ''."),
        (
            header("AWS4-HMAC-SHA256 Credential"),
            "",
            IncompleteSignatureException,
            (
                "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header: "
                "'AWS4-HMAC-SHA256 Credential'."
            ),
        ),
        (
            header("AWS4-HMAC-SHA256"),
            "",
            IncompleteSignatureException,
            (
                f"{MISSING} 'Credential' parameter. {MISSING} 'Signature' parameter. "
                f"{MISSING} 'SignedHeaders' parameter. "
                f"{MISSING} existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256"
            ),
        ),
        (
            authorization(Signature=None),
            "",
            IncompleteSignatureException,
            f"{MISSING} 'Signature' parameter. Authorization=AWS4-HMAC-SHA256",
        ),
        (
            authorization(Credential="a/b"),
            "",
            IncompleteSignatureException,
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'a/b'",
        ),
        (
            [],
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            IncompleteSignatureException,
            (
                f"{INCLUDE} 'X-Amz-Credential'. {INCLUDE} 'X-Amz-Signature'. {INCLUDE} 'X-Amz-SignedHeaders'. "
                f"{INCLUDE} 'X-Amz-Date'. {AGAIN}"
            ),
        ),
        ([], query(Date=None), IncompleteSignatureException, f"{INCLUDE} 'X-Amz-Date'. {AGAIN}"),
        (
            [],
            query(Date="2026-11-20T01:02:03Z"),
            IncompleteSignatureException,
            (
                "Date must be in ISO-8601 'basic format'. Got '2026-11-20T01:02:03Z'. "
                "See http://en.wikipedia.org/wiki/ISO_8601"
            ),
        ),
        *(
            (
                [],
                query(Expires=expires),
                IncompleteSignatureException,
                f"X-Amz-Expires must be a number of seconds from 1 to 604800, got '{expires}'.",
            )
            for expires in ("", "0", "-1", "1.5", "604801", "9" * 5000)
        ),
    ],
)
def test_what_is_missing_or_malformed(
    headers: list[tuple[str, str]], given_query: str, kind: type[ApiError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        read_claim(headers, given_query)
    assert caught.value.message == message
    assert caught.value.status == 403


def junk() -> Iterator[Any]:
    text = st.text(st.characters(max_codepoint=255), max_size=40)
    parts = st.sampled_from(["Credential=", "SignedHeaders=", "Signature=", SCOPE, "host", ", ", "=", ";", "/"])
    yield st.tuples(st.lists(parts | text, max_size=8).map("".join), text, text)


@given(*junk())
def test_any_text_gives_a_claim_or_an_error_of_aws(texts: tuple[str, str, str]) -> None:
    value, date, query_text = texts
    headers = [*header(f"AWS4-HMAC-SHA256 {value}"), ("x-amz-date", date)]
    for given_query in ("", f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={date}&{query_text}"):
        for fields in (headers, headers[:1], []):
            try:
                claim = read_claim(fields, given_query)
                check_claim(claim, fields, claim.signed_at)
                is_signed_by(
                    claim, "s", method="GET", path=f"/{value}", query=query_text, headers=fields, payload_sha256="0"
                )
            except ApiError:
                continue  # anything else is a bug


@pytest.mark.parametrize("query_text", ["a=X-Amz-Credential=x", "a=X-Amz-Algorithm=x", "a=X-Amz-Algorithm=&b"])
def test_a_value_that_looks_like_a_signature_is_none(query_text: str) -> None:
    assert parse_credential([], query_text) is None
    with pytest.raises(MissingAuthenticationTokenException):
        read_claim([], query_text)
    signed = authorization()
    assert read_claim(signed, query_text).credential == parse_credential(signed, query_text)


@pytest.mark.parametrize(
    "region", ["..", ".", "r", "us-east-1.evil", "us-east-1\0", "US-EAST-1", "us_east_1", "us-east-12"]
)
def test_what_can_be_no_region(region: str) -> None:
    """It would become part of a path. Source of the text: cognitect-labs/aws-api issue 27."""
    scope = f"A/20261120/{region}/lambda/aws4_request"
    for fields, given_query in ((authorization(Credential=scope), ""), ([], query(Credential=scope))):
        for read in (read_claim, parse_credential):
            with pytest.raises(InvalidSignatureException) as caught:
                read(fields, given_query)
            assert caught.value.message == f"Credential should be scoped to a valid region, not '{region}'. "
