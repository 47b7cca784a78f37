"""Archives on a real disk: what a tree looks like, and how artifacts come and go."""

import asyncio
import base64
import hashlib
import io
import os
import shutil
import stat
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.zips import (
    DARWIN,
    DIRECTORY,
    LINK,
    REGULAR,
    STREAMED,
    UTF8,
    WINDOWS,
    Entry,
    make_zip,
    unicode_path_extra,
    zip64_extra,
)

from lamella.adapters.filesystem import artifacts as module
from lamella.adapters.filesystem.artifacts import FilesystemArtifactStore
from lamella.ports.errors import UnavailableError
from lamella.ports.stores import ArchiveTooLargeError

LIMIT_BYTES = 262_144_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def store(root: Path) -> Iterator[FilesystemArtifactStore]:
    opened = FilesystemArtifactStore(root)
    yield opened
    opened.close()


async def extract(store: FilesystemArtifactStore, *entries: Entry, prefix: bytes = b"", zip64: bool = False) -> Path:
    archive = make_zip(*entries, prefix=prefix, zip64=zip64)
    return store.tree((await store.add(archive, max_unzipped_bytes=LIMIT_BYTES)).digest)


def listing(tree: Path) -> dict[str, tuple[str, bytes | str | None]]:
    """Everything in a tree, without following links: mode, and content or target."""
    found: dict[str, tuple[str, bytes | str | None]] = {}
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        content: bytes | str | None = None
        if stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        found[str(path.relative_to(tree))] = (stat.filemode(status.st_mode), content)
    return found


async def test_keeps_modes_and_links(store: FilesystemArtifactStore) -> None:
    tree = await extract(
        store,
        Entry(b"bootstrap", b"#!/bin/sh\n", mode=REGULAR | 0o755),
        Entry(b"secret", b"s", mode=REGULAR | 0o400),
        Entry(b"closed", b"c", mode=REGULAR),
        Entry(b"lib/", mode=DIRECTORY | 0o700),
        Entry(b"lib/real.so.1", b"\x7fELF", mode=REGULAR | 0o555),
        Entry(b"lib/real.so", b"real.so.1", mode=LINK | 0o777),
        Entry(b"absolute", b"/opt/lib/real.so", mode=LINK | 0o777),
        Entry(b"outside", b"../task/x", mode=LINK | 0o777),
        Entry(b"implied/deep/file", b"f"),
    )
    assert listing(tree) == {
        "absolute": ("lrwxrwxrwx", "/opt/lib/real.so"),
        "bootstrap": ("-rwxr-xr-x", b"#!/bin/sh\n"),
        "closed": ("----------", b"c"),
        "implied": ("drwxr-xr-x", None),
        "implied/deep": ("drwxr-xr-x", None),
        "implied/deep/file": ("-rw-r--r--", b"f"),
        "lib": ("drwxr-xr-x", None),
        "lib/real.so": ("lrwxrwxrwx", "real.so.1"),
        "lib/real.so.1": ("-r-xr-xr-x", b"\x7fELF"),
        "outside": ("lrwxrwxrwx", "../task/x"),
        "secret": ("-r--------", b"s"),
    }
    assert stat.filemode(tree.stat().st_mode) == "drwxr-xr-x"
    assert {path.lstat().st_uid for path in tree.rglob("*")} == {os.geteuid()}


@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o1755, 0o7755])
async def test_drops_special_bits(store: FilesystemArtifactStore, bits: int) -> None:
    tree = await extract(store, Entry(b"a", b"x", mode=REGULAR | bits), Entry(b"d/", mode=DIRECTORY | bits))
    assert {stat.S_IMODE(path.lstat().st_mode) for path in tree.iterdir()} == {0o755}


@pytest.mark.parametrize(
    ("entry", "mode"),
    [
        (Entry(b"a", b"x", attributes=0), "-rw-r--r--"),
        (Entry(b"a", b"x", attributes=0x20, system=WINDOWS), "-rw-r--r--"),
        (Entry(b"a", b"x", mode=REGULAR | 0o755, system=WINDOWS), "-rw-r--r--"),
        (Entry(b"a", b"x", mode=REGULAR | 0o755, system=DARWIN), "-rwxr-xr-x"),
        (Entry(b"a/", attributes=0x10, system=WINDOWS), "drwxr-xr-x"),
        (Entry(b"a/", attributes=0), "drwxr-xr-x"),
        (Entry(b"a", mode=DIRECTORY | 0o750), "drwxr-xr-x"),
        (Entry(b"a", b"x", mode=0o600), "-rw-------"),
    ],
)
async def test_makes_entries_without_unix_modes_readable(
    store: FilesystemArtifactStore, entry: Entry, mode: str
) -> None:
    assert listing(await extract(store, entry))["a"][0] == mode


