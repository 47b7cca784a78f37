"""One server owns a data directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamella.adapters.filesystem.directory import DataDirectory, DirectoryError

HOLDER = """
import sys
from pathlib import Path
from lamella.adapters.filesystem.directory import DataDirectory
with DataDirectory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_server_is_refused_and_a_killed_one_forgotten(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "data")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DirectoryError, match=rf"belongs to a server that is running \(process {holder.pid}\)"):
            DataDirectory(tmp_path / "data").__enter__()
        holder.kill()
    with DataDirectory(tmp_path / "data"):
        pass


def test_secret_and_instance_are_made_once(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data") as first:
        found = (first.secret, first.instance)
        assert (len(first.secret), len(first.instance)) == (32, 8)
    with DataDirectory(tmp_path / "data") as second:
        assert (second.secret, second.instance) == found
        assert len({second.secret, second.derive("a"), second.derive("b")}) == 3
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_its_archives_go_with_one_kind_of_database(tmp_path: Path) -> None:
    with DataDirectory(tmp_path) as directory:
        for kind in ("sqlite", "postgresql"):
            directory.check_database(kind)
        assert directory.database == ""
        directory.keep_database("postgresql")
        assert directory.database == "postgresql"
    with DataDirectory(tmp_path) as directory:
        assert directory.database == "postgresql"
        directory.check_database("postgresql")
        with pytest.raises(DirectoryError, match=r"another kind .postgresql, not sqlite."):
            directory.check_database("sqlite")


def test_a_directory_of_an_earlier_version_goes_with_sqlite(tmp_path: Path) -> None:
    (tmp_path / "lamella.db").touch()
    with DataDirectory(tmp_path) as directory:
        directory.check_database("sqlite")
        with pytest.raises(DirectoryError, match=r"another kind .sqlite, not postgresql."):
            directory.check_database("postgresql")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    with DataDirectory(tmp_path):
        pass
    (tmp_path / "format").write_text("2\n")
    with pytest.raises(DirectoryError, match="has format 2, this version reads format 1"):
        DataDirectory(tmp_path).__enter__()
    with pytest.raises(DirectoryError):  # and the lock was given back: the reason is still the format
        DataDirectory(tmp_path).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file system that refuses root")
def test_a_place_that_cannot_be_written() -> None:
    with pytest.raises(DirectoryError, match="cannot use the data directory /proc/lamella"):
        DataDirectory(Path("/proc/lamella")).__enter__()
