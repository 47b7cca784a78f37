"""The release lifecycle of a customer-managed runtime, or of one of its aliases: what its publisher announces.

Source: developer guide, "Runtime lifecycle", and the model's `RuntimeReleaseLifecycle`, 2026. That block dates would
have to come in an order is said nowhere, and is not asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Self

from lamella.domain._api_errors import InvalidParameterValueException

DEPRECATED: Final = "DEPRECATED"

_DATES: Final = ("DeprecationDate", "FunctionCreateBlockDate", "FunctionUpdateBlockDate")

Members = Mapping[str, Any]  # Any: those of the model's shape, all of them text


@dataclass(frozen=True, slots=True)
class Release:
    """What a publisher declares; dates are days in UTC.

    Attributes:
        declared: `PREVIEW`, `GA` or `DEPRECATED`; empty if nothing was declared.
        deprecated_on: From this day on it is deprecated.
        create_blocked_on: From this day on no new function may use it.
        update_blocked_on: From this day on functions that use it cannot be updated.
    """

    declared: str = ""
    deprecated_on: date | None = None
    create_blocked_on: date | None = None
    update_blocked_on: date | None = None

    @classmethod
    def of_members(cls, members: Members) -> Self | None:
        """Read what is stored, or what was sent; `None` if nothing is in it, which takes a lifecycle away.

        Raises:
            InvalidParameterValueException: A date is not in the calendar. The text is ours.
        """
        release = cls(members.get("ReleaseState", ""), *(_day(members, name) for name in _DATES))
        return None if release == cls() else release

    def check(self, today: date) -> None:
        """Refuse a state that the date of deprecation contradicts.

        Raises:
            InvalidParameterValueException: It does, by the words of the model. The text is ours.
        """
        deprecated = self.deprecated_on is not None and self.deprecated_on <= today
        if self.declared == DEPRECATED and not deprecated:
            raise InvalidParameterValueException(
                "ReleaseState DEPRECATED requires a DeprecationDate on or before today (UTC)."
            )
        if self.declared not in {"", DEPRECATED} and deprecated:
            raise InvalidParameterValueException(
                f"ReleaseState {self.declared} requires a DeprecationDate after today (UTC), or none."
            )

    def state(self, today: date) -> str:
        """The state as it is read: deprecated once that day is there."""
        return DEPRECATED if self.deprecated_on is not None and self.deprecated_on <= today else self.declared

    def members(self, today: date | None = None) -> dict[str, str]:
        """As the API has it; with a day as it is read on that day."""
        days = (self.deprecated_on, self.create_blocked_on, self.update_blocked_on)
        state = self.declared if today is None else self.state(today)
        shown = {"ReleaseState": state} if state else {}
        return shown | {name: day.isoformat() for name, day in zip(_DATES, days, strict=True) if day is not None}

    def blocks(self, today: date, *, creating: bool) -> bool:
        """Whether functions may not be created with it, or not be updated."""
        blocked_on = self.create_blocked_on if creating else self.update_blocked_on
        return blocked_on is not None and blocked_on <= today


def _day(members: Members, name: str) -> date | None:
    text = members.get(name)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidParameterValueException(f"{name} {text} is not a day of the calendar.") from None
