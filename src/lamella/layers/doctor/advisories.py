"""Known vulnerabilities, from records in the Open Source Vulnerability format that the user has at hand.

Nothing is fetched: osv.dev gives all records of an ecosystem as a zip. Source: OSV schema 1.7, "affected".
"""

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lamella.layers.contents import DAMAGE
from lamella.layers.doctor.versions import KEYS, Key, less
from lamella.layers.packages import Ecosystem, Package

_RECORD_MOST_BYTES: Final = 8 * 1024 * 1024
_FILE_MOST_BYTES: Final = 1024 * 1024 * 1024
_ECOSYSTEMS: Final = {"PyPI": Ecosystem.PYPI, "npm": Ecosystem.NPM, "Maven": Ecosystem.MAVEN}


class AdvisoriesError(Exception):
    """The advisories cannot be read. The text says which file and why."""


@dataclass(frozen=True, slots=True)
class Advisory:
    """A vulnerability of a package.

    Attributes:
        aliases: Other names of it, e.g. `CVE-2024-1234`.
        severity: `CRITICAL`, `HIGH`, `MODERATE`, `LOW` or empty, as its database rates it.
        affected: `versions` and `ranges` of the record, for the package.
    """

    id: str
    aliases: tuple[str, ...]
    summary: str
    severity: str
    affected: Mapping[str, Any]

    @property
    def severe(self) -> bool:
        """Whether its severity is high or critical."""
        return self.severity in {"HIGH", "CRITICAL"}

    def fix(self, package: Package) -> str | None:
        """Whether a version of the package is affected: the version that mends it, empty if none does; else `None`."""
        key_of = KEYS[package.ecosystem.value]
        version = key_of(package.version)
        fixed = ""
        listed = package.version in _strings(self.affected.get("versions"))
        for found in _members(self.affected.get("ranges")):
            if found.get("type") not in ("ECOSYSTEM", "SEMVER") or version is None:
                continue
            inside, mended = _walk(found, version, package.ecosystem.value)
            listed = listed or inside
            fixed = fixed or (mended if inside else "")
        return fixed if listed else None


def _walk(found: Mapping[str, Any], version: Key, ecosystem: str) -> tuple[bool, str]:
    """Whether a version lies in a range, and what mends it. Source: OSV schema, "evaluation"."""
    key_of = KEYS[ecosystem]
    events: list[tuple[Key | None, int, str, str]] = []
    for event in _members(found.get("events")):
        for order, name in enumerate(("introduced", "fixed", "last_affected")):
            text = event.get(name)
            if isinstance(text, str):
                events.append((None if text == "0" else key_of(text), order, name, text))
    # `0` is before all versions; what is not a version says nothing.
    events = [event for event in events if event[0] is not None or event[3] == "0"]
    events.sort(key=lambda event: (event[0] is not None, event[0] or (), event[1]))
    inside, mended = False, ""
    for key, _, name, text in events:
        reached = key is None or not less(version, key)
        if name == "introduced" and reached:
            inside, mended = True, ""
        elif name == "fixed":
            if reached:
                inside = False
            elif inside and not mended:
                mended = text
        elif name == "last_affected" and key is not None and less(key, version):
            inside = False
    return inside, mended


@dataclass(frozen=True)
class Advisories:
    """Advisories by package.

    Attributes:
        skipped: How many records could not be understood.
    """

    by_package: Mapping[tuple[Ecosystem, str], tuple[Advisory, ...]] = field(default_factory=dict)
    skipped: int = 0

    def __len__(self) -> int:
        return len({advisory.id for found in self.by_package.values() for advisory in found})

    def of(self, package: Package) -> Iterator[tuple[Advisory, str]]:
        """The advisories about a package's version, each with the version that mends it or an empty text."""
        if package.ecosystem.value not in KEYS:
            return
        for advisory in self.by_package.get((package.ecosystem, normal_name(package.ecosystem, package.name)), ()):
            fixed = advisory.fix(package)
            if fixed is not None:
                yield advisory, fixed

    @classmethod
    def of_records(cls, records: Iterable[object]) -> "Advisories":
        """From records, as JSON has them."""
        found: dict[tuple[Ecosystem, str], list[Advisory]] = {}
        skipped = 0
        for record in records:
            if not isinstance(record, dict) or not isinstance(record.get("id"), str):
                skipped += 1
                continue
            if record.get("withdrawn"):
                continue
            for affected in _members(record.get("affected")):
                package = affected.get("package")
                if not isinstance(package, dict) or not isinstance(package.get("name"), str):
                    continue
                ecosystem = _ECOSYSTEMS.get(str(package.get("ecosystem", "")).partition(":")[0])
                if ecosystem is not None:
                    key = (ecosystem, normal_name(ecosystem, package["name"]))
                    found.setdefault(key, []).append(_advisory(record, affected))
        return cls({key: tuple(advisories) for key, advisories in found.items()}, skipped)

    @classmethod
    def load(cls, path: Path) -> "Advisories":
        """From a file (JSON, one record a line, or a zip of JSON files) or a directory of such files.

        Raises:
            AdvisoriesError: It cannot be read, or holds no record at all.
        """
        try:
            loaded = cls.of_records(_records(path))
        except OSError as error:
            raise AdvisoriesError(f"Cannot read {path}: {error.strerror or error}") from error
        if not loaded.by_package:
            raise AdvisoriesError(
                f"{path} holds no advisory about a package of PyPI, npm or Maven: give records in OSV format, such as "
                "all.zip of an ecosystem from osv.dev"
            )
        return loaded


def _advisory(record: Mapping[str, Any], affected: Mapping[str, Any]) -> Advisory:
    severity = ""
    for holder in (affected, record):
        specific = holder.get("database_specific")
        if not severity and isinstance(specific, dict) and isinstance(specific.get("severity"), str):
            severity = specific["severity"].upper()
    summary = record.get("summary") or record.get("details") or ""
    first = str(summary).strip().partition("\n")[0][:200]
    # Not all of the record: those of an ecosystem are some hundred thousand.
    kept = {name: affected[name] for name in ("versions", "ranges") if name in affected}
    return Advisory(record["id"], tuple(_strings(record.get("aliases"))), first, severity, kept)


def normal_name(ecosystem: Ecosystem, name: str) -> str:
    """As packages of an ecosystem are compared."""
    return re.sub(r"[-_.]+", "-", name).lower() if ecosystem is Ecosystem.PYPI else name


def _records(path: Path) -> Iterator[object]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix in {".json", ".jsonl", ".ndjson", ".zip"} and file.is_file():
                yield from _records(file)
        return
    if not path.exists():
        raise AdvisoriesError(f"there is no file or directory {path} with advisories")
    if path.stat().st_size > _FILE_MOST_BYTES:
        raise AdvisoriesError(f"{path} has more than {_FILE_MOST_BYTES:,} bytes")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".json"):
                    yield _member(archive, member)
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        for line in text.splitlines():
            if line.strip():
                yield _parsed(line)
        return
    if isinstance(document, dict) and isinstance(document.get("vulns"), list):
        document = document["vulns"]
    yield from document if isinstance(document, list) else [document]


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> object:
    try:
        with archive.open(member) as file:
            return _parsed(file.read(_RECORD_MOST_BYTES).decode("utf-8", "replace"))
    except (*DAMAGE, RuntimeError):
        return None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _members(value: object) -> Iterator[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _strings(value: object) -> Iterator[str]:
    return (item for item in value if isinstance(item, str)) if isinstance(value, list) else iter(())
