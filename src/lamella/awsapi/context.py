"""What a handler is told besides the parameters of its operation."""

import os
from dataclasses import dataclass
from typing import Protocol


class Services(Protocol):
    """The ports that handlers use; its members come with the stores."""


@dataclass(frozen=True, slots=True)
class Context:
    """One request.

    Attributes:
        account: Twelve digits.
        region: Name of the region that the caller signed for, or the server's own.
        request_id: UUID in lower case; answered as `x-amzn-RequestId`.
        base_url: `scheme://host:port` as the client used it, for URLs in answers (`Code.Location`).
        services: The ports.
    """

    account: str
    region: str
    request_id: str
    base_url: str
    services: Services


def new_request_id() -> str:
    """A random UUID (version 4) in lower case; a third of the cost of `str(uuid.uuid4())`."""
    digits = bytearray(os.urandom(16))
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
