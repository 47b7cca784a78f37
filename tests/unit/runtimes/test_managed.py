import asyncio
import os
import stat
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.domain.managed_runtime import Content, ResourceState, RuntimeKey, RuntimeVersion
from lamella.ports.images import ImageError, Platform, ResolvedImage, StoredImage
from lamella.ports.managed import ContentError, ResolvedContents
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack
from lamella.runtimes.managed import ManagedContents

NOW = datetime(2026, 11, 20, tzinfo=UTC)
KEY = RuntimeKey("123456789012", "eu-central-1", "php")


class Packs:
    """One pack, provided.al2023."""

    def __init__(self, root: Path) -> None:
        (root / "usr").mkdir(parents=True)
        (root / "var" / "runtime").mkdir(parents=True)
        (root / "usr" / "sh").write_text("shell")
        bootstraps = ("/var/task/bootstrap", "/opt/bootstrap", "/var/runtime/bootstrap")
        self.all = [RuntimePack("provided.al2023", Architecture.X86_64, root, "a" * 64, "v", bootstraps)]

    def find(self, name: str, architecture: Architecture, digest: str | None = None) -> RuntimePack:
        for pack in self.all:
            if (pack.name, pack.architecture) == (name, architecture) and digest in {None, pack.digest}:
                return pack
        raise RuntimeNotInstalledError(f"no {name}")

    def packs(self) -> Sequence[RuntimePack]:
        return self.all


class Images:
    """One image, whatever it is called."""

    def __init__(self, root: Path, **members: tuple[str, ...]) -> None:
        self.path = root
        self.image = StoredImage("b" * 64, Architecture.X86_64, (), 1, env={"LANG": "C"}, **members)
        self.here = False

    async def resolve(self, uri: str) -> ResolvedImage:
        if "missing" in uri:
            raise ImageError(f"there is no {uri}", "ImageDeleted")
        return ResolvedImage(uri, "c" * 64, (Platform(Architecture.X86_64, "b" * 64),))

    async def fetch(self, uri: str, digest: str) -> StoredImage:
        self.here = True
        return self.image

    def find(self, digest: str) -> StoredImage | None:
        return self.image if self.here else None

    def root(self, digest: str) -> Path:
        return self.path

    def images(self) -> Sequence[StoredImage]:
        return [self.image]

    async def prune(self, in_use: object) -> list[str]:
        return []


@pytest.fixture
def packs(tmp_path: Path) -> Packs:
    return Packs(tmp_path / "packs" / "provided")


@pytest.fixture
def contents(tmp_path: Path, packs: Packs) -> ManagedContents:
    return ManagedContents(tmp_path / "managed", packs, None)


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    tree = tmp_path / "sent"
    (tree / "bin").mkdir(parents=True)
    (tree / "bootstrap").write_text("#!/bin/sh\n")
    (tree / "bootstrap").chmod(0o755)
    (tree / "bin" / "php").write_text("php")
    (tree / "bin" / "link").symlink_to("php")
    return tree


def version(resolved: ResolvedContents, uri: str = "uri") -> RuntimeVersion:
    return RuntimeVersion("v1", uri, resolved.uri, resolved.contents, ResourceState.ACTIVE, NOW, NOW)


async def made(contents: ManagedContents, uri: str) -> RuntimePack:
    resolved = await contents.resolve(uri)
    await contents.fetch(version(resolved, uri))
    return contents.pack(KEY, version(resolved, uri), Architecture.X86_64)


def test_what_was_sent_is_laid_into_a_root(contents: ManagedContents, sent: Path) -> None:
    uri = asyncio.run(contents.add(sent, "d" * 64))
    pack = asyncio.run(made(contents, uri))
    assert pack.entrypoints == ("/var/runtime/bootstrap",)
    assert pack.arn == KEY.version_arn("v1")
    assert pack.version == "php:v1"
    runtime = pack.rootfs / "var" / "runtime"
    assert pack.layers == (runtime,)
    assert (runtime / "bin" / "link").readlink() == Path("php")
    assert (pack.rootfs / "usr" / "sh").read_text() == "shell"
    assert (runtime / "bootstrap").stat().st_ino == (sent / "bootstrap").stat().st_ino  # nothing is copied
    assert not (sent / "usr").exists()


