"""Which account and region a request below `/_lamella/` is about."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from lamella.awsapi.context import Context
from lamella.frontdoor import PageError

_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_REGION: Final = re.compile(r"[a-z0-9-]{1,64}")

Contexts: TypeAlias = Callable[[str, str], Context]
"""Makes a context to act for an account in a region."""


def scope_of(query: Mapping[str, str], account: str, region: str) -> tuple[str, str]:
    """Account and region of the query, else these.

    Raises:
        PageError: They cannot be any.
    """
    account, region = query.get("account", account), query.get("region", region)
    if not _ACCOUNT.fullmatch(account) or not _REGION.fullmatch(region):
        raise PageError(400, "That is no account or region.")
    return account, region


def short_text(value: object, name: str, *, most: int = 256) -> str:
    """A text that may be kept and shown.

    Raises:
        PageError: It is none, too long, or has characters that move a terminal's cursor.
    """
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise PageError(400, f"{name} is a text of at most {most} characters, on one line.")
    return value
