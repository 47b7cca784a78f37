"""What the commands that verify send: names of layers, and directories packed into one archive."""

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lamella.cli.failure import CommandError, Status

LAYER_ARN: Final = re.compile(r"arn:[a-z0-9-]+:lambda:[a-z0-9-]+:[^:]*:layer:[^:]+:[0-9]+")
_UNZIPPED_MOST_BYTES: Final = 250 * 1024 * 1024


@dataclass(slots=True)
class Parcel:
    """What the server is asked: the query, and an archive with what the query names `part-0`, `part-1` ..."""

    query: list[tuple[str, str]] = field(default_factory=list)
    archive: io.BytesIO = field(default_factory=io.BytesIO)
    directories: int = 0

    def add_layer(self, text: str) -> None:
        """A layer: an ARN, a zip archive, or a directory."""
        if LAYER_ARN.fullmatch(text):
            self.query.append(("layer", text))
        else:
            self.query.append(("layer", self.pack(Path(text))))

    def pack(self, path: Path) -> str:
        """Put a directory, or what is in an archive, into the archive that is sent; returns its name there."""
        name = f"part-{self.directories}"
        self.directories += 1
        with zipfile.ZipFile(self.archive, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            total = 0
            for info, content in _entries(path, name):
                total += len(content)
                if total > _UNZIPPED_MOST_BYTES:
                    raise CommandError(f"{path} holds more than 250 MB, which no function can have", Status.USAGE)
                archive.writestr(info, content)
        return name

    def pack_program(self, path: Path, name_there: str) -> str:
        """Put a program into the archive under a name, as executable as it is; returns the directory it is in."""
        name = f"part-{self.directories}"
        self.directories += 1
        with zipfile.ZipFile(self.archive, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(_info(f"{name}/{name_there}", path.stat().st_mode), path.read_bytes())
        return name


def _entries(path: Path, under: str) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    """Files and links of a directory or of an archive, below a directory of the archive that is sent.

    Raises:
        CommandError: It is neither, or cannot be read.
    """
    try:
        if path.is_dir():
            # The directory itself, so that it is there even if it is empty.
            yield _info(f"{under}/", 0o40755), b""
            for entry in sorted(path.rglob("*")):
                name = f"{under}/{entry.relative_to(path).as_posix()}"
                if entry.is_symlink():
                    yield _info(name, 0o120777), str(entry.readlink()).encode()
                elif entry.is_file():
                    yield _info(name, entry.stat().st_mode), entry.read_bytes()
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _info(f"{under}/", 0o40755), b""
                for info in archive.infolist():
                    if not info.is_dir():
                        yield _renamed(info, f"{under}/{info.filename}"), archive.read(info)
        else:
            raise CommandError(f"{path} is no directory and no zip archive", Status.USAGE)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise CommandError(f"cannot read {path}: {error}", Status.USAGE) from error


def _info(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3  # Unix: else the mode does not count
    info.external_attr = (mode & 0o177777 if mode & 0o170000 else 0o100000 | mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _renamed(info: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    renamed = zipfile.ZipInfo(name)
    renamed.create_system, renamed.external_attr = info.create_system, info.external_attr
    renamed.compress_type = zipfile.ZIP_DEFLATED
    return renamed
