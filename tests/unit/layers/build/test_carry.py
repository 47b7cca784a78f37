import pytest

from lamella.domain.function import Architecture
from lamella.layers.build.carry import Carried, glibc_of, is_c_library
from lamella.layers.build.sources import Target


@pytest.mark.parametrize(
    "name", ["libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "libnss_files.so.2", "libresolv.so.2"]
)
def test_parts_of_the_c_library(name: str) -> None:
    assert is_c_library(name)


@pytest.mark.parametrize("name", ["libcrypt.so.1", "libcurl.so.4", "libmagic.so.1", "libstdc++.so.6", "libnss3.so"])
def test_libraries_that_only_look_like_parts_of_it(name: str) -> None:
    assert not is_c_library(name)


def test_the_oldest_runtime_is_the_bar() -> None:
    def bar(*runtimes: str) -> tuple[int, int]:
        return glibc_of(Target(runtimes, Architecture.X86_64))

    assert bar("provided.al2023") == (2, 34)
    assert bar("provided.al2023", "python3.11") == (2, 26)
    assert bar() == (2, 26)


def test_who_brings_a_c_library_is_told_so() -> None:
    target = Target(("provided.al2023",), Architecture.X86_64)
    assert Carried({}, (2, 33)).warnings(target, "jq wants version") == ()
    (warning,) = Carried({}, (2, 36), "/opt/lib/native/ld.so").warnings(target, "jq wants version")
    assert warning.startswith("jq wants version 2.36 of glibc and the runtime has 2.34")
