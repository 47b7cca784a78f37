"""Packs that are taken as they are: from directories and images; and how they go again."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamella.domain.function import Architecture
from lamella.ports.images import ImageError, StoredImage
from lamella.ports.runtimes import RuntimeNotInstalledError
from lamella.runtimes import PackBuildError, PackCatalog, PackDamagedError, host_architecture, verify
from lamella.runtimes.foreign import Emulation, Emulations
from lamella.runtimes.taken import LABEL
from lamella.testing.images import MemoryImageStore

HOST = host_architecture()
OTHER = next(architecture for architecture in Architecture if architecture is not HOST)


def program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A pack as somebody would make it by hand."""
    directory = tmp_path / "made"
    program(directory / "rootfs/var/runtime/bootstrap")
    describe(directory)
    return directory


def describe(directory: Path, **members: object) -> None:
    document = {"format": 1, "name": "ruby3.3", "architecture": HOST, **members}
    (directory / "pack.json").write_text(json.dumps(document))


@pytest.fixture
def packs(tmp_path: Path) -> PackCatalog:
    return PackCatalog(tmp_path / "runtimes", emulations=Emulations(lambda _: Emulation(True, "yes")))


def test_a_directory_is_taken_as_it_is(packs: PackCatalog, source: Path, tmp_path: Path) -> None:
    (source / "rootfs/etc").mkdir()
    (source / "rootfs/etc/link").symlink_to("/etc/shadow")
    os.link(source / "rootfs/var/runtime/bootstrap", source / "rootfs/again")
    (source / "rootfs/again").chmod(0o4755)
    describe(source, env={"A": "1"}, remarks=["by hand"])
    pack = packs.add("ruby3.3", source)
    assert (pack.name, pack.architecture, pack.managed) == ("ruby3.3", HOST, True)
    assert (pack.execution_env, pack.env) == ("AWS_Lambda_ruby3.3", {"A": "1"})
    assert pack.version == f"ruby:3.3.v{pack.digest[:8]}"
    assert (pack.rootfs / "etc/link").readlink() == Path("/etc/shadow")
    assert (pack.rootfs / "again").stat().st_mode & 0o7777 == 0o755
    assert (pack.rootfs / "again").samefile(pack.rootfs / "var/runtime/bootstrap")
    for inside in ("proc", "dev", "tmp", "var/task", "opt", "etc/hosts", "etc/resolv.conf"):
        assert (pack.rootfs / inside).exists()
    manifest = packs.manifest("ruby3.3")
    assert (manifest.origin.place, manifest.remarks) == (str(source), ("by hand",))
    verify(pack)
    assert PackCatalog(tmp_path / "runtimes").find("ruby3.3", HOST) == pack


