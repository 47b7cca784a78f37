"""What is said of a proof."""

import hashlib
from importlib import resources

import pytest

from lamella.layers.findings import Finding, Severity
from lamella.layers.proving import Kind, Outcome, Result, Target, findings_of


def target(name: str = "mod", kind: Kind = Kind.PYTHON, *, owner: str = "", minor: bool = False) -> Target:
    return Target(kind, name, f"python/{name}", owner=owner, minor=minor)


def said(one: Target, result: Result) -> Finding:
    (finding,) = findings_of([one], {0: result}, set(), "python3.12")
    return finding


def failed(error: str, missing: str = "") -> Result:
    return Result(Outcome.FAILED, error, missing)


def test_nothing_is_said_of_what_works() -> None:
    results = {0: Result(Outcome.OK), 1: Result(Outcome.SKIPPED)}
    assert findings_of([target("a"), target("b")], results, set(), "python3.12") == []


def test_what_another_brings_along_is_fine() -> None:
    results = {0: Result(Outcome.OK), 1: failed("ImportError: import psycopg first")}
    assert findings_of([target("psycopg"), target("psycopg_binary")], results, {1}, "python3.12") == []


@pytest.mark.parametrize(
    ("error", "missing", "words"),
    [
        ("ModuleNotFoundError: No module named 'yaml'", "yaml", "Add the package that brings the module yaml"),
        ("ModuleNotFoundError: No module named 'mod'", "mod", "No file of it fits this runtime"),
        ("ModuleNotFoundError: No module named 'mod._core'", "mod._core", "built for another Python"),
        ("ImportError: libpq.so.5: cannot open shared object file: No such file", "", "Put libpq.so.5 into"),
        ("ImportError: /lib64/libc.so.6: version `GLIBC_2.38' not found (required by x)", "", "has GLIBC_2.38"),
        ("ImportError: libc.musl-x86_64.so.1: cannot open shared object file: No such file", "", "built for musl"),
        ("OSError: x.so: wrong ELF class: ELFCLASS32", "", "another architecture"),
        ("OSError: [Errno 30] Read-only file system: '/var/task/x'", "", "Only /tmp can be written to"),
        ("RuntimeError: Could not determine home directory", "", "HOME=/tmp"),
        ("SystemExit: 1", "", "__main__"),
        ("ValueError: no", "", "See the line"),
    ],
)
def test_remedies_of_python(error: str, missing: str, words: str) -> None:
    finding = said(target(), failed(error, missing))
    assert finding.code == "import-failed"
    assert finding.severity is Severity.ERROR
    assert error in finding.reason
    assert words in finding.remedy


@pytest.mark.parametrize(
    ("kind", "code", "error", "missing", "words"),
    [
        (Kind.NODE, "require-failed", "Error: Cannot find module 'left-pad'", "left-pad", "Add left-pad to"),
        (Kind.JAVA, "class-load-failed", "UnsupportedClassVersionError: (class file version 65.0)", "", "for Java 21"),
        (Kind.NODE, "require-failed", "Error: was compiled for NODE_MODULE_VERSION 127.", "", "another Node.js"),
        (Kind.JAVA, "class-load-failed", "NoClassDefFoundError: a/B", "", "Add the jar"),
        (Kind.PROGRAM, "loader-failed", "\tlibz.so.1 => not found", "", "Put libz.so.1 into"),
        (Kind.SCRIPT, "script-failed", "error: its interpreter /usr/bin/php is not found", "", "first line"),
    ],
)
def test_remedies_of_others(kind: Kind, code: str, error: str, missing: str, words: str) -> None:
    finding = said(target(kind=kind), failed(error, missing))
    assert finding.code == code
    assert words in finding.remedy


