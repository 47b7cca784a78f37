"""The operations Invoke, InvokeAsync and InvokeWithResponseStream: admission, qualifier, outcome."""

import base64
import binascii
import json
import math
import os
import time
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from lamella.awsapi._types import (
    InvocationRequest,
    InvocationResponse,
    InvokeAsyncRequest,
    InvokeAsyncResponse,
    InvokeWithResponseStreamRequest,
    InvokeWithResponseStreamResponse,
)
from lamella.awsapi.context import Context
from lamella.awsapi.payload import require_json
from lamella.awsapi.registry import operation
from lamella.domain._api_errors import (
    CodeArtifactUserFailedException,
    InvalidRequestContentException,
    RequestTooLargeException,
    ResourceConflictException,
    ResourceNotFoundException,
    RuntimeAliasDeletedException,
    RuntimeVersionDeletedException,
    ServiceException,
    TooManyRequestsException,
)
from lamella.domain.function import FunctionVersion
from lamella.domain.invocation import Invocation
from lamella.domain.names import FunctionReference
from lamella.domain.quotas import SYNCHRONOUS_PAYLOAD
from lamella.domain.tenancy import check_tenant
from lamella.invoke.asynchronous import AsynchronousServices, accept, check_size
from lamella.invoke.eager import drive
from lamella.invoke.images import ImageNotHereError
from lamella.invoke.router import BusyError, DeletedError, EnvironmentFailedError, Router
from lamella.invoke.stream import DEFAULT_CONTENT_TYPE, RateLimit, ResponseStream
from lamella.invoke.targets import NotReadyError
from lamella.lifecycle.admission import Throttle
from lamella.ports.managed import RuntimeDeletedError
from lamella.ports.runtimes import RuntimeNotInstalledError

_MAX_CLIENT_CONTEXT_BYTES: Final = 3583
"""Source: model, member `ClientContext` of Invoke: "up to 3,583 bytes of base64-encoded data"."""
_UNTYPED: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_MAX_HEADER_CHARS: Final = 8192
"""AWS's clients read headers with libcurl, which gives up at 100 KiB and ends the environment."""


@dataclass(frozen=True, slots=True)
class InvokeServices:
    """The group of services that belongs to this package.

    Attributes:
        stream_rate_limit: Whether streamed responses are slowed down as on AWS (RT-46).
    """

    router: Router
    stream_rate_limit: bool = False


@operation("Invoke")
async def invoke(ctx: Context, req: InvocationRequest) -> InvocationResponse:
    """Run a function and answer with what it returned."""
    router = ctx.services[InvokeServices].router
    kind = req.get("InvocationType", "RequestResponse")
    if kind == "Event":
        check_size(_payload(req))
    version, reference = await _admit(ctx, router, req)
    if kind == "DryRun":
        return {"StatusCode": 204}
    if kind == "Event":
        # Which version runs is looked up anew at each attempt, so none is named.
        invocation = _invocation(ctx, req, reference)
        await accept(ctx.services[AsynchronousServices], reference.key, reference.qualifier, invocation)
        return {"StatusCode": 202}
    return await _run(router, version, _invocation(ctx, req, reference), want_tail=req.get("LogType") == "Tail")


@operation("InvokeAsync")
async def invoke_async(ctx: Context, req: InvokeAsyncRequest) -> InvokeAsyncResponse:
    """The older way to hand over an event; Invoke with `InvocationType: Event` does the same."""
    event = InvocationRequest(FunctionName=req["FunctionName"], InvocationType="Event", Payload=req["InvokeArgs"])
    await invoke(ctx, event)
    return {"Status": 202}


@operation("InvokeWithResponseStream")
async def invoke_with_response_stream(
    ctx: Context, req: InvokeWithResponseStreamRequest
) -> InvokeWithResponseStreamResponse:
    """Run a function and answer, as soon as its response begins, with a stream of what it sends.

    Errors before that are the API's; the function's own are told at the end of the stream. The function does not depend
    on its caller: who goes away early closes the stream and no more.
    """
    services = ctx.services[InvokeServices]
    version, reference = await _admit(ctx, services.router, req)
    if req.get("InvocationType") == "DryRun":
        return {"StatusCode": 204}
    invocation = _invocation(ctx, req, reference)
    stream = begin_stream(services, version, invocation, want_tail=req.get("LogType") == "Tail")
    try:
        content_type = await stream.wait_began()
    except BaseException:
        stream.abandon()
        raise
    return {
        "StatusCode": 200,
        "ExecutedVersion": version.version,
        "ResponseStreamContentType": _carried(content_type) or DEFAULT_CONTENT_TYPE,
        "EventStream": stream,
    }


def begin_stream(
    services: InvokeServices, version: FunctionVersion, invocation: Invocation, *, want_tail: bool = False
) -> ResponseStream:
    """Begin an invocation whose response is read as it comes. Whoever reads it abandons it if they go away.

    It runs in no coroutine of the caller's, which may be cancelled. Like an Invoke's it is driven, without a task that
    would need an owner: the router counts it until it is answered, and sees to it that it is.
    """
    limit = RateLimit(now_s=monotonic()) if services.stream_rate_limit else None
    stream = ResponseStream(rate_limit=limit)
    drive(_run_streamed(services.router, version, invocation, stream, want_tail=want_tail), partial(_streamed, stream))
    return stream


