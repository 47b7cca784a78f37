"""Layers as anybody may write them: what of them comes to the disk, and what is refused."""

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tests.support.images import archive, digest, files, gzipped, member, zstded

from lamella.images.layers import LayerShelf
from lamella.images.layertree import Room
from lamella.images.manifest import Descriptor
from lamella.images.records import LayerRecord
from lamella.ports.images import ImageError

pytestmark = pytest.mark.sandbox  # whiteouts are devices, and owners are kept: it takes root

Unpack = Callable[..., tuple[Path, LayerRecord]]
CHARACTER, BLOCK, FIFO, LINK, HARD, DIRECTORY = (
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.DIRTYPE,
)


@pytest.fixture
def unpack(tmp_path: Path) -> Unpack:
    """Unpacks a layer, packed as given, and tells where and what is known of it."""
    shelf = LayerShelf(tmp_path / "layers", tmp_path / "staging")
    for name in ("layers", "staging"):
        (tmp_path / name).mkdir()

    def unpack(packed: bytes, *, diff_id: str = "", size_bytes: int = 10_000_000) -> tuple[Path, LayerRecord]:
        diff_id = diff_id or digest(_unpacked(packed))
        part = Descriptor("", digest(packed), len(packed))
        try:
            record = shelf.add(
                diff_id, part, io.BytesIO(packed), Room(size_bytes), shown="hello", stopped=lambda: False
            )
        finally:
            assert not list((tmp_path / "staging").iterdir()), "something is left behind"
        return shelf.tree(diff_id), record

    return unpack


def _unpacked(packed: bytes) -> bytes:
    if packed.startswith(b"\x1f\x8b"):
        return gzip.decompress(packed)
    if packed.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(packed).read()
    return packed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def sparse(size_bytes: int) -> dict[str, str]:
    names = ("major", "minor", "name", "realsize")
    return {f"GNU.sparse.{name}": value for name, value in zip(names, ("1", "0", "s", str(size_bytes)), strict=True)}


def test_files_links_modes_owners_and_times_are_kept(unpack: Unpack) -> None:
    tree, record = unpack(
        archive(
            [
                (member("a/", DIRECTORY, mode=0o1777), b""),
                (member("./a/run", mode=0o750, uid=7, gid=8), b"#!"),
                (member("a/link", LINK, linkname="/etc/shadow"), b""),
                (member("a/again", HARD, linkname="a/run"), b""),
                (member("/abs", mode=0o600), b"123"),
                (member("ä" * 120 + "/" + "b" * 150), b"long"),
            ]
        )
    )
    run = (tree / "a/run").stat()
    assert (mode(tree / "a"), mode(tree / "a/run"), run.st_uid, run.st_gid) == (0o1777, 0o750, 7, 8)
    assert run.st_mtime == (tree / "a").stat().st_mtime == 1_700_000_000
    assert (tree / "a/link").readlink() == Path("/etc/shadow")
    assert (tree / "a/again").stat().st_ino == run.st_ino
    assert (tree / "abs").read_text() == "123"
    assert (tree / ("ä" * 120) / ("b" * 150)).read_text() == "long"
    assert record.size_bytes == 2 + 3 + 4
    assert record.implied == (("ä" * 120).encode(),)


def test_what_could_give_rights_is_left_out(unpack: Unpack) -> None:
    capability = {"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00", "SCHILY.xattr.user.a": "b"}
    overlay = {"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.trusted.overlay.redirect": "/etc"}
    tree, _ = unpack(
        archive(
            [
                (member("su", mode=0o6755), b""),
                (member("group/", DIRECTORY, mode=0o2775), b""),
                (member("ping", pax_headers=capability), b""),
                (member("sly/", DIRECTORY, pax_headers=overlay), b""),
                (member("dev/kmsg", CHARACTER, devmajor=1, devminor=11), b""),
                (member("dev/sda", BLOCK, devmajor=8), b""),
                (member("dev/pipe", FIFO), b""),
                (member("dev/again", HARD, linkname="dev/sda"), b""),
                (member("hidden", CHARACTER, devmajor=0, devminor=0), b""),
            ]
        )
    )
    assert mode(tree / "su") == 0o755
    assert mode(tree / "group") == 0o775
    assert os.listxattr(tree / "ping") == os.listxattr(tree / "sly") == []
    assert {path.name for path in tree.iterdir()} == {"su", "group", "ping", "sly"}


