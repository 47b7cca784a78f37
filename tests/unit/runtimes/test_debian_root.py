from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.runtimes.debian_root import LANGUAGES, remark, upstream_version, version_of
from lamella.runtimes.interpreters import of_debian
from lamella.runtimes.recipes import language_of
from lamella.runtimes.system import System

SYSTEM = System(
    Path("/unpacked"),
    Architecture.ARM64,
    "Debian 12 for arm64",
    {"libc6": "2.36-9", "python3.11-minimal": "3.11.2-6+deb12u9"},
)


@pytest.mark.parametrize(
    ("version", "upstream"),
    [("3.11.2-6+deb12u6", "3.11.2"), ("1:3.3.14-0", "3.3.14"), ("3.3.8+really3.3.7-1", "3.3.8"), ("2", "2"), ("", "")],
)
def test_a_language_has_the_version_of_its_package(version: str, upstream: str) -> None:
    assert upstream_version(version) == upstream


def test_every_runtime_of_debian_is_one_that_can_be_built() -> None:
    assert [name for name in LANGUAGES if language_of(name) is None] == []


def test_where_a_runtime_is_from() -> None:
    assert remark("python3.11", SYSTEM).startswith(
        "Made of 2 packages of Debian 12 for arm64, among them libc6 2.36-9, python3.11-minimal 3.11.2-6+deb12u9."
    )
    assert "among them libc6 2.36-9." in remark("provided.al2", SYSTEM)


def test_a_python_that_cannot_be_asked_is_where_debian_has_it() -> None:
    python = of_debian("python3.11", version_of("python3.11", SYSTEM), SYSTEM)
    assert python.version == (3, 11, 2)
    assert python.executable == Path("/unpacked/usr/bin/python3.11")
    assert python.dynload == Path("/unpacked/usr/lib/python3.11/lib-dynload")


@pytest.mark.parametrize(
    ("inside", "below"),
    [
        ("/lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-x86-64.so.2"),
        ("/bin/sh", "usr/bin/sh"),
        ("/etc/ssl/x", "etc/ssl/x"),
    ],
)
def test_paths_of_another_system_are_below_its_root(inside: str, below: str) -> None:
    assert SYSTEM.path(inside) == Path("/unpacked", below)
    assert System.host().path(inside) == Path(inside)
