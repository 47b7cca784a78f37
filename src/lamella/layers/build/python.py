"""Builds a layer of Python requirements: wheels for the target's platform, whatever this machine is."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any, Final

import uv

from lamella.domain.quotas import UNZIPPED, ZIP_UPLOAD
from lamella.layers.archive import Entry, entry_time, write_archive
from lamella.layers.errors import LayerBuildError
from lamella.layers.targets import PythonTarget

Progress = Callable[[str], None]

# Written by installers, not by packages: where a wheel came from, who installed it and whether it was asked for.
_INSTALLER_FILES: Final = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
_NO_NETWORK: Final = ("error sending request", "Failed to fetch", "dns error", "Connection refused", "timed out")
_ELF_MAGIC: Final = b"\x7fELF"


@dataclass(frozen=True, slots=True, order=True)
class LayerPackage:
    """A distribution inside a layer."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class LayerBuildReport:
    """A layer that was built.

    Attributes:
        output: The zip archive.
        sha256: Of the archive, 64 hex digits.
        content_sha256: Of the files in it; the same with every compression library.
        platform: The wheel platform it was resolved for.
        packages: By name.
        warnings: In words for the operator.
        offline: Whether the package index could not be reached, so that only uv's cache was used.
    """

    output: Path
    runtime: str
    architecture: str
    platform: str
    directory: str
    packages: tuple[LayerPackage, ...]
    files: int
    zipped_bytes: int
    unzipped_bytes: int
    sha256: str
    content_sha256: str
    warnings: tuple[str, ...] = ()
    offline: bool = False

    def to_dict(self) -> dict[str, Any]:  # Any: a JSON document
        """The report as JSON-ready values."""
        return asdict(self) | {"output": str(self.output)}


def _silent(message: str) -> None:
    del message


def build_python_layer(
    requirements: Sequence[str] = (),
    *,
    requirements_files: Sequence[Path] = (),
    runtime: str = "python3.11",
    architecture: str = "x86_64",
    output: Path,
    flat: bool = False,
    progress: Progress = _silent,
) -> LayerBuildReport:
    """Resolve requirements for a Lambda runtime and write them as a layer.

    Only binary wheels are used, so that nothing of this machine gets in. The same versions give the same bytes,
    whatever the user, time, directory, umask and locale. Takes seconds and uses the network: call it in a thread.

    Args:
        requirements: As pip takes them, e.g. `pillow`, `numpy==2.2.6`, `./dist/mine-1.0-py3-none-any.whl`.
        requirements_files: In pip's format.
        runtime: `python3.8` to `python3.14`.
        architecture: `x86_64` or `arm64`.
        output: The zip archive to write; replaced if it exists.
        flat: Put packages in `python/` rather than in `python/lib/python3.X/site-packages/`.
        progress: Told what is being done.

    Raises:
        LayerBuildError: Nothing was written.
    """
    target = PythonTarget.of(runtime, architecture)
    if not requirements and not requirements_files:
        raise LayerBuildError("Nothing to build a layer from: name at least one package or a requirements file")
    for file in requirements_files:
        if not file.is_file():
            raise LayerBuildError(f"There is no requirements file {file}")
    try:
        date_time = entry_time(os.environ.get("SOURCE_DATE_EPOCH"))
    except ValueError:
        raise LayerBuildError("SOURCE_DATE_EPOCH must be a number of seconds since 1970") from None

    with tempfile.TemporaryDirectory(prefix="lamella-layer-") as scratch:
        site = Path(scratch) / "site"
        progress(f"Resolving for {runtime} on {architecture} ({target.platform})")
        offline = _install(site, target, requirements, requirements_files)
        packages = _packages(site)
        if not packages:
            raise LayerBuildError(f"The requirements name no package for {runtime} on {architecture}")
        progress(f"Packing {len(packages)} package{'s' if len(packages) > 1 else ''}")
        directory = target.directory(flat=flat)
        entries = _entries(site, directory)
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            facts = write_archive(output, entries, date_time=date_time)
        except OSError as error:
            raise LayerBuildError(f"Cannot write {output}: {error.strerror or error}") from error

    return LayerBuildReport(
        output=output,
        runtime=runtime,
        architecture=architecture,
        platform=target.platform,
        directory=directory,
        packages=packages,
        files=facts.files,
        zipped_bytes=facts.zipped_bytes,
        unzipped_bytes=facts.unzipped_bytes,
        sha256=facts.sha256,
        content_sha256=facts.content_sha256,
        warnings=tuple(size_warnings(facts.zipped_bytes, facts.unzipped_bytes)),
        offline=offline,
    )


