"""Function URLs: an HTTP endpoint of a function, or of one of its aliases.

Source: API reference, `FunctionUrlConfig` and `Cors`; developer guide, "Creating and managing Lambda function URLs".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from lamella.domain.function import LATEST, FunctionKey

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_ID: Final = re.compile(r"[a-z0-9]{32}")
ID_BYTES: Final = 20
"""How much randomness an identifier holds: 160 bits, as many as 32 letters of base 32 have room for."""


class AuthType(StrEnum):
    """Who may call. Source: model, shape `FunctionUrlAuthType`."""

    NONE = "NONE"
    AWS_IAM = "AWS_IAM"


class InvokeMode(StrEnum):
    """How the response reaches the caller. Source: model, shape `InvokeMode`."""

    BUFFERED = "BUFFERED"
    RESPONSE_STREAM = "RESPONSE_STREAM"


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other sites a browser lets read the responses; `None` where the owner said nothing.

    Attributes:
        max_age_s: How long a browser may remember the answer to a preflight request.
    """

    allow_credentials: bool | None = None
    allow_headers: tuple[str, ...] | None = None
    allow_methods: tuple[str, ...] | None = None
    allow_origins: tuple[str, ...] | None = None
    expose_headers: tuple[str, ...] | None = None
    max_age_s: int | None = None


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """One function URL.

    Attributes:
        id: 32 letters and digits; unique, and not to be guessed.
        alias: `None` for `$LATEST`.
        invoke_mode: `None` if the owner never chose, which means `BUFFERED`.
        created_at, modified_at: Aware UTC.
    """

    id: str
    key: FunctionKey
    alias: str | None
    auth_type: AuthType
    cors: Cors | None
    invoke_mode: InvokeMode | None
    created_at: datetime
    modified_at: datetime

    @property
    def arn(self) -> str:
        """The function's ARN, with the alias if it is one's URL."""
        return self.key.arn(self.alias)

    @property
    def streams(self) -> bool:
        """The response is passed on as it comes."""
        return self.invoke_mode is InvokeMode.RESPONSE_STREAM


@dataclass(frozen=True, slots=True)
class UrlName:
    """A function URL as its host name gives it."""

    id: str
    region: str

    @classmethod
    def parse(cls, host: str, domains: frozenset[str]) -> "UrlName | None":
        """Read `<id>.lambda-url.<region>.<domain>`, in lower case and without a port; None if it is another name."""
        parts = host.split(".", 3)
        if len(parts) != 4 or parts[1] != "lambda-url" or parts[3] not in domains or not is_url_id(parts[0]):
            return None
        return cls(parts[0], parts[2])

    def host(self, domain: str) -> str:
        """The name below a domain."""
        return f"{self.id}.lambda-url.{self.region}.{domain}"


def is_url_id(text: str) -> bool:
    """Whether a text has the form of an identifier."""
    return _ID.fullmatch(text) is not None


def new_url_id(random: bytes) -> str:
    """An identifier that looks like AWS's: 32 letters and digits.

    Args:
        random: `ID_BYTES` of them.
    """
    number = int.from_bytes(random)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(0, 8 * ID_BYTES, 5))


# One document of the record store holds all URLs of a function: members are named by alias, `$LATEST` the URL of no
# alias. It belongs to the function as a whole, since a URL outlives its alias, as on AWS (recorded in LocalStack's
# tests, November 2025), and leads to another of the same name. Moments are ISO 8601, the rest is as the API spells it.

URLS: Final = "urls"
"""Kind of the documents."""


def place_of(alias: str | None) -> str:
    """The member of a document that holds the URL of an alias, or of none."""
    return LATEST if alias is None else alias


def urls_of(key: FunctionKey, document: Mapping[str, Any]) -> list[FunctionUrl]:  # Any: JSON
    """All URLs of a function; that of no alias first, the others by alias."""
    return [from_document(key, None if place == LATEST else place, document[place]) for place in sorted(document)]


def to_document(url: FunctionUrl) -> dict[str, Any]:
    """What is stored of a URL beside the function and the alias it belongs to."""
    document: dict[str, Any] = {
        "Id": url.id,
        "AuthType": url.auth_type.value,
        "CreationTime": url.created_at.isoformat(),
        "LastModifiedTime": url.modified_at.isoformat(),
    }
    if url.invoke_mode is not None:
        document["InvokeMode"] = url.invoke_mode.value
    if url.cors is not None:
        document["Cors"] = show_cors(url.cors)
    return document


def from_document(key: FunctionKey, alias: str | None, document: Mapping[str, Any]) -> FunctionUrl:
    """The opposite of `to_document`."""
    mode, cors = document.get("InvokeMode"), document.get("Cors")
    return FunctionUrl(
        id=document["Id"],
        key=key,
        alias=alias,
        auth_type=AuthType(document["AuthType"]),
        cors=None if cors is None else read_cors(cors),
        invoke_mode=None if mode is None else InvokeMode(mode),
        created_at=datetime.fromisoformat(document["CreationTime"]),
        modified_at=datetime.fromisoformat(document["LastModifiedTime"]),
    )


def read_cors(members: Mapping[str, Any]) -> Cors:
    """The settings from the members of the API's structure `Cors`."""

    def names(member: str) -> tuple[str, ...] | None:
        return tuple(members[member]) if member in members else None

    return Cors(
        allow_credentials=members.get("AllowCredentials"),
        allow_headers=names("AllowHeaders"),
        allow_methods=names("AllowMethods"),
        allow_origins=names("AllowOrigins"),
        expose_headers=names("ExposeHeaders"),
        max_age_s=members.get("MaxAge"),
    )


def show_cors(cors: Cors) -> dict[str, Any]:
    """The members of the API's structure `Cors`; those alone that were given."""
    members = {
        "AllowCredentials": cors.allow_credentials,
        "AllowHeaders": cors.allow_headers,
        "AllowMethods": cors.allow_methods,
        "AllowOrigins": cors.allow_origins,
        "ExposeHeaders": cors.expose_headers,
        "MaxAge": cors.max_age_s,
    }
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in members.items() if value is not None
    }
