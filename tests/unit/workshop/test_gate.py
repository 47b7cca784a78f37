"""What the gate does with layers, without looking at any."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from lamella.domain.function import Artifact
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.layers.findings import Finding, Severity
from lamella.ports.gate import LayerRefusedError
from lamella.testing.clock import FakeClock
from lamella.testing.records import MemoryAccountRecordStore
from lamella.testing.stores import MemoryLayerStore
from lamella.workshop import gate as gates
from lamella.workshop.examiner import Examination, ExaminationError, ExaminedLayer, Examiner
from lamella.workshop.gate import KIND, Gate, record_id

KEY = LayerKey("000000000000", "us-east-1", "tools")
ARTIFACT = Artifact("a" * 64, "sha", 100, 200)
BAD = Finding("import-failed", Severity.ERROR, "python/x\x1b[31m.py", "import x fails", "mend it")
WASTE = Finding("waste", Severity.WARNING, "python/y.py", "wasted", "leave it out")


class FakeExaminer:
    """Answers what it is told to, and counts."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = findings
        self.error: Exception | None = None
        self.asked: list[str] = []
        self.installed: set[str] = set()
        self.not_proved: tuple[dict[str, str], ...] = ()

    def can_try(self, runtimes: Sequence[str], architectures: Sequence[str]) -> bool:
        return bool(self.installed & set(runtimes))

    async def examine(self, layers: Sequence[ExaminedLayer], **options: Any) -> Examination:
        self.asked += [layer.digest for layer in layers]
        if self.error is not None:
            raise self.error
        return Examination(
            self.findings, ({"runtime": "python3.12", "imports": 1, "failed": 1, "seconds": 0.1},), self.not_proved
        )


class Place:
    """A gate with what surrounds it."""

    def __init__(self, *findings: Finding) -> None:
        self.examiner = FakeExaminer(*findings)
        self.records = MemoryAccountRecordStore()
        self.layers = MemoryLayerStore()

    def gate(self, *, enforce: bool = False) -> Gate:
        return Gate(cast("Examiner", self.examiner), self.records, self.layers, FakeClock(), enforce=enforce)

    async def publish(self, gate: Gate, *runtimes: str, artifact: Artifact = ARTIFACT) -> LayerVersion:
        await gate.admit(KEY, artifact, runtimes=runtimes, architectures=())
        draft = LayerVersion(KEY, 0, artifact, datetime.now(UTC), runtimes=runtimes)
        version = await self.layers.publish(draft)
        gate.published(version)
        return version

    async def known(self, gate: Gate, version: LayerVersion, state: str) -> dict[str, Any]:
        """What is known once all work is done."""
        async with asyncio.timeout(5):
            await gate.wait_idle()
        known = await gate.findings(version)
        assert known is not None
        assert known["state"] == state
        return known


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "_QUIET_S", 0.0)