def test_the_same_bytes_are_kept_once(contents: ManagedContents, sent: Path) -> None:
    async def both() -> tuple[str, str]:
        return await contents.add(sent, "d" * 64), await contents.add(sent, "d" * 64)

    first, second = asyncio.run(both())
    assert first == second


@pytest.mark.parametrize("mode", [None, 0o644])
def test_what_has_nothing_to_begin_with(contents: ManagedContents, sent: Path, mode: int | None) -> None:
    if mode is None:
        (sent / "bootstrap").unlink()
    else:
        (sent / "bootstrap").chmod(mode)
    with pytest.raises(ContentError, match="bootstrap"):
        asyncio.run(contents.add(sent, "d" * 64))


def test_a_pack_is_kept_though_it_is_removed(contents: ManagedContents, packs: Packs, tmp_path: Path) -> None:
    resolved = asyncio.run(contents.resolve("pack:provided.al2023"))
    assert resolved.uri == f"pack:provided.al2023@sha256:{'a' * 64}"
    asyncio.run(contents.fetch(version(resolved)))
    packs.all.clear()
    again = ManagedContents(tmp_path / "managed", packs, None)
    pack = again.pack(KEY, version(resolved), Architecture.X86_64)
    assert (pack.rootfs / "usr" / "sh").read_text() == "shell"
    assert pack.layers == ()


@pytest.mark.parametrize(
    "uri",
    [
        "pack:python3.11",
        f"pack:provided.al2023@sha256:{'f' * 64}",
        "upload:sha256:../../../etc",
        f"upload:sha256:{'f' * 64}",
        "upload:sha256:",
        "registry.example.com/php:8",
    ],
)
def test_what_is_not_here(contents: ManagedContents, uri: str) -> None:
    with pytest.raises(ContentError):
        asyncio.run(contents.resolve(uri))


def test_a_pack_of_another_architecture(contents: ManagedContents) -> None:
    resolved = asyncio.run(contents.resolve("pack:provided.al2023"))
    with pytest.raises(RuntimeNotInstalledError, match="arm64"):
        contents.pack(KEY, version(resolved), Architecture.ARM64)


def test_what_nothing_uses_goes_after_an_hour(contents: ManagedContents, sent: Path, tmp_path: Path) -> None:
    uri = asyncio.run(contents.add(sent, "d" * 64))
    digest = uri.rpartition(":")[2]
    assert asyncio.run(contents.prune(())) == []
    long_ago = time.time() - 4000
    os.utime(tmp_path / "managed" / digest, (long_ago, long_ago))
    assert asyncio.run(contents.prune({digest})) == []
    assert asyncio.run(contents.prune(())) == [digest]
    with pytest.raises(ContentError, match="Send it again"):
        asyncio.run(contents.resolve(uri))
    assert (sent / "bootstrap").exists()


def test_what_is_sent_again_waits_another_hour(contents: ManagedContents, sent: Path, tmp_path: Path) -> None:
    digest = asyncio.run(contents.add(sent, "d" * 64)).rpartition(":")[2]
    long_ago = time.time() - 4000
    os.utime(tmp_path / "managed" / digest, (long_ago, long_ago))
    asyncio.run(contents.add(sent, "d" * 64))
    assert asyncio.run(contents.prune(())) == []


