import pytest

from lamella.awsapi.sigv4 import Credential, account_of, parse_credential
from lamella.domain.errors import IncompleteSignatureException

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
