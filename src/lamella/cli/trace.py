"""`lamella trace`."""

import asyncio
import json
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from lamella.cli import chrome, output, timeline
from lamella.cli.client import client
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import EndpointUrl, Json, examples

_FORMAT: Final = ("lamella-trace", 1)
_REQUEST: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_WIDTH: Final = 120


def trace(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REQUEST_ID|ENVIRONMENT] [-- BOOTSTRAP [ARGS]...]",
            help="What to show; without it, what there is. After -- the program for --replay.",
            show_default=False,
        ),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(metavar="TRACE.json", help="Read a saved trace instead of asking the server.", show_default=False),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Save the trace as JSON.", show_default=False)
    ] = None,
    chrome_file: Annotated[
        Path | None,
        typer.Option(
            "--chrome", metavar="FILE", help="Save it for chrome://tracing or ui.perfetto.dev.", show_default=False
        ),
    ] = None,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Play the recorded events against BOOTSTRAP, and compare what it answers."),
    ] = False,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show what an execution environment went through: sandbox, extensions, init, invocations, freezing.

    --replay runs BOOTSTRAP on this machine, as you and without a sandbox; the exit status is 1 unless all answers are
    the same.
    """
    words = words or []
    name = "" if file is not None or not words else words[0]
    program = words if file is not None else words[1:]
    if program and not replay:
        raise CommandError(f"one id at a time: what is {program[0]!r}? A program is for --replay", Status.USAGE)
    if replay and not program:
        raise CommandError("--replay takes an id or --file, and then -- BOOTSTRAP [ARGS]", Status.USAGE)
    if not name and file is None:
        _list(client(endpoint_url).traces(), json_=json_)
        return
    document = checked(_read(file) if file is not None else client(endpoint_url).trace(name), str(file or name))
    request_id = name if _REQUEST.fullmatch(name) else ""
    if replay:
        raise typer.Exit(asyncio.run(_replay(document, request_id, program)))
    try:
        glyphs = timeline.glyphs_for(sys.stdout.encoding)
        lines = list(timeline.draw(document, request_id, width=_width(), glyphs=glyphs))
        exported = chrome.export(document)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:  # somebody may have edited it
        raise CommandError(f"the trace is damaged: {error!r}", Status.USAGE) from error
    if save is not None:
        _write(save, document)
    if chrome_file is not None:
        _write(chrome_file, exported)
    if json_:
        output.write_json(document)
    elif save is None and chrome_file is None:
        print(*lines, sep="\n")


def checked(document: object, origin: str) -> Mapping[str, Any]:  # Any: JSON
    """A trace in the format of this version.

    Raises:
        CommandError: It is none.
    """
    if not isinstance(document, dict) or document.get("format") != _FORMAT[0]:
        raise CommandError(f"{origin} is not a trace of Lamella", Status.USAGE)
    if document.get("version") != _FORMAT[1]:
        version = document.get("version")
        raise CommandError(
            f"{origin} has version {version} of the format; this program knows {_FORMAT[1]}", Status.USAGE
        )
    return document


def _read(file: Path) -> object:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}", Status.USAGE) from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{file} is not JSON: {error}", Status.USAGE) from error


def _write(file: Path, document: Mapping[str, Any]) -> None:  # Any: JSON
    """Write a file that nobody else may read, since payloads are in it."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(document, stream)
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}", Status.USAGE) from error
    output.say(f"{file} is written; it holds the payloads of the invocations")


def _width() -> int:
    """Of the terminal; 80 where there is none."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        columns = 80
    return max(60, min(columns, _MAX_WIDTH))


def _list(answer: Mapping[str, Any], *, json_: bool) -> None:  # Any: JSON
    if json_:
        output.write_json(answer)
        return
    environments, failures = answer.get("environments", []), answer.get("failures", [])
    if environments:
        rows = [
            [
                str(one["last_at"])[:19].replace("T", " "),
                f"{one['function_name']}:{one['function_version']}",
                str(one["environment_id"]),
                f"{one['state']}, {one['invocation_count']} invocations",
            ]
            for one in environments
        ]
        output.write_table(("LAST (UTC)", "FUNCTION", "ENVIRONMENT", "STATE"), rows)
    if failures:
        rows = [
            [str(one["failed_at"])[:19].replace("T", " "), str(one["function_name"]), str(one["environment_id"])]
            for one in failures
        ]
        output.write_table(("FAILED (UTC)", "FUNCTION", "ENVIRONMENT"), rows)
    if not environments and not failures:
        output.say("Nothing has been recorded yet: invoke a function first.")


async def _replay(document: Mapping[str, Any], request_id: str, program: Sequence[str]) -> Status:  # Any: JSON
    # Here and not above: it takes asyncio and the HTTP server, which no other command needs.
    from lamella.cli.replay import Verdict, play, recorded

    invocations = list(recorded(document, request_id))
    if not invocations:
        raise CommandError("there is no invocation in this trace", Status.USAGE)
    output.say(f"running {shlex.join(program)} on this machine, as you and without a sandbox")
    verdicts: Counter[Verdict] = Counter()
    async for result in play(invocations, program):
        verdicts[result.verdict] += 1
        detail = f": {result.detail}" if result.detail else ""
        took = "" if result.verdict is Verdict.NOT_PLAYED else f" after {result.took_s * 1000:.1f} ms"
        output.write_untrusted(f"{result.request_id}  {result.verdict}{took}{detail}\n", sys.stdout)
        for line in result.diff:
            output.write_untrusted(f"    {line}\n", sys.stdout)
    output.say(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))
    return Status.OK if set(verdicts) == {Verdict.SAME} else Status.NEGATIVE


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella trace",
        "lamella trace 8f1c3a52-0f0e-4f0a-9d57-4b1de5bb3c11",
        "lamella trace 9933b2e87c29b4c986f726c338de92f5 --chrome trace.json",
        "lamella trace --replay 8f1c3a52-0f0e-4f0a-9d57-4b1de5bb3c11 -- ./bootstrap",
    )
    app.command("trace", epilog=epilog)(trace)
