"""The whole check of layers on a server: the static part in a process of its own, then a proof in each runtime."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.layers.facts import FACTS
from lamella.layers.findings import Finding, Severity
from lamella.ports.runtimes import RuntimeCatalog, RuntimeNotInstalledError, RuntimePack
from lamella.ports.sandbox import SandboxError
from lamella.ports.stores import ArtifactStore
from lamella.workshop.inspection import InspectionError, Request, inspect
from lamella.workshop.prover import Prover

RUNTIMES_MOST: Final = 15
"""As many as a layer version may declare. Source: Lambda's service model, `CompatibleRuntimes`."""

_INSPECTION_S: Final = 120.0


class ExaminationError(Exception):
    """Layers could not be checked; the text says why, fit for whoever asked."""


class NoSandboxError(ExaminationError):
    """It is not for the layers: the machine cannot make sandboxes, or not now."""


@dataclass(frozen=True, slots=True)
class ExaminedLayer:
    """A layer that is kept in the artifact store.

    Attributes:
        label: What findings call it; empty if there is only one.
    """

    digest: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of a check.

    Attributes:
        proved: For each runtime in which the layers were tried, how many imports there were, and how many failed.
        not_proved: For each of the others, why not.
    """

    findings: tuple[Finding, ...]
    proved: tuple[dict[str, Any], ...]  # Any: JSON documents
    not_proved: tuple[dict[str, str], ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings because of which a function would fail."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    def to_dict(self) -> dict[str, Any]:  # Any: a JSON document
        """As JSON-ready values."""
        return {
            "findings": [finding.to_dict() for finding in self.findings],
            "proved": list(self.proved),
            "not_proved": list(self.not_proved),
        }

    @classmethod
    def of_dict(cls, document: dict[str, Any]) -> "Examination":  # Any: a JSON document
        """The opposite of `to_dict`."""
        findings = tuple(Finding.of_dict(finding) for finding in document["findings"])
        return cls(findings, tuple(document["proved"]), tuple(document["not_proved"]))


class Examiner:
    """Checks layers, one check at a time: the machine is for invocations."""

    def __init__(self, artifacts: ArtifactStore, runtimes: RuntimeCatalog, prover: Prover) -> None:
        """Nothing is checked yet."""
        self._artifacts = artifacts
        self._runtimes = runtimes
        self._prover = prover
        self._turn = asyncio.Lock()
        self._in_use: Counter[str] = Counter()

    def digests_in_use(self) -> frozenset[str]:
        """Artifacts that are being looked at, and must not be collected."""
        return frozenset(self._in_use)

    def can_try(self, runtimes: Sequence[str], architectures: Sequence[str]) -> bool:
        """Whether one of these runtimes can be tried here for one of these architectures."""
        return bool(self._installed(runtimes, architectures)[0])

    async def examine(
        self,
        layers: Sequence[ExaminedLayer],
        *,
        runtimes: Sequence[str],
        architectures: Sequence[str],
        static: bool,
    ) -> Examination:
        """Check layers that one function has, or may have.

        Args:
            layers: In the order in which a function has them; kept until this returns.
            runtimes: Names as Lambda has them.
            architectures: `x86_64`, `arm64`; none stands for any.
            static: Whether the static part is wanted as well.

        Raises:
            ExaminationError: They cannot be read.
            NoSandboxError: They could not be tried.
        """
        with self._keeping(layers):
            async with self._turn:
                return await self._examine(layers, runtimes, architectures, static=static)

    async def _examine(
        self, layers: Sequence[ExaminedLayer], runtimes: Sequence[str], architectures: Sequence[str], *, static: bool
    ) -> Examination:
        packs, not_proved = self._installed(runtimes, architectures)
        if not static and not packs:
            return Examination((), (), tuple(not_proved))
        try:
            inspection = await inspect(
                Request(
                    archives=[(self._artifacts.archive(layer.digest), layer.label) for layer in layers],
                    runtimes=runtimes,
                    architectures=architectures,
                    static=static,
                    plans=[pack.name for pack in packs],
                    architecture=packs[0].architecture if packs else Architecture.X86_64,
                ),
                timeout_s=_INSPECTION_S,
            )
        except InspectionError as error:
            raise ExaminationError(str(error)) from error
        findings = list(inspection.findings)
        proved: list[dict[str, Any]] = []  # Any: JSON
        trees = [self._artifacts.tree(layer.digest) for layer in layers]
        for pack in packs:
            try:
                proof = await self._prover.prove(pack, trees, inspection.plans[pack.name])
            except SandboxError as error:
                raise NoSandboxError(f"There could be no sandbox of {pack.name}: {error}") from error
            findings += proof.findings
            proved.append(proof.to_dict())
        findings.sort(key=lambda finding: -finding.severity)
        return Examination(tuple(findings), tuple(proved), tuple(not_proved))

    def _installed(
        self, runtimes: Sequence[str], architectures: Sequence[str]
    ) -> tuple[list[RuntimePack], list[dict[str, str]]]:
        """The runtimes that can be tried here, and why the others cannot."""
        packs: list[RuntimePack] = []
        not_proved: list[dict[str, str]] = []
        installed: dict[str, list[RuntimePack]] = {}
        for pack in self._runtimes.packs():
            installed.setdefault(pack.name, []).append(pack)
        for name in dict.fromkeys(runtimes):
            there = installed.get(name, [])
            wanted = [pack for pack in there if pack.architecture.value in (architectures or [*Architecture])]
            # One plan serves all of them, and it is for one architecture.
            same = [pack for pack in wanted if pack.architecture is (packs or wanted)[0].architecture]
            if name not in FACTS:
                reason = "No such runtime is known."
            elif not there:
                reason = self._missing(name)
            elif not wanted:
                reason = f"This server runs {there[0].architecture.value}, which the layer is not for."
            elif not same:
                reason = (
                    f"The others are tried for {packs[0].architecture.value}; ask for {wanted[0].architecture.value}."
                )
            else:
                packs.append(same[0])
                continue
            not_proved.append({"runtime": name, "reason": reason})
        return packs, not_proved

    def _missing(self, name: str) -> str:
        """The catalogue's own words: it knows the remedy."""
        try:
            self._runtimes.find(name, Architecture.X86_64)
        except RuntimeNotInstalledError as error:
            return str(error)
        return f"Runtime {name} is not installed on this node."

    @contextmanager
    def _keeping(self, layers: Sequence[ExaminedLayer]) -> Iterator[None]:
        digests = [layer.digest for layer in layers]
        self._in_use.update(digests)
        try:
            yield
        finally:
            self._in_use.subtract(digests)
            self._in_use += Counter()  # drops those that nobody uses any more
