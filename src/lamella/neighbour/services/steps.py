"""State machines: they run, and their tasks reach Lamella's functions and moto's other services.

moto has two of each: one that keeps state machines, and one that runs them. Its tasks call services as clients would,
at an address on the network, which the child has not; here they go over the two sockets instead.
"""

from importlib import import_module
from typing import Any, Final

from moto.stepfunctions import models, responses

from lamella.neighbour.bridge import Client, lambda_client, neighbour_client
from lamella.neighbour.services.patching import replace

_RUNNING: Final = "moto.stepfunctions.parser.models"
_CLIENTS: Final = "moto.stepfunctions.parser.asl.utils.boto_client"
_ACCOUNT_PART: Final = 4


class _Running:
    """Instead of those that keep state machines, those that run them: by account, then by region.

    They are imported when somebody asks for one: that takes more than a second, of which most servers need nothing.
    """

    def __getitem__(self, account: str) -> Any:
        # First: the modules that run tasks take the name from this one when they are imported.
        clients = import_module(_CLIENTS)
        if clients.boto_client_for is not _client_for:
            replace(clients, "boto_client_for", lambda _: _client_for)
        return import_module(_RUNNING).stepfunctions_parser_backends[account]


def _client_for(region: str, service: str, state_credentials: Any = None) -> Client:
    """A client that acts for the account of the state's role, as on AWS."""
    account = state_credentials.role_arn.split(":")[_ACCOUNT_PART]
    if service == "lambda":
        return lambda_client(account, region)
    return neighbour_client(service, account, region)


def install() -> None:
    """Let state machines run, those of stacks as well, and invoke functions."""
    running = _Running()

    def make(_: object) -> _Running:
        return running

    replace(models, "stepfunctions_backends", make)
    replace(responses, "stepfunctions_backends", make)
