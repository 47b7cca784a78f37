"""Who signed a request, and for which region; and whether the signature holds.

`parse_credential` reads what a request says of itself, for a server that believes it. `read_claim`, `check_claim` and
`is_signed_by` verify it, in this order: what costs little, and tells the caller most, comes first. None of them reads a
clock or a store.

Source of wording and order: AWS's answers as the verifier dacut/scratchstack-aws-signature records them ("AWS Auth
Error Ordering"), and answers quoted in public issues: aws/aws-sdk-js 168 and serverless/serverless 27 (Lambda: 403, a
window of 5 minutes), brefphp/bref 1250 (Lambda: no signature), aws/chalice 152 (Lambda: unknown access key),
erlcloud/erlcloud 690 (Lambda: no canonical string in the answer, 2021), cllunsford/aws-signing-proxy 25 (another
service), cognitect-labs/aws-api 27 (region).
"""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from lamella.domain.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from lamella.domain.signature import ALGORITHM, TERMINATOR, TIMESTAMP, canonical_request, signature

SERVICE: Final = "lambda"
SKEW_S: Final = 300
"""How far a clock may be off, in both directions, for Lambda."""

PRESIGNED_MOST_S: Final = 7 * 86_400
"""Seven days, the longest that a presigned URL is valid."""

_SIGNED_HEADERS_MOST: Final = 512
# Source: the model's pattern for a region within an ARN.
_REGION: Final = re.compile(r"(eusc-)?[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]")


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
        InvalidSignatureException: It is signed for what can be no region.
    """
    for name, value in headers:
        if name == "authorization":
            return _from_header(value) if value.startswith("AWS4-") else None
    if "X-Amz-Credential=" in query:
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name == "X-Amz-Credential":
                return parse_scope(value)
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
        InvalidSignatureException: The region can be none.
    """
    parts = scope.split("/")
    if len(parts) != 5 or not all(parts):
        raise IncompleteSignatureException(
            "Credential must have exactly 5 slash-delimited elements, "
            f"e.g. keyid/date/region/service/term, got '{scope}'"
        )
    access_key, date, region, service, term = parts
    if term != TERMINATOR:
        raise IncompleteSignatureException(
            f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{term}'."
        )
    if _REGION.fullmatch(region) is None:
        # Regions are parts of ARNs, keys and paths; `..` must never get that far.
        raise InvalidSignatureException(f"Credential should be scoped to a valid region, not '{region}'. ")
    return Credential(access_key, date, region, service)


def account_of(access_key: str, default: str) -> str:
    """The account that an access key stands for: itself if it is a number of twelve digits, else `default`."""
    return access_key if len(access_key) == 12 and access_key.isascii() and access_key.isdigit() else default


@dataclass(frozen=True, slots=True)
class Claim:
    """A signature and what it says of itself; nothing of it is verified yet.

    Attributes:
        credential: The scope.
        timestamp: When it was signed, `YYYYMMDDTHHMMSSZ`; part of what is signed.
        signed_headers: Names in lower case, sorted, none twice.
        signature: As the request has it.
        session_token: What temporary credentials bring along; empty if there is none.
        lifetime_s: How long a presigned URL is valid; None for others, and for one that does not say.
    """

    credential: Credential
    timestamp: str
    signed_headers: tuple[str, ...]
    signature: str
    session_token: str
    lifetime_s: int | None = None

    @property
    def signed_at(self) -> datetime:
        """The timestamp as a time."""
        return _moment(self.timestamp)


def mismatch() -> InvalidSignatureException:
    """What AWS says of a signature that is not the one it expects; it does not say why."""
    return InvalidSignatureException(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )


def unknown_client() -> UnrecognizedClientException:
    """What AWS says of an access key or session token that it does not know."""
    return UnrecognizedClientException("The security token included in the request is invalid.")


def read_claim(headers: Sequence[tuple[str, str]], query: str) -> Claim:
    """The signature of a request, from its `Authorization` header or from the query of a presigned URL.

    Args:
        headers: Names in lower case.
        query: Query string, still percent-encoded.

    Raises:
        MissingAuthenticationTokenException: There is none.
        IncompleteSignatureException: Parts are missing or malformed.
        InvalidSignatureException: There are two.
    """
    first: dict[str, str] = {}
    for name, value in headers:
        first.setdefault(name, value)
    authorization = first.get("authorization")
    parameters: dict[str, str] = {}
    if "X-Amz-Algorithm=" in query:
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name.startswith("X-Amz-") and parameters.setdefault(name, value) != value:
                raise mismatch()  # two that differ: whoever reads the other one would be deceived
    if "X-Amz-Algorithm" not in parameters:
        if authorization is None:
            raise MissingAuthenticationTokenException("Missing Authentication Token")
        return _header_claim(authorization, first)
    if authorization is not None:
        raise mismatch()
    return _query_claim(parameters)