def test_later_entries_win_and_links_are_replaced_not_followed(unpack: Unpack, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    tree, _ = unpack(
        archive(
            [
                (member("x", LINK, linkname=str(outside)), b""),
                (member("x"), b"mine"),
                (member("d", LINK, linkname="/"), b""),
                (member("d/", DIRECTORY), b""),
                (member("d/y"), b"inside"),
                (member("up", LINK, linkname="../../.."), b""),
                (member("up/escaped"), b"in the tree"),
                (member("root", LINK, linkname="/"), b""),
                (member("root/also"), b"in the tree"),
            ]
        )
    )
    assert outside.read_text() == "untouched"
    assert (tree / "x").read_text() == "mine"
    assert (tree / "d/y").read_text() == "inside"
    assert (tree / "escaped").read_text() == (tree / "also").read_text() == "in the tree"
    assert not (tmp_path / "escaped").exists()


def test_whiteouts_become_overlays_marks(unpack: Unpack) -> None:
    tree, record = unpack(
        archive(
            [
                (member(".wh.gone"), b""),
                (member("etc/", DIRECTORY), b""),
                (member("etc/.wh.passwd"), b""),
                (member("etc/.wh.kept"), b""),
                (member("etc/kept"), b"of this layer"),
                (member("new/.wh..wh..opq"), b""),
                (member("made/", DIRECTORY), b""),
                (member(".wh.made"), b""),
                (member(".wh..wh.plnk/123", HARD, linkname="etc/kept"), b""),
                (member(".wh..wh.aufs"), b""),
            ]
        )
    )
    for name in ("gone", "etc/passwd"):
        status = (tree / name).lstat()
        assert stat.S_ISCHR(status.st_mode)
        assert status.st_rdev == 0
    assert (tree / "etc/kept").read_text() == "of this layer"
    assert os.getxattr(tree / "new", "trusted.overlay.opaque") == b"y"
    assert os.getxattr(tree / "made", "trusted.overlay.opaque") == b"y"
    assert {path.name for path in tree.iterdir()} == {"gone", "etc", "new", "made"}
    assert not record.hides_all
    assert unpack(archive([(member(".wh..wh..opq"), b"")]))[1].hides_all


@pytest.mark.parametrize("pack", [gzipped, zstded, bytes, lambda data: gzipped(data[:700]) + gzipped(data[700:])])
def test_every_packing_is_told_by_its_bytes(unpack: Unpack, pack: Callable[[bytes], bytes]) -> None:
    tree, _ = unpack(pack(files({"a": "1" * 300_000, "b": "2"})))
    assert ((tree / "a").stat().st_size, (tree / "b").read_text()) == (300_000, "2")


def test_a_layer_without_anything_is_one(unpack: Unpack) -> None:
    for number, empty in enumerate((archive([]), b"\0" * 1024)):
        tree, record = unpack(gzipped(empty))
        assert (list(tree.iterdir()), record.size_bytes) == ([], 0), number
    assert unpack(gzipped(b""))[1].size_bytes == 0


def test_sparse_files_are_as_long_as_they_say(unpack: Unpack) -> None:
    # GNU's form 1.0, as `tar --sparse` writes it: a map in front of the data.
    parts = b"1\n1048576\n4\n".ljust(512, b"\0") + b"tail"
    headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "s",
        "GNU.sparse.realsize": "1048580",
    }
    tree, record = unpack(archive([(member("GNUSparseFile.0/s", pax_headers=headers), parts)]))
    assert (tree / "s").read_bytes() == b"\0" * 1_048_576 + b"tail"
    assert record.size_bytes == 1_048_580


