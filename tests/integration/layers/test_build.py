"""Layers of real packages."""

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lamella.layers.archive import Entry, write_archive
from lamella.layers.build.builder import build_layers
from lamella.layers.build.recipe import PythonTable, Recipe
from lamella.layers.build.report import ArchiveReport
from lamella.layers.build.slim import DEFAULT_SLIM, Trim
from lamella.layers.errors import LayerBuildError

RUNTIME = f"python3.{sys.version_info.minor}"
SITE = f"python/lib/{RUNTIME}/site-packages"
EPOCH = (1980, 1, 1, 0, 0, 0)


def build_python(
    *requirements: str, output: Path, runtime: str = "python3.11", architecture: str = "x86_64", **table: Any
) -> ArchiveReport:
    python = PythonTable(requirements=requirements, **table)
    recipe = Recipe(runtimes=(runtime,), architectures=(architecture,), output=str(output), python=python)
    return build_layers(recipe)[0]


@pytest.mark.network
def test_a_trimmed_layer_of_real_packages_works(tmp_path: Path) -> None:
    python = PythonTable(requirements=("numpy==2.2.6", "pillow==12.2.0"))
    (report,) = build_layers(Recipe(runtimes=(RUNTIME,), slim=DEFAULT_SLIM, python=python, directory=tmp_path))
    with zipfile.ZipFile(report.output) as archive:
        infos = archive.infolist()
        archive.extractall(tmp_path / "opt")
    listed = [info.filename for info in infos]
    assert listed == sorted(listed)
    assert all(name.startswith(f"{SITE}/") for name in listed)
    assert {info.date_time for info in infos} == {EPOCH}
    assert {info.external_attr >> 16 for info in infos} <= {0o100644, 0o100755}
    assert not [name for name in listed if "__pycache__" in name or name.endswith(("INSTALLER", "REQUESTED", ".lock"))]

    # NumPy's interface for testing imports a module of one of its directories of tests.
    assert {one.kind for one in report.removed} >= {Trim.TESTS, Trim.STUBS, Trim.HEADERS}
    assert [one.name.rpartition("/site-packages/")[2] for one in report.spared] == ["numpy/_core/tests"]
    assert {one.name for one in report.packages} == {"numpy", "pillow"}
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'opt' / SITE)!r})\n"
        "import numpy.testing, numpy.linalg, numpy.random, importlib.metadata; from PIL import Image\n"
        "files = importlib.metadata.files('numpy')\n"
        "print(numpy.array(Image.new('RGB', (4, 3))).shape, all(file.locate().exists() for file in files))"
    )
    result = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "(3, 4, 3) True\n"


@pytest.mark.network
def test_a_layer_for_another_machine_holds_that_machines_wheels(tmp_path: Path) -> None:
    report = build_python(
        "markupsafe==3.0.2", runtime="python3.12", architecture="arm64", output=tmp_path / "a/layer.zip", flat=True
    )
    with zipfile.ZipFile(report.output) as archive:
        names = archive.namelist()
    assert "python/markupsafe/_speedups.cpython-312-aarch64-linux-gnu.so" in names
    assert [(package.name, package.version) for package in report.packages] == [("MarkupSafe", "3.0.2")]
    assert report.warnings == ()
    assert report.zipped_bytes == report.output.stat().st_size


@pytest.mark.network
def test_a_requirements_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six==1.17.0  # a comment\n")
    report = build_python(requirements_files=(tmp_path / "requirements.txt",), output=tmp_path / "layer.zip")
    assert [package.name for package in report.packages] == ["six"]
    assert [package["purl"] for package in report.to_dict()["packages"]] == ["pkg:pypi/six@1.17.0"]


@pytest.mark.network
def test_a_package_without_wheels_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(LayerBuildError, match="no wheel of psycopg2 "):
        build_python("psycopg2", output=tmp_path / "layer.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_local_wheel_needs_no_index(tmp_path: Path) -> None:
    wheel = tmp_path / "mine-1.0-py3-none-any.whl"
    info = "mine-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mine.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nmine = mine:main\n")
        archive.writestr(f"{info}/RECORD", f"mine.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    report = build_python(str(wheel), output=tmp_path / "layer.zip")
    site = "python/lib/python3.11/site-packages"
    with zipfile.ZipFile(report.output) as archive:
        assert archive.namelist() == [
            *(f"{site}/{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")),
            f"{site}/mine.py",
        ]
        assert sys.executable.encode() not in archive.read(f"{site}/{info}/RECORD")


def test_an_archive_replaces_what_was_there_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "layer.zip"
    path.write_text("old")
    with pytest.raises(FileNotFoundError):
        write_archive(path, {"a": Entry(b"1"), "b": Entry(tmp_path / "missing")}, date_time=EPOCH)
    assert path.read_text() == "old"
    facts = write_archive(path, {"b": Entry(b"22", executable=True), "a": Entry(b"1")}, date_time=EPOCH)
    assert (facts.files, facts.unzipped_bytes, [entry.name for entry in tmp_path.iterdir()]) == (2, 3, ["layer.zip"])
    with zipfile.ZipFile(path) as archive:
        assert [(info.filename, info.external_attr >> 16) for info in archive.infolist()] == [
            ("a", 0o100644),
            ("b", 0o100755),
        ]
