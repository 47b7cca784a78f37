"""What the maker of a runtime pack says of it: `pack.json` beside its tree, or a label of its image."""

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.domain.runtimes import RUNTIMES
from lamella.runtimes.errors import PackBuildError

FORMAT: Final = 1
LIMIT_BYTES: Final = 1024 * 1024
"""Of the document; a pack of ours has some 100 kB, most of it where each file came from."""

_RELEASE: Final = re.compile(r"(?P<family>[a-z]+)\.?(?P<release>[0-9a-z.-]*?)(?:\.x)?")
_VARIABLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,255}")
_PATH: Final = re.compile(r"(/[^/]+)+")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
# Set by Lamella for every function, so that a pack could only seem to set them.
_RESERVED: Final = ("AWS_", "LAMBDA_")
_REMARKS_MOST: Final = 100
_TEXT_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Description:
    """A runtime pack in its maker's words, checked.

    Attributes:
        entrypoints: Candidates for the first program, in order (rule EN-20).
        env: Variables beyond those of every runtime.
        execution_env: Value of `AWS_EXECUTION_ENV`, or `None`.
        digest: What the maker says the tree's is; `None` if he does not say.
        remarks: For `lamella runtime show`.
        derived: See `Manifest.derived`.
    """

    name: str
    architecture: Architecture
    entrypoints: tuple[str, ...]
    execution_env: str | None
    env: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    remarks: tuple[str, ...] = ()
    derived: Mapping[str, str] = field(default_factory=dict)


def described(name: str, architecture: Architecture) -> Description:
    """A runtime of whose maker nothing is known but that it is one, as AWS's own are.

    Raises:
        PackBuildError: Functions cannot name such a runtime.
    """
    check_name(name)
    if name.startswith("provided"):
        return Description(name, architecture, ("/var/task/bootstrap", "/opt/bootstrap"), None)
    return Description(name, architecture, ("/var/runtime/bootstrap",), f"AWS_Lambda_{name}")


def check_name(name: str) -> None:
    """Refuse a name that no function can have as its `Runtime`.

    Raises:
        PackBuildError: It is not one of Lambda's.
    """
    if name not in RUNTIMES or name == "custom":
        raise PackBuildError(
            f"Lambda has no runtime {name[:100]!r}, so no function could use it. A pack takes the name of the runtime "
            f"it stands for, such as python3.12 or provided.al2023"
        )


def release_of(name: str) -> tuple[str, str]:
    """Family and release as INIT_START prints them: `python3.12` → `python`, `3.12`; `nodejs20.x` → `nodejs`, `20`."""
    match = _RELEASE.fullmatch(name)
    assert match is not None, name  # one of Lambda's names
    return match["family"], match["release"]


def parse_description(text: str, *, name: str, architecture: Architecture | None, place: str) -> Description:
    """Read what a maker has written.

    Args:
        text: JSON.
        name: The runtime that is to be added.
        architecture: What it is to be for; what the document says if `None`.
        place: Where the text was found, for messages.

    Raises:
        PackBuildError: It is not such a document, or describes another runtime; the text says what is wrong with it.
    """
    try:
        document: Any = json.loads(text)  # Any: JSON, checked member by member below
    except (ValueError, RecursionError) as error:
        raise PackBuildError(f"{place} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise PackBuildError(f"{place} is not a JSON object")
    members = _Members(document, place)
    if document.get("format") != FORMAT:
        raise PackBuildError(f'{place} has to say "format": {FORMAT}, which is the only one there is')
    if (said := members.text("name") or name) != name:
        raise PackBuildError(f"{place} describes {said[:100]!r}, not {name}")
    found = members.architecture()
    if architecture is not None and found is not None and found is not architecture:
        raise PackBuildError(f"{place} describes a runtime for {found}, not for {architecture}")
    chosen = architecture or found
    if chosen is None:
        raise PackBuildError(f"{place} has to say the architecture: {' or '.join(Architecture)}")
    usual = described(name, chosen)
    return Description(
        name,
        chosen,
        entrypoints=members.paths("entrypoints") or usual.entrypoints,
        execution_env=members.text("execution_env") if "execution_env" in document else usual.execution_env,
        env=members.variables(),
        digest=members.digest("digest"),
        remarks=members.texts("remarks"),
        derived=members.derived(),
    )


class _Members:
    """Takes members out of a document that anybody may have written."""

    def __init__(self, document: Mapping[str, Any], place: str) -> None:  # Any: JSON
        self._document = document
        self._place = place

    def text(self, member: str) -> str | None:
        value = self._document.get(member)
        if value is None:
            return None
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= _TEXT_MOST:
            raise self._wrong(member, "a line of text")
        return value

    def texts(self, member: str) -> tuple[str, ...]:
        values = self._document.get(member) or []
        if not isinstance(values, list) or len(values) > _REMARKS_MOST:
            raise self._wrong(member, f"a list of at most {_REMARKS_MOST} texts")
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(member, "a list of texts")
        return tuple(values)

    def architecture(self) -> Architecture | None:
        value = self.text("architecture")
        if value is not None and value not in [*Architecture]:
            raise self._wrong("architecture", " or ".join(Architecture))
        return None if value is None else Architecture(value)

    def paths(self, member: str) -> tuple[str, ...]:
        values = self.texts(member)
        for value in values:
            if not _is_path(value):
                raise self._wrong(member, "a list of absolute paths inside the sandbox")
        return values

    def digest(self, member: str) -> str | None:
        value = self.text(member)
        if value is not None and not _DIGEST.fullmatch(value):
            raise self._wrong(member, "64 hexadecimal digits")
        return value

    def derived(self) -> dict[str, str]:
        values = self._document.get("derived") or {}
        if not isinstance(values, dict):
            raise self._wrong("derived", "an object of paths and digests")
        for name, value in values.items():
            if not _is_path(name) or not _is_digest(value):
                raise self._wrong("derived", "an object of absolute paths and SHA-256 digests")
        return values

    def variables(self) -> dict[str, str]:
        values = self._document.get("env") or {}
        if not isinstance(values, dict):
            raise self._wrong("env", "an object of texts")
        for name, value in values.items():
            if not _VARIABLE.fullmatch(name) or not isinstance(value, str) or "\0" in value:
                raise self._wrong("env", "an object of texts, and its names are those of variables")
            if name.startswith(_RESERVED):
                raise PackBuildError(f"{self._place} sets {name}, which Lambda sets itself")
        return values

    def _wrong(self, member: str, expected: str) -> PackBuildError:
        return PackBuildError(f"{self._place}: {member!r} has to be {expected}")


def _is_path(value: str) -> bool:
    """Whether it is an absolute path inside the sandbox, written as plainly as can be."""
    return value.isprintable() and _PATH.fullmatch(value) is not None and posixpath.normpath(value) == value


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None
