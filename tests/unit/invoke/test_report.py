"""The platform's log lines, rules LG-01 to LG-11 and section 7.2."""

import re
from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.domain.invocation import Invocation
from lamella.invoke import report
from lamella.lifecycle.commands import InitPhase, RecordEnd, RecordInit, Status
from lamella.ports.runtimes import RuntimePack

INVOCATION = Invocation("5d1c5f4e-0000-4000-8000-000000000000", b"", "application/json", "arn", "Root=1")
ID = INVOCATION.request_id
MIB = 1024 * 1024


def ended(
    duration_s: float, *, init_duration_s: float | None = None, status: Status = Status.SUCCESS, error_type: str = ""
) -> RecordEnd:
    return RecordEnd(INVOCATION, duration_s, status, error_type, init_duration_s)


def lines(record: RecordEnd, memory_mib: int = 128, memory_peak_bytes: int = 36 * MIB) -> list[str]:
    text = report.end(record, memory_mib=memory_mib, memory_peak_bytes=memory_peak_bytes).decode()
    assert text.endswith("\n")
    return text.splitlines()


def test_a_warm_success() -> None:
    # rules LG-01, LG-07
    end, line = lines(ended(0.00301))
    assert end == f"END RequestId: {ID}"
    assert line == (
        f"REPORT RequestId: {ID}\tDuration: 3.01 ms\tBilled Duration: 4 ms"
        "\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t"
    )


def test_a_cold_success() -> None:
    # rule LG-01 and the recorded example of section 7.2
    _, line = lines(ended(0.02065, init_duration_s=2.65667))
    assert line.endswith(
        "\tDuration: 20.65 ms\tBilled Duration: 2678 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB"
        "\tInit Duration: 2656.67 ms\t"
    )


def test_a_timeout_is_billed_to_the_full() -> None:
    # rules LG-02, EX-72 and the recorded example of section 7.2
    _, line = lines(ended(3.0, init_duration_s=0.40202, status=Status.TIMEOUT))
    assert "\tDuration: 3000.00 ms\tBilled Duration: 3403 ms\t" in line
    assert line.endswith("\tInit Duration: 402.02 ms\tStatus: timeout")


def test_a_failure_ends_without_a_tab() -> None:
    # rule LG-02
    record = ended(0.0, init_duration_s=0.49504, status=Status.ERROR, error_type="Runtime.OutOfMemory")
    assert lines(record)[1].endswith("Init Duration: 495.04 ms\tStatus: error\tError Type: Runtime.OutOfMemory")


def test_whole_milliseconds_are_not_billed_twice() -> None:
    assert "Billed Duration: 3 ms" in lines(ended(0.003))[1]
    assert "Billed Duration: 4 ms" in lines(ended(0.0030051))[1]


@pytest.mark.parametrize(
    ("peak_bytes", "shown"), [(0, 0), (1, 1), (36 * MIB, 36), (36 * MIB + 1, 37), (200 * MIB, 128)]
)
def test_memory_is_rounded_up_and_never_above_the_limit(peak_bytes: int, shown: int) -> None:
    # rule LG-11
    assert f"Max Memory Used: {shown} MB" in lines(ended(0.001), memory_peak_bytes=peak_bytes)[1]


def test_start_names_the_version() -> None:
    assert report.start(ID, "$LATEST") == f"START RequestId: {ID} Version: $LATEST\n".encode()


def test_init_start_names_the_runtime() -> None:
    pack = RuntimePack("python3.11", Architecture.X86_64, Path("/"), "ab" * 32, "python:3.11.v1", ())
    line = report.init_start(pack, "eu-west-1").decode()
    pattern = r"INIT_START Runtime Version: \S+\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:[0-9a-f]{64}\n"
    assert re.fullmatch(pattern, line)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (RecordInit(InitPhase.INIT, 1.0, Status.SUCCESS), b""),
        (RecordInit(InitPhase.INVOKE, 1.0, Status.SUCCESS), b""),
        (
            RecordInit(InitPhase.INIT, 1.23604, Status.ERROR, "Extension.Crash"),
            b"INIT_REPORT Init Duration: 1236.04 ms\tPhase: init\tStatus: error\tError Type: Extension.Crash\n",
        ),
        (
            RecordInit(InitPhase.INVOKE, 9.99987, Status.TIMEOUT),
            b"INIT_REPORT Init Duration: 9999.87 ms\tPhase: invoke\tStatus: timeout\n",
        ),
    ],
)
def test_init_report_only_when_init_failed(record: RecordInit, expected: bytes) -> None:
    # rule LG-05
    assert report.init_report(record) == expected
