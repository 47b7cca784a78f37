"""Checks the layers that are published, as the setting `layer_gate` says.

With `warn` a version comes into being at once. That it is to be checked is written down before that, so the check is
not lost with the server; it takes place in the background, one after the other, and the server's log tells of it. With
`enforce` the version comes into being only if nothing is found that makes functions fail.

Findings are kept by what they depend on: the bytes of the archive, and the runtimes and architectures that were
declared. The same layer published again is not checked again.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from lamella.domain.function import Artifact
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.layers.findings import Finding, Severity
from lamella.layers.proving.reading import plain
from lamella.ports.clock import Clock
from lamella.ports.gate import LayerRefusedError
from lamella.ports.records import AccountRecordStore
from lamella.ports.stores import LayerStore
from lamella.workshop.examiner import Examination, ExaminationError, ExaminedLayer, Examiner

_log = logging.getLogger(__name__)

KIND: Final = "layer-findings"
"""Of the records."""

_KEPT_MOST: Final = 200
"""Findings of one layer; who wants more asks `lamella layer check`."""
_LINES_MOST: Final = 20
_QUOTED_MOST: Final = 3
_QUIET_S: Final = 1.0
"""How long it waits before a check: whoever publishes mostly goes on to attach and invoke, and shall find the machine
free."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A check to be made."""

    key: LayerKey
    digest: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]
    label: str

    @property
    def id(self) -> str:
        """Of the record."""
        return record_id(self.digest, self.runtimes, self.architectures)


def record_id(digest: str, runtimes: Sequence[str], architectures: Sequence[str]) -> str:
    """Names what findings depend on."""
    declared = "\n".join([*sorted(runtimes), "", *sorted(architectures)])
    return f"{digest}-{hashlib.sha256(declared.encode()).hexdigest()[:16]}"