def test_it_is_never_built_anew(packs: PackCatalog, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = packs.add("ruby3.3", source)
    monkeypatch.setattr(packs, "_missing_defaults", list)
    assert packs.ensure_defaults() == []
    assert packs.find("ruby3.3", HOST) == pack


def test_one_that_is_there_can_be_taken_elsewhere(packs: PackCatalog, source: Path, tmp_path: Path) -> None:
    pack = packs.add("ruby3.3", source)
    elsewhere = PackCatalog(tmp_path / "elsewhere")
    assert elsewhere.add("ruby3.3", pack.rootfs.parent).digest == pack.digest
    (pack.rootfs / "etc/hosts").write_text("changed")
    with pytest.raises(PackBuildError, match=r"was changed after it was made: its digest is .* Take \"digest\" out of"):
        elsewhere.add("ruby3.3", pack.rootfs.parent)


def test_nothing_of_the_host_is_read_as_part_of_a_tree(packs: PackCatalog, source: Path) -> None:
    """A pack may come from anywhere: `/dev/zero` would be read for ever."""
    (source / "rootfs/cache").symlink_to("/dev/zero")
    describe(source, derived={"/cache": "ab" * 32})
    with pytest.raises(PackBuildError, match="was changed after it was made: /cache"):
        packs.add("ruby3.3", source)


def test_what_is_derived_from_a_tree_is_not_part_of_its_digest(packs: PackCatalog, source: Path) -> None:
    """Java's archive of classes: not the same twice, and yet the same pack."""
    digest = packs.add("ruby3.3", source).digest
    for content in (b"one", b"two"):
        (source / "rootfs/cache").write_bytes(content)
        describe(source, derived={"/cache": hashlib.sha256(content).hexdigest()})
        pack = packs.add("ruby3.3", source)
        assert pack.digest == digest
    verify(pack)
    (pack.rootfs / "cache").write_bytes(b"3")
    with pytest.raises(PackDamagedError, match="/cache"):
        verify(pack)
    describe(source, derived={"/cache": "ab" * 32})
    with pytest.raises(PackBuildError, match="was changed after it was made: /cache"):
        packs.add("ruby3.3", source)


def test_a_pack_for_another_architecture_stands_beside(packs: PackCatalog, source: Path) -> None:
    native = packs.add("ruby3.3", source)
    describe(source, architecture=OTHER)
    with pytest.raises(PackBuildError, match=f"for {HOST} already"):  # the same files
        packs.add("ruby3.3", source)
    (source / "rootfs/more").write_text("")
    foreign = packs.add("ruby3.3", source)
    assert [packs.find("ruby3.3", architecture) for architecture in (HOST, OTHER)] == [native, foreign]
    packs.remove("ruby3.3", OTHER)
    assert packs.packs() == [native]


def test_a_pack_that_this_host_cannot_run_is_not_taken(source: Path, tmp_path: Path) -> None:
    packs = PackCatalog(tmp_path, emulations=Emulations(lambda found: Emulation(found is HOST, "no qemu", "get it")))
    describe(source, architecture=OTHER)
    with pytest.raises(PackBuildError, match=f"Runtime ruby3.3 for {OTHER} cannot run on this host: no qemu"):
        packs.add("ruby3.3", source)
    assert not (tmp_path / "ruby3.3").exists()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_is_no_file_is_not_copied(packs: PackCatalog, source: Path, kind: str) -> None:
    place = source / "rootfs/odd"
    os.mkfifo(place) if kind == "pipe" else os.mknod(place, 0o140644)
    with pytest.raises(PackBuildError, match="is a device, socket or pipe"):
        packs.add("ruby3.3", source)
    assert packs.packs() == []


def test_the_tree_may_not_be_a_link(packs: PackCatalog, source: Path) -> None:
    (source / "rootfs").rename(source / "tree")
    (source / "rootfs").symlink_to("tree")
    with pytest.raises(PackBuildError, match="the tree itself, not a link"):
        packs.add("ruby3.3", source)


def test_mount_points_are_never_made_outside_of_the_tree(packs: PackCatalog, source: Path, tmp_path: Path) -> None:
    (source / "rootfs/opt").symlink_to("../../../outside")
    pack = packs.add("ruby3.3", source)
    assert (pack.rootfs / "outside").is_dir()
    assert [path.parent for path in tmp_path.glob("**/outside")] == [pack.rootfs]


def test_a_tree_that_cannot_have_mount_points_is_refused(packs: PackCatalog, source: Path) -> None:
    (source / "rootfs/opt").symlink_to("opt")
    with pytest.raises(PackBuildError, match="cannot have what sandboxes are mounted on"):
        packs.add("ruby3.3", source)


def test_a_tree_without_its_first_program_is_refused(packs: PackCatalog, source: Path) -> None:
    (source / "rootfs/var/runtime/bootstrap").chmod(0o644)
    with pytest.raises(PackBuildError, match="has no program /var/runtime/bootstrap"):
        packs.add("ruby3.3", source)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("whose", ["pack", "tree"])
def test_a_pack_of_another_user_is_not_taken(packs: PackCatalog, source: Path, whose: str) -> None:
    os.chown(source if whose == "pack" else source / "rootfs", 12345, 12345)
    with pytest.raises(PackBuildError, match="belongs to user 12345"):
        packs.add("ruby3.3", source)


def test_a_manifest_that_is_too_long_is_not_read(packs: PackCatalog, source: Path) -> None:
    describe(source, more="x" * 2**20)
    with pytest.raises(PackBuildError, match="is larger than"):
        packs.add("ruby3.3", source)


IMAGE = StoredImage(
    digest="ab" * 32,
    architecture=HOST,
    layers=("cd" * 32,),
    size_bytes=7,
    env={"PATH": "/usr/bin", "AWS_REGION": "x", "LAMBDA_TASK_ROOT": "/x", "DOTNET_ROOT": "/var/lang"},
)


@pytest.fixture
async def images(tmp_path: Path) -> MemoryImageStore:
    root = tmp_path / "image"
    program(root / "var/runtime/bootstrap")
    store = MemoryImageStore()
    store.publish("r/dotnet:8", (IMAGE, root))
    await store.fetch("r/dotnet:8", IMAGE.digest)
    return store


def add_image(packs: PackCatalog, images: MemoryImageStore, name: str = "dotnet8", **change: Any) -> Any:
    return packs.add_image(name, replace(IMAGE, **change), images.root(IMAGE.digest), "r/dotnet:8")


async def test_a_pack_is_an_images_root(tmp_path: Path, images: MemoryImageStore) -> None:
    packs = PackCatalog(tmp_path / "runtimes", images.root)
    pack = add_image(packs, images)
    assert (pack.rootfs, pack.digest) == (tmp_path / "image", IMAGE.digest)
    assert (pack.version, pack.execution_env) == ("dotnet:8.vabababab", "AWS_Lambda_dotnet8")
    assert pack.env == {"DOTNET_ROOT": "/var/lang"}  # the rest of the environment is Lambda's
    assert packs.images() == {IMAGE.digest}
    later = PackCatalog(tmp_path / "runtimes", images.root)
    assert later.packs() == [pack]
    await images.prune(())
    assert later.packs() == []
    with pytest.raises(RuntimeNotInstalledError, match=r"lamella runtime add dotnet8 --image r/dotnet:8$"):
        later.find("dotnet8", HOST)
    assert later.manifest("dotnet8").image == IMAGE.digest

    def forbidden(digest: str) -> Path:
        raise ImageError(f"{digest} is damaged.", "InternalError")

    with pytest.raises(RuntimeNotInstalledError, match=r"^Runtime dotnet8 cannot be used: abab.* is damaged\.$"):
        PackCatalog(tmp_path / "runtimes", forbidden).find("dotnet8", HOST)
    later.remove("dotnet8")
    assert later.images() == frozenset()


async def test_a_newer_image_supersedes(tmp_path: Path, images: MemoryImageStore) -> None:
    packs = PackCatalog(tmp_path / "runtimes", images.root)
    newer = "ef" * 32
    images.publish("r/dotnet:8", (replace(IMAGE, digest=newer), tmp_path / "image"))
    await images.fetch("r/dotnet:8", newer)
    add_image(packs, images)
    add_image(packs, images, digest=newer)
    assert packs.find("dotnet8", HOST).digest == newer
    assert packs.find("dotnet8", HOST, IMAGE.digest).rootfs == tmp_path / "image"
    assert packs.images() == {IMAGE.digest, newer}
    packs.prune(())
    assert packs.images() == {newer}


async def test_an_image_may_describe_itself(tmp_path: Path, images: MemoryImageStore) -> None:
    packs = PackCatalog(tmp_path / "runtimes", images.root)
    label = {LABEL: json.dumps({"format": 1, "name": "dotnet8", "env": {"DOTNET_ROOT": "/opt"}})}
    assert add_image(packs, images, labels=label).env == {"DOTNET_ROOT": "/opt"}
    with pytest.raises(PackBuildError, match=f"The label {LABEL} of r/dotnet:8 describes 'dotnet8', not dotnet10"):
        add_image(packs, images, "dotnet10", labels=label)


async def test_an_image_of_something_else_is_refused(tmp_path: Path, images: MemoryImageStore) -> None:
    packs = PackCatalog(tmp_path / "runtimes", images.root)
    with pytest.raises(PackBuildError, match=r"has no /var/lang/bin/python3\.12: it is not AWS's image"):
        add_image(packs, images, "python3.12")
    (tmp_path / "image/var/runtime/bootstrap").unlink()
    with pytest.raises(PackBuildError, match="has no program /var/runtime/bootstrap"):
        add_image(packs, images)
    assert add_image(packs, images, "provided.al2").entrypoints[0] == "/var/task/bootstrap"


def test_what_was_removed_is_not_made_again_by_itself(packs: PackCatalog, source: Path) -> None:
    describe(source, name="provided.al2")
    packs.add("provided.al2", source)
    assert packs.remove("provided.al2").name == "provided.al2"
    assert packs.packs() == []
    with pytest.raises(RuntimeNotInstalledError):
        packs.remove("provided.al2")
    assert "provided.al2" not in {name for name, _ in packs._missing_defaults()}
    packs.add("provided.al2", source)
    assert [pack.name for pack in packs.packs()] == ["provided.al2"]
