"""`lamella key create|list|delete`."""

import shlex
from typing import Annotated

import typer

from lamella.cli import output
from lamella.cli.client import client
from lamella.cli.options import EndpointUrl, Json, examples

key = typer.Typer(no_args_is_help=True, help="Access keys of the server, for its operator: create, list, delete.")

AccountId = Annotated[
    str | None,
    typer.Option("--account", metavar="ACCOUNT", help="Whose, 12 digits.", show_default=False),
]
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
}


@key.command(
    "create",
    epilog=examples(
        'eval "$(lamella key create)"',
        "lamella key create --account 111122223333 --description 'build server'",
        "lamella key create --duration 3600 --json",
    ),
)
def create(
    *,
    account: AccountId = None,
    description: Annotated[str, typer.Option(metavar="TEXT", help="What it is for.", show_default=False)] = "",
    duration: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS", help="Make a temporary key with a session token, valid so long.", show_default=False
        ),
    ] = None,
    endpoint_url: EndpointUrl = None,
    json_: Json = False,
) -> None:
    """Add an access key, for the server's own account if none is named.

    Prints it as lines for a shell. The secret is shown this once.
    """
    made = client(endpoint_url).create_key(account, description, duration)
    if json_:
        output.write_json(made)
        return
    for variable, member in _VARIABLES.items():
        # A token that is left over from another key would spoil this one.
        print(f"export {variable}={shlex.quote(made[member])}" if made[member] else f"unset {variable}")


@key.command("list", epilog=examples("lamella key list", "lamella key list --account 111122223333"))
def list_(*, account: AccountId = None, endpoint_url: EndpointUrl = None, json_: Json = False) -> None:
    """List access keys, without their secrets."""
    answer = client(endpoint_url).keys(account)
    if json_:
        output.write_json(answer)
        return
    rows = [
        (
            one["access_key_id"],
            one["account"],
            one["description"],
            one["created_at"][:19],
            (one["expires_at"] or "never")[:19],
        )
        for one in answer["keys"]
    ]
    output.write_table(("Access key", "Account", "Description", "Created (UTC)", "Expires (UTC)"), rows)


@key.command("delete", epilog=examples("lamella key delete AKIA2E3F4G5H6J7K2L3M"))
def delete(
    id_: Annotated[str, typer.Argument(metavar="ACCESS_KEY", help="Its id.", show_default=False)],
    *,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Delete an access key. Requests that are signed with it are refused from now on."""
    client(endpoint_url).delete_key(id_)
    output.say(f"access key {id_} is gone")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(key, name="key")
