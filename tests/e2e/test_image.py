"""`lamella image`, with a registry and a server that may ask it."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.images import files, image, write_layout
from tests.support.registry import Registry
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

NAME = "111122223333.dkr.ecr.us-east-1.amazonaws.com/hello"
X86 = image(files({"bin/hello": "x86"}), config={"Cmd": ["/bin/hello"], "Env": ["A=\x1b[2J"]})
ARM = image(files({"bin/hello": "arm"}), architecture="arm64")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as running:
        running.push("hello", "v1", X86, ARM)
        yield running


@pytest.fixture(scope="module")
def server(registry: Registry) -> Iterator[LamellaServer]:
    with LamellaServer(image_registries=f"ecr=http://{registry.name}") as running:
        yield running


def test_images_are_pulled_loaded_shown_and_removed(server: LamellaServer, tmp_path: Path) -> None:
    def lamella(*arguments: str, status: int = 0) -> tuple[str, str]:
        done = server.lamella("image", *arguments, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr

    assert "The server has no images" in lamella("list")[1]

    # From a registry, under AWS's name for it.
    pulled = json.loads(lamella("pull", f"{NAME}:v1", "--architecture", "x86_64", "--json")[0])
    assert [one["digest"] for one in pulled["images"]] == [f"sha256:{X86.digest}"]
    assert "is here" in lamella("pull", f"{NAME}:v1", "--architecture", "arm64")[1]
    refused = lamella("pull", "127.0.0.1:5000/hello:v1", status=3)[1]
    assert "ImageAccessDenied: The registry 127.0.0.1:5000 may not be asked by this server" in refused
    assert "image_paths" in lamella("pull", f"oci:{tmp_path}:v1", status=3)[1]

    # From here, without any registry: a directory, an archive, and what is neither.
    layout = write_layout(tmp_path / "layout", {"v2": ARM})
    assert "is here" in lamella("load", str(layout), f"{NAME}:v2")[1]
    with tarfile.open(tmp_path / "hello.tar", "w") as tar:
        tar.add(layout, ".")
    loaded = json.loads(lamella("load", str(tmp_path / "hello.tar"), f"{NAME}:v3", "--tag", "v2", "--json")[0])
    assert loaded["digest"] == f"sha256:{ARM.digest}"
    assert "InvalidImage: The archive" in lamella("load", __file__, f"{NAME}:v4", status=3)[1]
    assert "cannot read" in lamella("load", str(tmp_path / "none"), f"{NAME}:v4", status=2)[1]
    assert "no OCI layout" in lamella("load", str(tmp_path), f"{NAME}:v4", status=2)[1]

    listed = json.loads(lamella("list", "--json")[0])["images"]
    by_digest = {one["digest"][7:]: one for one in listed}
    assert set(by_digest) == {X86.digest, ARM.digest}
    assert by_digest[ARM.digest]["names"] == [f"{NAME}:v2", f"{NAME}:v3"]
    assert by_digest[ARM.digest]["kept"]
    assert (by_digest[X86.digest]["kept"], by_digest[X86.digest]["in_use"]) == (True, False)
    assert f"{NAME}:v1" in lamella("list")[0]
    shown = lamella("show", X86.digest[:12])[0]
    assert "/bin/hello" in shown
    assert "\x1b" not in shown

    assert "2 images" not in lamella("remove", f"{NAME}:v3")[1]
    assert "There is no image" in lamella("remove", f"{NAME}:v2", status=3)[1]
    pruned = json.loads(lamella("prune", "--yes", "--json")[0])["removed"]
    assert [one["digest"] for one in pruned] == [f"sha256:{X86.digest}"]
    assert not list((server.data / "images/layers").iterdir())