async def test_a_umask_changes_nothing(store: FilesystemArtifactStore) -> None:
    before = os.umask(0o077)
    try:
        tree = await extract(store, Entry(b"d/a", b"x", mode=REGULAR | 0o775))
    finally:
        os.umask(before)
    modes = {name: mode for name, (mode, _) in listing(tree).items()}
    assert modes == {"d": "drwxr-xr-x", "d/a": "-rwxrwxr-x"}
    assert stat.S_IMODE(tree.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (Entry("é".encode(), b"x", flags=UTF8), "é"),
        (Entry("é".encode(), b"x"), "é"),  # as macOS writes it
        (Entry(b"\x82", b"x"), "é"),  # code page 437
        (Entry(b"a", b"x", extra=unicode_path_extra(b"a", "\u65e5\u672c")), "\u65e5\u672c"),
        (Entry(b"a", b"x", extra=unicode_path_extra(b"b", "c")), "a"),  # of another name: stale
        (Entry(b"./a", b"x"), "a"),
        (Entry(b"a\\x2d.slice", b"x"), "a\\x2d.slice"),  # a plain character on Unix
        (Entry(b"...", b"x"), "..."),
        (Entry(b"-rf *", b"x"), "-rf *"),
        (Entry(b"a\nb", b"x"), "a\nb"),
        (Entry(b"x" * 255, b"x"), "x" * 255),
    ],
)
async def test_names(store: FilesystemArtifactStore, entry: Entry, name: str) -> None:
    assert [path.name for path in (await extract(store, entry)).iterdir()] == [name]


async def test_takes_deep_paths(store: FilesystemArtifactStore) -> None:
    """Longer, with the store's own path before it, than any path may be."""
    name = b"/".join([b"d" * 200] * 20)
    tree = await extract(store, Entry(name, b"x"))
    descriptor = os.open(tree, os.O_RDONLY)
    try:
        assert os.stat(name, dir_fd=descriptor).st_size == 1
    finally:
        os.close(descriptor)


async def test_keeps_times(store: FilesystemArtifactStore) -> None:
    tree = await extract(
        store,
        Entry(b"d/", mode=DIRECTORY | 0o755),
        Entry(b"d/a", b"x"),
        Entry(b"l", b"d", mode=LINK | 0o777),
        Entry(b"zero", b"x", dos_time=0),
        Entry(b"invalid", b"x", dos_time=0xFFFFFFFF),
    )
    noon = 1_779_019_200  # 2026-05-17 12:00 UTC
    assert {name: tree.joinpath(name).lstat().st_mtime for name in ("d", "d/a", "l")} == dict.fromkeys(
        ("d", "d/a", "l"), noon
    )
    assert tree.joinpath("zero").stat().st_mtime == tree.joinpath("invalid").stat().st_mtime == 315_532_800


@pytest.mark.parametrize("size_bytes", [0, 1, 256 << 10, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 9_000_000])
@pytest.mark.parametrize("kind", ["zeros", "random"])
@pytest.mark.parametrize("method", [0, 8])
async def test_contents_of_any_size(store: FilesystemArtifactStore, size_bytes: int, kind: str, method: int) -> None:
    content = b"\0" * size_bytes if kind == "zeros" else os.urandom(size_bytes)
    tree = await extract(store, Entry(b"a", content, method=method))
    assert tree.joinpath("a").read_bytes() == content


async def test_takes_every_form_of_a_good_archive(store: FilesystemArtifactStore) -> None:
    trees = [
        await extract(store, Entry(b"a", b"hello", flags=STREAMED)),
        await extract(store, Entry(b"a", b"hello"), prefix=b"#!/bin/sh\nexit\n"),
        await extract(store, Entry(b"a", b"hello"), zip64=True),
        await extract(store, Entry(b"a", b"hello", size_bytes=5, extra=zip64_extra(5))),
        await extract(store, Entry(b"a", b"hello", comment=b"c" * 1000, extra=b"\1")),
        await extract(store, Entry(b"a", b"hello"), Entry(b"./", mode=DIRECTORY | 0o755)),
        await extract(store, Entry(b"d/"), Entry(b"a", b"hello"), Entry(b"d/")),
    ]
    assert [tree.joinpath("a").read_bytes() for tree in trees] == [b"hello"] * 7


