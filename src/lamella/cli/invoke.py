"""`lamella invoke`."""

import base64
import codecs
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from lamella.cli import output
from lamella.cli.client import Client, Invocation, StreamedInvocation, endpoint
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import EndpointUrl, Json, Region, examples


def invoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name or ARN of the function.", show_default=False)],
    *,
    payload: Annotated[
        str, typer.Option(metavar="TEXT|@FILE|-", help="The event: JSON, @FILE to read it from a file, - from stdin.")
    ] = "{}",
    qualifier: Annotated[
        str | None, typer.Option(metavar="VERSION|ALIAS", help="Else $LATEST.", show_default=False)
    ] = None,
    tenant_id: Annotated[
        str | None,
        typer.Option(metavar="TENANT", help="Whose it is, if the function isolates tenants.", show_default=False),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the response piece by piece, as the function sends it.")
    ] = False,
    event: Annotated[
        bool, typer.Option("--event", help="Hand the event over and do not wait: asynchronous invocation.")
    ] = False,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Invoke a function: its answer on stdout, the end of its log and the time taken on stderr.

    With --event it is run later, and the request id is printed; 'lamella events show' tells what became of it.

    The exit status is 1 if the function returned an error, 3 if it could not be invoked. With --stream and --json each
    line is an object, one for each event.
    """
    if stream and event:
        raise CommandError("--stream and --event exclude each other: who does not wait gets no response", Status.USAGE)
    if tenant_id is not None and not (tenant_id.isascii() and tenant_id.isprintable()):
        raise CommandError("--tenant-id: a tenant id has letters, digits, spaces and . _ : / = + - @", Status.USAGE)
    body = read_payload(payload)
    client = Client(endpoint(endpoint_url, region))
    if event:
        request_id = client.invoke_event(name, body, qualifier, tenant_id)
        if json_:
            output.write_json({"StatusCode": 202, "RequestId": request_id})
        else:
            print(request_id)
        return
    started_s = time.perf_counter()
    if stream:
        streamed = client.invoke_streamed(name, body, qualifier, tenant_id)
        raise typer.Exit(_print_stream(streamed, started_s, json_=json_))
    answer = client.invoke(name, body, qualifier, tenant_id)
    took_ms = (time.perf_counter() - started_s) * 1000
    if json_:
        output.write_json(_as_json(answer))
    else:
        _write_payload(answer.payload)
    output.write_untrusted(answer.log_tail.decode(errors="replace"), sys.stderr)
    failed = f", function error {answer.error}" if answer.error else ""
    output.say(f"version {answer.executed_version or '?'} answered within {took_ms:.1f} ms, seen from here{failed}")
    raise typer.Exit(Status.NEGATIVE if answer.error else Status.OK)


def read_payload(text: str) -> bytes:
    """The event that `--payload` means.

    Raises:
        CommandError: The file cannot be read.
    """
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read the payload from {text[1:]}: {error.strerror}", Status.USAGE) from error


def _print_stream(answer: StreamedInvocation, started_s: float, *, json_: bool) -> Status:
    """Print the events as they come, then how it went; returns the exit status."""
    began_ms = (time.perf_counter() - started_s) * 1000
    write = _EventLines() if json_ else _Chunks()
    complete = None
    for name, members in answer.events:
        if name == "InvokeComplete":
            complete = members
        write(name, members)
    if complete is None:
        raise CommandError("the response broke off; 'lamella logs' may show why")
    write.end()
    output.write_untrusted(base64.b64decode(complete.get("LogResult") or "").decode(errors="replace"), sys.stderr)
    code, details = complete.get("ErrorCode"), complete.get("ErrorDetails")
    if details:
        output.write_untrusted(f"{details}\n", sys.stderr)
    failed = f", function error {code}" if code else ""
    took_ms = (time.perf_counter() - started_s) * 1000
    output.say(
        f"version {answer.executed_version or '?'} began to answer within {began_ms:.1f} ms "
        f"and ended within {took_ms:.1f} ms, seen from here{failed}"
    )
    return Status.NEGATIVE if code or details else Status.OK


class _Chunks:
    """Writes what the function sends: to whatever reads it byte for byte, to a terminal as text."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode

    def __call__(self, name: str, members: dict[str, Any]) -> None:
        if name != "PayloadChunk":
            return
        if sys.stdout.isatty():
            output.write_untrusted(self._decode(members["Payload"]), sys.stdout)
            sys.stdout.flush()
        else:
            sys.stdout.buffer.write(members["Payload"])
            sys.stdout.buffer.flush()

    def end(self) -> None:
        if sys.stdout.isatty():
            output.write_untrusted(self._decode(b"", final=True) + "\n", sys.stdout)


class _EventLines:
    """Writes each event as a line of JSON."""

    def __call__(self, name: str, members: dict[str, Any]) -> None:
        if name == "PayloadChunk":
            members = {"Payload": members["Payload"].decode(errors="replace")}
        sys.stdout.write(json.dumps({name: members}, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def end(self) -> None:
        pass


def _write_payload(payload: bytes) -> None:
    if sys.stdout.isatty():
        output.write_untrusted(payload.decode(errors="replace") + "\n", sys.stdout)
    else:  # byte for byte, for whatever reads it
        sys.stdout.flush()
        sys.stdout.buffer.write(payload + b"\n")
        sys.stdout.buffer.flush()


def _as_json(answer: Invocation) -> dict[str, object]:
    """Members as Invoke names them; the payload as JSON if it is."""
    text = answer.payload.decode(errors="replace")
    try:
        payload = json.loads(text)
    except ValueError:
        payload = text
    result: dict[str, object] = {"StatusCode": answer.status, "ExecutedVersion": answer.executed_version}
    if answer.error:
        result["FunctionError"] = answer.error
    return {**result, "LogResult": answer.log_tail.decode(errors="replace"), "Payload": payload}


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella invoke hello",
        """lamella invoke hello --payload '{"name": "Ada"}'""",
        "lamella invoke thumbnail --payload @event.json --qualifier live",
        "lamella invoke chat --stream",
        "lamella invoke thumbnail --event --payload @event.json",
        "cat event.json | lamella invoke thumbnail --payload - --json",
    )
    app.command("invoke", epilog=epilog)(invoke)
