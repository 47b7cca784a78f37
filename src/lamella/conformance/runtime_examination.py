"""The examination of a runtime, from what a user names to a report."""

import os
import shutil
import stat
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from time import monotonic
from typing import Final

from lamella.conformance.endings import FailedInit, RefusedNext, Streaming, Waiting
from lamella.conformance.examination import Progress, play_all
from lamella.conformance.first_aid import START_CHECKS, Aid, Kind, diagnose
from lamella.conformance.invocations import OF_EVERY_EVENT, Contract, Invocations, Step
from lamella.conformance.play import RUNTIME
from lamella.conformance.plays import event_steps, harsh_steps, large_steps, many_steps, refused_steps
from lamella.conformance.referee import Patient, Program
from lamella.conformance.report import Gathering, Report, Verdict
from lamella.conformance.runtime_checks import RUNTIME_CHECKS
from lamella.conformance.runtime_scenario import Beginning, Opening
from lamella.conformance.scenario import Pace, Scenario
from lamella.conformance.steps import Actions
from lamella.domain.image import Launch
from lamella.invoke.entrypoint import View
from lamella.invoke.variables import probe_variables
from lamella.ports.runtimes import RuntimeCatalog, RuntimePack
from lamella.ports.sandbox import SandboxProvider, SandboxSpec

_HANDLERS: Final = resources.files("lamella.conformance") / "handlers"
_HANDLER_FILES: Final = {
    **{f"verify.{ending}": f"kit-handler.{ending}" for ending in ("py", "js", "ts", "sh", "php", "rb", "lua")},
    "Verify.class": "Verify.class",
}
"""What handlers are called in a function, and here. Each runtime finds its own by its ending."""
_FIRST: Final = "the first events"
_AID: Final = "verify-aid"
_MEMORY_MIB: Final = 512
_CPUS: Final = 1.0
"""The server has invocations to serve meanwhile."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be examined.

    Attributes:
        name: As the user named it.
        pack: The runtime that it is, or that is below it.
        layers: Trees, in the order in which a function has them; the runtime may be in one of them.
        task: Tree of a function; `None` for the kit's own handler.
        handler: `_HANDLER`; `None` for that of the kit's handler.
        variables: Of the function.
        launch: How the first program is started, if it is a container image's. Then there are neither layers nor task.
    """

    name: str
    pack: RuntimePack
    layers: tuple[Path, ...] = ()
    task: Path | None = None
    handler: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    launch: Launch | None = None

    @property
    def brings_handler(self) -> bool:
        """Whether the kit's own handler is of no use."""
        return self.task is not None or self.launch is not None

    @property
    def handler_name(self) -> str:
        """`_HANDLER`."""
        if self.handler is not None:
            return self.handler
        return "Verify::handler" if self.pack.name.startswith("java") else "verify.handler"

    @property
    def missing_handler(self) -> str:
        """The name of a handler that is nowhere."""
        return "VerifyNowhere::handler" if self.pack.name.startswith("java") else "verify_nowhere.handler"


