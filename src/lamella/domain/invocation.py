"""One call of a function, and what came of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the runtime is told of a call.

    Attributes:
        request_id: UUID in lower case.
        payload: The event, byte for byte.
        content_type: Of the caller's request; never empty (rule RT-21).
        function_arn: As the caller named it, with the qualifier if one was used.
        trace_id: Value of `Lambda-Runtime-Trace-Id`.
        client_context: JSON text after base64 decoding; empty if none.
        tenant_id: Whose it is, of functions that isolate tenants; else empty.
    """

    request_id: str
    payload: bytes
    content_type: str
    function_arn: str
    trace_id: str
    client_context: str = ""
    tenant_id: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the caller of a function gets.

    Attributes:
        payload: Body of the answer.
        function_error: Value of `X-Amz-Function-Error` (`Unhandled`), or `None` if the function succeeded.
        log_tail: Last 4 KB of this invocation's log, if asked for.
    """

    payload: bytes
    function_error: str | None = None
    log_tail: bytes | None = None