async def test_takes_sizes_from_zip64(store: FilesystemArtifactStore) -> None:
    packed = 7  # "hello", deflated
    entry = Entry(b"a", b"hello", extra=zip64_extra(5, packed, 0))
    archive = bytearray(make_zip(entry))
    central = archive.find(b"PK\1\2")
    for at in (20, 24, 42):
        archive[central + at : central + at + 4] = b"\xff" * 4
    artifact = await store.add(bytes(archive), max_unzipped_bytes=LIMIT_BYTES)
    assert store.tree(artifact.digest).joinpath("a").read_bytes() == b"hello"
    assert artifact.unzipped_bytes == 5


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    """A directory, and beside it what Info-ZIP makes of it."""
    if shutil.which("zip") is None:
        pytest.skip("needs Info-ZIP's zip")
    source = tmp_path / "source"
    (source / "python" / "päckage").mkdir(parents=True)
    (source / "python" / "päckage" / "__init__.py").write_text("x = 1\n")
    (source / "bootstrap").write_text("#!/bin/sh\n")
    (source / "bootstrap").chmod(0o755)
    (source / "link").symlink_to("python/päckage")
    (source / "empty").mkdir()
    subprocess.run(["zip", "-qry", source.with_suffix(".zip"), "."], cwd=source, check=True)
    return source


async def test_agrees_with_zip(store: FilesystemArtifactStore, zipped: Path) -> None:
    artifact = await store.add(zipped.with_suffix(".zip").read_bytes(), max_unzipped_bytes=LIMIT_BYTES)
    assert listing(store.tree(artifact.digest)) == listing(zipped)


async def test_agrees_with_zipfile(store: FilesystemArtifactStore) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ä/b.py", "y = 2\n")
    artifact = await store.add(buffer.getvalue(), max_unzipped_bytes=LIMIT_BYTES)
    assert listing(store.tree(artifact.digest))["ä/b.py"] == ("-rw-------", b"y = 2\n")  # as zipfile wrote it


async def test_names_an_artifact_by_its_bytes(store: FilesystemArtifactStore) -> None:
    archive = make_zip(Entry(b"a", b"hello"), Entry(b"l", b"a", mode=LINK | 0o777))
    artifact = await store.add(archive, max_unzipped_bytes=LIMIT_BYTES)
    assert artifact.digest == hashlib.sha256(archive).hexdigest()
    assert base64.b64decode(artifact.code_sha256).hex() == artifact.digest
    assert (artifact.size_bytes, artifact.unzipped_bytes) == (len(archive), 6)
    assert store.archive(artifact.digest).read_bytes() == archive


async def test_extracts_the_same_bytes_once(store: FilesystemArtifactStore, root: Path) -> None:
    archive = make_zip(*(Entry(b"%d" % number, os.urandom(1000)) for number in range(200)))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store.add(archive, max_unzipped_bytes=LIMIT_BYTES)) for _ in range(8)]
    assert len({task.result() for task in tasks}) == 1
    digest = tasks[0].result().digest
    inode = store.tree(digest).stat().st_ino
    reopened = FilesystemArtifactStore(root)
    assert await reopened.add(archive, max_unzipped_bytes=LIMIT_BYTES) == tasks[0].result()
    reopened.close()
    assert store.tree(digest).stat().st_ino == inode
    for _ in range(8):
        assert await store.collect(frozenset()) == 0
        store.release(digest)
    assert await store.collect(frozenset()) == 1


async def test_the_limit_is_the_callers_also_for_what_is_there(store: FilesystemArtifactStore) -> None:
    archive = make_zip(Entry(b"a", b"x" * 1000))
    artifact = await store.add(archive, max_unzipped_bytes=1000)
    with pytest.raises(ArchiveTooLargeError):
        await store.add(archive, max_unzipped_bytes=999)
    assert await store.collect(frozenset()) == 0
    store.release(artifact.digest)
    assert await store.collect(frozenset()) == 1  # the refused call holds no protection


