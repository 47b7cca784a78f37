"""Carrying out a plan: inflating an archive's entries and writing them into a fresh directory."""

import os
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lamella.adapters.filesystem.ziplayout import Archive, Method, refusal, shown
from lamella.adapters.filesystem.zipplan import Plan, PlannedEntry
from lamella.ports.stores import ArchiveTooLargeError

_OUTPUT_BYTES: Final = 4 << 20
_INPUT_BYTES: Final = 256 << 10
_DIRECTORY_MODE: Final = 0o755
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def extract(archive: Archive, plan: Plan, tree: int, *, threads: int) -> None:
    """Create everything a plan names. What was created is left behind on failure, and is the caller's to remove.

    Args:
        archive: What the plan was made from.
        plan: What to create.
        tree: Descriptor of an empty directory.
        threads: How many inflate and write; zlib and the kernel work outside of Python's lock.

    Raises:
        ArchiveTooLargeError: An entry is larger than it declares.
        ArchiveError: The content is not what the headers promise: damaged, or shorter.
        OSError: The disk.
    """
    for directory in plan.directories:
        os.mkdir(directory.path, _DIRECTORY_MODE, dir_fd=tree)
    # The largest first: the last ones to be taken are short, so all threads end at about the same time.
    queue = deque(sorted(plan.files, key=lambda entry: -entry.compressed_bytes))
    view = memoryview(archive)
    with ThreadPoolExecutor(threads, "extract") as pool:
        futures = [pool.submit(_write_files, view, queue, tree) for _ in range(threads)]
    for future in futures:
        future.result()
    for link in plan.links:
        target = b"".join(_contents(view, link))
        if b"\0" in target:
            raise refusal(f"the symbolic link {shown(link.path.decode())} has a target with a NUL")
        os.symlink(target, link.path, dir_fd=tree)
        _set_time(link.path, link.modified_s, tree)
    # Last, as creating a file changes its directory's time.
    for directory in plan.directories:
        os.chmod(directory.path, directory.mode, dir_fd=tree)
        if directory.modified_s is not None:
            _set_time(directory.path, directory.modified_s, tree)
    os.fchmod(tree, _DIRECTORY_MODE)  # whatever the umask


def _set_time(path: bytes, modified_s: int, tree: int) -> None:
    os.utime(path, (modified_s, modified_s), dir_fd=tree, follow_symlinks=False)


def _write_files(archive: memoryview, queue: deque[PlannedEntry], tree: int) -> None:
    try:
        while True:
            try:
                entry = queue.popleft()
            except IndexError:
                return
            _write_file(archive, entry, tree)
    except BaseException:
        queue.clear()  # the others stop as well
        raise


def _write_file(archive: memoryview, entry: PlannedEntry, tree: int) -> None:
    descriptor = os.open(entry.path, _CREATE, 0o600, dir_fd=tree)
    try:
        for chunk in _contents(archive, entry):
            written = os.write(descriptor, chunk)
            while written < len(chunk):
                written += os.write(descriptor, memoryview(chunk)[written:])
        os.fchmod(descriptor, entry.mode)
        os.utime(descriptor, (entry.modified_s, entry.modified_s))
    finally:
        os.close(descriptor)


def _contents(archive: memoryview, entry: PlannedEntry) -> Iterator[bytes | memoryview]:
    """The content of an entry in pieces, never more of it than was declared.

    Raises:
        ArchiveError: Damaged, or of another size; known for sure only after the last piece.
    """
    data = archive[entry.data_offset : entry.data_offset + entry.compressed_bytes]
    pieces = iter((data,)) if entry.method is Method.STORED else _inflate(data, entry)
    crc = size_bytes = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
        size_bytes += len(piece)
        yield piece
    if size_bytes != entry.size_bytes:
        raise refusal(f"{shown(entry.path.decode())} has {size_bytes} bytes, not {entry.size_bytes} as declared")
    if crc != entry.crc:
        raise refusal(f"{shown(entry.path.decode())} is damaged: its checksum is wrong")


def _inflate(data: memoryview, entry: PlannedEntry) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left = entry.size_bytes
    try:
        # In pieces, for what one call leaves unread is copied, which for a large file would be copied over and over.
        for start in range(0, len(data), _INPUT_BYTES):
            rest: bytes | memoryview = data[start : start + _INPUT_BYTES]
            while not inflater.eof:
                # Room for one byte more than is left, to see an entry that is longer than it says.
                room = min(left + 1, _OUTPUT_BYTES)
                piece = inflater.decompress(rest, room)
                rest = inflater.unconsumed_tail
                left -= len(piece)
                if left < 0:
                    raise _longer(entry)
                if piece:
                    yield piece
                if not rest and len(piece) < room:  # a full piece may have more behind it, even if all input is read
                    break
            if inflater.unused_data or (inflater.eof and start + _INPUT_BYTES < len(data)):
                raise refusal(f"{shown(entry.path.decode())} is damaged: it ends before its data does")
    except zlib.error as error:
        raise refusal(f"{shown(entry.path.decode())} is damaged: {error}") from error
    if not inflater.eof:
        raise refusal(f"{shown(entry.path.decode())} is damaged: its data is cut off")


def _longer(entry: PlannedEntry) -> ArchiveTooLargeError:
    detail = f"{shown(entry.path.decode())} is longer than the {entry.size_bytes} bytes it declares"
    return ArchiveTooLargeError(str(refusal(detail)))
