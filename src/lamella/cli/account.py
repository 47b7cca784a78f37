"""`lamella account create|list|delete`."""

from typing import Annotated

import typer

from lamella.cli import output
from lamella.cli.client import client
from lamella.cli.options import EndpointUrl, Json, examples

account = typer.Typer(no_args_is_help=True, help="Accounts of the server, for its operator: create, list, delete.")

Id = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its number, 12 digits.", show_default=False)]


@account.command("create", epilog=examples("lamella account create", "lamella account create 111122223333 --name ci"))
def create(
    id_: Annotated[
        str | None,
        typer.Argument(metavar="[ACCOUNT]", help="Its number, 12 digits; else a random one.", show_default=False),
    ] = None,
    *,
    name: Annotated[str, typer.Option(metavar="TEXT", help="What people call it.", show_default=False)] = "",
    endpoint_url: EndpointUrl = None,
    json_: Json = False,
) -> None:
    """Add an account, which can then have access keys. Prints its number."""
    made = client(endpoint_url).create_account(id_, name)
    if json_:
        output.write_json(made)
    else:
        print(made["id"])


@account.command("list", epilog=examples("lamella account list"))
def list_(*, endpoint_url: EndpointUrl = None, json_: Json = False) -> None:
    """List the accounts, and how many access keys each has."""
    answer = client(endpoint_url).accounts()
    if json_:
        output.write_json(answer)
        return
    rows = [(one["id"], one["name"], str(one["keys"]), one["created_at"][:19]) for one in answer["accounts"]]
    output.write_table(("Account", "Name", "Keys", "Created (UTC)"), rows)


@account.command("delete", epilog=examples("lamella account delete 111122223333"))
def delete(id_: Id, *, endpoint_url: EndpointUrl = None) -> None:
    """Delete an account and its access keys, at once.

    Its functions and layers stay; an account that is created with the same number has them.
    """
    client(endpoint_url).delete_account(id_)
    output.say(f"account {id_} and its access keys are gone")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(account, name="account")