def size_warnings(zipped_bytes: int, unzipped_bytes: int) -> list[str]:
    """What to tell about a layer whose size comes near, or exceeds, what Lambda takes."""
    warnings: list[str] = []
    if zipped_bytes > ZIP_UPLOAD.limit:
        warnings.append(
            f"The zip has {_mib(zipped_bytes)} and Lambda takes {_mib(ZIP_UPLOAD.limit)} in a direct upload: "
            "leave something out, or spread it over several layers (on AWS it can be published through S3)"
        )
    if unzipped_bytes > UNZIPPED.limit:
        warnings.append(
            f"Unzipped it has {_mib(unzipped_bytes)}; Lambda allows {_mib(UNZIPPED.limit)} for a function and all "
            "of its layers: no function can use it"
        )
    elif unzipped_bytes > UNZIPPED.limit * 0.8:
        warnings.append(
            f"Unzipped it has {_mib(unzipped_bytes)} of the {_mib(UNZIPPED.limit)} that a function and "
            "all of its layers share"
        )
    return warnings


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:.1f} MiB"


def _install(site: Path, target: PythonTarget, requirements: Sequence[str], files: Sequence[Path]) -> bool:
    """Install into `site`; returns whether the index was out of reach and uv's cache had everything."""
    command = [
        *(os.fsdecode(uv.find_uv_bin()), "pip", "install", "--target", str(site), "--python", sys.executable),
        *("--python-version", target.version, "--python-platform", target.platform, "--only-binary", ":all:"),
        *("--link-mode", "copy", "--no-compile-bytecode", "--no-progress", "--color", "never"),
    ]
    for file in files:
        command += ["--requirement", str(file)]
    command += ["--", *requirements]
    # In the caller's directory: relative paths to wheels and uv's own configuration count from there.
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    offline = False
    if result.returncode != 0 and any(sign in result.stderr for sign in _NO_NETWORK):
        again = subprocess.run([*command[:3], "--offline", *command[3:]], capture_output=True, text=True, check=False)
        offline = again.returncode == 0
        result = again if offline else result
    if result.returncode != 0:
        raise LayerBuildError(explain(result.stderr, target))
    return offline


def explain(message: str, target: PythonTarget) -> str:
    """What uv said, with what to do about it."""
    lines = [line for line in message.strip().splitlines() if not line.startswith(("Using CPython", "Using Python"))]
    detail = "\n".join(lines)
    where = f"{target.runtime} on {target.architecture}"
    if "Building source distributions is disabled" in detail:
        return (
            f"A requirement is source code, and a layer for {where} is made of wheels only: build a wheel first "
            f"(uv build --wheel) and name that.\n{detail}"
        )
    if "no usable wheels" in detail or "no wheels with a matching" in detail:
        named = re.findall(r"Wheels are required for `([^`]+)`", detail)
        names = ", ".join(dict.fromkeys(named)) or "a requirement"
        return (
            f"There is no wheel of {names} that runs on {where} ({target.platform} or older). Ask for another version, "
            f"for a package that has binary wheels (psycopg2-binary for psycopg2), or for a newer runtime.\n{detail}"
        )
    if any(sign in detail for sign in _NO_NETWORK):
        return f"The package index cannot be reached, and uv's cache does not have all of it.\n{detail}"
    if "No solution found" in detail:
        return f"The requirements cannot be met for {where}: check names and version bounds.\n{detail}"
    return f"uv could not install the requirements for {where}.\n{detail}"


def _packages(site: Path) -> tuple[LayerPackage, ...]:
    found: list[LayerPackage] = []
    for metadata in site.glob("*.dist-info/METADATA"):
        headers = HeaderParser().parsestr(metadata.read_text(encoding="utf-8", errors="replace"), headersonly=True)
        found.append(LayerPackage(str(headers["Name"]), str(headers["Version"])))
    return tuple(sorted(found, key=lambda package: package.name.lower()))


def _entries(site: Path, directory: str) -> dict[str, Entry]:
    """The files of a layer, without what installers and this machine left among them."""
    kept: dict[PurePosixPath, Entry] = {}
    records: list[PurePosixPath] = []
    for path in site.rglob("*"):
        name = PurePosixPath(path.relative_to(site).as_posix())
        if not path.is_file() or "__pycache__" in name.parts or name.parts == (".lock",):
            continue
        in_metadata = name.parts[0].endswith(".dist-info")
        if in_metadata and name.name in _INSTALLER_FILES:
            continue
        if in_metadata and len(name.parts) == 2 and name.name == "RECORD":
            records.append(name)
            continue
        if name.parts[0] == "bin" and not _is_elf(path):
            continue  # console scripts name this machine's interpreter in their first line, and are on no PATH there
        kept[name] = Entry(path, executable=bool(path.stat().st_mode & 0o100))
    for name in records:
        kept[name] = Entry(_record(site / name, kept).encode())
    return {f"{directory}/{name}": entry for name, entry in kept.items()}


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _ELF_MAGIC


def _record(path: Path, kept: dict[PurePosixPath, Entry]) -> str:
    """The list of a package's files that `importlib.metadata` reads: only those in the layer, in a fixed order."""
    own = str(PurePosixPath(path.parent.name) / path.name)
    lines = path.read_text(encoding="utf-8").splitlines()
    left = [line for line in lines if PurePosixPath(line.split(",")[0].strip('"')) in kept]
    return "".join(f"{line}\n" for line in sorted([*left, f"{own},,"]))
