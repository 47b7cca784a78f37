"""AWS's and others' clients, built from their registries: runtime clients, extensions, signers, programs that deploy.

`tests/clients/<name>` has the sources of a small function, extension or program for each, its dependencies locked by
checksum, and `build.sh`, which fetches, then builds archives that can be uploaded, or programs. That happens once for
each state of the sources; what was built is kept in `.cache/tests/clients`, so later runs need neither toolchain nor
network. What the toolchains download is kept where they always keep it.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
from tests.support.server import CACHE, ROOT, locked

CLIENTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "cdk": (),
        "go": ("go", "zip"),
        "java": ("javac", "jlink", "mvn", "strip", "zip"),
        "minio-go": ("go",),
        "node": ("c++", "cmake", "make", "strip", "xz", "zip"),
        "opentelemetry-extension": ("cargo 1.92", "cc", "zip"),
        "rust": ("cargo 1.85", "cc", "zip"),
        "sam": (),
        "sdk-javascript": (),
        "serverless": (),
        "web-adapter": ("cargo 1.85", "cc", "zip"),
    }
)
"""What can be built, and the programs, some with the least version, that it takes: `scripts/setup.sh clients`."""

_SOURCES: Final = ROOT / "tests" / "clients"
_BUILT: Final = CACHE / "clients"
_STEP_LIMIT_S: Final = 900.0


def sources(client: str) -> Path:
    """Where a client's sources are."""
    return _SOURCES / client


def archive_of(client: str, name: str) -> bytes:
    """An archive that a client's `build.sh` makes, built now if it never was.

    Without the programs or the registry that building takes, the test that asks is skipped; in CI that is a failure
    (`tests/conftest.py`), as is everywhere a build that goes wrong.

    Args:
        client: One of `CLIENTS`.
        name: Such as `layer.zip`.
    """
    return (directory_of(client) / name).read_bytes()


def directory_of(client: str) -> Path:
    """All that a client's `build.sh` makes; see `archive_of`."""
    target = _BUILT / f"{client}-{_digest(_SOURCES / client)}"
    if target.exists():
        return target
    _BUILT.mkdir(parents=True, exist_ok=True)
    with locked(_BUILT / f"{client}.lock"):
        if not target.exists():  # nobody has built it meanwhile
            _build(client, target)
    return target


def _build(client: str, target: Path) -> None:
    """Fetch and build; `target` appears when it is complete, and older builds of this client go."""
    missing = [program for program in CLIENTS[client] if not _is_here(program)]
    if missing:
        pytest.skip(f"the client {client!r} has to be built: needs {', '.join(missing)} (scripts/setup.sh clients)")
    for stale in _BUILT.glob(f".{client}-*"):  # of a run that was killed: nobody else is here
        shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(prefix=f".{client}-", dir=_BUILT) as scratch:
        output, tools = Path(scratch, "output"), Path(scratch, "tools")
        output.mkdir()
        tools.mkdir()
        fetched = _run(client, "fetch", output, tools)
        if fetched.returncode != 0:
            pytest.skip(
                f"the client {client!r} has to be built, and what it needs cannot be fetched:\n{_tail(fetched)}"
            )
        built = _run(client, "build", output, tools)
        if built.returncode != 0:
            pytest.fail(f"the client {client!r} cannot be built:\n{_tail(built)}", pytrace=False)
        for old in _BUILT.glob(f"{client}-*"):
            shutil.rmtree(old)
        output.rename(target)


def _is_here(program: str) -> bool:
    name, _, least = program.partition(" ")
    if shutil.which(name) is None or not least:
        return shutil.which(name) is not None
    said = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+", said)
    return found is not None and _version(found[0]) >= _version(least)


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def _run(client: str, step: str, output: Path, tools: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # uv
        "PYTHON": sys.executable,
        "CARGO_TARGET_DIR": str(_BUILT / "target"),  # one for all, as they share most of their dependencies
    }
    return subprocess.run(
        ["sh", "build.sh", step, output, tools],
        cwd=_SOURCES / client,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_STEP_LIMIT_S,
        check=False,
    )


def _tail(result: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(result.stdout.splitlines()[-40:])


def _digest(directory: Path) -> str:
    """Of all files with their names, and of the machine."""
    digest = hashlib.sha256(platform.machine().encode())
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(directory)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