def _header_claim(authorization: str, headers: Mapping[str, str]) -> Claim:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignatureException(f"Unsupported AWS 'algorithm': '{algorithm}'.")
    parts: dict[str, str] = {}
    for part in filter(None, map(str.strip, rest.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise IncompleteSignatureException(
                f"'{part}' not a valid key=value pair (missing equal-sign) in Authorization header: '{authorization}'."
            )
        parts[name] = value
    missing = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if name not in parts
    ]
    date = headers.get("x-amz-date") or headers.get("date")
    if not date:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing or not date:
        raise IncompleteSignatureException(f"{' '.join(missing)} Authorization={algorithm}")
    return Claim(
        credential=parse_scope(parts["Credential"]),
        timestamp=_timestamp(date),
        signed_headers=_names(parts["SignedHeaders"]),
        signature=parts["Signature"],
        session_token=headers.get("x-amz-security-token", ""),
    )


def _query_claim(parameters: Mapping[str, str]) -> Claim:
    if parameters["X-Amz-Algorithm"] != ALGORITHM:
        raise MissingAuthenticationTokenException("Missing Authentication Token")
    missing = [
        f"AWS query-string parameters must include '{name}'."
        for name in ("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
        if name not in parameters
    ]
    if missing:
        raise IncompleteSignatureException(f"{' '.join(missing)} Re-examine the query-string parameters.")
    lifetime_s = None
    if "X-Amz-Expires" in parameters:
        text = parameters["X-Amz-Expires"]
        lifetime_s = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not 0 < lifetime_s <= PRESIGNED_MOST_S:
            raise IncompleteSignatureException(
                f"X-Amz-Expires must be a number of seconds from 1 to {PRESIGNED_MOST_S}, got '{text}'."
            )
    return Claim(
        credential=parse_scope(parameters["X-Amz-Credential"]),
        timestamp=_timestamp(parameters["X-Amz-Date"]),
        signed_headers=_names(parameters["X-Amz-SignedHeaders"]),
        signature=parameters["X-Amz-Signature"],
        session_token=parameters.get("X-Amz-Security-Token", ""),
        lifetime_s=lifetime_s,
    )


# Requests of the same second share it; reading one takes as long as all else that is done before the signature.
@lru_cache(maxsize=64)
def _moment(timestamp: str) -> datetime:
    return datetime.strptime(timestamp, TIMESTAMP).replace(tzinfo=UTC)


def _timestamp(text: str) -> str:
    """ISO 8601's basic form, or the form of a `Date` header, which botocore also signs with."""
    try:
        if len(text) == 16 and text.endswith("Z"):
            _moment(text)
            return text
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo is None else date.astimezone(UTC)).strftime(TIMESTAMP)
    except (ValueError, OverflowError):
        raise IncompleteSignatureException(
            f"Date must be in ISO-8601 'basic format'. Got '{text}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ) from None


def _names(text: str) -> tuple[str, ...]:
    # A name that stands there again and again would make a canonical request of any size out of one large header.
    names = text.split(";")
    if len(names) > _SIGNED_HEADERS_MOST or len(set(names)) != len(names):
        raise mismatch()
    return tuple(sorted(names))


def check_claim(
    claim: Claim,
    headers: Iterable[tuple[str, str]],
    now: datetime,
    *,
    service: str = SERVICE,
    skew_s: int = SKEW_S,
) -> None:
    """Refuse a claim that cannot hold, whoever's it is: its time, its scope, and what it leaves unsigned.

    Args:
        claim: Of the request.
        headers: Of the request, names in lower case.
        now: Aware.
        service: That was asked.
        skew_s: How far a clock may be off, in both directions.

    Raises:
        InvalidSignatureException: In AWS's words, but for the headers besides `Host`, where they are like AWS's.
    """
    if "host" not in claim.signed_headers:
        raise InvalidSignatureException("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    for name, _ in headers:
        # What is not signed could be changed on the way, and these have an effect. `x-amzn-` is not among them:
        # proxies add a trace id.
        if name.startswith("x-amz-") and name not in claim.signed_headers:
            raise InvalidSignatureException(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    _check_time(claim, now, skew_s)
    credential = claim.credential
    if credential.service != service:
        raise InvalidSignatureException(f"Credential should be scoped to correct service: '{service}'. ")
    if credential.date != claim.timestamp[:8]:
        raise InvalidSignatureException(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{credential.date}' != '{claim.timestamp[:8]}', from '{claim.timestamp}'."
        )


def _check_time(claim: Claim, now: datetime, skew_s: int) -> None:
    lifetime_s = skew_s if claim.lifetime_s is None else claim.lifetime_s
    signed_at, oldest, newest = claim.signed_at, now - timedelta(seconds=lifetime_s), now + timedelta(seconds=skew_s)
    if signed_at < oldest.replace(microsecond=0):
        raise InvalidSignatureException(
            f"Signature expired: {claim.timestamp} is now earlier than {oldest.astimezone(UTC):{TIMESTAMP}} "
            f"({now.astimezone(UTC):{TIMESTAMP}} - {_span(lifetime_s)}.)"
        )
    if signed_at > newest:
        raise InvalidSignatureException(
            f"Signature not yet current: {claim.timestamp} is still later than {newest.astimezone(UTC):{TIMESTAMP}} "
            f"({now.astimezone(UTC):{TIMESTAMP}} + {_span(skew_s)}.)"
        )


def _span(seconds: int) -> str:
    return f"{seconds} sec" if seconds % 60 else f"{seconds // 60} min"


def is_signed_by(
    claim: Claim,
    secret: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Iterable[tuple[str, str]],
    payload_sha256: str,
) -> bool:
    """Whether the request was signed with this secret; takes the same time wherever the signatures differ.

    The payload is signed as what it is: `UNSIGNED-PAYLOAD` and the `STREAMING-` values that S3 takes for a hash do not
    match. Source: CloudFront developer guide, "Lambda doesn't support unsigned payloads".
    """
    canonical = canonical_request(method, path, query, headers, claim.signed_headers, payload_sha256)
    credential = claim.credential
    expected = signature(secret, claim.timestamp, credential.region, credential.service, canonical)
    return hmac.compare_digest(expected.encode(), claim.signature.encode("latin-1", "replace"))
