"""`lamella events`."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from lamella.cli import output
from lamella.cli.client import client
from lamella.cli.failure import CommandError
from lamella.cli.options import EndpointUrl, Json, Region, examples

_STATES = "waiting, running, delivering, succeeded, failed, undelivered or dropped"


def list_(
    *,
    function: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only events of this function.", show_default=False)
    ] = None,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help=f"Only these: {_STATES}.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="The newest N.")] = 20,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """List asynchronous invocations, newest first: those that wait, and the last ones that are over."""
    answer = client(endpoint_url, region).events(function=function, state=state, limit=limit)
    if json_:
        output.write_json(answer)
        return
    try:
        rows = [
            [_when(one["accepted_at"]), _name(one), one["state"], str(one["attempts"]), _last(one), one["request_id"]]
            for one in answer["events"]
        ]
        counts = ", ".join(f"{count} {name}" for name, count in answer["counts"].items())
    except (KeyError, TypeError, AttributeError) as error:
        raise _stranger() from error
    if rows:
        output.write_table(("ACCEPTED (UTC)", "FUNCTION", "STATE", "ATTEMPTS", "LAST STEP", "REQUEST ID"), rows)
    output.say(counts or _nothing(function))


def show(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="Of the event.", show_default=False)],
    *,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show what was tried with one event, attempt by attempt."""
    answer = client(endpoint_url).event(request_id)
    if json_:
        output.write_json(answer)
        return
    try:
        lines = list(_described(answer))
    except (KeyError, TypeError, AttributeError) as error:
        raise _stranger() from error
    output.write_untrusted("\n".join(lines) + "\n", sys.stdout)


def _described(one: Mapping[str, Any]) -> list[str]:  # Any: JSON
    lines = [
        f"{one['request_id']} for {one['function_arn']}",
        f"{one['state']}, accepted at {one['accepted_at']}, {_counted(one['attempts'])}"
        + (f", {one['condition']}" if one["condition"] else "")
        + (f", due at {one['due_at']}" if one["due_at"] else ""),
    ]
    for step in one["steps"]:
        detail = f": {step['detail']}" if step["detail"] else ""
        lines.append(f"  {step['began_at']}  {step['action']}  {step['result']}{detail}")
    lines += [f"not delivered to {arn}" for arn in one["undelivered_to"]]
    lines += [f"{name} {json.dumps(one[name])}" for name in ("payload", "response") if one[name]]
    return lines


def _counted(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


def _nothing(function: str | None) -> str:
    if function is None:
        return "Nothing has been invoked asynchronously yet."
    return f"{function} has not been invoked asynchronously; is that the function's name?"


def _name(one: Mapping[str, Any]) -> str:  # Any: JSON
    return str(one["function_arn"]).split(":function:", 1)[-1]


def _when(text: str) -> str:
    return text[:19].replace("T", " ")


def _last(one: Mapping[str, Any]) -> str:  # Any: JSON
    step = one["steps"][-1] if one["steps"] else None
    if step is None:
        return ""
    return str(step["result"]) if step["action"] == "invoke" else f"{step['action']}: {step['result']}"


def _stranger() -> CommandError:
    return CommandError("the server's answer is not a list of events; is another server listening there?")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    noun = typer.Typer(help="Asynchronous invocations: what waits, and what became of the rest.", no_args_is_help=True)
    noun.command(
        "list", epilog=examples("lamella events list", "lamella events list --function thumbnail --state failed --json")
    )(list_)
    noun.command("show", epilog=examples("lamella events show 8f1c3a52-0f0e-4f0a-9d57-4b1de5bb3c11"))(show)
    app.add_typer(noun, name="events")
