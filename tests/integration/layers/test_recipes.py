"""Layers built from recipes: of local files and packages, so that nothing is fetched unless a test says so."""

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.recipes import write_package

from lamella.layers.build.builder import build_layers
from lamella.layers.build.recipe import (
    BootstrapTable,
    ExtensionTable,
    FilesTable,
    PythonTable,
    Recipe,
    read_recipe,
)
from lamella.layers.build.slim import Trim
from lamella.layers.build.trimming import strip_symbols
from lamella.layers.errors import LayerBuildError

LAMELLA = Path(sys.executable).parent / "lamella"
SITE = "python/lib/python3.12/site-packages"
ELF_X86_64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + bytes(100)


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def of_files(source: Path, **more: Any) -> Recipe:
    return Recipe(files=(FilesTable(source=source),), directory=source.parent, **more)


class TestPlainFiles:
    def test_directories_keep_names_x_bits_and_links(self, tmp_path: Path) -> None:
        source = tmp_path / "tree"
        (source / "bin").mkdir(parents=True)
        (source / "bin/run").write_text("#!/bin/sh\n")
        (source / "bin/run").chmod(0o700)
        (source / "bin/also").symlink_to("run")
        (source / "conf").write_text("a = 1\n")
        (source / "conf").chmod(0o600)
        (source / "dir").symlink_to("bin")
        (source / "__pycache__").mkdir()
        (source / "__pycache__/x.pyc").write_text("x")
        (report,) = build_layers(of_files(source))
        with zipfile.ZipFile(report.output) as archive:
            modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
            assert archive.read("bin/also") == b"run"
        assert modes == {"bin/also": 0o120777, "bin/run": 0o100755, "conf": 0o100644, "dir": 0o120777}
        assert report.unzipped_bytes == len("#!/bin/sh\na = 1\n")

    def test_where_files_go(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a")
        (tmp_path / "d").mkdir()
        (tmp_path / "d/b.txt").write_text("b")
        (tmp_path / "d/b.bak").write_text("b")
        file, directory = tmp_path / "a.txt", tmp_path / "d"
        tables = (
            FilesTable(source=file),
            FilesTable(source=file, to="etc/"),
            FilesTable(source=file, to="/opt/etc/renamed.txt", executable=True),
            FilesTable(source=directory, to="data", exclude=("*.bak",)),
        )
        (report,) = build_layers(Recipe(files=tables, directory=tmp_path))
        assert names(report.output) == ["a.txt", "data/b.txt", "etc/a.txt", "etc/renamed.txt"]

    @pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a/../../outside"])
    def test_links_that_lead_out_are_refused(self, target: str, tmp_path: Path) -> None:
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree/link").symlink_to(target)
        with pytest.raises(LayerBuildError, match=r"The link .* leads to"):
            build_layers(of_files(tmp_path / "tree"))

    def test_pipes_and_unreadable_names_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "tree").mkdir()
        os.mkfifo(tmp_path / "tree/pipe")
        with pytest.raises(LayerBuildError, match="is a device, a socket or a pipe"):
            build_layers(of_files(tmp_path / "tree"))
        (tmp_path / "tree/pipe").unlink()
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/tree/\xff")).write_text("x")
        with pytest.raises(LayerBuildError, match="is not UTF-8"):
            build_layers(of_files(tmp_path / "tree"))

    @pytest.mark.parametrize("to", ["../up", "/etc/x", "a/../../b", "."])
    def test_places_outside_are_refused(self, to: str, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("")
        with pytest.raises(LayerBuildError, match="is not a path below /opt"):
            build_layers(Recipe(files=(FilesTable(source=tmp_path / "a", to=to),), directory=tmp_path))

    def test_two_sources_may_bring_the_same_file_but_not_two_of_one_name(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("same")
        (tmp_path / "b").write_text("same")
        tables = (FilesTable(source=tmp_path / "a", to="x"), FilesTable(source=tmp_path / "b", to="x"))
        recipe = Recipe(files=tables, directory=tmp_path)
        assert build_layers(recipe)[0].files == 1
        (tmp_path / "b").write_text("other")
        with pytest.raises(LayerBuildError, match=r"a and \[\[files\]\] .*b both bring x, and not the same"):
            build_layers(recipe)
        under = (FilesTable(source=tmp_path / "a", to="x"), FilesTable(source=tmp_path / "b", to="x/y"))
        with pytest.raises(LayerBuildError, match="a file in place of its directory"):
            build_layers(Recipe(files=under, directory=tmp_path))


class TestPrograms:
    def test_each_architecture_gets_its_own(self, tmp_path: Path) -> None:
        for architecture, machine in (("x86_64", b"\x3e"), ("arm64", b"\xb7")):
            (tmp_path / architecture).mkdir()
            (tmp_path / architecture / "agent").write_bytes(ELF_X86_64.replace(b"\x3e", machine))
        recipe = Recipe(
            extensions=(ExtensionTable(source=tmp_path / "{architecture}/agent", name="telemetry"),),
            bootstrap=BootstrapTable(source=tmp_path / "{architecture}/agent"),
            architectures=("x86_64", "arm64"),
            directory=tmp_path,
        )
        for report in build_layers(recipe):
            with zipfile.ZipFile(report.output) as archive:
                assert {info.filename: info.external_attr >> 16 for info in archive.infolist()} == {
                    "bootstrap": 0o100755,
                    "extensions/telemetry": 0o100755,
                }
                assert archive.read("bootstrap") == (tmp_path / report.architecture / "agent").read_bytes()

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (ELF_X86_64, "is a program for x86_64, and the layer is for arm64"),
            (b"#!/bin/sh\r\necho\r\n", "has line ends of Windows"),
            (b"\xef\xbb\xbf#!/bin/sh\n", "neither a Linux program nor a script"),
            (b"", "neither a Linux program nor a script"),
        ],
    )
    def test_those_that_will_not_start_are_refused(self, content: bytes, words: str, tmp_path: Path) -> None:
        (tmp_path / "boot").write_bytes(content)
        table = BootstrapTable(source=tmp_path / "boot")
        with pytest.raises(LayerBuildError, match=words):
            build_layers(Recipe(bootstrap=table, architectures=("arm64",), directory=tmp_path))

    def test_a_missing_one_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(LayerBuildError, match=r"no program .*/nothing to be bootstrap"):
            build_layers(Recipe(bootstrap=BootstrapTable(source=tmp_path / "nothing"), directory=tmp_path))