@pytest.mark.parametrize(
    ("one", "result"),
    [
        (target("_private", minor=True), failed("ImportError: x")),
        (target("winmod"), failed("ModuleNotFoundError: No module named 'winreg'", "winreg")),
        (target("_private", minor=True), Result(Outcome.CRASHED, "signal 11")),
    ],
)
def test_what_counts_less(one: Target, result: Result) -> None:
    assert said(one, result).severity is Severity.WARNING


def test_a_second_module_of_a_sound_distribution_counts_less_unless_a_library_is_missing() -> None:
    targets = [target("cffi", owner="cffi"), target("extra", owner="cffi"), target("backend", owner="cffi")]
    results = {
        0: Result(Outcome.OK),
        1: failed("ImportError: install cffi[extra]"),
        2: failed("ImportError: libffi.so.8: cannot open shared object file: No such file or directory"),
    }
    found = findings_of(targets, results, set(), "python3.12")
    assert [finding.severity for finding in found] == [Severity.WARNING, Severity.ERROR]


LIBRARY = "ImportError: libjpeg.so.8: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("result", "severities"),
    [
        (failed("ModuleNotFoundError: No module named 'tkinter'", "tkinter"), []),
        (failed("ImportError: wants an extra"), []),
        (failed("ImportError: cannot import name 'x' from 'PIL._x' (/opt/python/PIL/_x.abi3.so)"), []),
        (failed(LIBRARY), [Severity.ERROR]),
        (failed("ModuleNotFoundError: No module named 'PIL._x'", "PIL._x"), [Severity.ERROR]),
        (Result(Outcome.CRASHED, "signal 11"), [Severity.WARNING]),
    ],
)
def test_extension_modules_of_packages_are_tried_for_their_libraries(
    result: Result, severities: list[Severity]
) -> None:
    targets = [target("PIL", owner="pillow"), target("PIL._x", owner="pillow", minor=True)]
    found = findings_of(targets, {0: Result(Outcome.OK), 1: result}, set(), "python3.12")
    assert [finding.severity for finding in found] == severities


def test_of_a_package_that_fails_the_parts_are_not_spoken_of() -> None:
    results = {0: failed("ModuleNotFoundError: No module named 'numpy'", "numpy"), 1: failed(LIBRARY)}
    targets = [target("pandas"), target("pandas._libs.lib", minor=True)]
    assert [finding.place for finding in findings_of(targets, results, set(), "python3.12")] == ["python/pandas"]


def test_modules_for_another_python_are_not_listed_one_by_one() -> None:
    names = [f"PIL._x{number}" for number in range(9)]
    targets = [target("PIL"), *(target(name, minor=True) for name in names)]
    results = {0: Result(Outcome.OK)} | {at: failed("No module", name) for at, name in enumerate(names, 1)}
    assert len(findings_of(targets, results, set(), "python3.12")) == 3


def test_time_and_crashes_have_codes_of_their_own() -> None:
    assert said(target(), Result(Outcome.TIMED_OUT, seconds=20.0)).code == "probe-timeout"
    crash = said(target(), Result(Outcome.CRASHED, "it was killed because it wanted more memory than there is"))
    assert crash.code == "probe-crashed"
    assert "memory" in crash.remedy


def test_what_was_not_tried_is_one_finding() -> None:
    results = {index: Result(Outcome.UNTRIED) for index in range(7)}
    (finding,) = findings_of([target(f"m{index}") for index in range(7)], results, set(), "python3.12")
    assert finding.code == "not-proved"
    assert finding.severity is Severity.WARNING
    assert "7 of" in finding.reason


def test_the_java_probe_was_compiled_from_its_source() -> None:
    probes = resources.files("lamella.layers") / "probes"
    source = (probes / "LamellaProbe.java").read_bytes()
    compiled = (probes / "LamellaProbe.class").read_bytes()
    assert (probes / "LamellaProbe.sha256").read_text().strip() == hashlib.sha256(source).hexdigest(), (
        "run: make probes"
    )
    assert compiled[:8] == b"\xca\xfe\xba\xbe\0\0\0\x34"  # Java 8