def test_what_is_half_taken_away_does_not_pass_for_the_whole(
    contents: ManagedContents, sent: Path, packs: Packs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = asyncio.run(contents.add(sent, "d" * 64))
    os.utime(tmp_path / "managed" / uri.rpartition(":")[2], (0, 0))

    def killed(path: Path) -> None:
        (path / "rootfs" / "usr" / "sh").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            contents._prune(frozenset())
    again = ManagedContents(tmp_path / "managed", packs, None)
    with pytest.raises(ContentError, match="Send it again"):
        asyncio.run(again.resolve(uri))


def test_half_made_things_are_taken_away_at_start(tmp_path: Path, packs: Packs) -> None:
    leftover = tmp_path / "managed" / ".making-x"
    leftover.mkdir(parents=True)
    ManagedContents(tmp_path / "managed", packs, None)
    assert not leftover.exists()


def test_modes_of_directories_are_kept(contents: ManagedContents, sent: Path) -> None:
    (sent / "bin").chmod(0o750)
    pack = asyncio.run(made(contents, asyncio.run(contents.add(sent, "d" * 64))))
    assert stat.S_IMODE((pack.rootfs / "var" / "runtime" / "bin").stat().st_mode) == 0o750


class TestImages:
    @pytest.mark.parametrize(
        ("uri", "resolved"),
        [
            ("registry.example.com:5000/php:8.4", "registry.example.com:5000/php"),
            ("registry.example.com/a/php", "registry.example.com/a/php"),
            ("oci:/srv/images/php:8.4", "oci:/srv/images/php"),
            ("php:8", "php"),
            ("registry.example.com/php@sha256:" + "d" * 64, "registry.example.com/php"),
        ],
    )
    def test_the_reference_by_digest(self, tmp_path: Path, packs: Packs, uri: str, resolved: str) -> None:
        contents = ManagedContents(tmp_path / "managed", packs, Images(tmp_path))
        assert asyncio.run(contents.resolve(uri)) == ResolvedContents(
            f"{resolved}@sha256:{'c' * 64}", (Content(Architecture.X86_64, "b" * 64),)
        )

    def test_a_bootstrap_comes_before_the_entry_point(self, tmp_path: Path, packs: Packs) -> None:
        root = tmp_path / "image"
        (root / "var" / "runtime").mkdir(parents=True)
        (root / "var" / "runtime" / "bootstrap").write_text("")
        contents = ManagedContents(tmp_path / "managed", packs, Images(root, entrypoint=("/lambda-entrypoint.sh",)))
        pack = asyncio.run(made(contents, "php:8"))
        assert (pack.entrypoints, pack.command, pack.rootfs) == (("/var/runtime/bootstrap",), None, root)
        assert pack.env == {"LANG": "C"}

    def test_what_an_image_has_for_opt_stays_there(self, tmp_path: Path, packs: Packs) -> None:
        root = tmp_path / "image"
        (root / "opt").mkdir(parents=True)
        contents = ManagedContents(tmp_path / "managed", packs, Images(root, entrypoint=("/php",)))
        assert asyncio.run(made(contents, "php:8")).layers == ()
        (root / "opt" / "extensions").mkdir()
        assert asyncio.run(made(contents, "php:8")).layers == (root / "opt",)

    @pytest.mark.parametrize(("target", "command"), [("/there", None), ("/nowhere", ("/run",)), ("/var", ("/run",))])
    def test_links_of_an_image_lead_to_places_in_it(
        self, tmp_path: Path, packs: Packs, target: str, command: tuple[str, ...] | None
    ) -> None:
        root = tmp_path / "image"
        (root / "there" / "runtime").mkdir(parents=True)
        (root / "there" / "runtime" / "bootstrap").touch()
        (root / "var").symlink_to(target)
        contents = ManagedContents(tmp_path / "managed", packs, Images(root, entrypoint=("/run",)))
        assert asyncio.run(made(contents, "r.example.com/php:1")).command == command

    def test_an_entry_point(self, tmp_path: Path, packs: Packs) -> None:
        images = Images(tmp_path, entrypoint=("/usr/bin/php",), command=("runtime.php",))
        contents = ManagedContents(tmp_path / "managed", packs, images)
        pack = asyncio.run(made(contents, "php:8"))
        assert (pack.command, pack.working_directory) == (("/usr/bin/php", "runtime.php"), "/var/task")

    def test_nothing_to_begin_with(self, tmp_path: Path, packs: Packs) -> None:
        contents = ManagedContents(tmp_path / "managed", packs, Images(tmp_path))
        with pytest.raises(ContentError, match="no entry point"):
            asyncio.run(made(contents, "php:8"))

    def test_an_installed_runtime_that_is_an_image(self, tmp_path: Path, packs: Packs) -> None:
        images = Images(tmp_path)
        images.here = True
        contents = ManagedContents(tmp_path / "managed", packs, images)
        with pytest.raises(ContentError, match="Publish that image itself"):
            asyncio.run(contents.resolve("pack:provided.al2023"))

    def test_an_image_that_cannot_be_had(self, tmp_path: Path, packs: Packs) -> None:
        contents = ManagedContents(tmp_path / "managed", packs, Images(tmp_path))
        with pytest.raises(ContentError, match="there is no missing"):
            asyncio.run(contents.resolve("missing:1"))
