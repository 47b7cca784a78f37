"""What a roll-out would do, written down: for people to read, and for `apply` to follow."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from lamella.fleet.errors import FleetError
from lamella.fleet.function_machine import Task
from lamella.fleet.machine import RolloutMachine, Rules
from lamella.fleet.model import Route
from lamella.layers.findings import Finding

FORMAT: Final = "lamella-fleet-plan"
VERSION: Final = 1
_MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PlannedAlias:
    """An alias that is to invoke the new version in the end.

    Attributes:
        route: What it invokes now.
        at_once: Why it cannot share invocations between old and new, so that it is moved with the last step alone;
            empty if it can.
    """

    name: str
    route: Route
    at_once: str = ""


@dataclass(frozen=True, slots=True)
class PlannedFunction:
    """What is to be done to a function.

    Attributes:
        revision_id: Of `$LATEST` when the plan was made.
        code_sha256: Of its code; what is published has to be this.
        fingerprint: Of its configuration without the layer (`fleet.drift`).
        before, after: ARNs of its layer versions, in order.
        publish: Whether a version is published.
        highest_version: Number of the newest published version when the plan was made; 0 if there was none.
        description: Of `$LATEST`; the version's begins like it.
        aliases: To be moved.
        warnings: What to think of before agreeing.
    """

    name: str
    runtime: str
    architecture: str
    revision_id: str
    code_sha256: str
    fingerprint: Mapping[str, str]
    before: tuple[str, ...]
    after: tuple[str, ...]
    publish: bool
    highest_version: int = 0
    description: str = ""
    aliases: tuple[PlannedAlias, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def update(self) -> bool:
        """Whether `$LATEST` has to be changed."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Skipped:
    """A function, or one alias of it, that the roll-out leaves as it is.

    Attributes:
        code: A word: `already`, `drift`, `in-progress`, `removed`, `version`, `blocked`.
        alias: Name of the alias; empty if it is about the function.
    """

    name: str
    code: str
    reason: str
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A roll-out, before it begins.

    Attributes:
        id: Of the roll-out.
        created_at: In ISO 8601.
        region: Where it was made.
        layer: ARN of the layer without a version.
        version: The version that it brings.
        waves: Names of functions, in order.
        refused: Why it must not be applied; empty if it may.
        findings: What the doctor says of the new layer together with the functions' other layers.
    """

    id: str
    created_at: str
    region: str
    layer: str
    version: int
    waves: tuple[tuple[str, ...], ...]
    functions: Mapping[str, PlannedFunction]
    skipped: Sequence[Skipped] = ()
    refused: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def arn(self) -> str:
        """Of the new layer version."""
        return f"{self.layer}:{self.version}"

    def machine(self, *, steps: int, probe: bool, max_failures: int, conflict_stops: bool) -> RolloutMachine:
        """The state machine of this roll-out, before it has begun."""
        tasks = [
            Task(one.name, update=one.update, publish=one.publish, shift=bool(one.aliases), probe=probe)
            for one in self.functions.values()
        ]
        return RolloutMachine.of(self.waves, tasks, Rules(steps, max_failures, conflict_stops))

    def to_document(self) -> dict[str, Any]:  # Any: JSON
        """As JSON-ready values."""
        document = {"format": FORMAT, "version_of_format": VERSION, **asdict(self)}
        document["functions"] = [asdict(one) for one in self.functions.values()]
        document["findings"] = [finding.to_dict() for finding in self.findings]
        return document

    @classmethod
    def of_document(cls, document: object, origin: str) -> "Plan":
        """The opposite.

        Raises:
            FleetError: It is no plan, or of another version; `origin` says in the text where it came from.
        """
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise FleetError(f"{origin} is not a plan of 'lamella fleet plan'")
        if document.get("version_of_format") != VERSION:
            raise FleetError(
                f"{origin} has version {document.get('version_of_format')!r} of the format, and this program knows "
                f"{VERSION}; make the plan again"
            )
        try:
            functions = [_function(one) for one in document["functions"]]
            plan = cls(
                id=str(document["id"]),
                created_at=str(document["created_at"]),
                region=str(document["region"]),
                layer=str(document["layer"]),
                version=int(document["version"]),
                waves=tuple(tuple(map(str, wave)) for wave in document["waves"]),
                functions={one.name: one for one in functions},
                skipped=[Skipped(**one) for one in document["skipped"]],
                refused=[str(one) for one in document["refused"]],
                findings=[Finding.of_dict(one) for one in document["findings"]],
                notes=[str(one) for one in document["notes"]],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FleetError(f"{origin} is damaged: {error!r}; make the plan again") from error
        named = [name for wave in plan.waves for name in wave]
        uneven = any(len(one.before) != len(one.after) for one in plan.functions.values())
        if uneven or sorted(named) != sorted(plan.functions) or not plan.id.replace("-", "").isalnum():
            raise FleetError(f"{origin} is damaged: what it says does not fit together; make the plan again")
        return plan


def _function(document: Mapping[str, Any]) -> PlannedFunction:  # Any: JSON
    values = dict(document)
    values["before"], values["after"] = tuple(values["before"]), tuple(values["after"])
    values["warnings"] = tuple(values["warnings"])
    values["fingerprint"] = dict(values["fingerprint"])
    values["aliases"] = tuple(
        PlannedAlias(one["name"], Route(str(one["route"]["version"]), dict(one["route"]["weights"])), one["at_once"])
        for one in values["aliases"]
    )
    return PlannedFunction(**values)


def read_plan(path: Path) -> Plan:
    """A plan from a file.

    Raises:
        FleetError: It cannot be read, or is none.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FleetError(f"{path} is too big for a plan")
        return Plan.of_document(json.loads(path.read_bytes()), str(path))
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FleetError(f"{path} is not JSON: {error}") from error


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan to a file, as a whole or not at all.

    Raises:
        FleetError: It cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(plan.to_document(), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise FleetError(f"cannot write {path}: {error.strerror}") from error
