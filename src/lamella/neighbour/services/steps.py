"""State machines: they run, and their tasks reach Lamella's functions and moto's other services.

moto runs them if it is told to. Its tasks call services as clients would, at an address on the network, which the
child has not; here they go over the two sockets instead.
"""

from collections.abc import Callable
from typing import Any

from moto.core.config import default_user_config
from moto.stepfunctions.parser.asl.utils import boto_client

from lamella.neighbour.bridge import Client, lambda_client, neighbour_client
from lamella.neighbour.services.patching import replace

_ACCOUNT_PART = 4


def _client(_: Callable[..., Any]) -> Callable[..., Client]:
    def boto_client_for(region: str, service: str, state_credentials: Any = None) -> Client:
        """A client that acts for the account of the state's role, as on AWS."""
        account = state_credentials.role_arn.split(":")[_ACCOUNT_PART]
        if service == "lambda":
            return lambda_client(account, region)
        return neighbour_client(service, account, region)

    return boto_client_for


def install() -> None:
    """Let state machines invoke functions. Before the modules are imported that use the name replaced here."""
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    replace(boto_client, "boto_client_for", _client)
