"""AWS Signature Version 4 as arithmetic: what is signed, and the signature. Signing and verifying share it.

Everything is bytes in the end: header values and paths come decoded from latin-1, and are encoded so again, which
gives the bytes that were sent.

Source: IAM user guide, "Create a signed AWS API request", and of S3's API reference "Signature Calculations for the
Authorization Header: Transferring Payload in Multiple Chunks". S3's paths differ from those of all other services.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
TIMESTAMP: Final = "%Y%m%dT%H%M%SZ"
SIGNATURE_PARAMETER: Final = "X-Amz-Signature"

_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()

Headers = Iterable[tuple[str, str]]
"""Names in lower case, values decoded from latin-1."""


def canonical_path(path: str) -> str:
    """The path of a request target, still percent-encoded as it was sent, in the form that is signed.

    Dot segments and empty ones are taken out, and what was encoded for the wire is encoded once more.
    """
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    slash = "/" if kept and path.endswith("/") else ""
    return quote(f"/{'/'.join(kept)}{slash}".encode("latin-1"), safe="/~")


def object_path(path: str) -> str:
    """`canonical_path` for S3, whose keys may hold what looks like a path: encoded once, and no segment taken out."""
    return "/".join(quote(unquote_to_bytes(segment.encode("latin-1")), safe="~") for segment in path.split("/"))


def canonical_query(query: str) -> str:
    """The query in the form that is signed: without the signature, each part decoded and encoded anew, sorted."""
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            plain = _encoded_anew(name)
            if plain != SIGNATURE_PARAMETER:
                pairs.append((plain, _encoded_anew(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encoded_anew(text: str) -> str:
    # Decoded as whoever reads parameters decodes them, so that what is signed is what has an effect.
    return quote(unquote_to_bytes(text.replace("+", " ").encode("latin-1")), safe="~")


def canonical_request(
    method: str,
    path: str,
    query: str,
    headers: Headers,
    signed_headers: Sequence[str],
    payload_sha256: str,
    *,
    encode_path: Callable[[str], str] = canonical_path,
) -> bytes:
    """What a signature covers.

    Args:
        method: In capitals.
        path: As it was sent, percent-encoded.
        query: As it was sent, without the question mark.
        headers: All of the request.
        signed_headers: Names in lower case, sorted, none twice.
        payload_sha256: Of the body, in hexadecimal.
        encode_path: Gives the path the form that is signed.
    """
    wanted = frozenset(signed_headers)
    values: dict[str, list[bytes]] = {}
    for name, value in headers:
        if name in wanted:
            # Bytes know ASCII white space only: text would be split at letters that latin-1 makes of UTF-8.
            values.setdefault(name, []).append(b" ".join(value.encode("latin-1").split()))
    lines = [
        method.encode("latin-1"),
        encode_path(path).encode(),
        canonical_query(query).encode(),
        *(b"%b:%b" % (name.encode("latin-1"), b",".join(values.get(name, ()))) for name in signed_headers),
        b"",
        ";".join(signed_headers).encode("latin-1"),
        payload_sha256.encode(),
    ]
    return b"\n".join(lines)


def signature(secret: str, timestamp: str, region: str, service: str, canonical: bytes) -> str:
    """The signature of a canonical request, in hexadecimal.

    Args:
        secret: Of the access key.
        timestamp: `YYYYMMDDTHHMMSSZ`.
        region: Region that is signed for.
        service: Signing name, such as `lambda`.
        canonical: Of `canonical_request`.
    """
    key = signing_key(secret, timestamp[:8], region, service)
    return sign(key, string_to_sign(timestamp, region, service, canonical))


def string_to_sign(timestamp: str, region: str, service: str, canonical: bytes) -> str:
    """What the signature of a canonical request is made of; arguments as for `signature`."""
    return f"{ALGORITHM}\n{_scoped(timestamp, region, service)}\n{hashlib.sha256(canonical).hexdigest()}"


class ChunkSigner:
    """Signs what a body consists of, one piece after the other, each signature covering those before.

    Args:
        key: Of `signing_key`.
        timestamp: Of the request.
        region: That is signed for.
        service: Signing name.
        seed: Signature of the request's head.
    """

    def __init__(self, key: bytes, *, timestamp: str, region: str, service: str, seed: str) -> None:
        self._key: Final = key
        self._scope: Final = _scoped(timestamp, region, service)
        self._previous = seed

    def chunk(self, data_sha256: str) -> str:
        """The signature of the next chunk, whose data has this hash."""
        return self._next(f"{ALGORITHM}-PAYLOAD\n{self._scope}\n{self._previous}\n{_EMPTY_SHA256}\n{data_sha256}")

    def trailer(self, trailer: bytes) -> str:
        """The signature of the trailer: lines `name:value`, each with a line feed at its end."""
        digest = hashlib.sha256(trailer).hexdigest()
        return self._next(f"AWS4-HMAC-SHA256-TRAILER\n{self._scope}\n{self._previous}\n{digest}")

    def _next(self, text: str) -> str:
        self._previous = sign(self._key, text)
        return self._previous


# A key serves a whole day; making it is four of the five HMACs of a signature.
@lru_cache(maxsize=64)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """What signatures of a day, for a region and a service, are made with."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, TERMINATOR):
        key = _hmac(key, part)
    return key


def sign(key: bytes, text: str) -> str:
    """The signature of a text, in hexadecimal; the key is that of `signing_key`."""
    return _hmac(key, text).hex()


def _scoped(timestamp: str, region: str, service: str) -> str:
    return f"{timestamp}\n{timestamp[:8]}/{region}/{service}/{TERMINATOR}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("latin-1", "replace"), "sha256")
