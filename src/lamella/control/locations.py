"""URLs from which an archive can be downloaded for ten minutes, without credentials.

Source: model, shapes `FunctionCodeLocation` ("a presigned URL") and `LayerVersionContentOutput` ("valid for 10
minutes").
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs, quote, urlencode

from lamella.domain.quotas import LOCATION_LIFETIME

PREFIX: Final = "/_lamella/artifacts/"
_SUFFIX: Final = ".zip"
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Download:
    """What a valid URL gives its holder.

    Attributes:
        digest: Name of the archive in the artifact store.
        filename: What the file should be called.
    """

    digest: str
    filename: str


class LocationSigner:
    """Makes and checks the URLs of one installation.

    Args:
        secret: At least 16 random bytes, the same for all nodes and across restarts.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("a secret of fewer than 16 bytes can be guessed")
        self._secret: Final = secret

    def url(self, base_url: str, digest: str, filename: str, *, now: datetime) -> str:
        """A URL below `base_url` (no slash at its end) that is valid for ten minutes from now on."""
        expires = int(now.timestamp()) + LOCATION_LIFETIME.limit
        signature = self._signature(digest, filename, expires)
        query = urlencode({"expires": expires, "filename": filename, "signature": signature}, quote_via=quote)
        return f"{base_url}{PREFIX}{digest}{_SUFFIX}?{query}"

    def verify(self, path: str, query: str, now: datetime) -> Download | None:
        """What a request may download; `None` if the URL is not one of ours, was changed, or is too old."""
        digest = path.removeprefix(PREFIX).removesuffix(_SUFFIX)
        if path != f"{PREFIX}{digest}{_SUFFIX}" or len(digest) != 64 or not _HEX.issuperset(digest):
            return None
        values = parse_qs(query)
        try:
            expires = int(values["expires"][0])
            filename, signature = values["filename"][0], values["signature"][0]
        except (KeyError, ValueError):
            return None
        if not hmac.compare_digest(signature.encode(), self._signature(digest, filename, expires).encode()):
            return None
        return Download(digest, filename) if now.timestamp() <= expires else None

    def _signature(self, digest: str, filename: str, expires: int) -> str:
        signed = f"{digest}\n{expires}\n{filename}".encode()
        return hmac.new(self._secret, signed, hashlib.sha256).hexdigest()
