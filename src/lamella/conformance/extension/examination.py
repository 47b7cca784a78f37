"""Examines an extension: looks at its file, plays the first scenario, and then the others at once."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lamella.conformance.examination import Progress, play_all
from lamella.conformance.extension import survey
from lamella.conformance.extension.lending import lend
from lamella.conformance.extension.lives import Fault, Patience, Reset, Unknown
from lamella.conformance.extension.ordinary import Ordinary
from lamella.conformance.extension.scenario import ExtensionScenario, Subject
from lamella.conformance.extension.telemetry import Burst, Refused, UnknownRecords
from lamella.conformance.extension_checks import EXTENSION_CHECKS
from lamella.conformance.referee import Patient, Program
from lamella.conformance.report import Gathering, Report, Result, Verdict
from lamella.conformance.scenario import Pace
from lamella.invoke.processes import EXTENSIONS
from lamella.invoke.variables import SANDBOX_ADDRESS, extension_variables, probe_variables
from lamella.ports.runtimes import RuntimePack
from lamella.ports.sandbox import SandboxProvider, SandboxSpec

COLLECTOR_URL: Final = f"http://{SANDBOX_ADDRESS}:4566"
_OF_EVENTS: Final = (Patience, Reset, Unknown, Fault)
_OF_TELEMETRY: Final = (Burst, UnknownRecords, Refused)
_AT_ONCE: Final = 4
_NAMES_SHOWN: Final = 12
_CPUS: Final = 1.0
"""The server has invocations to serve meanwhile."""


class NothingToExamineError(Exception):
    """There is no such extension; the text says what there is."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be examined, and how.

    Attributes:
        layers: Trees, in the order of a function.
        name: Of the extension; empty if there is only one.
        runtimes: Those it is for: each must be able to start it, and the first is where it is played. None: whichever
            can start it.
        variables: Of the function that would have it.
        collector: Variable that names the collector; empty for the usual one.
        telemetry: Whether it is there for telemetry; `None` if that is to be guessed.
        skipped: Ids of checks that are not wanted.
        pace: How long things may take.
        memory_mib: Of the sandboxes.
    """

    layers: Sequence[Path]
    name: str = ""
    runtimes: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    collector: str = ""
    telemetry: bool | None = None
    skipped: frozenset[str] = frozenset()
    pace: Pace = field(default_factory=Pace)
    memory_mib: int = 512

    def check(self, place: "Place") -> tuple[str, ...]:
        """Make sure that it names one extension; returns the names of all.

        Raises:
            NothingToExamineError: There is none, or it could be any of several.
        """
        names = survey.names_of(survey.view_of(place.packs[0], self.layers, place.directory))
        there = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
        if not names:
            raise NothingToExamineError(
                "There is no extension: the layers have no file in a folder 'extensions'. Name a layer that has one, "
                "or the extension itself."
            )
        if self.name and self.name not in names:
            raise NothingToExamineError(f"There is no extension {self.name[:80]!r}; there is {there}.")
        if not self.name and len(names) > 1:
            raise NothingToExamineError(f"There are several extensions, so name one of them: {there}.")
        return names


@dataclass(frozen=True, slots=True)
class Place:
    """Where extensions are examined.

    Attributes:
        packs: The runtimes of the node, all for one architecture; there is at least one.
        directory: For the tree at `/var/task`.
    """

    sandboxes: SandboxProvider
    packs: Sequence[RuntimePack]
    directory: Path
    account: str
    region: str


async def examine(wish: Wish, place: Place, *, progress: Progress | None = None) -> Report:
    """Examine one extension.

    Raises:
        NothingToExamineError: See `Wish.check`.
        SandboxError: There could be no sandbox.
    """
    names = wish.check(place)
    with _task(place.directory) as task:
        return await _Examination(wish, place, task, wish.name or names[0], names).run(progress)


class _Examination:
    """Of one extension."""

    def __init__(self, wish: Wish, place: Place, task: Path, name: str, names: Sequence[str]) -> None:
        self._wish, self._place, self._task = wish, place, task
        self._name, self._names = name, names
        self._gathering = Gathering(list(EXTENSION_CHECKS.values()), wish.skipped)
        self._views = {pack.name: survey.view_of(pack, wish.layers, task) for pack in place.packs}
        self._problems = {pack.name: survey.problem_of(name, pack, self._views[pack.name]) for pack in place.packs}

    async def run(self, progress: Progress | None) -> Report:
        """Examine it."""
        began_s = time.monotonic()
        pack = self._choose()
        self._survey(pack)
        collector = self._wish.collector or survey.DEFAULT_COLLECTOR
        hints = survey.hints_of(self._name, self._views[pack.name], collector)
        subject = Subject(
            self._name,
            collector if self._wish.collector or hints.collector else "",
            means_telemetry=hints.telemetry if self._wish.telemetry is None else self._wish.telemetry,
            ships=bool(self._wish.collector) or (hints.collector and self._wish.telemetry is not False),
        )
        epoch_s = time.time() - time.monotonic()
        first = Ordinary(subject, self._wish.pace, epoch_s=epoch_s)
        patient = self._patient(pack, collector)
        await play_all(patient, [first], self._place.sandboxes, self._gathering, progress=progress)
        if first.lent:
            self._gathering.notes.append("It was lent the module requests, so that the rest could be seen.")
        life = first.life
        if life is not None:
            chosen: list[type[ExtensionScenario]] = [*_OF_EVENTS, *(_OF_TELEMETRY if life.subscription else ())]
            scenarios = [kind(subject, self._wish.pace, epoch_s=epoch_s, lent=first.lent) for kind in chosen]
            wanted = [scenario for scenario in scenarios if not set(scenario.checks) <= self._wish.skipped]
            await play_all(patient, wanted, self._place.sandboxes, self._gathering, at_once=_AT_ONCE, progress=progress)
        return self._gathering.report(self._name, "extension", time.monotonic() - began_s)

    def _choose(self) -> RuntimePack:
        """The runtime to play it in."""
        packs = {pack.name: pack for pack in self._place.packs}
        named = [packs[name] for name in self._wish.runtimes if name in packs]
        able = [pack for pack in named or packs.values() if not self._problems[pack.name]]
        candidates = able or named or list(packs.values())
        if not named:  # of those that it could have, the newest with little in it shows most
            candidates.sort(key=lambda pack: (pack.name.startswith("provided"), pack.name), reverse=True)
        return candidates[0]

    def _survey(self, pack: RuntimePack) -> None:
        """What can be said by looking."""
        results: dict[str, Result] = {}
        problem = survey.files_problem(self._name, self._names, pack, self._views[pack.name])
        results["files"] = Result(Verdict.FAIL, problem) if problem else Result(Verdict.PASS)
        unable = {name: problem for name, problem in self._problems.items() if problem}
        able = [name for name in self._problems if name not in unable]
        declared = [f"{name}: {unable[name]}" for name in self._wish.runtimes if name in unable]
        if declared or not able:
            results["starts"] = Result(Verdict.FAIL, "; ".join(declared) or unable[pack.name])
        if self._wish.runtimes:
            results["every-runtime"] = Result(Verdict.NOT_APPLICABLE, f"It is for {', '.join(self._wish.runtimes)}.")
        elif unable and able:
            reasons = ", ".join(dict.fromkeys(unable.values()))
            text = f"It can be started in {', '.join(able)}, and not in {', '.join(unable)}: {reasons}."
            results["every-runtime"] = Result(Verdict.FAIL, text)
        elif unable:
            results["every-runtime"] = Result(Verdict.NOT_APPLICABLE, "It cannot be started in any.")
        else:
            results["every-runtime"] = Result(Verdict.PASS, f"In {', '.join(able)}.")
        self._gathering.take(results)
        self._gathering.notes.append(f"Played in {pack.name} ({pack.architecture.value}).")

    def _patient(self, pack: RuntimePack, collector: str) -> Patient:
        wish, place = self._wish, self._place
        variables = {
            **probe_variables(pack, account=place.account, region=place.region, memory_mib=wish.memory_mib),
            "AWS_ENDPOINT_URL": COLLECTOR_URL,
            "AWS_LAMBDA_FUNCTION_NAME": "verified-function",
            "AWS_LAMBDA_METADATA_API": f"{SANDBOX_ADDRESS}:9001",
            "AWS_LAMBDA_METADATA_TOKEN": "lamella",
            collector: f"{COLLECTOR_URL}/collector",
            **wish.variables,
        }
        program = Program(
            (f"{EXTENSIONS}/{self._name}",),
            extension_variables(variables, pack, wish.variables),
            directory="/",
        )
        spec = SandboxSpec(
            id="",
            rootfs=pack.rootfs,
            task=self._task,
            layers=tuple(wish.layers),
            memory_mib=wish.memory_mib,
            cpus=_CPUS,
        )
        return Patient(spec, {self._name: program}, self._views[pack.name], pack.architecture, collects=True)


@contextmanager
def _task(directory: Path) -> Iterator[Path]:
    """The tree for `/var/task`, where a function would be."""
    task = Path(tempfile.mkdtemp(prefix="verify-", dir=directory))
    try:
        lend(task)
        task.chmod(0o755)
        yield task
    finally:
        shutil.rmtree(task, ignore_errors=True)