class TestAllOrNothing:
    def test_a_layer_over_its_budget_leaves_what_was_there(self, tmp_path: Path) -> None:
        (tmp_path / "big").write_bytes(bytes(2000))
        (tmp_path / "layer.zip").write_text("old")
        recipe = of_files(tmp_path / "big", max_unzipped=1999, sbom="layer.json")
        with pytest.raises(LayerBuildError, match="has 2,000 bytes unzipped, of which 1,999 bytes are allowed"):
            build_layers(recipe)
        assert (tmp_path / "layer.zip").read_text() == "old"
        assert {path.name for path in tmp_path.iterdir()} == {"big", "layer.zip"}

    def test_a_failure_in_the_second_archive_takes_the_first_with_it(self, tmp_path: Path) -> None:
        (tmp_path / "boot").write_bytes(ELF_X86_64)
        table = BootstrapTable(source=tmp_path / "boot")
        with pytest.raises(LayerBuildError, match="for arm64"):
            build_layers(Recipe(bootstrap=table, architectures=("x86_64", "arm64"), directory=tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["boot"]

    def test_where_nothing_can_be_written_the_reason_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("")
        with pytest.raises(LayerBuildError, match=r"Cannot write .*a/layer.zip: (Not a directory|File exists)"):
            build_layers(of_files(tmp_path / "a", output="a/layer.zip"))

    def test_ctrl_c_leaves_nothing(self, tmp_path: Path) -> None:
        package = write_package(
            tmp_path / "package",
            first=f"open({str(tmp_path / 'building')!r}, 'w').close(); import signal; signal.pause()",
        )
        (tmp_path / "scratch").mkdir()
        process = subprocess.Popen(
            [LAMELLA, "layer", "build", "--package", package, "--output", tmp_path / "out/layer.zip"],
            env=os.environ | {"TMPDIR": str(tmp_path / "scratch")},
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
        deadline_s = time.monotonic() + 30
        while not (tmp_path / "building").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline_s
            time.sleep(0.01)  # for a file of another process there is nothing to wait on
        os.killpg(process.pid, signal.SIGINT)
        stderr = process.communicate(timeout=30)[1]
        assert (process.returncode, b"Traceback" in stderr) == (130, False)
        assert [path.name for path in (tmp_path / "scratch").iterdir() if path.name.startswith("lamella")] == []
        assert not (tmp_path / "out").exists()


def python(tmp_path: Path, runtimes: tuple[str, ...] = ("python3.12",), **table: Any) -> Recipe:
    return Recipe(runtimes=runtimes, python=PythonTable(**table), directory=tmp_path, output="layer.zip")


class TestLocalPackages:
    def test_one_is_built_without_what_earlier_builds_left(self, tmp_path: Path) -> None:
        package = write_package(tmp_path / "package")
        (package / "build").mkdir()
        (package / "build/old.py").write_text("")
        (report,) = build_layers(python(tmp_path, ("python3.12", "python3.13"), packages=(package,)))
        info = "mine-1.0.dist-info"
        assert names(report.output) == [
            f"python/lib/{runtime}/site-packages/{name}"
            for runtime in ("python3.12", "python3.13")
            for name in (f"{info}/METADATA", f"{info}/RECORD", f"{info}/WHEEL", "mine.py")
        ]
        assert [(package.name, package.version) for package in report.packages] == [("mine", "1.0")]

    def test_flat_holds_one_copy_for_all_runtimes(self, tmp_path: Path) -> None:
        table = {"packages": (write_package(tmp_path / "package"),), "flat": True}
        (report,) = build_layers(python(tmp_path, ("python3.12", "python3.13"), **table))
        assert "python/mine.py" in names(report.output)
        assert report.files == 4

    def test_native_code_is_refused(self, tmp_path: Path) -> None:
        package = write_package(tmp_path / "package", tag="cp311-cp311-linux_x86_64")
        with pytest.raises(LayerBuildError, match="has native code, which was built for this machine"):
            build_layers(python(tmp_path, packages=(package,)))

    def test_what_does_not_build_is_told_with_the_reason(self, tmp_path: Path) -> None:
        package = write_package(tmp_path / "package", first="raise RuntimeError('no luck')")
        with pytest.raises(LayerBuildError, match=r"(?s)does not build.*no luck"):
            build_layers(python(tmp_path, packages=(package,)))

    def test_a_directory_without_a_package_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(LayerBuildError, match=r"it has no pyproject.toml"):
            build_layers(python(tmp_path, packages=(tmp_path,)))
        with pytest.raises(LayerBuildError, match="There is no local package"):
            build_layers(python(tmp_path, packages=(tmp_path / "none",)))


class TestLocks:
    def test_a_missing_lock_is_told_with_what_makes_one(self, tmp_path: Path) -> None:
        with pytest.raises(LayerBuildError, match=r"no lock .*/uv.lock: run uv lock in"):
            build_layers(python(tmp_path, uv_lock=tmp_path / "uv.lock"))
        (tmp_path / "poetry.lock").write_text("")
        with pytest.raises(LayerBuildError, match=r"has to be the pyproject.toml that it was made from"):
            build_layers(python(tmp_path, poetry_lock=tmp_path / "poetry.lock"))

    @pytest.mark.network
    def test_one_of_poetry_is_held_to_its_hashes(self, tmp_path: Path) -> None:
        wheel = "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"
        text = (
            '[[package]]\nname = "six"\nversion = "1.17.0"\ngroups = ["main"]\n'
            f'files = [{{file = "six-1.17.0-py2.py3-none-any.whl", hash = "sha256:{wheel}"}}]\n'
            '[metadata]\nlock-version = "2.1"\npython-versions = ">=3.9"\n'
        )
        (tmp_path / "poetry.lock").write_text(text)
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\ndependencies = ["six"]\n')
        recipe = python(tmp_path, poetry_lock=tmp_path / "poetry.lock")
        assert f"{SITE}/six.py" in names(build_layers(recipe)[0].output)
        (tmp_path / "poetry.lock").write_text(text.replace(wheel, "0" * 64))
        with pytest.raises(LayerBuildError, match="its hash is another"):
            build_layers(recipe)

    @pytest.mark.network
    def test_hashes_of_a_requirements_file_are_honoured(self, tmp_path: Path) -> None:
        file = tmp_path / "requirements.txt"
        file.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
        with pytest.raises(LayerBuildError, match="its hash is another"):
            build_layers(python(tmp_path, requirements_files=(file,)))
        (tmp_path / "all.txt").write_text("-r requirements.txt\n")
        with pytest.raises(LayerBuildError, match="its hash is another"):
            build_layers(python(tmp_path, requirements_files=(tmp_path / "all.txt",)))


PROJECT = """
[project]
name = "shop"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["markupsafe==3.0.2", "six", "mine"]
[tool.uv.sources]
mine = { path = "libs/mine" }
"""
RECIPE = """
name = "shop"
runtimes = ["python3.12", "python3.13"]
architectures = ["x86_64", "arm64"]
output = "out/{name}-{architecture}.zip"
sbom = "out/{name}-{architecture}.cdx.json"
slim = true
keep = ["six"]
[python]
uv_lock = "uv.lock"
[[files]]
from = "conf"
to = "etc"
[[extensions]]
from = "extension.sh"
"""


def copy_of(project: Path, place: Path, *, backwards: bool, time_s: int) -> Path:
    """The same project, as another machine would have it: made in another order, at another time."""
    files = sorted((path for path in project.rglob("*") if not path.is_dir()), reverse=backwards)
    for path in files:
        copy = place / path.relative_to(project)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy, follow_symlinks=False)
        if not copy.is_symlink():
            copy.chmod(0o700 if path.stat().st_mode & 0o100 else 0o600)
            os.utime(copy, (time_s, time_s))
    return place


@pytest.mark.network
def test_the_same_lock_gives_the_same_bytes_on_two_machines(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_package(project / "libs/mine", requires="Requires-Dist: six")
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "layer.toml").write_text(RECIPE)
    (project / "conf").mkdir()
    for name in "zebra", "Apfel", "äpfel", "b", "a":
        (project / "conf" / name).write_text(name)
    (project / "conf/link").symlink_to("zebra")
    (project / "extension.sh").write_text("#!/bin/sh\n")
    (project / "extension.sh").chmod(0o755)
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "lock", "--quiet", "--python", sys.executable], cwd=project, check=True)
    (project / "libs/mine/mine.egg-info").mkdir(exist_ok=True)

    outputs = []
    for number, (umask, env) in enumerate(
        [
            (0o022, {"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"}),
            (0o077, {"LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2", "LANGUAGE": "de"}),
        ]
    ):
        machine = tmp_path / ("one" if number == 0 else "another place/with a long name")
        copy = copy_of(project, machine / "project", backwards=number == 1, time_s=1_000_000_000 + 12_345_678 * number)
        home, scratch = machine / "home", machine / "scratch"
        home.mkdir()
        scratch.mkdir()
        subprocess.run(
            [LAMELLA, "layer", "build", *(["--recipe", copy / "layer.toml"] if number else [])],
            check=True,
            capture_output=True,
            umask=umask,
            cwd=machine if number else copy,
            env=os.environ | {"HOME": str(home), "TMPDIR": str(scratch), **env},
        )
        outputs.append({path.name: path.read_bytes() for path in (copy / "out").iterdir()})
    first, second = outputs
    assert set(first) == {f"shop-{machine}.{kind}" for machine in ("x86_64", "arm64") for kind in ("zip", "cdx.json")}
    assert first == second
    assert first["shop-x86_64.zip"] != first["shop-arm64.zip"]

    listed = names(tmp_path / "one/project/out/shop-arm64.zip")
    for minor in (12, 13):
        assert f"python/lib/python3.{minor}/site-packages/mine.py" in listed
        speedups = f"markupsafe/_speedups.cpython-3{minor}-aarch64-linux-gnu.so"
        assert f"python/lib/python3.{minor}/site-packages/{speedups}" in listed
    assert "etc/äpfel" in listed
    assert read_recipe(project / "layer.toml").name == "shop"


@pytest.mark.skipif(shutil.which("cc") is None or os.uname().machine != "x86_64", reason="needs a compiler of x86_64")
def test_debug_symbols_go_and_the_program_still_runs(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text('#include <stdio.h>\nint main(void) { puts("still here"); return 0; }\n')
    subprocess.run(["cc", "-g", "-o", tmp_path / "main", tmp_path / "main.c"], check=True)
    (tmp_path / "broken").write_bytes(b"\x7fELF and no more")
    before = (tmp_path / "main").stat().st_size
    removed, spared = strip_symbols(tmp_path, sorted(tmp_path.iterdir()), "x86_64")
    if shutil.which("x86_64-linux-gnu-strip") is None and shutil.which("llvm-strip") is None:
        assert "this machine has none of" in spared[0].reason
        return
    assert [(one.kind, one.files, one.places) for one in removed] == [(Trim.SYMBOLS, 1, ("main",))]
    assert (tmp_path / "main").stat().st_size == before - removed[0].size_bytes
    assert subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout == b"still here\n"
    assert [one.name for one in spared] == ["broken"]
    assert (tmp_path / "broken").read_bytes() == b"\x7fELF and no more"
