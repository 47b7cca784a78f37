import os
import zipfile
from pathlib import Path
from typing import Any, cast

import pytest

from lamella.cli.client import Client
from lamella.cli.failure import CommandError, Status
from lamella.cli.runtime import managed


class Server:
    """Takes whatever is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.versions: list[str] = []

    def page(self, method: str, path: str, *, body: bytes | None = None) -> dict[str, Any]:
        if body is None:
            return {"Versions": [{"Name": name} for name in self.versions]}
        self.sent.append(body)
        return {"uri": "upload:sha256:00"}


@pytest.fixture
def server() -> Server:
    return Server()


def uri_of(server: Server, source: object) -> str:
    return managed._uri(cast("Client", server), str(source))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "php"
    (path / "bin").mkdir(parents=True)
    (path / "bootstrap").write_text("#!/bin/sh")
    (path / "bootstrap").chmod(0o755)
    (path / "bin" / "php").write_text("php")
    (path / "bin" / "php8").symlink_to("php")
    return path


def test_a_folder_is_sent_with_its_modes_and_links(server: Server, folder: Path, tmp_path: Path) -> None:
    assert uri_of(server, folder) == "upload:sha256:00"
    archive = tmp_path / "sent.zip"
    archive.write_bytes(server.sent[0])
    with zipfile.ZipFile(archive) as opened:
        modes = {info.filename: info.external_attr >> 16 for info in opened.infolist()}
    assert modes == {"bootstrap": 0o100755, "bin/php": 0o100644, "bin/php8": 0o120777}


def test_the_same_folder_is_the_same_zip(server: Server, folder: Path) -> None:
    uri_of(server, folder)
    os.utime(folder / "bootstrap", (1, 1))
    uri_of(server, folder)
    assert server.sent[0] == server.sent[1]


def test_what_is_no_regular_file_is_left_out(server: Server, folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    uri_of(server, folder)
    archive = tmp_path / "sent.zip"
    archive.write_bytes(server.sent[0])
    assert "pipe" not in zipfile.ZipFile(archive).namelist()


def test_a_zip_is_sent_as_it_is(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "runtime.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh")
    assert uri_of(server, path) == "upload:sha256:00"
    assert server.sent == [path.read_bytes()]


def test_images(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = tmp_path / "layout"
    layout.mkdir()
    (layout / "oci-layout").write_text("{}")
    (tmp_path / "image.tar").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert uri_of(server, layout) == f"oci:{layout}"
    assert uri_of(server, "oci:layout:v1") == f"oci:{layout}:v1"
    assert uri_of(server, "image.tar") == f"oci-archive:{tmp_path}/image.tar"
    assert uri_of(server, "registry.example.com/php:8") == "registry.example.com/php:8"
    assert uri_of(server, "php:8") == "php:8"


def test_a_runtime_of_the_server(server: Server) -> None:
    assert uri_of(server, "python3.11") == "pack:python3.11"
    assert uri_of(server, "pack:python3.11") == "pack:python3.11"


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/php:8", "~/php"])
def test_what_is_nothing(server: Server, source: str) -> None:
    with pytest.raises(CommandError, match="there is no folder or file") as caught:
        uri_of(server, source)
    assert caught.value.status is Status.USAGE


def test_what_has_no_bootstrap_or_is_no_zip(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no file 'bootstrap'"):
        uri_of(server, tmp_path)
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(CommandError, match="neither a zip archive"):
        uri_of(server, tmp_path / "text.zip")
    assert server.sent == []


@pytest.mark.parametrize(
    ("versions", "name"), [([], "v1"), (["v1", "v9", "v10"], "v11"), (["8.4.1"], "v1"), (["v007"], "v8")]
)
def test_names_are_counted(server: Server, versions: list[str], name: str) -> None:
    server.versions = versions
    assert managed._next(cast("Client", server), "php") == name


@pytest.mark.parametrize("name", ["Php", "p", "php-", "a b", "\x1b[2J"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(CommandError, match="cannot be a runtime's name") as caught:
        managed.publish(name, source="python3.11")
    assert "\x1b" not in str(caught.value)