HOSTILE = {
    "leads out of the image": [(member("a/../../etc/passwd"), b"")],
    "'\\x1b[2Jx/../y' leads out": [(member("\x1b[2Jx/../y"), b"")],
    "is a hard link to 'etc/shadow'": [(member("etc/s", HARD, linkname="/etc/shadow"), b"")],
    "is a hard link to 'l/shadow'": [
        (member("l", LINK, linkname="/etc"), b""),
        (member("s", HARD, linkname="l/shadow"), b""),
    ],
    "is both a directory and": [(member("a/b"), b""), (member("a"), b"")],
    "a/b/c': Not a directory": [(member("a"), b""), (member("a/b/c"), b"")],
    "File name too long": [(member("n" * 300), b"")],
    "cannot be removed": [(member("etc/.wh..."), b"")],
    "'l/x': Too many levels of symbolic links": [(member("l", LINK, linkname="l"), b""), (member("l/x"), b"")],
    "owner that cannot be": [(member("a", uid=2**40), b"")],
    "its root is not a directory": [(member("./", LINK, linkname="/etc"), b"")],
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_hostile_entries_are_refused(unpack: Unpack, reason: str) -> None:
    with pytest.raises(ImageError) as refused:
        unpack(archive(HOSTILE[reason]))
    assert reason.lower() in str(refused.value).lower()
    assert refused.value.code == "InvalidImage"
    assert str(refused.value).isprintable()


def _overwritten(data: bytes, at: int, text: bytes) -> bytes:
    """An archive with a header changed, its checksum made right again."""
    changed = bytearray(data)
    changed[at : at + len(text)] = text
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


TWO = files({"a": "1" * 600, "b": "2"})
DAMAGED = {
    "cut off in a file": TWO[:900],
    "cut off in a header": TWO[:1700],
    "a broken header in the middle": TWO[:1536] + b"x" * 512 + TWO[2048:],
    "no archive": b"hello " * 200,
    "a long name that wants all memory": _overwritten(
        archive([(member("n" * 200), b"")], tarfile.GNU_FORMAT), 124, b"77777777777\0"
    ),
    "headers for a name without end": archive([(member("a", pax_headers={"comment": "c" * 300_000}), b"")]),
    "a time that is none": archive([(member("a", pax_headers={"mtime": "nan"}), b"")]),
    "a size that is none": archive([(member("a", pax_headers={"size": "-1"}), b"")]),
    "gzip that is cut off": gzipped(TWO)[:-20],
    "gzip that is broken": gzipped(TWO)[:40] + b"\xff" * 40 + gzipped(TWO)[80:],
    "zstd that is broken": zstded(TWO)[:30] + b"\xff" * 10,
    "zstd with a window of 2 GiB": zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    )
    .compressobj(size=2**31)
    .compress(b"x")
    + b"\x28\xb5\x2f\xfd\x00\xa8",
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_archives_are_refused(unpack: Unpack, what: str) -> None:
    with pytest.raises(ImageError) as refused:
        unpack(DAMAGED[what], diff_id="0" * 64)
    assert refused.value.code == "InvalidImage"
    assert "another" not in str(refused.value), "it was read as if it were sound"


def test_bombs_are_refused_before_they_fill_the_disk(unpack: Unpack) -> None:
    with pytest.raises(ImageError, match="larger than 10 GB"):
        unpack(gzipped(archive([(member("zeros"), bytes(2_000_000))])), size_bytes=1_000_000)
    with pytest.raises(ImageError, match="larger than 10 GB"):
        unpack(archive([(member("s", pax_headers=sparse(2**50)), b"0\n".ljust(512, b"\0"))]), diff_id="0" * 64)


def test_what_is_unpacked_is_what_the_image_names(unpack: Unpack) -> None:
    with pytest.raises(ImageError, match="not the one that the image's configuration names"):
        unpack(gzipped(TWO), diff_id="0" * 64)
    with pytest.raises(ImageError, match="not the one"):  # what follows the archive counts as well
        unpack(gzipped(TWO + b"more"), diff_id=digest(TWO))
