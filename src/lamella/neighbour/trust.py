"""What the neighbour's child tells Lamella with each of its requests: that it is the child, and for whom it asks.

These headers mean something on the socket between the two, and nowhere else.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lamella.domain.principal import ServicePrincipal

NEIGHBOUR_SOCKET: Final = "socket"
"""In the neighbour's directory; there the child answers for its services."""
ACCOUNT_HEADER: Final = "x-moto-account-id"
"""For whom a request to the child is; moto's own."""
BRIDGE_SOCKET: Final = "lambda"
"""In the neighbour's directory; there Lamella listens for its child."""
METRICS_PATH: Final = "/_lamella/metrics"
"""On that socket: what is known of functions, for CloudWatch."""
BRIDGE_HEADER: Final = "x-lamella-bridge"
_CLAIM_ACCOUNT_HEADER: Final = "x-lamella-account"
_REGION_HEADER: Final = "x-lamella-region"
_PRINCIPAL_HEADER: Final = "x-lamella-principal"
_SOURCE_ARN_HEADER: Final = "x-lamella-source-arn"
_SOURCE_ACCOUNT_HEADER: Final = "x-lamella-source-account"
TRUST_HEADERS: Final = frozenset(
    {
        BRIDGE_HEADER,
        _CLAIM_ACCOUNT_HEADER,
        _REGION_HEADER,
        _PRINCIPAL_HEADER,
        _SOURCE_ARN_HEADER,
        _SOURCE_ACCOUNT_HEADER,
    }
)

_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]")

Headers = Sequence[tuple[str, str]]


class TrustError(ValueError):
    """A request does not say for whom it is, or says it twice."""


@dataclass(frozen=True, slots=True)
class Claim:
    """For whom the child asks.

    Attributes:
        account: Twelve digits.
        region: Its name.
        principal: The service that wants to invoke a function; `None` if the account itself asks.
    """

    account: str
    region: str
    principal: ServicePrincipal | None = None

    def headers(self) -> list[tuple[str, str]]:
        """As the child sends it."""
        headers = [(_CLAIM_ACCOUNT_HEADER, self.account), (_REGION_HEADER, self.region)]
        if self.principal is not None:
            headers.append((_PRINCIPAL_HEADER, ",".join(self.principal.names)))
            headers.append((_SOURCE_ARN_HEADER, self.principal.source_arn))
            headers.append((_SOURCE_ACCOUNT_HEADER, self.principal.source_account))
        return headers

    @classmethod
    def read(cls, headers: Headers) -> "Claim":
        """As Lamella reads it.

        Raises:
            TrustError: It is none.
        """
        account, region = _one(headers, _CLAIM_ACCOUNT_HEADER), _one(headers, _REGION_HEADER)
        if account is None or region is None or not _ACCOUNT.fullmatch(account) or not _REGION.fullmatch(region):
            raise TrustError("the request names no account or no region")
        named = _one(headers, _PRINCIPAL_HEADER)
        if named is None:
            return cls(account, region)
        names = tuple(name for name in named.split(",") if name)
        if not names:
            # Without this a service whose name got lost would act as the account.
            raise TrustError("the request names no service")
        source_arn, source_account = _one(headers, _SOURCE_ARN_HEADER), _one(headers, _SOURCE_ACCOUNT_HEADER)
        return cls(account, region, ServicePrincipal(names, source_arn or "", source_account or ""))


def knows_secret(headers: Headers, secret: str) -> bool:
    """Whether a request is the child's."""
    given = [value for name, value in headers if name == BRIDGE_HEADER]
    return len(given) == 1 and secrets.compare_digest(given[0].encode(), secret.encode())


def _one(headers: Headers, name: str) -> str | None:
    found = [value for known, value in headers if known == name]
    if len(found) > 1:
        raise TrustError(f"the request has several headers {name}")
    return found[0] if found else None