async def _run_streamed(
    router: Router, version: FunctionVersion, invocation: Invocation, stream: ResponseStream, *, want_tail: bool
) -> None:
    await router.invoke(version, invocation, want_tail=want_tail, stream=stream)


def _streamed(stream: ResponseStream, error: BaseException | None) -> None:
    """The invocation is over. Its environment has ended the stream, unless there was none to do so."""
    if error is None:
        stream.finish()
    else:
        stream.fail(api_error(error))


async def _admit(
    ctx: Context, router: Router, req: InvocationRequest | InvokeWithResponseStreamRequest
) -> tuple[FunctionVersion, FunctionReference]:
    """The version that a request is for, and the name it was called by.

    Raises:
        ApiError: The request is not valid, or the function cannot be invoked.
    """
    reference = FunctionReference.parse(
        req["FunctionName"], account=ctx.account, region=ctx.region, qualifier=req.get("Qualifier"), foreign=True
    )
    if ctx.principal is None and router.permissions.concern(ctx.account, reference.key):
        await router.permissions.admit(ctx.account, reference)
    # Told last: whoever looks for the reason why an event did not arrive is told first that there is no function.
    refusal = None if ctx.principal is None else await router.permissions.refusal(ctx.principal, reference)
    _check_payload(_payload(req))
    key, qualifier = reference.key, reference.qualifier
    try:
        version = router.targets.known(key, qualifier) or await router.targets.resolve(key, qualifier)
    except NotReadyError as error:
        raise refusal or ResourceConflictException(
            "The operation cannot be performed at this time. "
            f"The function is currently in the following state: {error.state}"
        ) from None
    if version is None:
        # Source: answers of AWS recorded by LocalStack, 2023: the ARN is as the caller named it, with any qualifier.
        raise ResourceNotFoundException(f"Function not found: {reference.arn}")
    if refusal is not None:
        raise refusal
    check_tenant(version.config, req.get("TenantId", ""))
    return version, reference


def _invocation(
    ctx: Context, req: InvocationRequest | InvokeWithResponseStreamRequest, reference: FunctionReference
) -> Invocation:
    return Invocation(
        request_id=ctx.request_id,
        payload=_payload(req),
        content_type=_event_type(ctx.header("content-type")),
        function_arn=reference.arn,
        trace_id=_carried(ctx.header("x-amzn-trace-id")) or new_trace_id(),
        client_context=_client_context(req.get("ClientContext", "")),
        tenant_id=req.get("TenantId", ""),
    )


def _payload(req: InvocationRequest | InvokeWithResponseStreamRequest) -> bytes:
    return req.get("Payload") or b"{}"


async def _run(
    router: Router, version: FunctionVersion, invocation: Invocation, *, want_tail: bool
) -> InvocationResponse:
    try:
        outcome = await router.invoke(version, invocation, want_tail=want_tail)
    except (BusyError, DeletedError, RuntimeNotInstalledError, EnvironmentFailedError) as error:
        raise api_error(error) from error
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


def api_error(error: BaseException) -> BaseException:
    """What the caller is told of an invocation that did not take place; what is no such error stays as it is."""
    match error:
        case BusyError():
            # Source of the texts: answers of AWS quoted in public issues, 2018 to 2026. The model has a Retry-After;
            # no answer to an invocation is known that bears one, and here it stands where the time can be told.
            wait_s = error.wait_s
            return TooManyRequestsException(
                "Rate exceeded" if error.reason is Throttle.ACCOUNT_RATE else "Rate Exceeded.",
                reason=error.reason.value,
                retry_after_seconds=None if wait_s is None else str(max(1, math.ceil(wait_s))),
            )
        case DeletedError():
            return ResourceNotFoundException(f"Function not found: {error}")
        case RuntimeDeletedError():
            kind = RuntimeAliasDeletedException if error.of_alias else RuntimeVersionDeletedException
            return kind(str(error))
        case ImageNotHereError():
            # Source of the first two sentences: an answer of AWS quoted in a public repository, 2026.
            return CodeArtifactUserFailedException(
                f"ERROR: Lambda cannot initialize the provided container image. Verify the image. {error}"
            )
        case RuntimeNotInstalledError():
            return ServiceException(str(error))
        case EnvironmentFailedError():
            # A fault of the platform is no function error (section 7.4, last row).
            return ServiceException(f"The execution environment could not be made: {error}")
        case _:
            return error


def _event_type(value: str) -> str:
    """What the runtime is told that the event is.

    Version 2 of AWS's SDK for JavaScript calls every event `binary/octet-stream`; AWS's runtime for Python parses only
    what is called JSON, and on AWS gets objects from that SDK.
    """
    return "application/json" if value in _UNTYPED else _carried(value) or "application/json"


def _carried(value: str) -> str:
    """A header of the caller's or of the runtime's that is handed on; nothing if its taker could not be expected to."""
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
