"""Signatures of requests for S3, which has words, bounds and rules of its own for them.

Source of the wording: answers of S3 quoted in public issues (aws/aws-sdk-php 612 and 1333, minio/minio 2638,
soto-project/soto-core 362, 10up/snapshots 25); of what is malformed, versity/versitygw, whose authors compare its
errors with S3's; S3's API reference, "Authenticating Requests" and "Error responses".
"""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qs

from lamella.awsapi.chunked import ChunkedGuard
from lamella.awsapi.guards import Guard, HashGuard
from lamella.awsapi.service_error import ServiceError
from lamella.awsapi.sigv4 import PRESIGNED_MOST_S, Claim, read_claim
from lamella.domain.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
)
from lamella.domain.signature import (
    ChunkSigner,
    canonical_request,
    object_path,
    signature,
    signing_key,
    string_to_sign,
)

OBJECT_SERVICES: Final = frozenset({"s3", "s3express", "s3-outposts", "s3-object-lambda"})
"""Services whose requests are signed in S3's way, by the name that signatures have for them."""

SKEW_S: Final = 900
_PAYLOAD_HASH: Final = "x-amz-content-sha256"
_DECODED_LENGTH: Final = "x-amz-decoded-content-length"
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_CHUNKS: Final = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
}
"""For each kind of chunked body, whether its chunks are signed, and whether there are trailers."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LENGTH: Final = re.compile(r"[0-9]{1,13}")
_ISO: Final = "%Y-%m-%dT%H:%M:%SZ"
# Once at most, since who reads the request after us may take another one of two than was verified.
_SINGLE: Final = frozenset(
    {
        "authorization",
        "host",
        "x-amz-date",
        _DECODED_LENGTH,
        "x-amz-security-token",
        "x-amz-trailer",
        _PAYLOAD_HASH,
    }
)

Headers = Sequence[tuple[str, str]]


def read_object_claim(headers: Headers, query: str) -> Claim:
    """The signature of a request, as `sigv4.read_claim`.

    Raises:
        ServiceError: There is none that could hold.
    """
    parameters = parse_qs(query, keep_blank_values=True)
    presigned = "X-Amz-Algorithm" in parameters
    authorization = next((value for name, value in headers if name == "authorization"), "")
    if authorization.startswith("AWS ") or "AWSAccessKeyId" in parameters:
        raise ServiceError(
            400,
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        )
    if presigned:
        _check_lifetime(parameters)
    names = [name for name, _ in headers if name in _SINGLE]
    if len(set(names)) != len(names):
        raise ServiceError(400, "InvalidRequest", "A header that may stand once stands there again.")
    try:
        return read_claim(headers, query)
    except MissingAuthenticationTokenException:
        raise access_denied() from None
    except (IncompleteSignatureException, InvalidSignatureException) as error:
        if presigned:
            raise ServiceError(400, "AuthorizationQueryParametersError", error.message) from None
        raise _malformed(error.message) from None


def _check_lifetime(parameters: Mapping[str, Sequence[str]]) -> None:
    text = parameters.get("X-Amz-Expires", [""])[0]
    if not text:
        problem = (
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    elif not (text.isascii() and text.isdigit()):
        problem = "X-Amz-Expires should be a number"
    elif len(text) > 9 or int(text) > PRESIGNED_MOST_S:
        problem = (
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{PRESIGNED_MOST_S} seconds"
        )
    else:
        return
    raise ServiceError(400, "AuthorizationQueryParametersError", problem)


def check_object_claim(claim: Claim, headers: Iterable[tuple[str, str]], now: datetime) -> None:
    """Refuse a claim that cannot hold, whoever's it is: its time, its scope, and what it leaves unsigned.

    Raises:
        ServiceError: See there.
    """
    _check_time(claim, now)
    date, day = claim.credential.date, claim.timestamp[:8]
    if date != day:
        problem = f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: "{day}".'
        if claim.lifetime_s is not None:
            raise ServiceError(400, "AuthorizationQueryParametersError", problem)
        raise _malformed(problem)
    # The hash of the body is covered by the signature in another place.
    covered = {*claim.signed_headers, _PAYLOAD_HASH}
    unsigned = [name for name, _ in headers if name.startswith("x-amz-") and name not in covered]
    if unsigned or "host" not in claim.signed_headers:
        raise ServiceError(
            403,
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(unsigned) or "host",
        )


def _check_time(claim: Claim, now: datetime) -> None:
    signed_at, skew, server_time = claim.signed_at, timedelta(seconds=SKEW_S), f"{now:{_ISO}}"
    now = now.replace(microsecond=0)
    if claim.lifetime_s is None:
        if abs(now - signed_at) > skew:
            raise ServiceError(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                RequestTime=claim.timestamp,
                ServerTime=server_time,
                MaxAllowedSkewMilliseconds=str(SKEW_S * 1000),
            )
        return
    expires = signed_at + timedelta(seconds=claim.lifetime_s)
    if signed_at - now > skew:
        members = {"X-Amz-Date": f"{signed_at.timestamp() * 1000:.0f}", "Expires": f"{expires:{_ISO}}"}
        raise ServiceError(403, "AccessDenied", "Request is not yet valid", **members, ServerTime=server_time)
    if now > expires:
        members = {"X-Amz-Expires": str(claim.lifetime_s), "Expires": f"{expires:{_ISO}}"}
        raise ServiceError(403, "AccessDenied", "Request has expired", **members, ServerTime=server_time)


def verify_object_request(
    claim: Claim, secret: str, *, method: str, path: str, query: str, headers: Headers
) -> Guard | None:
    """Verify the signature of a request whose body is still to come.

    Returns:
        What the body has to pass; None if it is not signed.

    Raises:
        ServiceError: It was not signed with this secret, or what it says of its body makes no sense.
    """
    values = dict(reversed(headers))
    presigned = claim.lifetime_s is not None
    payload = values.get(_PAYLOAD_HASH, _UNSIGNED if presigned else "")
    if not payload:
        raise ServiceError(400, "InvalidRequest", f"Missing required header for this request: {_PAYLOAD_HASH}")
    canonical = canonical_request(method, path, query, headers, claim.signed_headers, payload, encode_path=object_path)
    scope = claim.credential
    expected = signature(secret, claim.timestamp, scope.region, scope.service, canonical)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode("latin-1", "replace")):
        to_sign = string_to_sign(claim.timestamp, scope.region, scope.service, canonical)
        raise _mismatch(claim, to_sign, canonical)
    return _guard(claim, secret, payload, values)


def _guard(claim: Claim, secret: str, payload: str, headers: Mapping[str, str]) -> Guard | None:
    if payload == _UNSIGNED:
        return None
    if payload not in _CHUNKS:
        if _SHA256.fullmatch(payload) is None:
            raise ServiceError(
                400,
                "InvalidArgument",
                f"{_PAYLOAD_HASH} must be {_UNSIGNED}, {', '.join(sorted(_CHUNKS))}, or a valid sha256 value.",
                ArgumentName=_PAYLOAD_HASH,
                ArgumentValue=payload,
            )
        return HashGuard(payload)
    signed, trailed = _CHUNKS[payload]
    length = headers.get(_DECODED_LENGTH, "")
    if _LENGTH.fullmatch(length) is None:
        raise ServiceError(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    announced = headers.get("x-amz-trailer", "") if trailed else ""
    trailers = [name.strip().lower() for name in announced.split(",") if name.strip()]
    signer = None
    if signed:
        scope = claim.credential
        signer = ChunkSigner(
            signing_key(secret, scope.date, scope.region, scope.service),
            timestamp=claim.timestamp,
            region=scope.region,
            service=scope.service,
            seed=claim.signature,
        )
    return ChunkedGuard(int(length), signer, trailers)


def access_denied(message: str = "Access Denied") -> ServiceError:
    """What S3 says to who does not sign."""
    return ServiceError(403, "AccessDenied", message)


def unknown_key(access_key: str) -> ServiceError:
    """What S3 says of an access key that it does not know."""
    message = "The AWS Access Key Id you provided does not exist in our records."
    return ServiceError(403, "InvalidAccessKeyId", message, AWSAccessKeyId=access_key)


def wrong_token(token: str) -> ServiceError:
    """What S3 says of a session token that is not the key's."""
    message = "The provided token is malformed or otherwise invalid."
    return ServiceError(400, "InvalidToken", message, **{"Token-0": token})


def expired_token(token: str) -> ServiceError:
    """What S3 says of a temporary key whose time is over."""
    return ServiceError(400, "ExpiredToken", "The provided token has expired.", **{"Token-0": token})


def _malformed(problem: str) -> ServiceError:
    return ServiceError(400, "AuthorizationHeaderMalformed", f"The authorization header is malformed; {problem}")


def _mismatch(claim: Claim, to_sign: str, canonical: bytes) -> ServiceError:
    return ServiceError(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing "
        "method.",
        AWSAccessKeyId=claim.credential.access_key,
        StringToSign=to_sign,
        SignatureProvided=claim.signature,
        StringToSignBytes=to_sign.encode().hex(" "),
        CanonicalRequest=canonical.decode("utf-8", "replace"),
        CanonicalRequestBytes=canonical.hex(" "),
    )
