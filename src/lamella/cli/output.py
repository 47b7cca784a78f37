"""Printing: answers on stdout, prose on stderr."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

# What a terminal may take for a command: C0 except tab and line feed, DEL, C1.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


_NOT_IN_JSON: Final = re.compile("[\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """A name out of an archive, on one line: what moves the cursor or turns the writing round is escaped."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def size(size_bytes: float) -> str:
    """A number of bytes for people."""
    if size_bytes == 1:
        return "1 byte"
    for unit in ("bytes", "KiB"):
        if abs(size_bytes) < 1024:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} MiB"


def files(count: int) -> str:
    """A number of files."""
    return "1 file" if count == 1 else f"{count} files"


def write_json(answer: object) -> None:
    """Print an answer of the API as it is; what UTF-8 or a terminal does not take is escaped, as JSON escapes it."""
    text = json.dumps(answer, indent=2, ensure_ascii=False)
    text = _NOT_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """Print a line of prose."""
    print(text, file=sys.stderr)


def write_untrusted(text: str, stream: TextIO) -> None:
    """Print what a function wrote. On a terminal it gets no way to move the cursor, set the title or paste keys.

    Carriage returns become line ends there: AWS's Python client puts them between the lines of a traceback.
    """
    if stream.isatty():
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", lines)
    stream.write(text)


def write_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout, as wide as it needs to be where stdout is not a terminal.

    Columns without a name get no heading; headings look alike everywhere, whatever their letters.
    """
    # Here and not above: Rich takes a tenth of a second to load, and most commands print no table.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_header=any(columns))
    for column in columns:
        table.add_column(column.upper(), overflow="fold")  # an ARN that is cut is of no use
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: a cell is never markup
    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    console.print(table)
