"""Carries out the commands of a roll-out, one at a time and each so that it can be repeated.

A command looks first. What is as it should be is left; what is as the plan found it is changed, under the revision just
looked at; what is otherwise is somebody else's, and a conflict. So neither a second process after a crash nor two
people at once do any harm.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from lamella.fleet.drift import fingerprint
from lamella.fleet.events import (
    Baked,
    Command,
    Conflicted,
    Event,
    Failed,
    Probe,
    Probed,
    Publish,
    Published,
    ShiftAliases,
    Shifted,
    Undo,
    UndoFailed,
    Undone,
    Updated,
    UpdateLayers,
    Watch,
)
from lamella.fleet.lambda_api import FunctionApi, GoneError, OvertakenError, RefusedError, insistently
from lamella.fleet.model import LATEST, Route, Version
from lamella.fleet.plan import Plan, PlannedAlias, PlannedFunction
from lamella.fleet.policy import Policy
from lamella.fleet.watching import Comparison, Stats, Watched, Watcher, by_function, judge, too_quiet

_MOST_LOOK_S: Final = 10.0
_LEAST_LOOK_S: Final = 0.5
"""Between two looks a twentieth of the step passes, within these bounds."""
_LATE_LOOK_S: Final = 20.0
"""Between two looks at metrics that come late: they come once a minute, and AWS takes money for each that is read."""
_LONGER: Final = 4
"""Where a step needs more invocations, so many times as long is waited for them."""
_DESCRIPTION_MOST: Final = 256
"""Characters. Source: model, `Description`."""

Show = Callable[[dict[str, str], datetime], None]
"""Takes what is seen of each function, and until when the step lasts."""


class Performer:
    """Carries out commands.

    Args:
        plan: What to do.
        policy: How carefully.
        api: To Lambda.
        watcher: Who knows how invocations fare.
        show: Told what is being watched.
        now: Aware.
    """

    def __init__(
        self,
        plan: Plan,
        policy: Policy,
        api: FunctionApi,
        watcher: Watcher,
        *,
        show: Show = lambda _seen, _until: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._plan = plan
        self._policy = policy
        self._api = api
        self._watcher = watcher
        self._show = show
        self._now = now

    def perform(self, command: Command, cancelled: threading.Event) -> Event | None:
        """Carry it out, and say what came of it; `None` if it was cancelled.

        Raises:
            UnreachableError: The API cannot be reached; the command may have been carried out or not.
        """
        try:
            match command:
                case UpdateLayers(name):
                    return self._update(self._plan.functions[name])
                case Publish(name):
                    return self._publish(self._plan.functions[name])
                case Probe(name, version):
                    error = self._api.invoke(name, version or LATEST, self._policy.probe or "{}")
                    return Failed(name, f"the probe: {error}") if error else Probed(name)
                case ShiftAliases(name, version, step):
                    return self._shift(self._plan.functions[name], version, step)
                case Undo(name, version, touched):
                    return self._undo(self._plan.functions[name], version, touched=touched)
                case Watch():
                    return self._watch(command, cancelled)
        except GoneError as error:
            name = _name(command)
            return Undone(name, str(error)) if isinstance(command, Undo) else Conflicted(name, str(error))
        except (RefusedError, OvertakenError) as error:
            name = _name(command)
            return UndoFailed(name, str(error)) if isinstance(command, Undo) else Failed(name, str(error))

    def _update(self, planned: PlannedFunction) -> Event:
        def attempt() -> str | None:
            latest = self._api.settled(planned.name)
            if conflict := self._changed(latest, planned):
                return conflict
            if latest.layers == planned.after:
                return None
            if latest.layers != planned.before:
                return f"$LATEST has other layers than when the plan was made: {_listed(latest.layers)}"
            self._api.set_layers(planned.name, planned.after, str(latest.document["RevisionId"]))
            return None

        if conflict := insistently(attempt):
            return Conflicted(planned.name, conflict)
        if reason := _failure(self._api.settled(planned.name)):
            return Failed(planned.name, reason)
        return Updated(planned.name)

    def _publish(self, planned: PlannedFunction) -> Event:
        marker = f"[roll-out {self._plan.id}]"
        numbers: list[str] = []

        def attempt() -> str | None:
            latest = self._api.settled(planned.name)
            if conflict := self._changed(latest, planned):
                return conflict
            if latest.layers != planned.after:
                return f"$LATEST has other layers than it was given: {_listed(latest.layers)}"
            published = self._published(planned, marker)
            if published is None:
                published = self._api.publish(
                    planned.name,
                    code_sha256=planned.code_sha256,
                    revision_id=str(latest.document["RevisionId"]),
                    description=f"{planned.description[: _DESCRIPTION_MOST - len(marker) - 1]} {marker}".strip(),
                )
            numbers[:] = [published]
            return None

        if conflict := insistently(attempt):
            return Conflicted(planned.name, conflict)
        version = self._api.settled(planned.name, numbers[0])
        if reason := _failure(version):
            return Failed(planned.name, f"version {version.number}: {reason}")
        return Published(planned.name, version.number, int(version.number) > planned.highest_version)

    def _published(self, planned: PlannedFunction, marker: str) -> str | None:
        """The version that an earlier process has published without living to write it down."""
        for version in self._api.versions(planned.name):
            same = version.document.get("CodeSha256", "") == planned.code_sha256 and version.layers == planned.after
            if same and marker in str(version.document.get("Description", "")):
                return version.number
        return None

    def _changed(self, latest: Version, planned: PlannedFunction) -> str | None:
        now, then = fingerprint(latest.document, self._plan.layer), planned.fingerprint
        changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
        return f"somebody has changed {', '.join(changed)} since the plan was made" if changed else None

    def _shift(self, planned: PlannedFunction, version: str, step: int) -> Event:
        for alias in planned.aliases:
            wanted = self.route(alias, version, step)
            known = [alias.route, *(self.route(alias, version, earlier) for earlier in range(step))]
            if conflict := self._set_alias(planned.name, alias, wanted, known):
                return Conflicted(planned.name, conflict)
        return Shifted(planned.name)

    def route(self, alias: PlannedAlias, version: str, step: int) -> Route:
        """Where an alias sends invocations in a step."""
        share = self._policy.steps[step]
        if share == 1:
            return Route(version)
        if alias.at_once or alias.route.version == version:
            return alias.route
        return Route(alias.route.version, {version: round(share, 6)})

    def _set_alias(self, name: str, alias: PlannedAlias, wanted: Route, known: Sequence[Route]) -> str | None:
        def attempt() -> str | None:
            found, revision_id = self._api.alias(name, alias.name)
            if found == wanted:
                return None
            if found not in known:
                return f"somebody has sent alias {alias.name} to {found}"
            self._api.set_alias(name, alias.name, wanted, revision_id)
            return None

        return insistently(attempt)

    def _undo(self, planned: PlannedFunction, version: str, *, touched: bool) -> Event:
        notes = []
        for alias in planned.aliases if version else ():  # without a version no alias can have been moved
            known = [self.route(alias, version, step) for step in range(len(self._policy.steps))]
            try:
                conflict = self._set_alias(planned.name, alias, alias.route, known)
            except GoneError:
                conflict = f"alias {alias.name} is gone"
            if conflict:
                notes.append(f"{conflict}, where it was left")
        if planned.update and (note := self._undo_latest(planned, touched=touched)):
            notes.append(note)
        return Undone(planned.name, "; ".join(notes))

    def _undo_latest(self, planned: PlannedFunction, *, touched: bool) -> str | None:
        """Put the layers of `$LATEST` back, if they are what the roll-out has made of them. Returns what it could not.

        Other things that somebody has changed meanwhile are kept. Where nobody knows whether the layers were changed
        by this roll-out (its process died at that moment), a function that somebody else has changed too is his.
        """

        def attempt() -> str | None:
            latest = self._api.settled(planned.name)
            if latest.layers == planned.before:
                return None
            if latest.layers != planned.after or (not touched and self._changed(latest, planned)):
                return f"somebody has given $LATEST other layers, which were left: {_listed(latest.layers)}"
            self._api.set_layers(planned.name, planned.before, str(latest.document["RevisionId"]))
            return None

        note = insistently(attempt)
        if note is None and (reason := _failure(self._api.settled(planned.name))):
            raise RefusedError(reason)
        return note

    def _watch(self, command: Watch, cancelled: threading.Event) -> Event | None:
        targets = self._targets(command)
        names = [name for name, _ in command.versions]
        policy, since = self._policy, self._now()
        # What happened in the step's last second is known only so much later.
        delay = timedelta(seconds=policy.metrics_delay_s if policy.watch else 0)
        until = since + timedelta(seconds=policy.bake_s) + delay
        latest = since + timedelta(seconds=policy.bake_s * _LONGER) + delay
        while True:
            compared: dict[str, Comparison] = {}
            if policy.watch:
                compared = by_function(self._watcher.observe(targets, since=since, until=self._now()))
                if unhealthy := judge(compared, policy):
                    return _baked(unhealthy, compared)
            quiet = too_quiet(names, compared, policy) if policy.watch else {}
            now = self._now()
            if now >= until and (not quiet or now >= latest):
                return _baked(quiet, compared)
            ends = until if now < until else latest
            self._show({name: str(one) for name, one in compared.items()}, ends)
            pause_s = _LATE_LOOK_S if delay else min(_MOST_LOOK_S, max(_LEAST_LOOK_S, policy.bake_s / 20))
            if cancelled.wait(max(0.01, min(pause_s, (ends - now).total_seconds()))):
                return None

    def _targets(self, command: Watch) -> Sequence[Watched]:
        share = self._policy.steps[command.step]
        found = []
        for name, version in command.versions:
            planned = self._plan.functions[name]
            if not planned.aliases:
                found.append(Watched(name, "", "", "", 1.0))
            found += [
                Watched(name, alias.name, version, alias.route.version, share)
                for alias in planned.aliases
                if share == 1 or not alias.at_once
            ]
        return found


def _baked(unhealthy: Mapping[str, str], compared: Mapping[str, Comparison]) -> Baked:
    total = sum((one.new for one in compared.values()), Stats())
    return Baked(unhealthy, {name: str(one) for name, one in compared.items()}, total.invocations, total.errors)


def _failure(version: Version) -> str:
    """Why Lambda could not make it usable; empty if it could."""
    document = version.document
    if document.get("State") == "Failed":
        return str(document.get("StateReason") or "Lambda could not make it usable")
    if document.get("LastUpdateStatus") == "Failed":
        return str(document.get("LastUpdateStatusReason") or "Lambda could not update it")
    return ""


def _listed(layers: Sequence[str]) -> str:
    return ", ".join(":".join(arn.split(":")[-2:]) for arn in layers) or "none"


def _name(command: Command) -> str:
    assert not isinstance(command, Watch), "watching asks for no function"
    return command.function
