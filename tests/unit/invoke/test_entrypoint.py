"""Which program starts the runtime, rules EN-20 to EN-22."""

import struct
from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.invoke.entrypoint import InvalidEntrypointError, View, find_entrypoint

PROVIDED = ("/var/task/bootstrap", "/opt/bootstrap")


def elf(machine: int = 62, interpreter: str = "") -> bytes:
    header = bytearray(64)
    header[:5] = b"\x7fELF\x02"
    header[5] = 1
    struct.pack_into("<HH", header, 16, 2, machine)
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, 1 if interpreter else 0)
    if not interpreter:
        return bytes(header)
    program = bytearray(56)
    text = interpreter.encode() + b"\0"
    struct.pack_into("<I", program, 0, 3)
    struct.pack_into("<Q", program, 8, 120)
    struct.pack_into("<Q", program, 32, len(text))
    return bytes(header) + bytes(program) + text


class Trees:
    def __init__(self, root: Path) -> None:
        self.rootfs, self.task = root / "rootfs", root / "task"
        self.layers = [root / "layer1", root / "layer2"]
        for folder in (self.rootfs, self.task, *self.layers):
            folder.mkdir()
        self.put(self.rootfs, "bin/sh", elf())

    def put(self, tree: Path, name: str, content: bytes, mode: int = 0o755) -> None:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)

    def find(self, *candidates: str, architecture: Architecture = Architecture.X86_64) -> str:
        view = View(rootfs=self.rootfs, task=self.task, layers=self.layers)
        return find_entrypoint(candidates or PROVIDED, view, architecture)


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


def refused(trees: Trees, **options: Architecture) -> str:
    with pytest.raises(InvalidEntrypointError) as refusal:
        trees.find(**options)
    return str(refusal.value)


def test_the_function_comes_before_the_layer(trees: Trees) -> None:
    trees.put(trees.layers[0], "bootstrap", b"#!/bin/sh\n")
    assert trees.find() == "/opt/bootstrap"
    trees.put(trees.task, "bootstrap", b"#!/bin/sh\n")
    assert trees.find() == "/var/task/bootstrap"


def test_none(trees: Trees) -> None:
    assert refused(trees) == "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"


def test_a_directory_is_none(trees: Trees) -> None:
    (trees.task / "bootstrap").mkdir()
    assert refused(trees).startswith("Couldn't find")


@pytest.mark.parametrize("mode", [0o644, 0o744, 0o711])
def test_what_the_sandbox_user_cannot_execute(trees: Trees, mode: int) -> None:
    trees.put(trees.task, "bootstrap", b"#!/bin/sh\n", mode)
    assert refused(trees) == "fork/exec /var/task/bootstrap: permission denied"


@pytest.mark.parametrize("content", [b"", b"echo hello\n", elf(machine=183), elf()[:40], b"\x7fELF\x01" + bytes(60)])
def test_what_the_kernel_cannot_execute(trees: Trees, content: bytes) -> None:
    trees.put(trees.task, "bootstrap", content)
    assert refused(trees) == "fork/exec /var/task/bootstrap: exec format error"


def test_the_architecture_is_the_functions(trees: Trees) -> None:
    trees.put(trees.task, "bootstrap", elf(machine=183))
    assert trees.find(architecture=Architecture.ARM64) == "/var/task/bootstrap"


@pytest.mark.parametrize("content", [b"#!/usr/bin/python3\n", b"#!/bin/sh\r\n", b"#!\n", elf(interpreter="/lib/ld.so")])
def test_a_missing_interpreter(trees: Trees, content: bytes) -> None:
    trees.put(trees.task, "bootstrap", content)
    assert refused(trees) == "fork/exec /var/task/bootstrap: no such file or directory"


def test_an_interpreter_from_a_layer(trees: Trees) -> None:
    trees.put(trees.task, "bootstrap", b"#!/opt/bin/php -q\n")
    trees.put(trees.layers[0], "bin/php", elf())
    assert trees.find() == "/var/task/bootstrap"


def test_links_are_followed_as_inside_the_sandbox(trees: Trees, tmp_path: Path) -> None:
    trees.put(trees.layers[1], "real", b"#!/bin/sh\n")
    (trees.task / "bootstrap").symlink_to("/opt/real")
    assert trees.find() == "/var/task/bootstrap"
    # A path of the host that happens to exist is not one of the sandbox.
    (trees.task / "bootstrap").unlink()
    trees.put(tmp_path, "outside", b"#!/bin/sh\n")
    (trees.task / "bootstrap").symlink_to(tmp_path / "outside")
    assert refused(trees).startswith("Couldn't find")


def test_a_circle_of_links_ends(trees: Trees) -> None:
    (trees.task / "bootstrap").symlink_to("loop")
    (trees.task / "loop").symlink_to("bootstrap")
    assert refused(trees).startswith("Couldn't find")


def test_the_later_layer_wins(trees: Trees) -> None:
    trees.put(trees.layers[0], "bootstrap", b"#!/bin/sh\n")
    trees.put(trees.layers[1], "bootstrap", b"#!/bin/sh\n", 0o644)
    assert refused(trees) == "fork/exec /opt/bootstrap: permission denied"


def test_a_link_in_one_layer_does_not_lead_through_a_directory_of_another(trees: Trees, tmp_path: Path) -> None:
    """A later layer's directory hides an earlier one's link: nothing of the host is reachable through it."""
    trees.put(tmp_path, "outside/tool", elf())
    (trees.layers[0] / "a").symlink_to(tmp_path / "outside")
    (trees.layers[1] / "a").mkdir()
    trees.put(trees.layers[1], "bootstrap", b"#!/opt/a/tool\n")
    assert refused(trees) == "fork/exec /opt/bootstrap: no such file or directory"


def test_a_file_of_a_later_layer_hides_a_directory(trees: Trees) -> None:
    trees.put(trees.layers[0], "a/tool", elf())
    trees.put(trees.layers[1], "a", b"")
    trees.put(trees.layers[1], "bootstrap", b"#!/opt/a/tool\n")
    assert refused(trees) == "fork/exec /opt/bootstrap: no such file or directory"
    trees.put(trees.layers[1], "other/x", b"")
    trees.put(trees.layers[0], "other/tool", elf())
    trees.put(trees.layers[1], "bootstrap", b"#!/opt/other/tool\n")
    assert trees.find() == "/opt/bootstrap"
