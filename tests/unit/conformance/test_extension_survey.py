"""What is said of an extension by looking at its file."""

import gzip
from pathlib import Path

import pytest

from lamella.conformance.extension import survey
from lamella.conformance.extension.lending import missing_interpreter, missing_module, missing_variable
from lamella.conformance.sending import unpacked
from lamella.domain.function import Architecture
from lamella.invoke.entrypoint import View
from lamella.ports.runtimes import RuntimePack


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A runtime with a shell, `env` and a Python that only `env` finds."""
    for name in ("bin/sh", "usr/bin/env", "var/lang/bin/python3"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + bytes(100))
        path.chmod(0o755)
    return tmp_path / "root"


def look(root: Path, text: str | bytes, *, mode: int = 0o755, name: str = "it") -> tuple[RuntimePack, View]:
    path = root.parent / "layer" / "extensions" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    pack = RuntimePack("python3.12", Architecture.X86_64, root, "d", "v", ())
    return pack, survey.view_of(pack, [root.parent / "layer"], root.parent)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#!/bin/sh\n", ""),
        ("#!/usr/bin/env python3\n", ""),
        ("#!/usr/bin/env -S PYTHONOPTIMIZE=1 python3 -I\n", ""),
        (
            "#!/usr/bin/env node\n",
            "/usr/bin/env: 'node': no such file or directory, and a script needs its interpreter",
        ),
        ("#!/usr/bin/python3\n", "fork/exec /opt/extensions/it: no such file or directory (its first line names"),
        ("#!/bin/sh\r\n", "fork/exec /opt/extensions/it: no such file or directory"),
        ("echo\n", "fork/exec /opt/extensions/it: exec format error"),
        (b"\x7fELF\x02" + bytes(13) + b"\xb7\x00" + bytes(100), "fork/exec /opt/extensions/it: exec format error"),
        ("", "fork/exec /opt/extensions/it: exec format error"),
    ],
)
def test_why_it_cannot_be_started(root: Path, text: str | bytes, problem: str) -> None:
    found = survey.problem_of("it", *look(root, text))
    assert found.startswith(problem)
    assert bool(found) is bool(problem)


def test_a_file_without_the_x_bit(root: Path) -> None:
    assert survey.problem_of("it", *look(root, "#!/bin/sh\n", mode=0o644)).endswith("permission denied")


def test_files_beside_it(root: Path) -> None:
    look(root, "no program", mode=0o644, name="README")
    pack, view = look(root, "#!/bin/sh\n")
    names = survey.names_of(view)
    assert names == ("README", "it")
    assert (
        survey.files_problem("it", names, pack, view) == "README: fork/exec /opt/extensions/README: permission denied"
    )
    assert survey.files_problem("it", [f"e{number}" for number in range(11)], pack, view).startswith(
        "There are 11 files"
    )


@pytest.mark.parametrize(
    ("name", "text", "telemetry", "collector"),
    [
        ("it", "#!/bin/sh\n# Ships telemetry.\n", True, False),
        ("telemetry", b"\x7fELF", True, False),
        ("it", b"\x7fELF with a library of telemetry", False, False),
        ("it", b"\x7fELF PUT /2022-07-01/telemetry", True, False),
        ("it", "#!/bin/sh\ncurl $TELEMETRY_ENDPOINT\n", True, True),
        ("it", "#!/bin/sh\ncurl $OTHER\n", False, False),
    ],
)
def test_what_it_seems_to_be_for(root: Path, name: str, text: str | bytes, telemetry: bool, collector: bool) -> None:
    _, view = look(root, text, name=name)
    assert survey.hints_of(name, view, survey.DEFAULT_COLLECTOR) == survey.Hints(telemetry, collector)


def test_a_link_to_nowhere_is_no_program(root: Path) -> None:
    pack, view = look(root, "#!/bin/sh\n")
    (root.parent / "layer" / "extensions" / "link").symlink_to("/etc/shadow")
    assert "no such file or directory" in survey.problem_of("link", pack, view)
    assert survey.hints_of("link", view, "X") == survey.Hints(telemetry=False, collector=False)


def test_last_words_that_name_what_is_missing() -> None:
    assert missing_module(b"ModuleNotFoundError: No module named 'a.b'\n") == "a.b"
    assert missing_module(b"ImportError: cannot import name 'x'\n") == ""
    assert missing_interpreter(b"/usr/bin/env: \xe2\x80\x98ruby\xe2\x80\x99: No such file or directory\n") == "ruby"
    assert missing_interpreter(b"env: ruby: No such file or directory\n") == "ruby"
    assert missing_variable(b"LAMBDA_TASK_ROOT\n" + b"much more\n" * 20) == ""
    assert missing_variable(b"KeyError: 'LAMBDA_TASK_ROOT'\n") == "LAMBDA_TASK_ROOT"
    assert missing_variable(b"MY_LAMBDA_TASK_ROOT is there\n") == ""


def test_what_is_compressed_is_unpacked_within_bounds() -> None:
    packed = gzip.compress(b"x" * 1_000_000)
    assert unpacked(packed, "gzip", 1000) == b"x" * 1000
    assert unpacked(packed, "br", 10) == packed[:10]
    assert unpacked(b"no gzip", "gzip", 1000) == b"no gzip"