async def test_collects_what_is_dead(store: FilesystemArtifactStore, root: Path) -> None:
    kept = await store.add(make_zip(Entry(b"a", b"1")), max_unzipped_bytes=LIMIT_BYTES)
    dead = await store.add(make_zip(Entry(b"a", b"2")), max_unzipped_bytes=LIMIT_BYTES)
    held = await store.add(make_zip(Entry(b"a", b"3")), max_unzipped_bytes=LIMIT_BYTES)
    store.release(kept.digest)
    store.release(dead.digest)
    assert await store.collect(frozenset({kept.digest})) == 1
    assert not store.tree(dead.digest).exists()
    assert not store.archive(dead.digest).exists()
    for artifact in (kept, held):
        assert store.tree(artifact.digest).joinpath("a").exists()
        assert store.archive(artifact.digest).exists()
    assert list((root / "staging").iterdir()) == []
    again = await store.add(make_zip(Entry(b"a", b"2")), max_unzipped_bytes=LIMIT_BYTES)
    assert again == dead
    assert store.tree(dead.digest).joinpath("a").read_bytes() == b"2"


async def test_spares_what_is_added_while_it_looks(store: FilesystemArtifactStore) -> None:
    """Added, committed and released after the live ones were read, but before anything is deleted."""
    old = await store.add(make_zip(Entry(b"a", b"1")), max_unzipped_bytes=LIMIT_BYTES)
    store.release(old.digest)

    async def live() -> frozenset[str]:
        for content in (b"1", b"2"):
            artifact = await store.add(make_zip(Entry(b"a", content)), max_unzipped_bytes=LIMIT_BYTES)
            store.release(artifact.digest)
        return frozenset()

    assert await store.collect(live) == 0
    assert await store.collect(frozenset()) == 2


async def test_restores_a_tree_that_is_missing(store: FilesystemArtifactStore, root: Path) -> None:
    archive = make_zip(Entry(b"a", b"1"))
    digest = (await store.add(archive, max_unzipped_bytes=LIMIT_BYTES)).digest
    store.close()
    store.archive(digest).unlink()  # as if the power went between the two renames
    reopened = FilesystemArtifactStore(root)
    await reopened.add(archive, max_unzipped_bytes=LIMIT_BYTES)
    assert reopened.archive(digest).read_bytes() == archive
    assert reopened.tree(digest).joinpath("a").read_bytes() == b"1"
    reopened.archive(digest).unlink()
    reopened.release(digest)
    assert await reopened.collect(frozenset()) == 1
    assert not reopened.tree(digest).exists()
    reopened.close()


async def test_a_cancelled_caller_leaves_no_protection(
    store: FilesystemArtifactStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    extract_really = module.extract

    def extract_when_told(*arguments: object, **options: object) -> None:
        reached.set()
        go_on.wait()
        extract_really(*arguments, **options)  # type: ignore[arg-type] # passed on unread

    monkeypatch.setattr(module, "extract", extract_when_told)
    archive = make_zip(Entry(b"a", b"1"))
    task = asyncio.create_task(store.add(archive, max_unzipped_bytes=LIMIT_BYTES))
    await asyncio.to_thread(reached.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.collect(frozenset()) == 0
    go_on.set()
    artifact = await store.add(archive, max_unzipped_bytes=LIMIT_BYTES)
    store.release(artifact.digest)
    assert await store.collect(frozenset()) == 1


async def test_keeps_others_out(store: FilesystemArtifactStore, root: Path) -> None:
    artifact = await store.add(make_zip(Entry(b"a", b"1")), max_unzipped_bytes=LIMIT_BYTES)
    for path in (root, store.tree(artifact.digest).parent, store.archive(artifact.digest).parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("digest", ["", "..", "../../etc", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n"])
async def test_takes_digests_only(store: FilesystemArtifactStore, digest: str) -> None:
    with pytest.raises(ValueError):
        store.tree(digest)
    with pytest.raises(ValueError):
        store.archive(digest)


async def test_says_what_is_wrong_with_its_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="Not a directory"):
        FilesystemArtifactStore(tmp_path / "file" / "artifacts")


async def test_says_when_the_disk_fails(store: FilesystemArtifactStore, root: Path) -> None:
    (root / "staging").rmdir()
    with pytest.raises(UnavailableError, match="No such file"):
        await store.add(make_zip(Entry(b"a", b"1")), max_unzipped_bytes=LIMIT_BYTES)
