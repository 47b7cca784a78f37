"""The functions of Lamella, as moto's services see them."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import moto.awslambda.utils
from botocore.exceptions import BotoCoreError, ClientError
from flask import Response, after_this_request, has_request_context

from lamella.neighbour.bridge import Client, lambda_client
from lamella.neighbour.services.patching import replace

_REGION: Final = re.compile(r"arn:[^:]*:lambda:([a-z]{2,}(?:-[a-z]+)+-[0-9]):.*")


@dataclass(frozen=True, slots=True)
class Service:
    """A service that invokes functions, for one resource.

    Attributes:
        principal: Its name in policies; several with commas between them.
        source_arn: Of the resource: a bucket, a topic, a rule.
        account: Whose that is.
        region: Where it is; functions elsewhere are looked for where their ARN says.
    """

    principal: str
    source_arn: str
    account: str
    region: str

    def send(self, arn: str, event: object) -> None:
        """Hand an event over, and let whoever caused it have no answer before it is kept.

        Within a request that is done at its end: moto tells of an object before it has given it all that the request
        asks for. Lamella logs what it refuses, and nobody else is told.
        """
        if not has_request_context():
            self._send(arn, event)
            return

        @after_this_request
        def send(response: Response) -> Response:
            self._send(arn, event)
            return response

    def _send(self, arn: str, event: object) -> None:
        try:
            self._client(arn).invoke(FunctionName=arn, InvocationType="Event", Payload=_payload(event))
        except ClientError:
            return
        except BotoCoreError as error:
            print(f"{self.principal} could not hand an event to {arn}: {error}", file=sys.stderr)  # Lamella is gone

    def may_invoke(self, arn: str) -> bool:
        """Whether the function is there, and lets the service invoke it."""
        try:
            self._client(arn).invoke(FunctionName=arn, InvocationType="DryRun")
        except ClientError as error:
            # A function that is not ready yet, or busy, is nevertheless the right one.
            return error.response["Error"]["Code"] in ("ResourceConflictException", "TooManyRequestsException")
        return True

    def call(self, arn: str, event: object) -> tuple[bytes, str | None]:
        """Invoke a function and wait for what it returns, and the kind of its error if it failed.

        Raises:
            ClientError: It was not invoked.
        """
        return _call(self._client(arn), arn, event)

    def _client(self, arn: str) -> Client:
        named = _REGION.fullmatch(arn)
        return lambda_client(
            self.account,
            named[1] if named else self.region,
            principal=self.principal,
            source_arn=self.source_arn,
            source_account=self.account,
        )


_acting: ContextVar[Service | None] = ContextVar("acting", default=None)


@contextmanager
def acting(service: Service) -> Iterator[None]:
    """Whatever moto asks of Lambda meanwhile, the service asks; else the account does."""
    token = _acting.set(service)
    try:
        yield
    finally:
        _acting.reset(token)


class _Function:
    """One function, as far as moto's services use it."""

    def __init__(self, functions: "_Functions", arn: str) -> None:
        self._functions = functions
        self.function_arn = arn

    def invoke(self, body: str, request_headers: Any, response_headers: Any) -> bytes:
        """Run it."""
        return self._functions.invoke(self.function_arn, None, body, request_headers, response_headers)


class _Functions:
    """Instead of moto's `LambdaBackend`: what its services ask of it besides what is replaced service by service.

    moto's queues, streams and tables would send batches to it for mappings of its own Lambda. There are none: mappings
    are Lamella's, which polls.
    """

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region

    def get_function(self, function_name: str, qualifier: str | None = None) -> _Function:
        """The function.

        Raises:
            ClientError: It is not there.
        """
        named = {"FunctionName": function_name} | ({"Qualifier": qualifier} if qualifier else {})
        configuration = lambda_client(self._account, self._region).get_function_configuration(**named)
        return _Function(self, configuration["FunctionArn"])

    def invoke(
        self,
        function_name: str,
        qualifier: str | None,
        body: str,
        headers: Any,  # noqa: ARG002  # of moto's signature
        response_headers: Any,
    ) -> bytes:
        """Run a function and wait for it.

        Raises:
            ClientError: It was not invoked.
        """
        service = _acting.get()
        arn = f"{function_name}:{qualifier}" if qualifier else function_name
        if service is None:
            payload, failure = _call(lambda_client(self._account, self._region), arn, body)
        else:
            payload, failure = service.call(arn, body)
        if failure is not None:
            response_headers["x-amz-function-error"] = failure
        return payload


def install() -> None:
    """Let moto's services find these functions."""

    def get_backend(account_id: str, region: str) -> _Functions:
        return _Functions(account_id, region)

    replace(moto.awslambda.utils, "get_backend", lambda _: get_backend)
    if "moto.cloudformation.custom_model" in sys.modules:  # it has looked up the name already
        replace(sys.modules["moto.cloudformation.custom_model"], "get_lambda_backend", lambda _: get_backend)


def _payload(event: object) -> bytes:
    return event.encode() if isinstance(event, str) else json.dumps(event, separators=(",", ":")).encode()


def _call(client: Client, arn: str, event: object) -> tuple[bytes, str | None]:
    answer = client.invoke(FunctionName=arn, Payload=_payload(event))
    return answer["Payload"].read(), answer.get("FunctionError")
