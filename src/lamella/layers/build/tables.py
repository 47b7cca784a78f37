"""Tables of a TOML document as frozen dataclasses: each field says what values it takes and what it means.

The reference page is made from the fields. An unknown key is an error that names the nearest known one, for a misspelt
`max_unziped` that is silently not in force is worse than a layer that is not built.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from lamella.layers.errors import RecipeError

T = TypeVar("T")
_HEADER: Final = re.compile(r"\s*\[(?P<array>\[)?\s*(?P<name>[^\[\]]+?)\s*\]")
_KEY: Final = re.compile(r"""\s*["']?(?P<name>[\w-]+)["']?\s*=""")


@dataclass(frozen=True, slots=True)
class Kind:
    """What values a key takes.

    Attributes:
        expects: Completes "must be ...".
        read: Turns what the document holds into the value, given the directory of the document, from which relative
            paths start. Raises `ValueError`, with a text where `expects` says too little.
    """

    expects: str
    read: Callable[[Any, Path], object]  # Any: TOML, whatever was written


def key(kind: Kind, meaning: str, default: object = MISSING) -> Any:  # Any: as `dataclasses.field`
    """A field of a table. Without a default the key has to be there."""
    metadata = {"kind": kind, "meaning": meaning}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a document something stands.

    Attributes:
        file: For messages.
        text: Of the document.
        trail: Keys that lead to a table, and numbers of elements of arrays, counted from 0.
    """

    file: Path
    text: str
    trail: tuple[str | int, ...] = ()

    def at(self, *steps: str | int) -> "Place":
        """A place further down."""
        return Place(self.file, self.text, (*self.trail, *steps))

    def error(self, name: str, detail: str) -> RecipeError:
        """An error about a key of this table, or about the table as a whole if `name` is empty."""
        number = line_of(self.text, (*self.trail, name) if name else self.trail)
        where = f"{self.file}:{number}" if number else str(self.file)
        table = ".".join(step for step in self.trail if isinstance(step, str))
        subject = f"[{table}] {name}".rstrip() if table else name
        return RecipeError(f"{where}: {subject}{': ' if subject else ''}{detail}")


def line_of(text: str, trail: tuple[str | int, ...]) -> int | None:
    """The number of the line in which a table or key of a TOML document is written; `None` if it cannot be told.

    It looks for headers and keys at the beginning of lines, so it is of use for messages and for nothing else.
    """
    counts: dict[str, int] = {}
    here: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            name = header["name"].replace('"', "").replace(" ", "")
            here = tuple(name.split("."))
            if header["array"]:
                counts[name] = counts.get(name, -1) + 1
                here = (*here, counts[name])
        elif (found := _KEY.match(line)) and (*here, found["name"]) == trail:
            return number
        if here and here == trail:
            return number
    return None


def read_table(table: type[T], document: object, place: Place) -> T:
    """A table with the values of a document.

    Raises:
        RecipeError: A key is unknown, missing or unfit.
    """
    if not isinstance(document, dict):
        raise place.error("", "must be a table")
    rows: dict[str, Field[Any]] = {row.metadata.get("name", row.name): row for row in fields(table)}  # type: ignore[arg-type]  # T is a dataclass
    known = {name: row for name, row in rows.items() if "kind" in row.metadata}
    for name in document:
        if name not in known:
            raise place.error(name, f"there is no such key; the nearest is {nearest(name, known)!r}")
    values: dict[str, object] = {}
    for name, row in known.items():
        if name in document:
            values[row.name] = read_value(row.metadata["kind"], name, document[name], place)
        elif row.default is MISSING:
            raise place.error("", f"needs the key {name!r}")
    return table(**values)


def read_value(kind: Kind, name: str, value: object, place: Place) -> object:
    """One value of a table; errors as `read_table`."""
    try:
        return kind.read(value, place.file.parent)
    except ValueError as error:
        raise place.error(name, str(error) or f"must be {kind.expects}") from None


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like it."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]


def rows_of(table: type) -> list[tuple[str, Kind, str, object]]:
    """Name, kind, meaning and default (`MISSING` if it has none) of each key of a table, for the reference page."""
    return [
        (row.metadata.get("name", row.name), row.metadata["kind"], row.metadata["meaning"], row.default)
        for row in fields(table)
        if "kind" in row.metadata
    ]


# ------------------------------------------------------------------------------------------------ kinds of values

_UNITS: Final[Mapping[str, int]] = {"": 1, "b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2}
_SIZE: Final = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[a-z]*)", re.IGNORECASE)


def _text(value: object, _: Path) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError
    return value


def _texts(value: object, directory: Path) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004  (one error for all that is unfit; its text is made by the caller)
    return tuple(_text(item, directory) for item in value)


def _switch(value: object, _: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004  (see _texts)
    return value


def _path(value: object, directory: Path) -> Path:
    return directory.absolute() / _text(value, directory)


def _paths(value: object, directory: Path) -> tuple[Path, ...]:
    return tuple(directory.absolute() / text for text in _texts(value, directory))


def size_bytes(value: object) -> int:
    """A number of bytes, or a text such as `200 MiB`.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match["unit"].lower() not in _UNITS or not float(match["number"]):
        raise ValueError
    return int(float(match["number"]) * _UNITS[match["unit"].lower()])


def limited(expects: str, pattern: str) -> Kind:
    """A text that the pattern matches as a whole."""

    def read(value: object, directory: Path) -> str:
        text = _text(value, directory)
        if re.fullmatch(pattern, text) is None:
            raise ValueError
        return text

    return Kind(expects, read)


def chosen(expects: str, known: Iterable[str]) -> Kind:
    """One or several of some words, without repetition."""
    words = tuple(known)

    def read(value: object, directory: Path) -> tuple[str, ...]:
        texts = _texts(value, directory)
        for text in texts:
            if text not in words:
                raise ValueError(f"{text!r} is not known; the nearest is {nearest(text, words)!r}")
        if not texts or len(set(texts)) < len(texts):
            raise ValueError
        return texts

    return Kind(expects, read)


TEXT: Final = Kind("a text", _text)
TEXTS: Final = Kind("a list of texts", _texts)
SWITCH: Final = Kind("true or false", _switch)
PATH: Final = Kind("a path", _path)
PATHS: Final = Kind("a list of paths", _paths)
SIZE: Final = Kind('a size such as "200 MiB", or a number of bytes', lambda value, _: size_bytes(value))
