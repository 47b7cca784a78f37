"""Reads every file of a layer once, and keeps what the checks want to know of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Final, TypeAlias

from lamella.domain.quotas import UNZIPPED
from lamella.layers.contents import DAMAGE, ContentEntry, LayerContents
from lamella.layers.doctor.elf import MAGIC, ElfDamagedError, ElfFacts, read_elf
from lamella.layers.doctor.secrets import Secret, find_secrets
from lamella.layers.errors import LayerReadError
from lamella.layers.packages import Package, packages_in
from lamella.layers.zips import of_bytes

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many bytes of how many have been looked at."""

READ_MOST_BYTES: Final = 4 * UNZIPPED.limit
"""Layers larger than this are not read at all: Lambda takes a quarter of it, and unpacking it takes time and memory."""

_PART_BYTES: Final = 1024 * 1024
_TEXT_MOST_BYTES: Final = 4 * 1024 * 1024
_CLASSES_MOST: Final = 4000
_THREADS: Final = 2
_BATCH_BYTES: Final = 4 * 1024 * 1024
_BATCH_FILES: Final = 256
_FOREIGN: Final = (
    (b"\xcf\xfa\xed\xfe", "macOS (Mach-O)"),
    (b"\xce\xfa\xed\xfe", "macOS (Mach-O)"),
    (b"\xca\xfe\xba\xbe\x00\x00\x00\x02", "macOS (universal binary)"),
    (b"MZ", "Windows (PE)"),
)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file.

    Attributes:
        elf: If it is a program or library for Linux.
        foreign: The system it is for, if it is a program or library for another one.
        text: Whether it is text.
        head: The first line of text, without its end; empty for others.
        carriage_return: Whether that line ends as Windows has it.
        secrets: That stand in it.
        class_version: The newest of the class files in a jar, or its own; 0 for others.
        newest_class: Its name.
        damage: What is wrong with the file itself; empty if nothing is.
    """

    elf: ElfFacts | None = None
    foreign: str = ""
    text: bool = False
    head: str = ""
    carriage_return: bool = False
    secrets: tuple[Secret, ...] = ()
    class_version: int = 0
    newest_class: str = ""
    damage: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was read of a layer.

    Attributes:
        files: By name.
        packages: By ecosystem and name.
    """

    files: Mapping[str, FileFacts]
    packages: tuple[Package, ...]


def silent(done: int, total: int) -> None:
    """Tell nobody."""
    del done, total


def survey(contents: LayerContents, progress: Progress = silent) -> Survey:
    """Read a layer. Unpacking needs no lock of Python's, so that two threads are nearly twice as fast as one."""
    total = contents.unzipped_bytes
    batches = list(_batches(sorted(contents.files(), key=lambda entry: -entry.size_bytes)))
    files: dict[str, FileFacts] = {}
    packages: set[Package] = set()
    done = 0
    progress(0, total)
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="lamella-doctor")
    try:
        for batch, results in zip(batches, pool.map(lambda batch: _look(contents, batch), batches), strict=True):
            for entry, facts, found in results:
                files[entry.name] = facts
                packages.update(found)
            done += sum(entry.size_bytes for entry in batch)
            progress(done, total)
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C need not wait for all that was to come
    ordered = sorted(packages, key=lambda package: (package.ecosystem, package.name.lower(), package.version))
    return Survey(dict(sorted(files.items())), tuple(ordered))


def _batches(entries: Sequence[ContentEntry]) -> Iterator[list[ContentEntry]]:
    batch: list[ContentEntry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry.size_bytes
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _look(
    contents: LayerContents, batch: Sequence[ContentEntry]
) -> list[tuple[ContentEntry, FileFacts, tuple[Package, ...]]]:
    return [(entry, *look(contents, entry)) for entry in batch]


def look(contents: LayerContents, entry: ContentEntry) -> tuple[FileFacts, tuple[Package, ...]]:
    """Read one file to its end, so that what is damaged is found, and keep no more of it than needed."""
    try:
        with contents.open(entry.name) as file:
            facts = _facts(entry, file)
        return facts, tuple(packages_in(contents, entry))
    except LayerReadError as error:
        return FileFacts(damage=str(error)), ()
    except DAMAGE as error:
        return FileFacts(damage=f"cannot be read: {error}"), ()


def _facts(entry: ContentEntry, file: IO[bytes]) -> FileFacts:
    first = file.read(min(entry.size_bytes, _PART_BYTES))
    if len(first) < min(entry.size_bytes, _PART_BYTES):
        return FileFacts(damage=f"has {len(first):,} bytes, and the archive says {entry.size_bytes:,}")
    if first.startswith(MAGIC):
        try:
            return FileFacts(elf=read_elf(_rest(first, entry, file)))
        except ElfDamagedError as error:
            return FileFacts(damage=str(error))
    for magic, system in _FOREIGN:
        if first.startswith(magic) and not (magic == b"MZ" and _is_text(first)):
            _drain(entry, file, len(first))
            return FileFacts(foreign=system)
    if entry.name.endswith(".jar") and first.startswith(b"PK"):
        version, name = _newest_class(_rest(first, entry, file))
        return FileFacts(class_version=version, newest_class=name)
    if first.startswith(b"\xca\xfe\xba\xbe") and entry.name.endswith(".class") and len(first) >= 8:
        return FileFacts(class_version=int.from_bytes(first[6:8], "big"), newest_class=entry.name)
    if not _is_text(first):
        _drain(entry, file, len(first))
        return FileFacts()
    text = first
    if len(first) < entry.size_bytes <= _TEXT_MOST_BYTES:
        text = _rest(first, entry, file)
    else:
        _drain(entry, file, len(first))
    line, newline, _ = text[:1024].partition(b"\n")
    return FileFacts(
        text=True,
        head=line.rstrip(b"\r").decode("utf-8", "replace"),
        carriage_return=bool(newline) and line.endswith(b"\r"),
        secrets=tuple(find_secrets(entry.name, text)),
    )


def _is_text(data: bytes) -> bool:
    return b"\0" not in data[:8192]


def _rest(first: bytes, entry: ContentEntry, file: IO[bytes]) -> bytes:
    """The whole file, or less if it ends early; no more than is stated."""
    parts = [first]
    left = entry.size_bytes - len(first)
    while left > 0 and (part := file.read(min(left, 8 * _PART_BYTES))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _drain(entry: ContentEntry, file: IO[bytes], done: int) -> None:
    while done < entry.size_bytes and (part := file.read(min(entry.size_bytes - done, _PART_BYTES))):
        done += len(part)


def _newest_class(jar: bytes) -> tuple[int, str]:
    """The greatest class version in a jar, and where; of very large ones a sample.

    Those for newer versions only (`META-INF/versions`) and `module-info` do not count: older ones pass over them.
    """
    newest = (0, "")
    with of_bytes(jar) as archive:
        members = [
            member
            for member in archive.infolist()
            if member.filename.endswith(".class")
            and not member.filename.startswith("META-INF/")
            and not member.filename.endswith("module-info.class")
        ]
        for member in members[:: len(members) // _CLASSES_MOST + 1]:
            try:
                with archive.open(member) as file:
                    head = file.read(8)
            except (RuntimeError, NotImplementedError):  # encrypted, or compressed in a way that Java does not know
                continue
            if head.startswith(b"\xca\xfe\xba\xbe") and len(head) == 8:
                newest = max(newest, (int.from_bytes(head[6:8], "big"), member.filename))
    return newest
