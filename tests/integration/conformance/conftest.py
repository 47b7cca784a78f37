"""Examinations in real sandboxes, of runtimes that tests write."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.server import CACHE, locked

from lamella.adapters.sandbox import OciSandboxProvider, OciSettings
from lamella.conformance.report import Report, Verdict
from lamella.conformance.runtime_examination import RuntimeExaminer, Subject
from lamella.conformance.scenario import Pace
from lamella.ports.runtimes import RuntimePack
from lamella.runtimes.catalog import PackCatalog
from lamella.runtimes.system import host_architecture

REPOSITORY = Path(__file__).parents[3]
# An answer may take long on a busy machine, where nothing but time tells that it does not come.
PACE = Pace(start_s=10.0, answer_s=1.5, idle_s=0.4, end_s=1.0)


@pytest.fixture(scope="session")
def catalog() -> PackCatalog:
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "runtimes.lock"):
        packs = PackCatalog(CACHE / "runtimes")
        packs.ensure_defaults()
    return packs


def os_only(catalog: PackCatalog, *, python: bool = True) -> RuntimePack:
    """`provided.al2023`, if wanted with a Python, as if a layer had brought it."""
    pack = catalog.find("provided.al2023", host_architecture())
    return replace(pack, rootfs=catalog.find("python3.11", host_architecture()).rootfs) if python else pack


@dataclass(frozen=True)
class Patient:
    """What is to be examined.

    Attributes:
        bootstrap: Text of the program, or the directory of a layer; `None` for the runtime alone.
        mode: Of the program.
        function: Files of a function, by name; empty for the kit's handler.
        options: Of `RuntimeExaminer.examine`.
    """

    pack: RuntimePack
    bootstrap: str | Path | None = None
    mode: int = 0o755
    function: Mapping[str, str] = field(default_factory=dict)
    handler: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def subject(self, scratch: Path) -> Subject:
        """With its files in a directory of its own."""
        layers = () if self.bootstrap is None else (scratch / "layer",)
        if isinstance(self.bootstrap, Path):
            layers = (self.bootstrap,)
        elif self.bootstrap is not None:
            write(scratch / "layer", {"bootstrap": self.bootstrap}, self.mode)
        if self.function:
            write(scratch / "function", self.function, 0o644)
        task = scratch / "function" if self.function else None
        return Subject("the patient", self.pack, layers, task, self.handler)


def write(directory: Path, files: Mapping[str, str], mode: int) -> None:
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text)
        (directory / name).chmod(mode)


def examine_all(catalog: PackCatalog, scratch: Path, patients: Mapping[str, Patient]) -> dict[str, Report]:
    """Examine several runtimes side by side: most of the time goes by waiting for what does not happen."""

    async def examine() -> dict[str, Report]:
        provider = OciSandboxProvider(OciSettings(scratch / "run", f"test-{uuid.uuid4().hex[:8]}", ready=2))
        await provider.start()
        examiner = RuntimeExaminer(provider, catalog, scratch / "kit", account="000000000000", region="us-east-1")
        turns = asyncio.Semaphore(4)

        async def one(name: str, patient: Patient) -> Report:
            async with turns:
                options = {"pace": PACE, **patient.options}
                return await examiner.examine(patient.subject(scratch / name), **options)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {name: group.create_task(one(name, patient)) for name, patient in patients.items()}
        finally:
            await provider.close()
        return {name: task.result() for name, task in tasks.items()}

    return asyncio.run(examine())


def failures(report: Report) -> set[str]:
    return {check.id for check in report.with_verdict(Verdict.FAIL)}
