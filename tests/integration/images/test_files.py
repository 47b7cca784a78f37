"""Images in files: layouts, archives of both kinds; and which paths may be named."""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.images import Made, digest, files, gzipped, image, write_layout

from lamella.images.sources import Sources
from lamella.images.store import FilesystemImageStore
from lamella.ports.images import ImageError
from lamella.testing.images import CopyingOverlays

ONE, TWO = image(files({"one": "1"}), config={"Cmd": ["/one"]}), image(files({"one": "1"}), files({"two": "2"}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesystemImageStore]:
    (tmp_path / "allowed").mkdir()
    sources = Sources(paths=[tmp_path / "allowed"])
    opened = FilesystemImageStore(tmp_path / "store", sources, CopyingOverlays())
    yield opened
    opened.close()


@pytest.fixture
def here(tmp_path: Path, store: FilesystemImageStore) -> Path:
    return tmp_path / "allowed"


def pack(members: dict[str, bytes | str]) -> bytes:
    """A tar archive; a text is where a link leads."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def docker_save(*images: tuple[str, Made], **more: Any) -> bytes:
    """As Docker wrote it before it wrote layouts: a directory for each layer, a link where it is there already."""
    members: dict[str, bytes | str] = {}
    entries = []
    for tag, made in images:
        layers = []
        for number, layer in enumerate(made.archives):
            name = f"{digest(made.manifest)[:12]}{number}/layer.tar"
            known = next((other for other, content in members.items() if content == layer), None)
            members[name] = layer if known is None else f"../{known}"
            layers.append(name)
        config = f"{digest(made.config)}.json"
        members[config] = made.config
        entries.append({"Config": config, "RepoTags": [tag], "Layers": layers, **more})
    return pack({**members, "manifest.json": json.dumps(entries).encode()})


async def test_docker_archives_have_the_same_image_each_time(store: FilesystemImageStore, here: Path) -> None:
    (here / "a.tar").write_bytes(docker_save(("hello:v1", ONE), ("hello:v2", TWO)))
    first, second = [await store.resolve(f"docker-archive:{here}/a.tar:v{number}") for number in (1, 2)]
    (here / "b.tar").write_bytes(docker_save(("other:x", TWO)))
    again = await store.resolve(f"docker-archive:{here}/b.tar")

    assert again.digest == second.digest != first.digest
    found = await store.fetch(second.uri, second.digest)
    root = store.root(found.digest)
    assert ((root / "one").read_text(), (root / "two").read_text()) == ("1", "2")
    assert (await store.fetch(first.uri, first.digest)).command == ("/one",)
    for uri, reason in (
        (f"docker-archive:{here}/a.tar", r"has 2 images; its tags: hello:v1, hello:v2"),
        (f"docker-archive:{here}/a.tar:v3", r"has no tag 'v3'"),
        (f"docker-archive:{here}/a.tar@sha256:{'0' * 64}", r"has no image sha256:0000"),
    ):
        with pytest.raises(ImageError, match=reason):
            await store.resolve(uri)


async def test_an_oci_archive_is_a_layout(store: FilesystemImageStore, here: Path, tmp_path: Path) -> None:
    write_layout(tmp_path / "layout", {"v1": ONE, "several": [ONE, image(files({"b": ""}), architecture="arm64")]})
    with tarfile.open(here / "a.tar", "w") as tar:
        tar.add(tmp_path / "layout", ".")
    resolved = await store.resolve(f"oci-archive:{here}/a.tar:several")
    assert len(resolved.platforms) == 2
    assert (store.root((await store.fetch(resolved.uri, ONE.digest)).digest) / "one").read_text() == "1"


async def test_a_layout_without_tags_is_one_image_or_an_index(store: FilesystemImageStore, here: Path) -> None:
    write_layout(here / "one", {"": ONE})
    assert (await store.resolve(f"oci:{here}/one")).digest == ONE.digest
    write_layout(here / "two", {"v1": ONE, "v2": TWO})
    with pytest.raises(ImageError, match=r"has 2 images: say which by a tag \(v1, v2\)"):
        await store.resolve(f"oci:{here}/two")
    arm = image(files({"b": ""}), architecture="arm64")
    write_layout(here / "platforms", {"": [ONE, arm]})
    inner = json.loads((here / "platforms/index.json").read_text())["manifests"][0]["digest"][7:]
    (here / "platforms/index.json").write_bytes((here / "platforms/blobs/sha256" / inner).read_bytes())
    assert [one.digest for one in (await store.resolve(f"oci:{here}/platforms")).platforms] == [ONE.digest, arm.digest]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a tar archive|has no file"),
        (b"hello", "is not a tar archive"),
        (gzipped(docker_save(("a:1", ONE))), "is packed: unpack it first"),
        (pack({"other": b""}), "has no file 'manifest.json'"),
        (pack({"manifest.json": b"{}"}), "is not a list"),
        (pack({"manifest.json": b"[{}]"}), "is not as 'docker save' writes it"),
        (pack({"manifest.json": "manifest.json"}), "has no file"),
        (pack({"manifest.json": "../../../etc/passwd"}), "has no file"),
        (docker_save(("a:1", ONE))[:3000], "is not a tar archive|has no file|not valid"),
        (docker_save(("a:1", ONE), Layers=["../../etc/passwd"]), "has no file '../../etc/passwd'"),
        (docker_save(("a:1", ONE), Layers=[]), "have other layers"),
        (docker_save(("a:1", ONE), Config="/etc/passwd"), "has no file"),
    ],
)
async def test_archives_that_are_none_are_refused(
    store: FilesystemImageStore, here: Path, content: bytes, reason: str
) -> None:
    (here / "a.tar").write_bytes(content)
    with pytest.raises(ImageError, match=reason) as refused:
        await store.resolve(f"docker-archive:{here}/a.tar")
    assert str(refused.value).isprintable()


async def test_only_paths_that_the_operator_named_are_read(
    store: FilesystemImageStore, here: Path, tmp_path: Path
) -> None:
    write_layout(tmp_path / "outside", {"": ONE})
    (here / "link").symlink_to(tmp_path / "outside")
    (here / "circle").symlink_to("circle")
    for path in (tmp_path / "outside", here / "link", here / "../outside", here / "circle/x", Path("/etc")):
        with pytest.raises(ImageError, match="may not be read") as denied:
            await store.resolve(f"oci:{path}")
        assert denied.value.code == "ImageAccessDenied"


async def test_parts_of_a_layout_are_files_not_links_or_devices(store: FilesystemImageStore, here: Path) -> None:
    layout = write_layout(here / "layout", {"": ONE})
    part = layout / "blobs/sha256" / ONE.digest
    for make, reason in (
        (lambda: part.symlink_to("/etc/passwd"), "cannot be read"),
        (lambda: os.mkfifo(part), "is not a file"),
        (lambda: part.mkdir(), "is not a file"),
        (lambda: part.write_bytes(b"{}"), "is damaged"),
        (lambda: None, "is not there"),
    ):
        part.rmdir() if part.is_dir() else part.unlink()
        make()
        with pytest.raises(ImageError, match=reason):
            await store.resolve(f"oci:{here}/layout")
        part.touch() if not os.path.lexists(part) else None