class RuntimeExaminer:
    """Examines runtimes in the sandboxes of a node."""

    def __init__(
        self, sandboxes: SandboxProvider, runtimes: RuntimeCatalog, directory: Path, *, account: str, region: str
    ) -> None:
        """Write the kit's handlers.

        Args:
            sandboxes: Of the node.
            runtimes: Of the node; an interpreter that is missing is looked for in them.
            directory: For what is mounted in sandboxes; what an earlier server left in it is deleted.
            account: Of the functions that are played.
            region: Likewise.
        """
        self._sandboxes = sandboxes
        self._runtimes = runtimes
        self._account = account
        self._region = region
        shutil.rmtree(directory, ignore_errors=True)
        self._task = directory / "handlers"
        self._aids = directory / "aids"
        for name, kept in _HANDLER_FILES.items():
            _place(self._task / name, (_HANDLERS / kept).read_bytes())
        _place(self._aids / _AID / "requests.py", (_HANDLERS / "kit-requests.py").read_bytes())

    async def examine(
        self,
        subject: Subject,
        *,
        pace: Pace | None = None,
        skip: Collection[str] = (),
        only: Collection[str] = (),
        progress: Progress | None = None,
    ) -> Report:
        """Examine a runtime.

        Args:
            subject: What is to be examined; its trees stay until this returns.
            pace: How long things may take.
            skip: Ids of checks that are not wanted.
            only: Ids of the checks that are wanted; empty for all.
            progress: Told of each scenario.

        Raises:
            SandboxError: There could be no sandbox.
        """
        began_s = monotonic()
        pace = Pace() if pace is None else pace
        dropped = {check for check in RUNTIME_CHECKS if check in skip or (only and check not in only)}
        gathering = Gathering(list(RUNTIME_CHECKS.values()), frozenset(dropped))
        epoch_s = time.time() - monotonic()
        # The first scenario finds out what the handler knows, and goes on with it where that is wanted.
        steps = [step for step in event_steps() if not dropped.issuperset(step.checks)] or [Step()]
        patient, contact = await self._start(subject, gathering, pace, epoch_s, progress, steps)
        opening = contact.opening
        if opening is not None and opening.beginning is Beginning.READY:
            contract = contact.contract
            gathering.notes.append(_contract_note(contract))
            idle = dropped.union(OF_EVERY_EVENT)  # for which no scenario is played that is good for nothing else
            scenarios = runtime_scenarios(contract, pace, epoch_s, missing=subject.missing_handler)
            wanted = [one for one in scenarios if not idle.issuperset(one.checks)]
            await play_all(patient, wanted, self._sandboxes, gathering, progress=progress)
        return gathering.report(subject.name, "runtime", monotonic() - began_s)

    async def _start(
        self,
        subject: Subject,
        gathering: Gathering,
        pace: Pace,
        epoch_s: float,
        progress: Progress | None,
        steps: Sequence[Step],
    ) -> tuple[Patient, Invocations]:
        """Start it, with as much first aid as it takes, and give it its first events."""
        aids: list[Aid] = []
        while True:
            patient = self._patient(subject, aids)
            # A compiled program mostly holds its handler itself, and does not look for the kit's.
            ours = not subject.brings_handler and (subject.pack.managed or _interpreter(patient) != "")
            contract = Contract(ours=ours)
            contact = Invocations(_FIRST, pace, epoch_s, [Actions(), *steps], contract)
            await play_all(patient, [contact], self._sandboxes, gathering, progress=progress)
            opening = contact.opening or Opening(Beginning.SILENT)
            if opening.beginning is Beginning.READY:
                for check in START_CHECKS:
                    gathering.results.add(check, Verdict.PASS, "", contact.name)
                return patient, contact
            view = patient.view
            diagnosis = diagnose(
                opening,
                interpreter=_interpreter(patient),
                handler=subject.handler_name,
                has=lambda path, view=view: view.find(path) is not None,  # type: ignore[misc]  # bound at once
            )
            for check in START_CHECKS[: START_CHECKS.index(diagnosis.check)]:
                gathering.results.add(check, Verdict.PASS, "", contact.name)
            if opening.beginning is Beginning.INIT_ERROR and not subject.brings_handler:
                gathering.notes.append(
                    "The runtime cannot load the kit's handler: name a function for it with --function and --handler."
                )
            gathering.results.add(diagnosis.check, Verdict.FAIL, diagnosis.seen, contact.name)
            aid = diagnosis.aid
            if aid is None or aid in aids or not self._can_give(aid, subject.pack):
                return patient, contact
            aids.append(aid)
            gathering.notes.append(aid.describe())

    def _patient(self, subject: Subject, aids: Sequence[Aid]) -> Patient:
        pack, layers = subject.pack, subject.layers
        variables = {
            **probe_variables(pack, account=self._account, region=self._region, memory_mib=_MEMORY_MIB),
            "AWS_LAMBDA_FUNCTION_NAME": "verify",
            **subject.variables,
            "_HANDLER": subject.handler_name,
        }
        python_path = [variables["PYTHONPATH"]] if "PYTHONPATH" in variables else []
        for aid in aids:
            if aid.kind is Kind.INTERPRETER and (rootfs := self._root_with(aid.name, pack)) is not None:
                pack = replace(pack, rootfs=rootfs)
            elif aid.kind is Kind.MODULE:
                layers = (*layers, self._aids)
                python_path.append(f"/opt/{_AID}")
            elif aid.kind is Kind.SEARCH_PATH:
                python_path.append("/var/task")
        if python_path:
            variables["PYTHONPATH"] = ":".join(python_path)
        task = None if subject.launch is not None else subject.task or self._task
        spec = SandboxSpec(
            id="0" * 32, rootfs=pack.rootfs, task=task, layers=layers, memory_mib=_MEMORY_MIB, cpus=_CPUS
        )
        launch = subject.launch
        if launch is None and pack.command is not None:  # a customer-managed runtime that is an image
            launch = Launch(pack.command, (), pack.working_directory)
        program = Program(pack.entrypoints, variables, directory=pack.working_directory, launch=launch)
        view = View(rootfs=pack.rootfs, task=task, layers=layers)
        return Patient(spec, {RUNTIME: program}, view, pack.architecture)

    def _can_give(self, aid: Aid, pack: RuntimePack) -> bool:
        if pack.brings_code:
            return False
        return aid.kind is not Kind.INTERPRETER or self._root_with(aid.name, pack) is not None

    def _root_with(self, interpreter: str, pack: RuntimePack) -> Path | None:
        """The root of an installed runtime that has an interpreter of this name."""
        for other in self._runtimes.packs():
            if other.architecture is pack.architecture and os.path.lexists(other.rootfs / "var/lang/bin" / interpreter):
                return other.rootfs
        return None


