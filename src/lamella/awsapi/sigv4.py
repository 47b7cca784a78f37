"""Who signed a request, and for which region. The signature itself is not verified here.

Source of the wording: AWS's answers to malformed signatures as public SigV4 test suites record them (400
`IncompleteSignature`, "Credential must have exactly 5 slash-delimited elements ..., got '...'").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl

from lamella.domain.errors import IncompleteSignatureException


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential scope of a signed request.

    Attributes:
        access_key: Identifier of the access key.
        date: Day of the signing key, `YYYYMMDD`.
        region: Region the request was signed for.
        service: Signing name, such as `lambda`.
    """

    access_key: str
    date: str
    region: str
    service: str


def parse_credential(headers: Iterable[tuple[str, str]], query: str) -> Credential | None:
    """Read the `Authorization` header, or the query of a presigned URL.

    Args:
        headers: Names in lower case.
        query: Query string, still percent-encoded.

    Returns:
        The credential; None if the request is not signed, or not with SigV4.

    Raises:
        IncompleteSignatureException: It is signed with SigV4, but the credential is missing or malformed.
    """
    for name, value in headers:
        if name == "authorization":
            return _from_header(value) if value.startswith("AWS4-") else None
    if "X-Amz-Credential=" in query:
        return parse_scope(next(value for name, value in parse_qsl(query, True) if name == "X-Amz-Credential"))
    return None


def _from_header(value: str) -> Credential:
    _, found, rest = value.partition("Credential=")
    missing = "" if found else "Authorization header requires 'Credential' parameter. "
    for parameter in ("Signature", "SignedHeaders"):
        if f"{parameter}=" not in rest:
            missing += f"Authorization header requires '{parameter}' parameter. "
    if missing:
        raise IncompleteSignatureException(f"{missing}Authorization={value.partition(' ')[0]}")
    return parse_scope(rest.partition(",")[0].rstrip())


@lru_cache(maxsize=256)
def parse_scope(scope: str) -> Credential:
    """`AKID/20261120/us-east-1/lambda/aws4_request` -> its parts.

    Raises:
        IncompleteSignatureException: It has another form.
    """
    parts = scope.split("/")
    if len(parts) != 5 or not all(parts):
        raise IncompleteSignatureException(
            "Credential must have exactly 5 slash-delimited elements, "
            f"e.g. keyid/date/region/service/term, got '{scope}'"
        )
    access_key, date, region, service, term = parts
    if term != "aws4_request":
        raise IncompleteSignatureException(
            f"Credential should be scoped with a valid terminator: 'aws4_request', not '{term}'."
        )
    return Credential(access_key, date, region, service)


def account_of(access_key: str, default: str) -> str:
    """The account that an access key stands for: itself if it is a number of twelve digits, else `default`."""
    return access_key if len(access_key) == 12 and access_key.isascii() and access_key.isdigit() else default
