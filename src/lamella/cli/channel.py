"""`lamella channel …`: movable names for layer versions."""

import getpass
import re
import socket
import sys
import time
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from lamella.cli import output
from lamella.cli.client import Client, client
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import EndpointUrl, Json, Region, examples

channel = typer.Typer(
    no_args_is_help=True,
    help="Channels: movable names for layer versions. Functions follow them, at once or with their next update.",
)

_POLL_S: Final = 0.2
_MODES: Final = {"auto": "Auto", "on-update": "OnUpdate", "manual": "Manual"}

Name = Annotated[
    str,
    typer.Argument(
        metavar="LAYER:CHANNEL",
        help="Such as imaging:stable; for another account's layer its ARN with the channel in place of a version.",
        show_default=False,
    ),
]
Function = Annotated[str, typer.Argument(metavar="FUNCTION", help="Name of the function.", show_default=False)]
Message = Annotated[
    str, typer.Option("--message", "-m", metavar="TEXT", help="Why; kept in the channel's history.", show_default=False)
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until the functions have followed.")]
TimeoutS = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for the functions at most.")
]


@channel.command(
    "set",
    epilog=examples(
        "lamella channel set image-processing:stable 8",
        "lamella channel set image-processing:stable 8 --message 'Pillow 12: CVE-2026-1234'",
    ),
)
def set_(
    name: Name,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Of the layer.", show_default=False)],
    *,
    message: Message = "",
    no_wait: NoWait = False,
    timeout_s: TimeoutS = 300.0,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Point a channel to a layer version. It is made if there is none of this name.

    Functions that follow it by themselves get the version now, one after the other: $LATEST of each, nothing else of
    it. Pointing a channel where it points already asks functions again that could not follow.
    """
    document = {"version": version, "message": message, "by": _who()}
    _move(client(endpoint_url, region), name, document, no_wait=no_wait, timeout_s=timeout_s, json_=json_)


@channel.command(
    "rollback",
    epilog=examples(
        "lamella channel rollback image-processing:stable", "lamella channel rollback image-processing:stable --to 6"
    ),
)
def rollback(
    name: Name,
    *,
    to: Annotated[
        int | None,
        typer.Option("--to", metavar="VERSION", min=1, help="That it pointed to before.", show_default=False),
    ] = None,
    message: Message = "",
    no_wait: NoWait = False,
    timeout_s: TimeoutS = 300.0,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Point a channel back to the version before, and functions with it."""
    document = {"rollback": True, "message": message, "by": _who(), **({} if to is None else {"to": to})}
    _move(client(endpoint_url, region), name, document, no_wait=no_wait, timeout_s=timeout_s, json_=json_)


@channel.command(
    "list",
    epilog=examples(
        "lamella channel list", "lamella channel list --layer imaging --json", "lamella channel list --function billing"
    ),
)
def list_(
    *,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME|ARN", help="Channels of this layer alone.", show_default=False)
    ] = None,
    function: Annotated[
        str | None, typer.Option(metavar="NAME", help="Channels that this function follows.", show_default=False)
    ] = None,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """List the channels."""
    if function is not None:
        _print_followed(client(endpoint_url, region), function, json_=json_)
        return
    query = {} if layer is None else {"layer": layer}
    answer = client(endpoint_url, region).page("GET", "channels", query=query)
    if json_:
        output.write_json(answer)
        return
    if not answer["channels"]:
        output.say("There are no channels. Make one: lamella channel set LAYER:CHANNEL VERSION")
        return
    output.write_table(
        ("channel", "version", "moved", "functions", ""),
        [
            (
                one["channel"],
                str(one["version"]),
                _when(one["moved_at"]),
                str(one["subscribers"]),
                _state(one),
            )
            for one in answer["channels"]
        ],
    )


@channel.command(
    "show",
    epilog=examples(
        "lamella channel show image-processing:stable",
        "lamella channel show image-processing:stable --json | jq '.functions[] | select(.behind).function'",
    ),
)
def show(name: Name, *, json_: Json = False, region: Region = None, endpoint_url: EndpointUrl = None) -> None:
    """Show where a channel points, how it came there, and who follows it."""
    answer = client(endpoint_url, region).page("GET", f"channels/{quote(name, safe='')}")
    if json_:
        output.write_json(answer)
    else:
        _print(answer)


@channel.command("delete", epilog=examples("lamella channel delete image-processing:beta"))
def delete(
    name: Name,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even if functions follow it. They keep the version that they have.")
    ] = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Delete a channel. Layer versions and functions stay as they are."""
    query = {"force": "1"} if force else {}
    answer = client(endpoint_url, region).page("DELETE", f"channels/{quote(name, safe='')}", query=query)
    output.say(f"Deleted {name}; {_functions(answer['unsubscribed'])} followed it.")


@channel.command(
    "subscribe",
    epilog=examples(
        "lamella channel subscribe thumbnailer image-processing:stable",
        "lamella channel subscribe billing image-processing:stable --update on-update",
    ),
)
def subscribe(
    function: Function,
    name: Name,
    *,
    update: Annotated[
        str,
        typer.Option(
            metavar="auto|on-update|manual",
            help="auto: follow at once; on-update: with the function's next update; manual: only be shown as behind.",
        ),
    ] = "auto",
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Let a function follow a channel, in place of any other channel of the same layer.

    A function that does not have the layer gets it as its last one, when it follows.
    """
    if update not in _MODES:
        raise CommandError(f"--update is one of {', '.join(_MODES)}, not {update!r}", Status.USAGE)
    asked = client(endpoint_url, region)
    document = {"channel": name, "update": _MODES[update]}
    answer = asked.page("PUT", f"subscriptions/{quote(function, safe='')}", document=document)
    if update == "auto" and answer["behind"]:
        found = [one for one in _followed(asked, name, 60.0)["functions"] if one["function"] == answer["function"]]
        answer = found[0] if found else answer
    if json_:
        output.write_json(answer)
    else:
        output.say(f"{function} follows {name} ({update}): {_of_function(answer)}")
    if answer["status"] == "refused":
        raise CommandError(f"{function} cannot have the channel's version: {answer['detail']}", Status.NEGATIVE)


@channel.command("unsubscribe", epilog=examples("lamella channel unsubscribe thumbnailer image-processing:stable"))
def unsubscribe(function: Function, name: Name, *, region: Region = None, endpoint_url: EndpointUrl = None) -> None:
    """Let a function stay at the version that it has."""
    client(endpoint_url, region).page("DELETE", f"subscriptions/{quote(function, safe='')}", query={"channel": name})
    output.say(f"{function} does not follow {name} any more, and keeps the version that it has.")


def _move(asked: Client, name: str, document: dict[str, Any], *, no_wait: bool, timeout_s: float, json_: bool) -> None:
    answer = asked.page("PUT", f"channels/{quote(name, safe='')}", document=document)
    output.say(f"{answer['channel']} points to version {answer['version']}.")
    if not no_wait:
        answer = _followed(asked, name, timeout_s)
    if json_:
        output.write_json(answer)
    else:
        output.say(_summary(answer["progress"]))
    if answer["progress"]["refused"]:
        refused = [one for one in answer["functions"] if one["status"] == "refused"]
        for one in refused:
            output.say(f"  {one['function']}: {one['detail']}")
        raise CommandError(
            f"{_functions(len(refused))} could not follow; mend them and run 'lamella channel set "
            f"{name} {answer['version']}' again",
            Status.NEGATIVE,
        )


def _followed(asked: Client, name: str, timeout_s: float) -> dict[str, Any]:
    """Wait until all functions have followed, with a line that moves; returns the channel as it is then."""
    end_s = time.monotonic() + timeout_s
    tty = sys.stderr.isatty()
    while True:
        try:
            answer = asked.page("GET", f"channels/{quote(name, safe='')}")
        except CommandError as error:
            raise CommandError(
                f"{error}. What was asked for is kept, and a server that was killed goes on when it is started again: "
                f"'lamella channel show {name}'",
                error.status,
            ) from error
        progress = answer["progress"]
        # What a function has been given takes effect a moment later.
        unsettled = sum(not one["settled"] for one in answer["functions"] if one["status"] == "updated")
        left = progress["waiting"] + unsettled
        done = progress["functions"] - left
        if tty and progress["functions"]:
            width = 30 * done // progress["functions"]
            bar = "#" * width + "." * (30 - width)
            end = "\n" if not left else ""
            print(f"\r[{bar}] {done}/{progress['functions']} functions", end=end, file=sys.stderr, flush=True)
        if not left:
            return answer
        if time.monotonic() > end_s:
            raise CommandError(
                f"not all functions have followed within {timeout_s:g} s, {left} are left; the server goes on, and "
                f"'lamella channel show {name}' shows how far it is",
                Status.NEGATIVE,
            )
        try:
            time.sleep(_POLL_S)
        except KeyboardInterrupt:
            output.say(f"\nthe server goes on; 'lamella channel show {name}' shows how far it is")
            raise


def _print(answer: dict[str, Any]) -> None:
    state = _state(answer)
    print(f"{answer['channel']} points to {answer['layer_version_arn']}" + (f": {state}" if state else ""))
    output.write_table(
        ("move", "when", "from", "to", "by", "message"),
        [
            (
                f"{move['number']}{' (roll-back)' if move['kind'] == 'rollback' else ''}",
                _when(move["at"]),
                "" if move["before"] is None else str(move["before"]),
                str(move["version"]),
                move["by"] + (f" ({move['key']})" if move["key"] else ""),
                move["reason"],
            )
            for move in answer["history"]
        ],
    )
    if not answer["functions"]:
        output.say(f"No function follows it: lamella channel subscribe FUNCTION {answer['channel']}")
        return
    modes = {value: name for name, value in _MODES.items()}
    output.write_table(
        ("function", "update", "has", "", ""),
        [
            (
                one["function"],
                modes[one["update"]],
                "-" if one["version"] is None else str(one["version"]),
                one["status"],
                one["detail"] if one["status"] == "refused" else "",
            )
            for one in answer["functions"]
        ],
    )
    print(_summary(answer["progress"]))
    paused = sum(one["status"] == "paused" for one in answer["functions"])
    if paused:
        output.say(
            f"{_functions(paused)} paused: another version was named since. To end that: move the channel to it, or "
            f"'lamella channel subscribe FUNCTION {answer['channel']}'."
        )


def _print_followed(asked: Client, function: str, *, json_: bool) -> None:
    answer = asked.page("GET", f"subscriptions/{quote(function, safe='')}")
    if json_:
        output.write_json(answer)
        return
    if not answer["subscriptions"]:
        output.say(f"{function} follows no channel: lamella channel subscribe {function} LAYER:CHANNEL")
        return
    modes = {value: name for name, value in _MODES.items()}
    output.write_table(
        ("channel", "points to", "update", "has", ""),
        [
            (
                one["channel"],
                str(one["channel_version"]),
                modes[one["update"]],
                "-" if one["version"] is None else str(one["version"]),
                one["status"],
            )
            for one in answer["subscriptions"]
        ],
    )


def _state(answer: dict[str, Any]) -> str:
    if answer["dangling"]:
        return "this layer version has been deleted"
    progress = answer["progress"]
    parts = [f"{progress[name]} {name}" for name in ("waiting", "refused") if progress[name]]
    return ", ".join(parts)


def _summary(progress: dict[str, Any]) -> str:
    if not progress["functions"]:
        return "No function follows it at once."
    names = ("updated", "already_there", "refused", "deleted", "waiting")
    parts = [f"{progress[name]} {name.replace('_', ' ')}" for name in names if progress[name]]
    return f"{_functions(progress['functions'])}: {', '.join(parts)}."


def _of_function(answer: dict[str, Any]) -> str:
    has = "it does not have the layer yet" if answer["version"] is None else f"it has version {answer['version']}"
    return f"{has}, {answer['status']}"


def _functions(count: int) -> str:
    return "1 function" if count == 1 else f"{count} functions"


def _when(at: str) -> str:
    return re.sub(r"\.\d+\+00:00$", "Z", at).replace("T", " ")


def _who() -> str:
    """User and machine, as the history shows them; what the server can verify is the access key."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user, as in some containers
        user = "unknown"
    text = f"{user}@{socket.gethostname()}"
    return "".join(letter for letter in text if letter.isprintable())[:256]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(channel, name="channel")
