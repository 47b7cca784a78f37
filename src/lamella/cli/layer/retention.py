"""`lamella layer retention set|show|remove`: which versions of layers to keep. `lamella layer prune` goes by it."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from lamella.cli import output as out
from lamella.cli.client import client
from lamella.cli.failure import CommandError, Status
from lamella.cli.layer.naming import parse_name
from lamella.cli.options import EndpointUrl, Json, Region, examples

retention = typer.Typer(no_args_is_help=True, help="Which versions of layers to keep; 'layer prune' goes by it.")

Layer = Annotated[str | None, typer.Argument(metavar="NAME", help="Of the layer.", show_default=False)]
Default = Annotated[bool, typer.Option("--default", help="For all layers that have no policy of their own.")]


@retention.command(
    "set",
    epilog=examples(
        "lamella layer retention set imaging --keep-last 5 --keep-days 90",
        "lamella layer retention set --default --keep-last 10",
    ),
)
def set_(
    name: Layer = None,
    *,
    default: Default = False,
    keep_last: Annotated[int, typer.Option(metavar="N", min=0, help="The newest N versions.")] = 1,
    keep_used: Annotated[bool, typer.Option(help="Those that a version of a function has.")] = True,
    keep_days: Annotated[
        int | None, typer.Option(metavar="D", min=0, help="Those that are not older than D days.", show_default=False)
    ] = None,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Say which versions stay. One stays if any of these keeps it, or a channel or mirroring holds it."""
    document = {"keep_last": keep_last, "keep_used": keep_used, "keep_days": keep_days}
    answer = client(endpoint_url, region).page("PUT", _path(name, default=default), document=document)
    if json_:
        out.write_json(answer)
    else:
        out.say(
            f"{'All other layers' if default else name}: {_words(answer)}. Nothing is deleted before 'layer prune'."
        )


@retention.command("show", epilog=examples("lamella layer retention show", "lamella layer retention show --json"))
def show(*, json_: Json = False, region: Region = None, endpoint_url: EndpointUrl = None) -> None:
    """Show all policies."""
    answer = client(endpoint_url, region).page("GET", "retention")
    if json_:
        out.write_json({"default": answer["default"], "layers": answer["layers"]})
        return
    rows = [(name, _words(policy)) for name, policy in answer["layers"].items()]
    rows.append(
        ("(all others)", "no policy: they are left alone" if answer["default"] is None else _words(answer["default"]))
    )
    out.write_table(("layer", "keeps"), rows)


@retention.command(
    "remove", epilog=examples("lamella layer retention remove imaging", "lamella layer retention remove --default")
)
def remove(
    name: Layer = None, *, default: Default = False, region: Region = None, endpoint_url: EndpointUrl = None
) -> None:
    """Forget a policy."""
    client(endpoint_url, region).page("DELETE", _path(name, default=default))
    out.say("Forgotten.")


def _path(name: str | None, *, default: bool) -> str:
    if (name is None) != default:
        raise CommandError("name a layer, or say --default, and not both", Status.USAGE)
    if name is None:
        return "retention/default"
    named = parse_name(name)
    if named.version is not None or named.region is not None:
        raise CommandError(f"a policy is one for a layer of your own: give its name, not {name}", Status.USAGE)
    return f"retention/layers/{quote(named.layer, safe='')}"


def _words(policy: dict[str, Any]) -> str:
    parts = [f"the newest {policy['keep_last']}"]
    if policy["keep_used"]:
        parts.append("what functions use")
    if policy["keep_days"] is not None:
        parts.append(f"what is not older than {policy['keep_days']} days")
    return ", ".join(parts)


def register(layer: typer.Typer) -> None:
    """Add the commands."""
    layer.add_typer(retention, name="retention")
