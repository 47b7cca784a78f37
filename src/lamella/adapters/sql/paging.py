"""Markers of listings: opaque to callers, bound to the listing they came from.

A marker holds the position of the last item given, not an offset: items that come or go in between neither repeat nor
hide others, and the marker stays good when that item is deleted.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from lamella.ports.stores import Page

T = TypeVar("T")
R = TypeVar("R")

Position = tuple[str | int, ...]
"""Sort key of an item within its listing."""

Listing = tuple[str | bool | None, ...]
"""What makes two listings the same: its name, its scope and its filters."""


def read_marker(marker: str | None, listing: Listing, *kinds: type) -> Position | None:
    """The position after which a page starts, or `None` for the first page.

    Args:
        marker: As a caller handed it in.
        listing: The listing that is being continued.
        kinds: Types of the position's members.

    Raises:
        ValueError: Not a marker of this listing.
    """
    if marker is None:
        return None
    try:
        text = base64.b64decode(marker.encode("ascii"), altchars=b"-_", validate=True)
        members = json.loads(text)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise ValueError("not a marker of this listing") from error
    if not isinstance(members, list) or members[:-1] != list(listing) or not isinstance(members[-1], list):
        raise ValueError("not a marker of this listing")
    position = members[-1]
    if [type(member) for member in position] != list(kinds) or not all(_fits(member) for member in position):
        raise ValueError("not a marker of this listing")
    return tuple(position)


def cut_page(
    rows: Sequence[R], listing: Listing, *, limit: int, value: Callable[[R], T], position: Callable[[R], Position]
) -> Page[T]:
    """Make a page of rows of which one more than `limit` was asked for, to know whether there are more."""
    if len(rows) <= limit:
        return Page([value(row) for row in rows])
    members = [*listing, list(position(rows[limit - 1]))]
    text = json.dumps(members, separators=(",", ":")).encode()
    return Page([value(row) for row in rows[:limit]], base64.urlsafe_b64encode(text).decode("ascii"))


def _fits(member: str | int) -> bool:
    """Whether the database takes it as a parameter: a marker is the caller's, and may be forged."""
    if isinstance(member, int):
        return -(2**63) <= member < 2**63
    return "\0" not in member and member.isascii()
