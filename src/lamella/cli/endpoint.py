"""Which server a command talks to, as whom, and what its requests are signed with."""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Self
from urllib.parse import urlsplit

from lamella.cli.failure import CommandError, Status
from lamella.config.settings import Settings, SettingsError
from lamella.domain.signature import ALGORITHM, TERMINATOR, TIMESTAMP, canonical_request, signature

DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4566"
_OPERATOR: Final = "lamella-operator"
_SERVICE: Final = "lambda"


@dataclass(frozen=True, slots=True)
class SentFile:
    """A body that is too large for memory.

    Attributes:
        file: At its begin.
        sha256: Of all of it, in hexadecimal digits.
    """

    file: BinaryIO
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Key:
    """What requests are signed with.

    Attributes:
        session_token: Empty unless the key is temporary.
    """

    id: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)

    def headers(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | SentFile,
        *,
        region: str,
        now: dt.datetime,
    ) -> dict[str, str]:
        """The headers of a request, and those that sign it.

        Args:
            method: In capitals.
            url: The whole of it; `Host` is taken from here.
            headers: Names in lower case; all of them are signed.
            body: Of the request.
            region: What the request is for.
            now: Aware.
        """
        parts, timestamp = urlsplit(url), now.astimezone(dt.UTC).strftime(TIMESTAMP)
        signed = {**headers, "host": parts.netloc.rpartition("@")[2], "x-amz-date": timestamp}
        if self.session_token:
            signed["x-amz-security-token"] = self.session_token
        names = sorted(signed)
        digest = body.sha256 if isinstance(body, SentFile) else hashlib.sha256(body).hexdigest()
        canonical = canonical_request(method, parts.path, parts.query, signed.items(), names, digest)
        made = signature(self.secret, timestamp, region, _SERVICE, canonical)
        scope = f"{self.id}/{timestamp[:8]}/{region}/{_SERVICE}/{TERMINATOR}"
        authorization = f"{ALGORITHM} Credential={scope}, SignedHeaders={';'.join(names)}, Signature={made}"
        return {**signed, "authorization": authorization}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The server to talk to, and as whom.

    Attributes:
        url: Scheme, host and port; a path is put before that of each request.
        region: `None` leaves it to the server's `region` setting.
        account: `None` leaves it to the server's `account_id` setting.
        key: What requests to Lambda's API are signed with, if a region is known as well.
    """

    url: str
    region: str | None = None
    account: str | None = None
    key: Key | None = None

    @classmethod
    def find(cls, url: str | None, region: str | None, environ: Mapping[str, str]) -> Self:
        """Take what was given, else what AWS's own clients would take from the environment.

        Raises:
            CommandError: The URL is not one of HTTP.
        """
        url = url or environ.get("AWS_ENDPOINT_URL_LAMBDA") or environ.get("AWS_ENDPOINT_URL") or DEFAULT_ENDPOINT
        parts = urlsplit(url)
        try:
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:  # the port is not a number, or too large
            usable = False
        if not usable:
            raise CommandError(f"the endpoint {url!r} is not a URL such as {DEFAULT_ENDPOINT}", Status.USAGE)
        access_key, secret = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
        is_account = re.fullmatch("[0-9]{12}", access_key) is not None
        return cls(
            url.rstrip("/"),
            region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None,
            access_key if is_account else None,
            Key(access_key, secret, environ.get("AWS_SESSION_TOKEN", ""))
            if access_key and secret and not is_account
            else None,
        )

    def scope(self) -> dict[str, str]:
        """Region and account as query parameters; only those that are known."""
        scope = {"region": self.region, "account": self.account}
        return {name: value for name, value in scope.items() if value is not None}

    def authorization(self) -> dict[str, str]:
        """The header that names region and account to a server that verifies no signatures."""
        if self.region is None and self.account is None:
            return {}
        day = dt.datetime.now(dt.UTC).strftime("%Y%m%d")
        credential = f"{self.account or 'lamella'}/{day}/{self.region or 'us-east-1'}/lambda/aws4_request"
        signature = f"Credential={credential}, SignedHeaders=host, Signature={'0' * 64}"
        return {"authorization": f"AWS4-HMAC-SHA256 {signature}"}


def operator_key(environ: Mapping[str, str], *, is_root: bool) -> Key | None:
    """The operator's key, from `LAMELLA_OPERATOR_KEY` or from the data directory that the settings name.

    Signing gives nothing of the key away, so it does not matter which server is asked.
    """
    secret = environ.get("LAMELLA_OPERATOR_KEY", "")
    if not secret:
        try:
            data = Settings.load({}, environ, is_root=is_root).data
            secret = Path(data, "operator-key").read_text(encoding="ascii")
        except (SettingsError, OSError, ValueError):
            return None  # the server says what is missing, if it wants a signature at all
    return Key(_OPERATOR, secret.strip())
