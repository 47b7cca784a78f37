"""What a handler is told besides the parameters of its operation."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from lamella.domain.principal import ServicePrincipal

_G = TypeVar("_G")


class Services:
    """What handlers use, in groups that are found by their type: each package of handlers declares its own group.

    The wire knows none of the groups, and the groups know nothing of each other.
    """

    __slots__ = ("_groups",)

    def __init__(self, *groups: object) -> None:
        self._groups: Final[dict[type[Any], object]] = {type(group): group for group in groups}

    def __getitem__(self, kind: type[_G]) -> _G:
        """The group of this very type.

        Raises:
            KeyError: There is none.
        """
        return cast("_G", self._groups[kind])


@dataclass(frozen=True, slots=True)
class Context:
    """One request.

    Attributes:
        account: Twelve digits.
        region: Name of the region that the caller signed for, or the server's own.
        request_id: UUID in lower case; answered as `x-amzn-RequestId`.
        base_url: `scheme://host:port` as the client used it, for URLs in answers (`Code.Location`).
        services: What handlers use besides.
        headers: Of the request, names in lower case; for the few that are no member of an operation.
        warnings: Filled by handlers: what of the request AWS would have refused; told in the answer's headers.
        principal: The service of AWS that sends it; `None` if the account does.
    """

    account: str
    region: str
    request_id: str
    base_url: str
    services: Services
    headers: Sequence[tuple[str, str]] = ()
    warnings: list[str] = field(default_factory=list)
    principal: ServicePrincipal | None = None

    def header(self, name: str) -> str:
        """The first value of a header, given in lower case; empty if there is none."""
        for known, value in self.headers:
            if known == name:
                return value
        return ""


def new_request_id() -> str:
    """A random UUID (version 4) in lower case; a third of the cost of `str(uuid.uuid4())`."""
    digits = bytearray(os.urandom(16))
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
