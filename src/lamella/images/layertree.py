"""Turns a layer's archive into a directory that overlayfs can merge with others.

The archive may be anybody's. Everything is created relative to descriptors of directories which the kernel finds within
the tree (`within`), so neither `..` nor a link of the archive leads out of it. Kept are contents, permission bits,
owners, times, links and hard links; left out are devices, pipes, setuid and setgid, and extended attributes, among them
capabilities and overlayfs's own.

Source: OCI image specification 1.1, layer (whiteouts, opaque directories); Linux documentation, filesystems/overlayfs.
"""

import errno
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final, cast

from lamella.images.reference import INVALID
from lamella.images.unpacking import PIECE_BYTES, Unpacked
from lamella.images.within import make_directories, open_directory
from lamella.ports.images import ImageError

_WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_AUFS: Final = b".wh..wh."  # notes of a file system that Docker once used
_OPAQUE_ATTRIBUTE: Final = "trusted.overlay.opaque"
_ENTRIES_MOST: Final = 2_000_000
_IMPLIED_MOST: Final = 10_000
_GLOBAL_HEADERS_MOST: Final = 1_000
_ID_MOST: Final = 2**31 - 1
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TIME_MOST_S: Final = 2**34 - 1  # what ext4 can hold: the year 2446


@dataclass(slots=True)
class Room:
    """What an image may still take, over all its layers.

    Attributes:
        size_bytes: Of files.
        entries: Of archives.
    """

    size_bytes: int
    entries: int = _ENTRIES_MOST

    def take(self, size_bytes: int) -> bool:
        """Use some of it, with one entry; whether there was so much."""
        self.size_bytes -= size_bytes
        self.entries -= 1
        return self.size_bytes >= 0 and self.entries >= 0


