"""Telling what is being done: a line with a clock that is rewritten on a terminal, plain lines elsewhere."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lamella.cli import output as out


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """Something to be told what is being done; on stderr."""
    if not sys.stderr.isatty():
        yield lambda text: out.say(printable(text))
        return
    # Here and not above: Rich takes a tenth of a second to load.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda text: progress.update(task, description=printable(text))


def printable(text: str) -> str:
    """A text with nothing in it that a terminal would take for a command: names of files may hold anything."""
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]  # so that control characters are written out
    out.write_untrusted(text, stream)
    return stream.getvalue()
