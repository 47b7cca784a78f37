"""What every image store promises about sound images; registries and hostile ones are the real store's alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.images import Made, digest, files, image, index, write_layout

from lamella.domain.function import Architecture
from lamella.images.sources import Sources
from lamella.images.store import FilesystemImageStore
from lamella.ports.images import ImageError, ImageStore, StoredImage
from lamella.testing.images import CopyingOverlays, MemoryImageStore

CONFIG = {"Entrypoint": ["/a"], "Cmd": ["b"], "WorkingDir": "/w", "Env": ["A=1"]}
X86 = image(files({"a": "x86"}), config=CONFIG)
ARM = image(files({"a": "arm"}), architecture="arm64", config=CONFIG)
INDEX = digest(index([X86, ARM]))


class ImageStoreContract:
    async def test_an_image_is_resolved_fetched_and_found(self, store: ImageStore, place: str) -> None:
        resolved = await store.resolve(f"{place}:one")
        assert (resolved.uri, resolved.digest) == (f"{place}:one", X86.digest)
        assert [one.architecture for one in resolved.platforms] == [Architecture.X86_64]
        assert store.find(X86.digest) is None

        found = await store.fetch(resolved.uri, resolved.digest)

        assert found == store.find(X86.digest)
        assert (found.digest, found.architecture) == (X86.digest, Architecture.X86_64)
        assert (found.entrypoint, found.command, found.working_directory) == (("/a",), ("b",), "/w")
        assert found.env == {"A": "1"}
        root = store.root(found.digest)
        assert (root / "a").read_text() == "x86"
        assert store.root(found.digest) == root
        assert store.images() == [found]
        assert await store.fetch(resolved.uri, resolved.digest) == found

    async def test_an_index_names_an_image_for_each_architecture(self, store: ImageStore, place: str) -> None:
        resolved = await store.resolve(f"{place}:both")
        assert resolved.digest == INDEX
        by_architecture = {one.architecture: one.digest for one in resolved.platforms}
        assert by_architecture == {Architecture.X86_64: X86.digest, Architecture.ARM64: ARM.digest}
        found = await store.fetch(resolved.uri, ARM.digest)
        assert (store.root(found.digest) / "a").read_text() == "arm"

    async def test_what_is_not_there_is_an_error(self, store: ImageStore, place: str) -> None:
        for work in (store.resolve(f"{place}:none"), store.fetch(f"{place}:one", "0" * 64)):
            with pytest.raises(ImageError) as missing:
                await work
            assert missing.value.code == "ImageDeleted"
        with pytest.raises(ImageError):
            store.root(X86.digest)

    async def test_what_nobody_uses_goes(self, store: ImageStore, place: str) -> None:
        for made in (X86, ARM):
            await store.fetch(f"{place}:both", made.digest)
        assert await store.prune({X86.digest}, everything=True) == [ARM.digest]
        assert [one.digest for one in store.images()] == [X86.digest]
        assert store.find(ARM.digest) is None
        with pytest.raises(ImageError):
            store.root(ARM.digest)
        assert (store.root(X86.digest) / "a").read_text() == "x86"


class TestFilesystemImageStore(ImageStoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return f"oci:{write_layout(tmp_path / 'layout', {'one': X86, 'both': [X86, ARM]})}"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[ImageStore]:
        opened = FilesystemImageStore(tmp_path / "store", Sources(paths=[tmp_path]), CopyingOverlays())
        yield opened
        opened.close()


class TestMemoryImageStore(ImageStoreContract):
    @pytest.fixture
    def place(self) -> str:
        return "registry.example/hello"

    @pytest.fixture
    def store(self, tmp_path: Path, place: str) -> ImageStore:
        def stored(made: Made, architecture: Architecture, content: str) -> tuple[StoredImage, Path]:
            root = tmp_path / content
            root.mkdir()
            (root / "a").write_text(content)
            layers = tuple(made.diff_ids)
            return StoredImage(made.digest, architecture, layers, 3, ("/a",), ("b",), "/w", {"A": "1"}), root

        made = MemoryImageStore()
        x86, arm = stored(X86, Architecture.X86_64, "x86"), stored(ARM, Architecture.ARM64, "arm")
        made.publish(f"{place}:one", x86)
        made.publish(f"{place}:both", x86, arm, index=INDEX)
        return made
