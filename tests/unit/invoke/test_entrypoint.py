"""Which program starts the runtime, rules EN-20 to EN-22 and EN-25."""

import struct
from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.domain.image import Launch
from lamella.invoke.entrypoint import (
    InvalidEntrypointError,
    InvalidWorkingDirectoryError,
    View,
    check_command,
    find_entrypoint,
)

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


def test_the_root_itself_may_be_reached_by_a_link(trees: Trees, tmp_path: Path) -> None:
    """As one that several data directories share."""
    layer = tmp_path / "extended"
    (layer / "extensions").mkdir(parents=True)
    (layer / "extensions" / "one").touch()
    (tmp_path / "linked").symlink_to(trees.rootfs)
    view = View(rootfs=tmp_path / "linked", task=trees.task, layers=[layer])
    assert view.files("/opt/extensions") == ("one",)
    assert view.find("/opt/extensions/one") == layer / "extensions" / "one"


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


def test_a_script_is_as_foreign_as_its_interpreter(trees: Trees) -> None:
    trees.put(trees.rootfs, "bin/sh", elf(183))
    trees.put(trees.task, "bootstrap", b"#!/bin/sh\n")
    assert refused(trees) == "fork/exec /var/task/bootstrap: exec format error"
    assert trees.find(architecture=Architecture.ARM64) == "/var/task/bootstrap"


def test_scripts_that_interpret_each_other(trees: Trees) -> None:
    trees.put(trees.task, "bootstrap", b"#!/var/task/bootstrap\n")
    assert refused(trees) == "fork/exec /var/task/bootstrap: too many levels of symbolic links"


class Image:
    """The root of a container image."""

    def __init__(self, trees: Trees) -> None:
        self.trees, self.root = trees, trees.rootfs

    def put(self, name: str, content: bytes = b"#!/bin/sh\n", mode: int = 0o755) -> None:
        self.trees.put(self.root, name, content, mode)

    def check(self, *argv: str, directory: str = "/", path: str = "/usr/bin:/bin") -> str:
        """Why it cannot be started; empty if it can."""
        try:
            check_command(Launch(argv, (), directory), path, View(rootfs=self.root), Architecture.X86_64)
        except InvalidEntrypointError as error:
            return str(error)
        return ""


@pytest.fixture
def image(trees: Trees) -> Image:
    return Image(trees)


def test_the_command_of_an_image(image: Image) -> None:
    image.put("lambda-entrypoint.sh")
    assert image.check("/lambda-entrypoint.sh", "app.handler") == ""
    assert image.check("/other") == "fork/exec /other: no such file or directory"
    assert image.check() == "Couldn't find valid bootstrap(s): []"
    image.put("plain", mode=0o644)
    assert image.check("/plain") == "fork/exec /plain: permission denied"
    image.put("foreign", elf(183))
    assert image.check("/foreign") == "fork/exec /foreign: exec format error"
    (image.root / "usr").mkdir()
    assert image.check("/usr") == "fork/exec /usr: permission denied"


def test_a_name_is_searched_for_in_the_path_of_the_image(image: Image) -> None:
    image.put("usr/local/bin/python", elf())
    image.put("bin/python", mode=0o644)  # nothing to execute: the search goes on
    assert image.check("python") == 'exec: "python": executable file not found in $PATH'
    assert image.check("python", path="/bin:/usr/local/bin") == ""
    assert image.check("python", path="") == 'exec: "python": executable file not found in $PATH'
    assert image.check("python", path=":", directory="/usr/local/bin").endswith("not found in $PATH")
    assert image.check("python", path="local/bin", directory="/usr") == ""


def test_a_path_that_is_not_absolute_begins_at_the_working_directory(image: Image) -> None:
    image.put("srv/run")
    assert image.check("./run", directory="/srv") == ""
    assert image.check("./run") == "fork/exec ./run: no such file or directory"


def test_the_working_directory_of_an_image(image: Image) -> None:
    image.put("run")
    for directory, text in (
        ("srv", "the working directory 'srv' is invalid, it needs to be an absolute path"),
        ("/srv", "the working directory doesn't exist: /srv"),
    ):
        with pytest.raises(InvalidWorkingDirectoryError, match=text):
            image.check("/run", directory=directory)
    assert image.check("/run", directory="/run") == "fork/exec /run: not a directory"
    (image.root / "closed").mkdir(mode=0o700)
    assert image.check("/run", directory="/closed") == "fork/exec /run: permission denied"


def test_what_only_root_can_reach(image: Image) -> None:
    image.put("root/bin/run")
    (image.root / "root").chmod(0o700)
    assert image.check("/root/bin/run") == "fork/exec /root/bin/run: permission denied"
    (image.root / "link").symlink_to("root/bin/run")
    assert image.check("/link") == "fork/exec /link: permission denied"


def test_links_of_an_image_lead_nowhere_on_the_host(image: Image, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(elf())
    (tmp_path / "outside").chmod(0o755)
    (image.root / "run").symlink_to(tmp_path / "outside")
    assert image.check("/run") == "fork/exec /run: no such file or directory"
    (image.root / "up").symlink_to("../../../../outside")
    assert image.check("/up") == "fork/exec /up: no such file or directory"
    (image.root / "root").symlink_to("/")
    image.put("app")
    assert image.check("/root/root/app") == ""
    assert image.check("/root") == "fork/exec /root: permission denied"


def test_extensions_of_an_image(image: Image) -> None:
    view = View(rootfs=image.root)
    assert view.files("/opt/extensions") == ()
    image.put("opt/extensions/b")
    image.put("opt/extensions/a/not-one")
    (image.root / "opt/extensions/c").symlink_to("/nowhere")
    assert view.files("/opt/extensions") == ("b", "c")
    (image.root / "opt").rename(image.root / "elsewhere")
    (image.root / "opt").symlink_to("elsewhere")
    assert view.files("/opt/extensions") == ("b", "c")
    assert view.find("/opt/extensions/b") == image.root / "elsewhere/extensions/b"


def test_a_folder_of_extensions_may_be_a_link_inside_a_layer(trees: Trees) -> None:
    trees.put(trees.layers[0], "real/a", b"#!/bin/sh\n")
    (trees.layers[0] / "extensions").symlink_to("real")
    view = View(rootfs=trees.rootfs, task=trees.task, layers=trees.layers)
    assert view.files("/opt/extensions") == ("a",)