async def test_warn_checks_in_the_background_and_tells_the_log(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(BAD, WASTE)
    gate = place.gate()
    await gate.start()
    version = await place.publish(gate, "python3.12")
    assert place.examiner.asked == []
    known = await place.known(gate, version, "checked")
    assert [Finding.of_dict(finding) for finding in known["findings"]] == [BAD, WASTE]
    assert "python/x\ufffd[31m.py: import x fails" in caplog.text
    assert f"{version.arn}: 1 error, 1 warning; to see all: lamella layer check {version.arn}" in caplog.text
    await gate.close()


async def test_nothing_is_said_of_what_is_sound(caplog: pytest.LogCaptureFixture) -> None:
    place = Place()
    gate = place.gate()
    await gate.start()
    await place.known(gate, await place.publish(gate, "python3.12"), "checked")
    assert caplog.text == ""
    await gate.close()


async def test_the_same_bytes_with_the_same_declaration_are_looked_at_once(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(BAD)
    gate = place.gate()
    await gate.start()
    await place.known(gate, await place.publish(gate, "python3.12", "python3.11"), "checked")
    caplog.clear()
    again = await place.publish(gate, "python3.11", "python3.12")
    await place.known(gate, await place.publish(gate, "python3.13"), "checked")  # comes after it
    assert place.examiner.asked == [ARTIFACT.digest] * 2
    assert again.arn in caplog.text  # whoever published it is told as well
    await gate.close()


async def test_what_declares_no_runtime_is_left_alone() -> None:
    place = Place(BAD)
    gate = place.gate()
    await gate.start()
    version = await place.publish(gate)
    assert await gate.findings(version) is None
    await gate.close()


async def test_the_next_server_makes_the_checks_that_are_left(caplog: pytest.LogCaptureFixture) -> None:
    place = Place(BAD)
    version = await place.publish(place.gate(), "python3.12")  # which was never started
    gate = place.gate()
    await gate.start()
    await place.known(gate, version, "checked")
    assert f"lamella layer check {version.arn}" in caplog.text
    await gate.close()


async def test_records_of_layers_that_are_gone_go() -> None:
    place = Place(BAD)
    version = await place.publish(place.gate(), "python3.12")
    await place.layers.delete(KEY, version.version)
    gate = place.gate()
    await gate.start()
    assert await place.records.every(KIND) == []
    await gate.close()
    assert place.examiner.asked == []


async def test_a_layer_that_is_deleted_before_its_turn_is_not_looked_at() -> None:
    place = Place(BAD)
    gate = place.gate()
    version = await place.publish(gate, "python3.12")
    await gate.start()
    await place.layers.delete(KEY, version.version)
    await gate.wait_idle()
    assert await place.records.every(KIND) == []
    assert place.examiner.asked == []
    await gate.close()


async def test_what_cannot_be_checked_is_told_and_the_others_are_checked(caplog: pytest.LogCaptureFixture) -> None:
    place = Place()
    gate = place.gate()
    await gate.start()
    place.examiner.error = ExaminationError("cannot \x1b be read")
    version = await place.publish(gate, "python3.12")
    known = await place.known(gate, version, "failed")
    assert known["reason"] == "cannot \ufffd be read"
    place.examiner.error = RuntimeError("our own fault")
    await place.publish(gate, "python3.13")
    await gate.wait_idle()
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]
    place.examiner.error = None
    await place.known(gate, await place.publish(gate, "python3.11"), "checked")
    await gate.close()


async def test_enforce_refuses_errors_and_leaves_nothing() -> None:
    place = Place(*[BAD] * 5)
    gate = place.gate(enforce=True)
    with pytest.raises(LayerRefusedError) as refusal:
        await place.publish(gate, "python3.12")
    text = str(refusal.value)
    assert text.startswith("The layer is not published: the check found 5 errors. [1] import-failed python/x")
    assert "[3]" in text
    assert "[4]" not in text
    assert "lamella layer check" in text
    assert "\x1b" not in text
    assert await place.records.every(KIND) == []


async def test_enforce_lets_warnings_pass_and_remembers() -> None:
    place = Place(WASTE)
    gate = place.gate(enforce=True)
    version = await place.publish(gate)
    await place.publish(gate)
    assert place.examiner.asked == [ARTIFACT.digest]
    known = await gate.findings(version)
    assert known is not None
    assert known["state"] == "checked"


async def test_what_could_not_be_tried_is_tried_when_its_runtime_is_there() -> None:
    place = Place()
    place.examiner.not_proved = ({"runtime": "python3.13", "reason": "It is not installed."},)
    gate = place.gate(enforce=True)
    await place.publish(gate, "python3.13")
    await place.publish(gate, "python3.13")
    assert len(place.examiner.asked) == 1
    place.examiner.installed.add("python3.13")
    place.examiner.findings, place.examiner.not_proved = (BAD,), ()
    with pytest.raises(LayerRefusedError):
        await place.publish(gate, "python3.13")


async def test_no_text_of_the_layer_moves_a_cursor() -> None:
    place = Place(Finding("import-failed", Severity.ERROR, "a\nb", "imp\x1b[2Jort\nx", "mend it"))
    with pytest.raises(LayerRefusedError) as refusal:
        await place.publish(place.gate(enforce=True), "python3.12")
    assert str(refusal.value).isprintable()
    place.examiner.error = ExaminationError("cannot read \x1b[31m\n")
    with pytest.raises(LayerRefusedError) as refusal:
        await place.publish(place.gate(enforce=True), "python3.12")
    assert str(refusal.value).isprintable()


async def test_enforce_lets_nothing_in_that_it_could_not_look_at() -> None:
    place = Place()
    place.examiner.error = ExaminationError("There could be no sandbox")
    with pytest.raises(LayerRefusedError, match=r"could not be checked.*no sandbox"):
        await place.publish(place.gate(enforce=True), "python3.12")


def test_records_are_named_by_what_findings_depend_on() -> None:
    names = {
        record_id("a" * 64, ["x", "y"], []),
        record_id("a" * 64, ["x"], ["y"]),
        record_id("a" * 64, ["x"], []),
        record_id("b" * 64, ["x"], []),
    }
    assert len(names) == 4
    assert record_id("a" * 64, ["x", "y"], []) == record_id("a" * 64, ["y", "x"], [])
    assert all(len(name) <= 256 for name in names)
