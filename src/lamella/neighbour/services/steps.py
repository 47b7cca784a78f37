"""State machines: they run, and their tasks reach Lamella's functions and moto's other services.

moto has two of each: one that keeps state machines, and one that runs them. Its tasks call services as clients would,
at an address on the network, which the child has not; here they go over the two sockets instead.

A task acts for the account of its role, as whom it may do everything. So a role has to be of the state machine's own
account: moto looks at no trust policy, and who could name any role would be all accounts.
"""

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from threading import Lock
from typing import Any, Final

from moto.core.exceptions import AWSError
from moto.stepfunctions import models, responses

from lamella.neighbour.bridge import Client, lambda_client, neighbour_client
from lamella.neighbour.services.patching import replace

_RUNNING: Final = "moto.stepfunctions.parser.models"
_CLIENTS: Final = "moto.stepfunctions.parser.asl.utils.boto_client"
_CREDENTIALS: Final = "moto.stepfunctions.parser.asl.component.state.exec.state_task.credentials"
_DETAILS: Final = "moto.stepfunctions.parser.asl.eval.evaluation_details"
_ACCOUNT_PART: Final = 4


class _CrossAccountError(AWSError):
    """Source: answers of AWS to services that are given a role of another account, quoted in many public issues."""

    TYPE = "AccessDeniedException"
    STATUS = 400

    def __init__(self) -> None:
        super().__init__("Cross-account pass role is not allowed.")


class _Running:
    """Instead of those that keep state machines, those that run them: by account, then by region.

    They are imported when somebody asks for one: that takes more than a second, of which most servers need nothing.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._prepared = False

    def __getitem__(self, account: str) -> Any:
        with self._lock:
            if not self._prepared:
                # First: the modules that run tasks take the name from this one when they are imported.
                replace(import_module(_CLIENTS), "boto_client_for", lambda _: _client_for)
                replace(import_module(_DETAILS).AWSExecutionDetails, "__init__", _own_role_runs)
                replace(import_module(_CREDENTIALS).Credentials, "_eval_body", _own_role_is_taken)
                self._prepared = True
        return import_module(_RUNNING).stepfunctions_parser_backends[account]


def _check_role(role_arn: Any, account: str) -> None:
    if str(role_arn).split(":")[_ACCOUNT_PART : _ACCOUNT_PART + 1] != [account]:
        raise _CrossAccountError


def _own_role_is_kept(change: Callable[..., Any]) -> Callable[..., Any]:
    """Of what makes and of what changes state machines."""
    names = signature(change)

    def changed(backend: models.StepFunctionBackend, *arguments: Any, **named: Any) -> Any:
        given = names.bind(backend, *arguments, **named).arguments
        role = given.get("roleArn") or given.get("role_arn")
        if role is not None:
            _check_role(role, backend.account_id)
        return change(backend, *arguments, **named)

    return changed


def _own_role_runs(prepare: Callable[..., None]) -> Callable[..., None]:
    """Of an execution, whatever its state machine came from."""

    def prepare_own(details: Any, account: str, region: str, role_arn: str) -> None:
        _check_role(role_arn, account)
        prepare(details, account=account, region=region, role_arn=role_arn)

    return prepare_own


def _own_role_is_taken(evaluate: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Of a task that names a role for itself."""

    def evaluate_own(credentials: Any, env: Any) -> None:
        evaluate(credentials, env)
        _check_role(env.stack[-1].role_arn, env.aws_execution_details.account)

    return evaluate_own


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
    for name in ("create_state_machine", "update_state_machine"):
        replace(models.StepFunctionBackend, name, _own_role_is_kept)
