import pytest

from lamella.domain.function import Architecture
from lamella.layers.errors import LayerBuildError
from lamella.layers.targets import PythonTarget


def test_runtimes_on_amazon_linux_2_get_wheels_for_its_old_c_library() -> None:
    target = PythonTarget.of("python3.11", "x86_64")
    assert (target.version, target.platform) == ("3.11", "x86_64-manylinux_2_17")


def test_runtimes_on_amazon_linux_2023_get_newer_wheels() -> None:
    target = PythonTarget.of("python3.12", "arm64")
    assert (target.architecture, target.platform) == (Architecture.ARM64, "aarch64-manylinux_2_34")


def test_packages_go_where_the_runtime_looks() -> None:
    target = PythonTarget.of("python3.12", "x86_64")
    assert target.directory(flat=False) == "python/lib/python3.12/site-packages"
    assert target.directory(flat=True) == "python"


@pytest.mark.parametrize("runtime", ["nodejs22.x", "python3.7", "python3", "3.11", ""])
def test_other_runtimes_are_refused_with_those_that_can_be_had(runtime: str) -> None:
    with pytest.raises(LayerBuildError, match=r"choose one of python3\.8, .*python3\.14"):
        PythonTarget.of(runtime, "x86_64")


def test_unknown_architectures_are_refused() -> None:
    with pytest.raises(LayerBuildError, match="choose x86_64 or arm64"):
        PythonTarget.of("python3.11", "amd64")
