"""Which function uses which version of a layer, and what is wrong with that. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lamella.fleet.layers import split
from lamella.fleet.model import LATEST, FleetView, FunctionView, LayerView


class Fault(StrEnum):
    """What can be wrong with a layer version."""

    STALE = "stale"  # something uses it though there is a newer one
    DELETED = "deleted"  # something uses it though it has been deleted
    HIDDEN = "hidden"  # something uses it, and its owner does not let us see it: deleted, or no longer shared
    VULNERABLE = "vulnerable"
    UNUSED = "unused"  # nothing uses it


@dataclass(frozen=True, slots=True)
class Use:
    """A version of a function that has a layer version.

    Attributes:
        number: `$LATEST`, or that of a published version.
        aliases: Names of aliases that invoke it, with their share in percent where they share.
    """

    function: str
    number: str
    aliases: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether invocations meet it: by an alias, or without one by default."""
        return self.number == LATEST or bool(self.aliases)

    def __str__(self) -> str:
        return f"{self.function}:{self.number}" + (f" ({', '.join(self.aliases)})" if self.aliases else "")


@dataclass(frozen=True, slots=True)
class AuditedVersion:
    """A layer version.

    Attributes:
        age_days: `None` if it is not known when it was made.
        newest: Number of the newest version of the layer; `None` if that is not known.
        vulnerabilities: Known ones, in words.
    """

    layer: str
    number: int
    age_days: int | None
    newest: int | None
    uses: Sequence[Use]
    faults: Sequence[Fault]
    vulnerabilities: Sequence[str] = ()

    @property
    def arn(self) -> str:
        """Of the layer version."""
        return f"{self.layer}:{self.number}"

    @property
    def functions(self) -> list[str]:
        """Functions of which a live version has it."""
        return sorted({use.function for use in self.uses if use.live})

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """As JSON-ready values."""
        return {
            "arn": self.arn,
            "version": self.number,
            "age_days": self.age_days,
            "newest": self.newest,
            "faults": [fault.value for fault in self.faults],
            "vulnerabilities": list(self.vulnerabilities),
            "uses": [{"function": u.function, "version": u.number, "aliases": list(u.aliases)} for u in self.uses],
        }


@dataclass(frozen=True, slots=True)
class AuditedLayer:
    """A layer.

    Attributes:
        behind: Functions that are live with an older version than the newest; all that are live are in `users`.
    """

    arn: str
    newest: int | None
    versions: Sequence[AuditedVersion]
    users: Sequence[str]
    behind: Sequence[str]

    @property
    def name(self) -> str:
        """Without the rest of its ARN."""
        return self.arn.rpartition(":")[2]

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """As JSON-ready values."""
        return {
            "arn": self.arn,
            "newest": self.newest,
            "functions": list(self.users),
            "behind": list(self.behind),
            "versions": [version.to_dict() for version in self.versions],
        }


def audit(
    fleet: FleetView, *, now: datetime, vulnerabilities: Mapping[str, Sequence[str]] | None = None
) -> list[AuditedLayer]:
    """Look at each layer of a fleet.

    Args:
        fleet: As it was read.
        now: Aware.
        vulnerabilities: Known ones of layer versions, by ARN.
    """
    uses: dict[str, list[Use]] = {}
    for function in fleet.functions.values():
        for arn, use in _uses(function):
            uses.setdefault(arn, []).append(use)
    return [_layer(layer, uses, now, vulnerabilities or {}) for _, layer in sorted(fleet.layers.items())]


def faults(layers: Iterable[AuditedLayer]) -> set[Fault]:
    """All that is wrong with any of them."""
    return {fault for layer in layers for version in layer.versions for fault in version.faults}


def _uses(function: FunctionView) -> Iterable[tuple[str, Use]]:
    for version in function.all_versions():
        aliases = tuple(
            f"{alias.name} {_share(alias.route.weights, version.number)}".strip()
            for alias in function.aliases
            if version.number in alias.route.versions
        )
        for arn in version.layers:
            yield arn, Use(function.name, version.number, aliases)


def _share(weights: Mapping[str, float], number: str) -> str:
    """An alias's share of a version; empty if it has all of it."""
    return f"{weights.get(number, 1 - sum(weights.values())):.0%}" if weights else ""


def _layer(
    layer: LayerView,
    uses: Mapping[str, Sequence[Use]],
    now: datetime,
    vulnerabilities: Mapping[str, Sequence[str]],
) -> AuditedLayer:
    used = {split(arn)[1] for arn in uses if split(arn)[0] == layer.arn}
    versions = [
        _version(layer, number, uses.get(f"{layer.arn}:{number}", ()), now, vulnerabilities)
        for number in sorted({*used, *layer.versions}, reverse=True)
    ]
    users = sorted({name for version in versions for name in version.functions})
    behind = {
        name for version in versions if layer.newest and version.number < layer.newest for name in version.functions
    }
    return AuditedLayer(layer.arn, layer.newest, versions, users, sorted(behind))


def _version(
    layer: LayerView,
    number: int,
    uses: Sequence[Use],
    now: datetime,
    vulnerabilities: Mapping[str, Sequence[str]],
) -> AuditedVersion:
    known = layer.versions.get(number)
    bad = vulnerabilities.get(f"{layer.arn}:{number}", ())
    found = []
    if uses and layer.newest is not None and number < layer.newest and any(use.live for use in uses):
        found.append(Fault.STALE)
    if known is None:
        found.append(Fault.HIDDEN if number in layer.hidden else Fault.DELETED)
    if bad:
        found.append(Fault.VULNERABLE)
    if not uses:
        found.append(Fault.UNUSED)
    age = _age_days(known.created_at if known is not None else "", now)
    return AuditedVersion(layer.arn, number, age, layer.newest, tuple(uses), tuple(found), tuple(bad))


def _age_days(created_at: str, now: datetime) -> int | None:
    try:
        return max(0, (now - datetime.fromisoformat(created_at)).days)
    except (ValueError, TypeError):  # TypeError: a time without a zone
        return None


def parse_faults(text: str) -> Collection[Fault]:
    """Words with commas between.

    Raises:
        ValueError: One is none of them.
    """
    return {Fault(word.strip()) for word in text.split(",") if word.strip()}
