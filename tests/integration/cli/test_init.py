"""`lamella init`: what it writes, and what it leaves alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamella.scaffold import File, ProjectError, write_project

FILES = {"README.md": File(b"read\n"), "layer/bootstrap": File(b"#!/bin/sh\n", executable=True)}


def init(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lamella"
    return subprocess.run([program, "init", *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def found(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


def test_a_project_of_a_name(tmp_path: Path) -> None:
    done = init("--runtime", "lua", "--json", "greet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert (answer["name"], answer["language"], answer["runtime"]) == ("greet", "lua", "provided.al2023")
    assert sorted(answer["files"]) == [
        f"greet/{path}" for path in found(tmp_path / "greet") if (tmp_path / "greet" / path).is_file()
    ]
    assert os.access(tmp_path / "greet" / "layer" / "bootstrap", os.X_OK)
    assert found(tmp_path)[0] == "greet"  # and nothing beside it


def test_mistakes_are_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    for arguments, words in (
        (["greet"], "which language? --runtime NAME"),
        (["--runtime", "go", "a/b/greet"], "there is no directory a/b"),
        (["--runtime", "go", "--name", "\x1b[31mred", "greet"], "cannot be named"),
    ):
        done = init(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert "\x1b" not in done.stderr
        assert done.stderr.count("\n") == 1
    assert found(tmp_path) == []


class TestWriting:
    """Of the files of a project."""

    def test_among_others(self, tmp_path: Path) -> None:
        (tmp_path / "layer").mkdir()
        (tmp_path / "LICENSE").write_text("mine")
        write_project(FILES, tmp_path)
        assert found(tmp_path) == ["LICENSE", "README.md", "layer", "layer/bootstrap"]

    @pytest.mark.parametrize("name", ["README.md", "layer/bootstrap", "layer"])
    def test_nothing_is_overwritten(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
        before = found(tmp_path)
        with pytest.raises(ProjectError, match=f"has {name} already"):
            write_project(FILES, tmp_path)
        assert found(tmp_path) == before
        assert (tmp_path / name).read_text() == "mine"

    @pytest.mark.parametrize("name", ["layer", "README.md"])
    def test_links_are_not_followed(self, tmp_path: Path, name: str) -> None:
        outside, project = tmp_path / "outside", tmp_path / "project"
        outside.mkdir()
        project.mkdir()
        (project / name).symlink_to(outside if name == "layer" else outside / "nowhere")
        with pytest.raises(ProjectError, match=f"has {name} already"):
            write_project(FILES, project)
        assert found(outside) == []

    def test_a_file_in_place_of_the_directory(self, tmp_path: Path) -> None:
        (tmp_path / "greet").write_text("mine")
        with pytest.raises(ProjectError, match="is no directory"):
            write_project(FILES, tmp_path / "greet")

    @pytest.mark.parametrize("there", [True, False])
    def test_a_failure_leaves_nothing(self, tmp_path: Path, there: bool) -> None:
        """The second file cannot be written: its name is too long for any file system."""
        project = tmp_path / "greet"
        if there:
            project.mkdir()
        with pytest.raises(OSError, match="too long"):
            write_project({**FILES, f"deep/{'x' * 300}": File(b"")}, project)
        assert found(tmp_path) == (["greet"] if there else [])
