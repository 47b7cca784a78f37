"""The Invoke operation: admission, qualifier, outcome."""

import base64
import binascii
import json
import os
import time
from dataclasses import dataclass
from typing import Final

from lamella.awsapi._types import InvocationRequest, InvocationResponse
from lamella.awsapi.context import Context
from lamella.awsapi.payload import require_json
from lamella.awsapi.registry import operation
from lamella.domain._api_errors import (
    InvalidRequestContentException,
    RequestTooLargeException,
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceException,
    TooManyRequestsException,
)
from lamella.domain.errors import OperationNotImplementedError
from lamella.domain.function import FunctionVersion
from lamella.domain.invocation import Invocation
from lamella.domain.names import FunctionReference
from lamella.domain.quotas import SYNCHRONOUS_PAYLOAD
from lamella.invoke.router import BusyError, EnvironmentFailedError, NotReadyError, Router
from lamella.ports.runtimes import RuntimeNotInstalledError

_MAX_CLIENT_CONTEXT_BYTES: Final = 3583
"""Source: model, member `ClientContext` of Invoke: "up to 3,583 bytes of base64-encoded data"."""
_MAX_HEADER_CHARS: Final = 8192
"""AWS's clients read headers with libcurl, which gives up at 100 KiB and ends the environment."""


@dataclass(frozen=True, slots=True)
class InvokeServices:
    """The group of services that belongs to this package."""

    router: Router


@operation("Invoke")
async def invoke(ctx: Context, req: InvocationRequest) -> InvocationResponse:
    """Run a function and answer with what it returned."""
    router = ctx.services[InvokeServices].router
    reference = FunctionReference.parse(
        req["FunctionName"], account=ctx.account, region=ctx.region, qualifier=req.get("Qualifier")
    )
    kind = req.get("InvocationType", "RequestResponse")
    if kind == "Event":
        raise OperationNotImplementedError("Invoke with InvocationType Event", "the queue of events is not built")
    payload = req.get("Payload") or b"{}"
    _check_payload(payload)
    number = reference.version
    try:
        version = None if number is None else await router.resolve(reference.key, number)
    except NotReadyError as error:
        raise ResourceConflictException(
            "The operation cannot be performed at this time. "
            f"The function is currently in the following state: {error.state}"
        ) from None
    if version is None:
        # Source: answers of AWS recorded by LocalStack, 2023: the ARN is as the caller named it, with any qualifier.
        raise ResourceNotFoundException(f"Function not found: {reference.arn}")
    if kind == "DryRun":
        return {"StatusCode": 204}
    invocation = Invocation(
        request_id=ctx.request_id,
        payload=payload,
        content_type=_carried(ctx.header("content-type")) or "application/json",
        function_arn=reference.arn,
        trace_id=_carried(ctx.header("x-amzn-trace-id")) or new_trace_id(),
        client_context=_client_context(req.get("ClientContext", "")),
    )
    return await _run(router, version, invocation, want_tail=req.get("LogType") == "Tail")


async def _run(
    router: Router, version: FunctionVersion, invocation: Invocation, *, want_tail: bool
) -> InvocationResponse:
    try:
        outcome = await router.invoke(version, invocation, want_tail=want_tail)
    except BusyError:
        # Reason and text as the API reference gives them for an account that runs as much as it may.
        raise TooManyRequestsException(
            "Rate Exceeded.", reason="ConcurrentInvocationLimitExceeded", retry_after_seconds="1"
        ) from None
    except RuntimeNotInstalledError as error:
        raise ServiceException(str(error)) from error
    except EnvironmentFailedError as error:
        # A fault of the platform is no function error (section 7.4, last row).
        raise ServiceException(f"The execution environment could not be made: {error}") from error
    response: InvocationResponse = {
        "StatusCode": 200,
        "ExecutedVersion": version.version,
        "Payload": outcome.payload,
    }
    if outcome.function_error is not None:
        response["FunctionError"] = outcome.function_error
    if outcome.log_tail is not None:
        response["LogResult"] = base64.b64encode(outcome.log_tail).decode()
    return response


def _carried(value: str) -> str:
    """A header of the caller's that is handed on to the runtime; nothing if no runtime could be expected to take it."""
    return value if len(value) <= _MAX_HEADER_CHARS else ""


def new_trace_id() -> str:
    """Trace header of an invocation whose caller sent none: not sampled, as tracing is off (RT-21)."""
    digits = os.urandom(20).hex()
    return f"Root=1-{int(time.time()):08x}-{digits[:24]};Parent={digits[24:]};Sampled=0"


def _check_payload(payload: bytes) -> None:
    if len(payload) > SYNCHRONOUS_PAYLOAD.limit:
        raise too_large()
    require_json(payload)


def too_large() -> RequestTooLargeException:
    """The event is over the limit. Source: answers of AWS quoted in public issues."""
    return RequestTooLargeException(
        f"Request must be smaller than {SYNCHRONOUS_PAYLOAD.limit} bytes for the InvokeFunction operation"
    )


def _client_context(encoded: str) -> str:
    """JSON text of the caller's client context (RT-21).

    Raises:
        InvalidRequestContentException: It is not base64 of JSON, or too long.
    """
    if not encoded:
        return ""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        json.loads(text)
    except (ValueError, binascii.Error, RecursionError):
        text = ""
    if not text or len(encoded) > _MAX_CLIENT_CONTEXT_BYTES:
        raise InvalidRequestContentException("Client context must be a valid Base64-encoded JSON object.")
    return text
