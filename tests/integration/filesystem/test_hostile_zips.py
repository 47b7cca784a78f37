"""Archives made to do harm, or merely broken: one clear error each, and nothing left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.hostile_zips import GOOD, HOSTILE, LIMIT_BYTES
from tests.support.zips import LINK, Entry, make_zip

from lamella.adapters.filesystem.artifacts import FilesystemArtifactStore
from lamella.ports.stores import ArchiveError, ArchiveTooLargeError

PREFIXES = (
    "Could not unzip uploaded file. Please check your file, then try to upload again. Reason: ",
    "Uploaded file must be a non-empty zip",
    f"Unzipped size must be smaller than {LIMIT_BYTES} bytes",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesystemArtifactStore]:
    opened = FilesystemArtifactStore(tmp_path / "artifacts")
    yield opened
    opened.close()


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name not in ("zip", "tree", "staging")]


@pytest.mark.parametrize("name", HOSTILE)
async def test_refuses(store: FilesystemArtifactStore, tmp_path: Path, name: str) -> None:
    archive, reason = HOSTILE[name]
    with pytest.raises(ArchiveError, match=reason) as refused:
        await store.add(archive, max_unzipped_bytes=LIMIT_BYTES)
    text = str(refused.value)
    assert text.startswith(PREFIXES)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 600
    assert files(tmp_path / "artifacts") == []
    artifact = await store.add(GOOD, max_unzipped_bytes=LIMIT_BYTES)  # and goes on working
    assert store.tree(artifact.digest).joinpath("a.py").read_bytes() == b"print(1)\n" * 50


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("more than is allowed", f"Unzipped size must be smaller than {LIMIT_BYTES} bytes"),
        ("more than is allowed by zip64", f"Unzipped size must be smaller than {LIMIT_BYTES} bytes"),
        ("a bomb that declares nothing", None),
    ],
)
async def test_tells_too_much_from_damaged(store: FilesystemArtifactStore, name: str, text: str | None) -> None:
    with pytest.raises(ArchiveTooLargeError) as refused:
        await store.add(HOSTILE[name][0], max_unzipped_bytes=LIMIT_BYTES)
    if text is not None:
        assert str(refused.value) == text


async def test_never_writes_through_a_link(store: FilesystemArtifactStore, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    outside = str(victim).encode()
    for below in (b"l/evil", b"l/./evil", b"l//evil"):
        archive = make_zip(Entry(b"l", outside, mode=LINK | 0o777), Entry(below, b"x"))
        with pytest.raises(ArchiveError):
            await store.add(archive, max_unzipped_bytes=LIMIT_BYTES)
    artifact = await store.add(make_zip(Entry(b"l", outside, mode=LINK | 0o777)), max_unzipped_bytes=LIMIT_BYTES)
    store.release(artifact.digest)
    assert await store.collect(frozenset()) == 1  # deleting does not follow it either
    assert victim.is_dir()
    assert list(victim.iterdir()) == []