def runtime_scenarios(contract: Contract, pace: Pace, epoch_s: float, *, missing: str) -> list[Scenario]:
    """All but the first, which begins with the start and has the events of all kinds; none depends on another.

    Args:
        contract: What the handler does with events of the kit.
        pace: How long things may take.
        epoch_s: What has to be added to monotonic seconds to get the time of day.
        missing: Name of a handler that is nowhere.
    """

    def invocations(name: str, steps: Sequence[Step]) -> Invocations:
        return Invocations(name, pace, epoch_s, steps, contract)

    return [
        invocations("harsh events", harsh_steps()),
        invocations("large events and responses", large_steps()),
        invocations("refused responses", refused_steps()),
        invocations("many events", many_steps()),
        FailedInit(pace, epoch_s, missing),
        RefusedNext(pace, epoch_s, status=403),
        RefusedNext(pace, epoch_s, status=500),
        Waiting(pace, epoch_s, contract),
        Streaming(pace, epoch_s, contract, {"_HANDLER": "verify.stream"} if contract.ours else {}),
    ]


def _contract_note(contract: Contract) -> str:
    if contract.ours and contract.actions:
        return "The handler is the kit's own."
    if contract.actions:
        return f"The handler knows these events of the kit: {', '.join(sorted(contract.actions))}."
    if contract.echoes:
        return "The handler gives back every event as it is."
    return "The handler knows no events of the kit, so what it makes of them could not be held against anything."


def _interpreter(patient: Patient) -> str:
    """Path in the first line of the program; empty if it is no script or not there."""
    for candidate in patient.programs[RUNTIME].candidates:
        found = patient.view.find(candidate)
        if found is not None and stat.S_ISREG(found.stat().st_mode):
            with found.open("rb") as file:
                line = file.read(256).partition(b"\n")[0]
            # As the kernel reads it: a carriage return is part of the name.
            words = line[2:].strip(b" \t").replace(b"\t", b" ").partition(b" ") if line.startswith(b"#!") else (b"",)
            return os.fsdecode(words[0])
    return ""


def _place(path: Path, content: bytes) -> None:
    """A file that anybody may read."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)
