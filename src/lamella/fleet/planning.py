"""Decides what a new version of a layer would touch. Pure: from what was read of a fleet to a plan."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from lamella.fleet.drift import differences, fingerprint
from lamella.fleet.layers import replaced, version_of
from lamella.fleet.model import LATEST, AliasView, FunctionView, Version
from lamella.fleet.plan import PlannedAlias, PlannedFunction, Skipped

_NOT_SHARED: Final = ("Role", "DeadLetterConfig")
"""Two versions that share an alias must have these in common. Source: developer guide, "configuring-alias-routing"."""


class Drift(StrEnum):
    """What to do where publishing would ship more than the layer."""

    SKIP = "skip"
    INCLUDE = "include"
    REFUSE = "refuse"


class Publishing(StrEnum):
    """For which functions to publish a version."""

    MOVED = "moved"  # those with an alias to move
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user wants.

    Attributes:
        layer: ARN without a version.
        version: The new one.
        origins: Versions to replace; empty for all others.
        functions: Patterns of names as a shell has them; empty for all.
        excluded: Likewise.
        aliases: Patterns of names of aliases to move; empty for all.
    """

    layer: str
    version: int
    origins: Collection[int] = ()
    functions: Sequence[str] = ()
    excluded: Sequence[str] = ()
    aliases: Sequence[str] = ()
    drift: Drift = Drift.SKIP
    publishing: Publishing = Publishing.MOVED

    def wants(self, name: str) -> bool:
        """Whether a function of that name is meant."""
        if any(fnmatchcase(name, pattern) for pattern in self.excluded):
            return False
        return not self.functions or any(fnmatchcase(name, pattern) for pattern in self.functions)

    def replaces(self, version: int | None) -> bool:
        """Whether this version of the layer, if it is one, has to give way."""
        return version is not None and version != self.version and (not self.origins or version in self.origins)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about one function.

    Attributes:
        planned: `None` if nothing is.
        skipped: The function, or aliases of it, that are left as they are.
        refused: Why the whole plan must not be applied.
    """

    planned: PlannedFunction | None = None
    skipped: Sequence[Skipped] = ()
    refused: Sequence[str] = ()


def uses(function: FunctionView, layer: str) -> bool:
    """Whether `$LATEST`, or any version that an alias invokes, has some version of the layer."""
    routed = {number for alias in function.aliases for number in alias.route.versions}
    return any(
        version_of(version.layers, layer) is not None
        for version in function.all_versions()
        if version.number == LATEST or version.number in routed
    )


def decide(function: FunctionView, detail: Version, request: Request) -> Decision:
    """What a roll-out has to do with a function that uses the layer.

    Args:
        function: As listings show it.
        detail: Its `$LATEST` as `GetFunctionConfiguration` shows it, with its state and its revision.
        request: What the user wants.
    """
    latest, layer = detail, request.layer
    moving = [] if request.publishing is Publishing.NEVER else _candidates(function, request)
    present = version_of(latest.layers, layer)
    if present is None:
        if not moving:
            return Decision()  # neither $LATEST nor an alias that is meant has it
        names = ", ".join(alias.name for alias in moving)
        return _skip(function, "removed", f"$LATEST no longer has the layer, which {names} still has")
    if present != request.version and not request.replaces(present):
        return _skip(function, "version", f"$LATEST has version {present}, which --from leaves out")
    if present == request.version and not moving and request.publishing is not Publishing.ALWAYS:
        return _skip(function, "already", f"it has version {request.version} already")
    if reason := _busy(detail):
        return _skip(function, "in-progress", reason)
    kept, left, refused, warnings = _sort_by_drift(function, moving, request)
    if moving and not kept:
        if request.publishing is not Publishing.ALWAYS:
            whole = Skipped(function.name, "drift", "; ".join(f"{one.alias}: {one.reason}" for one in left))
            return Decision(skipped=[whole], refused=refused)
        warnings.append("no alias is moved")
    planned = PlannedFunction(
        name=function.name,
        runtime=latest.runtime,
        architecture=latest.architecture,
        revision_id=str(latest.document.get("RevisionId", "")),
        code_sha256=str(latest.document.get("CodeSha256", "")),
        fingerprint=fingerprint(latest.document, layer),
        before=latest.layers,
        after=replaced(latest.layers, layer, request.version),
        publish=bool(kept) or request.publishing is Publishing.ALWAYS,
        highest_version=max((int(number) for number in function.versions), default=0),
        description=str(latest.document.get("Description", "")),
        aliases=tuple(kept),
        warnings=(*warnings, *_immediate(function, present, request)),
    )
    return Decision(planned, left, refused)


def _candidates(function: FunctionView, request: Request) -> list[AliasView]:
    """Aliases that invoke a version with a layer version that has to give way."""
    found = []
    for alias in function.aliases:
        if request.aliases and not any(fnmatchcase(alias.name, pattern) for pattern in request.aliases):
            continue
        if LATEST in alias.route.versions:
            continue  # it follows by itself
        versions = [function.version(number) for number in alias.route.versions]
        if any(one is not None and request.replaces(version_of(one.layers, request.layer)) for one in versions):
            found.append(alias)
    return found


def _busy(latest: Version) -> str:
    """Why the function cannot be updated now; empty if it can."""
    document = latest.document
    state, update = document.get("State", "Active"), document.get("LastUpdateStatus", "Successful")
    if state not in {"Active", "Inactive"}:
        return f"its state is {state}"
    return "another update of it is under way" if update == "InProgress" else ""


def _sort_by_drift(
    function: FunctionView, moving: Sequence[AliasView], request: Request
) -> tuple[list[PlannedAlias], list[Skipped], list[str], list[str]]:
    """Aliases that can be moved, those that stay, reasons to refuse, warnings.

    An alias that shares its invocations between two versions is moved if both are `$LATEST` but for the layer. Then it
    cannot matter which of them an invocation met. Else somebody is in the middle of bringing out one of them.
    """
    kept: list[PlannedAlias] = []
    left: list[Skipped] = []
    refused: list[str] = []
    warnings: list[str] = []
    for alias in moving:
        changed = _changed(function, alias, request.layer)
        if not changed:
            kept.append(PlannedAlias(alias.name, alias.route))
            continue
        if alias.route.weights:
            reason = (
                f"it shares its invocations between {alias.route}, and $LATEST differs from them in {_and(changed)}"
            )
        else:
            reason = (
                f"$LATEST differs from version {alias.route.version} in {_and(changed)}, which would be shipped too"
            )
        if request.drift is Drift.INCLUDE:
            at_once = _and([name for name in changed if name in _NOT_SHARED])
            at_once = f"versions that share an alias must not differ in {at_once}" if at_once else ""
            kept.append(PlannedAlias(alias.name, alias.route, at_once))
            warnings.append(f"{alias.name}: {reason}")
        else:
            left.append(Skipped(function.name, "drift", reason, alias.name))
            if request.drift is Drift.REFUSE:
                refused.append(f"{function.name}:{alias.name}: {reason}")
    return kept, left, refused, warnings


def _changed(function: FunctionView, alias: AliasView, layer: str) -> list[str]:
    found: set[str] = set()
    for number in alias.route.versions:
        version = function.version(number)
        if version is None:
            found.add("everything: the version is gone")
        else:
            # Compared like with like: what listings leave out of a version, $LATEST is not asked about either.
            found.update(differences(function.latest.document, version.document, layer))
    return sorted(found)


def _immediate(function: FunctionView, present: int, request: Request) -> list[str]:
    """Invocations that meet the new layer at once, without any share."""
    followers = [alias.name for alias in function.aliases if LATEST in alias.route.versions]
    if followers and present != request.version:
        return [f"{_and(followers)} invokes $LATEST, which gets the layer at once"]
    return []


def _skip(function: FunctionView, code: str, reason: str) -> Decision:
    return Decision(skipped=[Skipped(function.name, code, reason)])


def blocked(planned: PlannedFunction, problems: Sequence[str]) -> Skipped:
    """A function that was planned and must not be touched."""
    return Skipped(planned.name, "blocked", "; ".join(problems))


def warned(planned: PlannedFunction, warnings: Sequence[str]) -> PlannedFunction:
    """The same with more warnings."""
    return replace(planned, warnings=(*planned.warnings, *warnings))


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1] if words else ""