class _Member(tarfile.TarInfo):
    """A header that does not pass for the archive's end if it is broken, as it would."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_Member":
        """The next header."""
        try:
            return super().fromtarfile(tarfile)
        except _HeaderError as error:
            if type(error).__name__ in ("EOFHeaderError", "EmptyHeaderError"):  # an end as it should be
                raise
            raise _ReadError(str(error)) from None


_HeaderError: Final = tarfile.HeaderError
_ReadError: Final = tarfile.ReadError


class LayerTree:
    """Fills one directory from one archive.

    Args:
        root: Descriptor of an empty directory.
        room: For all files; what does not fit is refused.
        shown: The layer, for errors.
        too_large: The error for a layer that needs more room.

    Attributes:
        size_bytes: Of all files.
        implied: Directories that the archive has no entry for: what a lower layer says about them holds.
        hides_all: Whether nothing of the layers below is seen.
    """

    def __init__(self, root: int, room: Room, *, shown: str, too_large: ImageError) -> None:
        self.size_bytes = 0
        self.implied: set[bytes] = set()
        self.hides_all = False
        self._root = root
        self._room = room
        self._shown = shown
        self._too_large = too_large
        self._whiteouts: list[bytes] = []
        self._opaque: list[bytes] = []
        self._left_out: set[bytes] = set()
        self._times: dict[bytes, int] = {}
        self._as_root = os.geteuid() == 0

    def fill(self, archive: Unpacked) -> None:
        """Read the whole archive, and create what is in it.

        Raises:
            ImageError: It is damaged, hostile, too large, or has what no file system takes.
            OSError: The disk is full or fails, or this process may not make whiteouts.
        """
        if not archive.is_empty():  # as some tools write a layer without changes
            try:
                self._add_all(archive)
            except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
                raise self._refused(str(error) or type(error).__name__) from None
        archive.finish()
        for path in self._opaque:
            self._make_opaque(path)
        for path in self._whiteouts:
            self._white_out(path)
        for path, modified_s in self._times.items():  # last, as creating a file changes its directory's time
            with self._parent(path) as (parent, name):
                os.utime(name or b".", (modified_s, modified_s), dir_fd=parent, follow_symlinks=False)

    def _add_all(self, archive: Unpacked) -> None:
        archive.expect_header()
        file = cast("IO[bytes]", archive)  # all that is asked of it is to read, and to go forward
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_Member) as members:
            while (member := members.next()) is not None:
                members.members.clear()  # type: ignore[attr-defined]  # it would keep every header
                if len(members.pax_headers) > _GLOBAL_HEADERS_MOST:
                    raise self._refused("too many headers for all files")
                archive.expect_content()
                self._add(members, member)
                archive.expect_header()

    def _add(self, members: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self._path(member.name)
        size_bytes = member.size if member.isreg() else 0
        if size_bytes < 0 or not self._room.take(size_bytes):
            raise self._too_large
        folder, _, name = path.rpartition(b"/")
        if any(part.startswith(_WHITEOUT) for part in folder.split(b"/")) or (
            name.startswith(_AUFS) and name != _OPAQUE
        ):
            return
        if name == _OPAQUE:
            self._opaque.append(folder)
        elif name.startswith(_WHITEOUT):
            self._whiteouts.append(_joined(folder, name[len(_WHITEOUT) :]))
        elif member.isdir():
            self._add_directory(path, member)
        elif not path:
            raise self._refused("its root is not a directory")
        elif member.isreg():
            self._add_file(path, members, member)
        elif member.issym():
            self._add_link(path, member)
        elif member.islnk():
            self._add_hard_link(path, self._path(member.linkname))
        else:
            self._left_out.add(path)  # a device or a pipe

    def _add_directory(self, path: bytes, member: tarfile.TarInfo) -> None:
        self.implied.discard(path)
        with self._parent(path) as (parent, name):
            if name:
                try:
                    os.mkdir(name, 0o700, dir_fd=parent)
                except FileExistsError:
                    if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                        os.unlink(name, dir_fd=parent)
                        os.mkdir(name, 0o700, dir_fd=parent)
            descriptor = os.open(name or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                if self._as_root:
                    os.chown(descriptor, *_owner(member))
                os.fchmod(descriptor, member.mode & 0o1777)
            finally:
                os.close(descriptor)
        self._times[path] = _time(member)

    def _add_file(self, path: bytes, members: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        content = members.extractfile(member)
        assert content is not None  # it is a file
        with self._place(path) as (parent, name):
            descriptor = os.open(name, _CREATE, 0o600, dir_fd=parent)
            try:
                left = member.size
                while left:
                    piece = content.read(min(left, PIECE_BYTES))
                    if not piece:
                        raise self._refused(f"{_shown(path)} is cut off")
                    left -= len(piece)
                    _write(descriptor, piece)
                if self._as_root:
                    os.chown(descriptor, *_owner(member))
                os.fchmod(descriptor, member.mode & 0o777)
                os.utime(descriptor, (_time(member), _time(member)))
            finally:
                os.close(descriptor)
        self.size_bytes += member.size

    def _add_link(self, path: bytes, member: tarfile.TarInfo) -> None:
        with self._place(path) as (parent, name):
            os.symlink(os.fsencode(member.linkname), name, dir_fd=parent)
            if self._as_root:
                os.chown(name, *_owner(member), dir_fd=parent, follow_symlinks=False)
            os.utime(name, (_time(member), _time(member)), dir_fd=parent, follow_symlinks=False)

    def _add_hard_link(self, path: bytes, target: bytes) -> None:
        if target in self._left_out:
            self._left_out.add(path)
            return
        if path == target:
            return
        folder, _, target_name = target.rpartition(b"/")
        with self._place(path) as (parent, name):
            try:
                home = open_directory(self._root, folder)
                try:
                    os.link(target_name, name, src_dir_fd=home, dst_dir_fd=parent, follow_symlinks=False)
                finally:
                    os.close(home)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    raise
                raise self._refused(
                    f"{_shown(path)} is a hard link to {_shown(target)}, which is no file of the same layer"
                ) from None

    def _make_opaque(self, path: bytes) -> None:
        if not path:
            self.hides_all = True
            return
        self._ensure(path)
        descriptor = open_directory(self._root, path)
        try:
            os.setxattr(f"/proc/self/fd/{descriptor}", _OPAQUE_ATTRIBUTE, b"y")
        finally:
            os.close(descriptor)

    def _white_out(self, path: bytes) -> None:
        """Hide what lower layers have here: a file of this layer does so by itself."""
        if path.rpartition(b"/")[2] in (b"", b".", b".."):
            raise self._refused(f"{_shown(path)} cannot be removed")
        with self._parent(path) as (parent, name):
            try:
                status = os.lstat(name, dir_fd=parent)
            except FileNotFoundError:
                os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
                return
        if stat.S_ISDIR(status.st_mode):
            self._make_opaque(path)

    @contextmanager
    def _place(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """Where something is to be created; a file that was there before is gone, as a later entry wins."""
        with self._parent(path) as (parent, name):
            try:
                os.unlink(name, dir_fd=parent)
            except FileNotFoundError:
                pass
            except IsADirectoryError:
                raise self._refused(f"{_shown(path)} is both a directory and something else") from None
            yield parent, name

    @contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The directory of a path, made if it is not there, and the name in it; of the root, itself and no name."""
        folder, _, name = path.rpartition(b"/")
        try:
            descriptor = open_directory(self._root, folder)
        except FileNotFoundError:
            self._ensure(folder)
            descriptor = open_directory(self._root, folder)
        except OSError as error:
            raise self._impossible(path, error) from None
        try:
            yield descriptor, name
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP):
                raise
            raise self._impossible(path, error) from None
        finally:
            os.close(descriptor)

    def _ensure(self, path: bytes) -> None:
        """Make a directory and those above it, and remember which the archive did not mention."""
        try:
            os.close(make_directories(self._root, path, self._note_implied))
        except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
            raise self._impossible(path, error) from None

    def _note_implied(self, path: bytes) -> None:
        self.implied.add(path)
        if len(self.implied) > _IMPLIED_MOST:
            raise self._refused("too many directories without an entry of their own")

    def _path(self, name: str) -> bytes:
        """The path below the root, without dots and slashes that say nothing.

        Raises:
            ImageError: It has `..`, or a NUL, of which no honest archive has either.
        """
        parts = [part for part in os.fsencode(name).split(b"/") if part not in (b"", b".")]
        if b".." in parts or b"\0" in b"".join(parts):
            raise self._refused(f"{_shown(os.fsencode(name))} leads out of the image")
        return b"/".join(parts)

    def _impossible(self, path: bytes, error: OSError) -> ImageError:
        return self._refused(f"{_shown(path)}: {error.strerror}")

    def _refused(self, reason: str) -> ImageError:
        return ImageError(f"{self._shown} is not a layer that can be unpacked: {reason}.", INVALID)


def _joined(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _write(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def _owner(member: tarfile.TarInfo) -> tuple[int, int]:
    if not (0 <= member.uid <= _ID_MOST and 0 <= member.gid <= _ID_MOST):
        raise ValueError(f"{_shown(os.fsencode(member.name))} has an owner that cannot be")
    return member.uid, member.gid


def _time(member: tarfile.TarInfo) -> int:
    return min(max(int(member.mtime), 0), _TIME_MOST_S)


def _shown(path: bytes) -> str:
    """A name out of an archive, as Python would write it: whatever a terminal takes for a command is escaped."""
    return ascii(os.fsdecode(path[:200]))
