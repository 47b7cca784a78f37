import os
import shutil
import stat
from pathlib import Path

import pytest

from lamella.elf import ElfError, read_elf
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.system import System, host_architecture
from lamella.runtimes.tree import RootTree, tree_digest, tree_size_bytes


@pytest.fixture
def tree(tmp_path: Path) -> RootTree:
    root = tmp_path / "root"
    root.mkdir()
    return RootTree(root, System.host())


def test_a_program_brings_its_loader_and_libraries(tree: RootTree) -> None:
    program = Path(shutil.which("ls") or "/bin/ls")
    tree.copy_program(program, "/usr/bin/ls")
    elf = read_elf(program)
    assert elf.interpreter is not None
    assert tree.path(elf.interpreter).exists()
    assert (tree.root / "usr/lib64/libc.so.6").is_file()
    assert set(elf.needed) <= {path.name for path in (tree.root / "usr/lib64").iterdir()}
    assert str(program.resolve()) in tree.sources


def test_a_missing_library_is_named_with_who_needs_it(tmp_path: Path) -> None:
    empty = System(tmp_path / "empty", host_architecture(), "An empty system")
    (tmp_path / "root").mkdir()
    with pytest.raises(PackBuildError, match=r"/ls needs the library lib\S+, which is not on this host"):
        RootTree(tmp_path / "root", empty).copy_program(Path("/bin/ls"), "/usr/bin/ls")


def test_what_is_no_elf_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("#!/bin/sh\n")
    with pytest.raises(ElfError, match="Cannot read"):
        read_elf(tmp_path / "x")


def test_paths_follow_links_within_the_tree_only(tree: RootTree) -> None:
    tree.mkdir("/usr/lib64")
    tree.symlink("/lib64", "usr/lib64")
    tree.symlink("/absolute", "/usr/lib64")
    assert tree.path("/lib64/x") == tree.root / "usr/lib64/x"
    assert tree.path("/absolute/x") == tree.root / "usr/lib64/x"


def test_a_second_name_of_a_host_file_costs_nothing(tree: RootTree, tmp_path: Path) -> None:
    source = tmp_path / "multi"
    source.write_bytes(b"x" * 1000)
    tree.copy(source, "/bin/a")
    tree.copy(source, "/bin/b")
    assert tree_size_bytes(tree.root) == 1000


def test_hardening_takes_dangerous_bits_away(tree: RootTree) -> None:
    tree.write("/bin/su", "x", executable=True)
    tree.write("/etc/secret", "x")
    tree.path("/bin/su").chmod(0o6777)
    tree.path("/etc/secret").chmod(0o600)
    tree.path("/etc").chmod(0o2777)
    tree.symlink("/link", "bin/su")
    tree.harden()
    modes = {name: stat.S_IMODE(tree.path(name).lstat().st_mode) for name in ("/bin/su", "/etc/secret", "/etc")}
    assert modes == {"/bin/su": 0o755, "/etc/secret": 0o644, "/etc": 0o755}
    if os.geteuid() == 0:
        assert {(path.lstat().st_uid, path.lstat().st_gid) for path in tree.root.rglob("*")} == {(0, 0)}


def _sample(root: Path) -> Path:
    (root / "d").mkdir(parents=True)
    (root / "d/f").write_text("one")
    (root / "l").symlink_to("d/f")
    return root


def test_a_digest_does_not_depend_on_place_and_time(tmp_path: Path) -> None:
    first, second = _sample(tmp_path / "a"), _sample(tmp_path / "b")
    os.utime(second / "d/f", (1, 1))
    assert tree_digest(first) == tree_digest(second)


@pytest.mark.parametrize("change", ["content", "mode", "link", "name", "extra"])
def test_a_digest_sees_every_change(tmp_path: Path, change: str) -> None:
    root = _sample(tmp_path / "a")
    before = tree_digest(root)
    match change:
        case "content":
            (root / "d/f").write_text("two")
        case "mode":
            (root / "d/f").chmod(0o755)
        case "link":
            (root / "l").unlink()
            (root / "l").symlink_to("d")
        case "name":
            (root / "d/f").rename(root / "d/g")
        case _:
            (root / "d/e").mkdir()
    assert tree_digest(root) != before
