"""What is shipped passes; what books print does not, and each of its faults is named."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.integration.conformance.conftest import REPOSITORY, Patient, examine_all, failures, os_only

from lamella.conformance.report import Report, Verdict
from lamella.conformance.scenario import Pace
from lamella.runtimes.catalog import PackCatalog
from lamella.runtimes.system import host_architecture

pytestmark = pytest.mark.sandbox

HERE = Path(__file__).parent
SHELL = REPOSITORY / "examples" / "shell-runtime" / "layer"
ECHO = 'handler() { printf %s "$1"; }\n'
QUIET = "handler() { printf '\"always the same\"'; }\n"
FLOODS = """#!/bin/bash
exec 3<>/dev/tcp/169.254.100.1/9001
while true; do printf 'GET /x HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'; done >&3
"""
SHORT = Pace(start_s=0.5)
# The checks of one scenario each, for runtimes that are examined as a whole elsewhere.
SOME = {"start-program", "start-ready", "event-intact", "null-result", "response-id", "large-event"}


def php_layer(directory: Path) -> Path:
    """The example's layer, with the PHP of this machine."""
    packing = [sys.executable, str(REPOSITORY / "examples" / "packing.py"), "php", str(directory / "php.zip")]
    subprocess.run(packing, check=True, capture_output=True)
    layer = directory / "layer"
    with zipfile.ZipFile(directory / "php.zip") as archive:
        for info in archive.infolist():
            Path(archive.extract(info, layer)).chmod(info.external_attr >> 16 & 0o777)
    return layer


def documented() -> str:
    """The shortest runtime, as the how-to prints it."""
    text = (REPOSITORY / "docs/how-to/custom-runtime.md").read_text()
    return text[(begin := text.index("#!/bin/bash")) : text.index("```", begin)]


@pytest.fixture(scope="module")
def reports(catalog: PackCatalog, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    bare = os_only(catalog, python=False)
    managed = catalog.find("python3.11", host_architecture())
    patients = {
        "listing": Patient(bare, HERE / "patients" / "listing"),
        "python3.11": Patient(managed),
        "shell": Patient(bare, SHELL),
        "documented": Patient(bare, documented(), options={"only": SOME | {"error-post", "error-body", "error-next"}}),
        "php": Patient(bare, php_layer(tmp_path_factory.mktemp("php"))),
        "echo": Patient(bare, SHELL, function={"own.sh": ECHO}, handler="own.handler", options={"only": SOME}),
        "quiet": Patient(bare, SHELL, function={"own.sh": QUIET}, handler="own.handler", options={"only": SOME}),
        "foreign": Patient(bare, SHELL, function={"own.sh": ""}, handler="own.handler", options={"only": SOME}),
        "not-executable": Patient(bare, "#!/bin/sh\n", 0o644),
        "nothing": Patient(bare),
        "crlf": Patient(bare, "#!/bin/sh\r\nexit 0\r\n"),
        "silent": Patient(bare, "#!/bin/sh\nexec sleep 60\n", options={"pace": SHORT}),
        "floods": Patient(bare, FLOODS, options={"only": SOME}),
        "escapes": Patient(bare, "#!/bin/sh\nprintf '\\033[31m\\000red\\n'; exit 3\n"),
    }
    return examine_all(catalog, tmp_path_factory.mktemp("verify"), patients)


def test_the_listing_of_the_book_has_all_of_its_faults(reports: dict[str, Report]) -> None:
    """No interpreter on OS-only runtimes, a package that is nowhere, no search path for the handler, no init error, no
    default for the trace header, and a dictionary for a context."""
    report = reports["listing"]
    assert {
        *("start-interpreter", "start-modules", "start-code", "init-error-post", "header-trace", "context"),
        *("empty-event", "text-event", "binary-event", "log-output"),
    } <= failures(report)
    assert not report.with_verdict(Verdict.UNTRIED)
    seen = {check: result.seen for check, result in report.results.items()}
    assert "'python3': No such file or directory" in seen["start-interpreter"]
    assert "No module named 'requests'" in seen["start-modules"]
    assert "No module named 'verify'" in seen["start-code"]
    assert "TypeError: str expected, not NoneType" in seen["header-trace"]
    assert "'dict' object has no attribute 'aws_request_id'" in seen["context"]
    assert [note.partition(",")[0] for note in report.notes[:3]] == ["To see further"] * 3


@pytest.mark.parametrize("name", ["python3.11", "shell", "documented", "php"])
def test_what_is_shipped_passes(reports: dict[str, Report], name: str) -> None:
    assert reports[name].passed, reports[name].to_dict()


def test_a_function_of_ones_own_need_not_know_the_kit(reports: dict[str, Report]) -> None:
    echo, quiet = reports["echo"], reports["quiet"]
    assert failures(echo) == failures(quiet) == set()
    assert echo.results["event-intact"].verdict is Verdict.PASS
    assert quiet.results["event-intact"].verdict is Verdict.NOT_APPLICABLE
    assert "gives back every event" in echo.notes[0]


def test_a_handler_that_is_not_there_is_the_users_mistake(reports: dict[str, Report]) -> None:
    report = reports["foreign"]
    assert failures(report) == {"start-ready"}
    assert "It reported an init error" in report.results["start-ready"].seen


@pytest.mark.parametrize(
    ("name", "check", "seen"),
    [
        ("not-executable", "start-program", "permission denied"),
        ("nothing", "start-program", "Couldn't find valid bootstrap(s)"),
        ("crlf", "start-program", "carriage return"),
        ("silent", "start-ready", "neither asked for an event"),
        ("escapes", "start-ready", "ended with status 3"),
    ],
)
def test_what_does_not_start(reports: dict[str, Report], name: str, check: str, seen: str) -> None:
    report = reports[name]
    assert failures(report) == {check}
    assert seen in report.results[check].seen
    assert not report.passed
    assert len(report.with_verdict(Verdict.UNTRIED)) > 30


def test_a_patient_in_a_loop_is_stopped(reports: dict[str, Report]) -> None:
    assert not reports["floods"].passed
    assert "loop" in str(reports["floods"].to_dict())
