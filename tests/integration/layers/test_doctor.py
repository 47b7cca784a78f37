"""The check of layers with real packages: what is sound is called sound, and its twins for elsewhere are not."""

import shutil
import zipfile
from pathlib import Path

import pytest

from lamella.layers.build.builder import build_layers
from lamella.layers.build.recipe import PythonTable, Recipe
from lamella.layers.contents import open_contents
from lamella.layers.doctor import check_layers
from lamella.layers.findings import Finding, Severity

PACKAGES = ("boto3==1.44.5", "cryptography==46.0.3", "pillow==13.0.0", "psycopg[binary]==3.2.12")


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled packages of several makers, and some hundred documents of an SDK with examples of keys."""
    output = tmp_path_factory.mktemp("doctor") / "layer.zip"
    python = PythonTable(requirements=PACKAGES)
    build_layers(
        Recipe(runtimes=("python3.12",), architectures=("x86_64",), output=str(output), slim=frozenset(), python=python)
    )
    return output


def check(path: Path, *runtimes: str, architectures: tuple[str, ...] = ("x86_64",)) -> dict[str, Finding]:
    with open_contents(path) as contents:
        findings = check_layers([contents], runtimes=runtimes, architectures=architectures)
    return {finding.code: finding for finding in reversed(findings)}


@pytest.mark.network
def test_real_packages_are_sound_where_they_belong(layer: Path) -> None:
    found = check(layer, "python3.12")
    assert {code for code, finding in found.items() if finding.severity is Severity.ERROR} == set()
    assert {code for code, finding in found.items() if finding.severity is Severity.WARNING} == {"shipped-by-runtime"}
    assert "boto3 1.44.5" in found["shipped-by-runtime"].reason
    assert "secret" not in found  # botocore's documents are full of examples


@pytest.mark.network
def test_real_packages_are_wrong_elsewhere(layer: Path, tmp_path: Path) -> None:
    assert "x86_64" in check(layer, "python3.12", architectures=("arm64",))["wrong-architecture"].reason
    assert check(layer, "python3.12", architectures=("x86_64", "arm64"))["one-architecture"].severity is Severity.ERROR
    assert "python3.11 does not search" in check(layer, "python3.11")["wrong-python-directory"].reason

    flat = tmp_path / "flat"
    with zipfile.ZipFile(layer) as archive:
        archive.extractall(tmp_path / "opt")
    shutil.move(tmp_path / "opt" / "python" / "lib" / "python3.12" / "site-packages", flat / "python")
    found = check(flat, "python3.11")
    assert "python3.11 does not see it" in found["wrong-python-abi"].reason
    assert "cp312" in found["wrong-wheel"].reason
    assert "glibc 2.26" in found["glibc-too-new"].reason

    shutil.move(flat / "python", flat / "layer" / "python")
    assert "/opt/layer/" in check(flat, "python3.12")["parent-folder"].reason
