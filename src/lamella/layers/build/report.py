"""What was built, in figures and words."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lamella.domain.quotas import UNZIPPED, ZIP_UPLOAD
from lamella.layers.build.slim import Removed, Spared, to_document
from lamella.layers.packages import Package

_MOST_RUNTIMES: Final = 15
"""Compatible runtimes of a layer version. Source: model, shape `CompatibleRuntimes`."""


@dataclass(frozen=True, slots=True)
class BuiltPackage:
    """A package inside a layer.

    Attributes:
        size_bytes: Unzipped, over all runtimes that have it; 0 if its files cannot be told.
    """

    name: str
    version: str
    ecosystem: str
    licence: str
    purl: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """A zip archive that was built.

    Attributes:
        name: Of the layer.
        runtimes: That it is for; empty if it is for any.
        packages: By size, biggest first.
        sha256: Of the archive, 64 hex digits.
        content_sha256: Of the files in it; the same with every compression library.
        warnings: In words for the operator.
        sbom: The CycloneDX document, if one was written.
    """

    output: Path
    name: str
    description: str
    licence: str
    runtimes: tuple[str, ...]
    architecture: str
    packages: tuple[BuiltPackage, ...]
    files: int
    zipped_bytes: int
    unzipped_bytes: int
    sha256: str
    content_sha256: str
    removed: tuple[Removed, ...] = ()
    spared: tuple[Spared, ...] = ()
    warnings: tuple[str, ...] = ()
    sbom: Path | None = None

    def to_dict(self) -> dict[str, Any]:  # Any: a JSON document
        """The report as JSON-ready values."""
        paths = {"output": str(self.output), "sbom": None if self.sbom is None else str(self.sbom)}
        trimmed = to_document(self.removed, self.spared)
        return asdict(self) | paths | trimmed | {"publish": list(self.publish_commands())}

    def publish_commands(self) -> tuple[str, ...]:
        """Commands that publish it; through S3 if it is too big for the request itself."""
        commands: list[str] = []
        content = f"--zip-file {shlex.quote(f'fileb://{self.output}')}"
        if self.zipped_bytes > ZIP_UPLOAD.limit:
            commands.append(f"aws s3 cp {shlex.quote(str(self.output))} s3://BUCKET/")
            content = f"--content {shlex.quote(f'S3Bucket=BUCKET,S3Key={self.output.name}')}"
        words = [f"aws lambda publish-layer-version --layer-name {self.name}"]
        words += [f"--description {shlex.quote(self.description)}"] if self.description else []
        words += [f"--license-info {shlex.quote(self.licence)}"] if self.licence else []
        words.append(content)
        words += [f"--compatible-runtimes {' '.join(self.runtimes[:_MOST_RUNTIMES])}"] if self.runtimes else []
        words.append(f"--compatible-architectures {self.architecture}")
        return (*commands, " ".join(words))


def mib(size_bytes: int) -> str:
    """A size as people read it."""
    if size_bytes < 1024**2 / 10:
        return f"{size_bytes / 1024:.1f} KiB"
    return f"{size_bytes / 1024**2:.1f} MiB"


def size_warnings(zipped_bytes: int, unzipped_bytes: int) -> list[str]:
    """What to tell about a layer whose size comes near, or exceeds, what Lambda takes."""
    warnings: list[str] = []
    if zipped_bytes > ZIP_UPLOAD.limit:
        warnings.append(
            f"The zip has {mib(zipped_bytes)} and Lambda takes {mib(ZIP_UPLOAD.limit)} in a direct upload: "
            "leave something out, or spread it over several layers, or publish it through S3"
        )
    if unzipped_bytes > UNZIPPED.limit:
        warnings.append(
            f"Unzipped it has {mib(unzipped_bytes)}; Lambda allows {mib(UNZIPPED.limit)} for a function and all "
            "of its layers: no function can use it"
        )
    elif unzipped_bytes > UNZIPPED.limit * 0.8:
        warnings.append(
            f"Unzipped it has {mib(unzipped_bytes)} of the {mib(UNZIPPED.limit)} that a function and "
            "all of its layers share"
        )
    return warnings


def over_budget(report: ArchiveReport, *, max_zipped: int | None, max_unzipped: int | None) -> str:
    """What to tell about an archive that is bigger than it may be, with what makes it so; empty if it is not."""
    exceeded = [
        f"{_exactly(size, limit)} {what}, of which {_exactly(limit, size)} are allowed"
        for what, size, limit in (
            ("zipped", report.zipped_bytes, max_zipped),
            ("unzipped", report.unzipped_bytes, max_unzipped),
        )
        if limit is not None and size > limit
    ]
    if not exceeded:
        return ""
    biggest = [package for package in report.packages if package.size_bytes][:5]
    named = ", ".join(f"{package.name} {package.version} {mib(package.size_bytes)}" for package in biggest)
    return f"{report.output} has {' and '.join(exceeded)}." + (f" Biggest, unzipped: {named}." if named else "")


def _exactly(size_bytes: int, other: int) -> str:
    """A size as people read it, or to the byte if it could not be told from the other."""
    return f"{size_bytes:,} bytes" if mib(size_bytes) == mib(other) else mib(size_bytes)


def built_packages(packages: Sequence[Package], sizes: Mapping[Package, int]) -> tuple[BuiltPackage, ...]:
    """Packages by size, each once although several runtimes may have it."""
    found: dict[str, BuiltPackage] = {}
    for package in packages:
        size = sizes.get(package, 0) + (found[package.purl].size_bytes if package.purl in found else 0)
        found[package.purl] = BuiltPackage(
            package.name, package.version, package.ecosystem.value, package.licence, package.purl, size
        )
    return tuple(sorted(found.values(), key=lambda one: (-one.size_bytes, one.name.lower(), one.version)))
