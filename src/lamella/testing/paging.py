"""How stores in memory divide their lists into pages."""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from lamella.ports.stores import Page

T = TypeVar("T")
Position = list[Any]  # Any: strings and numbers, of the listing's sort key


def page(rows: Iterable[tuple[Position, T]], listing: Sequence[object], *, limit: int, marker: str | None) -> Page[T]:
    """Cut one page out of rows that are sorted by their positions; a marker is the position of the last item."""
    after = None
    if marker is not None:
        try:
            of_listing, after = json.loads(base64.urlsafe_b64decode(marker))
        except (ValueError, TypeError) as error:
            raise ValueError("not a marker of this listing") from error
        if of_listing != list(listing):
            raise ValueError("not a marker of this listing")
    rest = [(position, item) for position, item in rows if after is None or position > after]
    if len(rest) <= limit:
        return Page([item for _, item in rest])
    following = base64.urlsafe_b64encode(json.dumps([list(listing), rest[limit - 1][0]]).encode()).decode()
    return Page([item for _, item in rest[:limit]], following)
