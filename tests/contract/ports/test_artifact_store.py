"""What every artifact store promises about well-meant archives; hostile ones are the real store's business alone."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.zips import Entry, make_zip

from lamella.adapters.filesystem.artifacts import FilesystemArtifactStore
from lamella.ports.stores import ArchiveError, ArchiveTooLargeError, ArtifactStore
from lamella.testing.stores import MemoryArtifactStore

ARCHIVE = make_zip(Entry(b"bootstrap", b"#!/bin/sh\n"), Entry(b"lib/a", b"a" * 90))


class ArtifactStoreContract:
    async def test_stores_and_extracts(self, store: ArtifactStore) -> None:
        artifact = await store.add(ARCHIVE, max_unzipped_bytes=100)
        assert artifact.digest == hashlib.sha256(ARCHIVE).hexdigest()
        assert (artifact.size_bytes, artifact.unzipped_bytes) == (len(ARCHIVE), 100)
        assert store.archive(artifact.digest).read_bytes() == ARCHIVE
        assert store.tree(artifact.digest).joinpath("lib/a").read_bytes() == b"a" * 90
        assert await store.add(ARCHIVE, max_unzipped_bytes=100) == artifact

    async def test_takes_a_file_as_well(self, store: ArtifactStore, tmp_path: Path) -> None:
        path = tmp_path / "archive"
        path.write_bytes(ARCHIVE)
        artifact = await store.add(path, max_unzipped_bytes=100)
        assert artifact == await store.add(ARCHIVE, max_unzipped_bytes=100)
        assert store.archive(artifact.digest).read_bytes() == ARCHIVE
        assert store.tree(artifact.digest).joinpath("lib/a").read_bytes() == b"a" * 90

    @pytest.mark.parametrize("content", [b"", b"no zip"])
    async def test_refuses_a_file_that_is_no_archive(
        self, store: ArtifactStore, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "archive"
        path.write_bytes(content)
        with pytest.raises(ArchiveError):
            await store.add(path, max_unzipped_bytes=100)

    async def test_refuses_too_much(self, store: ArtifactStore) -> None:
        with pytest.raises(ArchiveTooLargeError, match=r"^Unzipped size must be smaller than 99 bytes$"):
            await store.add(ARCHIVE, max_unzipped_bytes=99)
        assert await store.collect(frozenset()) == 0

    @pytest.mark.parametrize(
        ("archive", "text"),
        [
            (b"", "^Uploaded file must be a non-empty zip$"),
            (make_zip(), "^Uploaded file must be a non-empty zip$"),
            (b"no zip", r"^Could not unzip uploaded file\. Please check your file, then try to upload again\."),
        ],
    )
    async def test_refuses_what_is_no_archive(self, store: ArtifactStore, archive: bytes, text: str) -> None:
        with pytest.raises(ArchiveError, match=text):
            await store.add(archive, max_unzipped_bytes=100)

    async def test_collects_what_is_neither_live_nor_protected(self, store: ArtifactStore) -> None:
        digest = (await store.add(ARCHIVE, max_unzipped_bytes=100)).digest
        await store.add(ARCHIVE, max_unzipped_bytes=100)
        store.release(digest)
        assert await store.collect(frozenset()) == 0
        store.release(digest)
        assert await store.collect(frozenset({digest})) == 0
        assert await store.collect(frozenset()) == 1
        assert await store.collect(frozenset()) == 0


class TestMemory(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return MemoryArtifactStore(tmp_path)


class TestFilesystem(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[ArtifactStore]:
        opened = FilesystemArtifactStore(tmp_path / "artifacts")
        yield opened
        opened.close()
