"""Which versions of a layer may go, and why each of the others stays. Decides, and does nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Rule:
    """A version stays if any of these keeps it.

    Attributes:
        keep_last: So many of the newest.
        keep_used: Those that a version of a function has.
        keep_days: Those that are not older; `None` if age keeps nothing.
        keep_shared: Those that other accounts may use: what they do with them cannot be seen.
    """

    keep_last: int = 1
    keep_used: bool = True
    keep_days: int | None = None
    keep_shared: bool = True

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Self:
        """A policy as the server keeps it."""
        return cls(int(document["keep_last"]), bool(document["keep_used"]), document["keep_days"])

    def changed(
        self, *, keep_last: int | None, keep_used: bool | None, keep_days: int | None, keep_shared: bool | None
    ) -> Self:
        """With what was said besides; `None` changes nothing."""
        return replace(
            self,
            keep_last=self.keep_last if keep_last is None else keep_last,
            keep_used=self.keep_used if keep_used is None else keep_used,
            keep_days=self.keep_days if keep_days is None else keep_days,
            keep_shared=self.keep_shared if keep_shared is None else keep_shared,
        )


@dataclass(frozen=True, slots=True)
class Version:
    """A layer version, and what is known of its use.

    Attributes:
        created_at: Aware.
        used_by: Versions of functions that have it.
        held_by: What else holds it: channels, mirroring. No rule lets go of these.
        shared_with: Who besides its account may use it.
        size_bytes: Of its zip, if known.
    """

    number: int
    arn: str
    created_at: datetime
    used_by: tuple[str, ...] = ()
    held_by: tuple[str, ...] = ()
    shared_with: tuple[str, ...] = ()
    size_bytes: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a version: `reasons` keep it; without any it may go."""

    version: Version
    reasons: tuple[str, ...]

    @property
    def goes(self) -> bool:
        """Whether nothing keeps it."""
        return not self.reasons


def judge(versions: Sequence[Version], rule: Rule, *, now: datetime) -> list[Verdict]:
    """What becomes of the versions of one layer, newest first."""
    newest_first = sorted(versions, key=lambda version: -version.number)
    return [Verdict(version, _reasons(version, place, rule, now)) for place, version in enumerate(newest_first)]


def _reasons(version: Version, place: int, rule: Rule, now: datetime) -> tuple[str, ...]:
    reasons: list[str] = []
    if place < rule.keep_last:
        reasons.append("newest" if rule.keep_last == 1 else f"one of the newest {rule.keep_last}")
    if rule.keep_used and version.used_by:
        some, more = version.used_by[:3], len(version.used_by) - 3
        reasons.append(f"used by {', '.join(some)}" + (f" and {more} more" if more > 0 else ""))
    reasons += version.held_by
    if rule.keep_days is not None and now - version.created_at <= timedelta(days=rule.keep_days):
        reasons.append(f"not older than {rule.keep_days} days")
    if rule.keep_shared and version.shared_with:
        reasons.append(f"shared with {', '.join(version.shared_with)}")
    return tuple(reasons)