class Gate:
    """Implements `lamella.ports.gate.LayerGate`.

    Args:
        enforce: Whether versions with errors are refused; else they are published, and spoken of.
    """

    def __init__(
        self, examiner: Examiner, records: AccountRecordStore, layers: LayerStore, clock: Clock, *, enforce: bool
    ) -> None:
        self._examiner = examiner
        self._records = records
        self._layers = layers
        self._clock = clock
        self._enforce = enforce
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what was not finished, forget what is about layers that are gone, and begin to work."""
        live = await self._layers.digests()
        for record in await self._records.every(KIND):
            document = record.document
            if document["digest"] not in live:
                await self._records.delete(record.account, record.region, KIND, record.id)
            elif document["state"] == "waiting":
                key = LayerKey(record.account, record.region, document["layer"])
                runtimes, architectures = tuple(document["runtimes"]), tuple(document["architectures"])
                job = _Job(key, document["digest"], runtimes, architectures, key.arn())
                self._jobs.put_nowait(replace(job, label=await self._label(job)))
        self._worker = asyncio.create_task(self._work(), name="check layers")

    async def _label(self, job: _Job) -> str:
        """The ARN of the newest version that a check is of: a record is older than the version's number."""
        for version in (await self._layers.list_versions(job.key, limit=50)).items:
            if record_id(version.artifact.digest, version.runtimes, version.architectures) == job.id:
                return version.arn
        return job.label

    async def close(self) -> None:
        """Stop; what is not finished is taken up by the next server."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker

    async def wait_idle(self) -> None:
        """Wait until all that was published has been looked at."""
        await self._jobs.join()

    # What the port asks for

    async def admit(
        self, key: LayerKey, artifact: Artifact, *, runtimes: Sequence[str], architectures: Sequence[str]
    ) -> None:
        """See the port."""
        job = _Job(key, artifact.digest, tuple(runtimes), tuple(architectures), key.arn())
        if not self._enforce:
            if _worthwhile(job):
                await self._records.change(key.account, key.region, KIND, job.id, lambda known: known or _waiting(job))
            return
        known = await self._known(job)
        try:
            examination = await self._examine(job) if known is None else known
        except ExaminationError as error:
            raise LayerRefusedError(
                f"The layer could not be checked, as layer_gate = enforce wants it. {plain(error)}"
            ) from error
        if examination.errors:
            raise LayerRefusedError(_refusal(examination.errors))
        if known is None:
            await self._keep(job, examination)

    def published(self, version: LayerVersion) -> None:
        """See the port."""
        if self._enforce:
            return
        job = _Job(version.key, version.artifact.digest, version.runtimes, version.architectures, version.arn)
        if _worthwhile(job):
            self._jobs.put_nowait(job)

    # What pages ask for

    async def findings(self, version: LayerVersion) -> dict[str, Any] | None:  # Any: a JSON document
        """What is known of a version; `None` if nothing is."""
        id_ = record_id(version.artifact.digest, version.runtimes, version.architectures)
        document = await self._records.get(version.key.account, version.key.region, KIND, id_)
        return None if document is None else dict(document)

    # The work

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                known = await self._known(job)
                if known is None:
                    await asyncio.sleep(_QUIET_S)
                    await self._check(job)
                else:
                    _tell(job.label, known)
            except Exception:  # noqa: BLE001  # the others are to be checked all the same; the operator is told
                _log.exception("layer %s could not be checked", job.label)
            finally:
                self._jobs.task_done()

    async def _check(self, job: _Job) -> None:
        if job.digest not in await self._layers.digests():
            await self._records.delete(job.key.account, job.key.region, KIND, job.id)
            return
        try:
            examination = await self._examine(job)
        except ExaminationError as error:
            _log.warning("layer %s could not be checked: %s", job.label, plain(error))
            failed = {**_waiting(job), "state": "failed", "reason": plain(error)}
            await self._records.put(job.key.account, job.key.region, KIND, job.id, failed)
            return
        await self._keep(job, examination)
        _tell(job.label, examination)

    async def _examine(self, job: _Job) -> Examination:
        return await self._examiner.examine(
            [ExaminedLayer(job.digest)], runtimes=job.runtimes, architectures=job.architectures, static=True
        )

    async def _known(self, job: _Job) -> Examination | None:
        document = await self._records.get(job.key.account, job.key.region, KIND, job.id)
        if document is None or document["state"] != "checked":
            return None
        known = Examination.of_dict(dict(document))
        # What could not be tried may have been installed since, and is not let in untried then.
        untried = [one["runtime"] for one in known.not_proved]
        return None if self._examiner.can_try(untried, job.architectures) else known

    async def _keep(self, job: _Job, examination: Examination) -> None:
        document = {
            **_waiting(job),
            "state": "checked",
            "checked_at": self._clock.now().isoformat(),
            **examination.to_dict(),
        }
        document["findings"] = document["findings"][:_KEPT_MOST]
        await self._records.put(job.key.account, job.key.region, KIND, job.id, document)


def _worthwhile(job: _Job) -> bool:
    """Whether there is something to hold a layer against: one that declares no runtime may be for any."""
    return bool(job.runtimes)


def _waiting(job: _Job) -> dict[str, Any]:  # Any: a JSON document
    return {
        "state": "waiting",
        "layer": job.key.name,
        "digest": job.digest,
        "runtimes": list(job.runtimes),
        "architectures": list(job.architectures),
    }


def _refusal(errors: Sequence[Finding]) -> str:
    """Why a version is refused, in one text of an API's error."""
    shown = " ".join(
        f"[{number}] {finding.code}{f' {plain(finding.place, 120)}' if finding.place else ''}: {plain(finding.reason)}"
        for number, finding in enumerate(errors[:_QUOTED_MOST], 1)
    )
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    return (
        f"The layer is not published: the check found {count}. {shown} "
        "All findings, with remedies: lamella layer check FILE.zip --runtime RUNTIME"
    )


def _tell(label: str, examination: Examination) -> None:
    """Put what was found into the server's log."""
    counts = [
        f"{count} {severity.name.lower()}{'' if count == 1 else 's'}"
        for severity in (Severity.ERROR, Severity.WARNING)
        if (count := sum(finding.severity is severity for finding in examination.findings))
    ]
    if not counts:
        return
    for finding in examination.errors[:_LINES_MOST]:
        _log.warning("layer %s: %s %s: %s", label, finding.code, plain(finding.place, 200), plain(finding.reason))
    _log.warning("layer %s: %s; to see all: lamella layer check %s", label, ", ".join(counts), label)
