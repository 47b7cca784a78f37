"""Invocations whose caller does not wait for the function: the event is kept, and that is answered."""

from dataclasses import dataclass

from lamella.domain.errors import RequestEntityTooLargeException
from lamella.domain.event import AcceptedEvent
from lamella.domain.function import FunctionKey
from lamella.domain.invocation import Invocation
from lamella.domain.quotas import ASYNCHRONOUS_PAYLOAD
from lamella.invoke.dispatcher import Dispatcher
from lamella.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class AsynchronousServices:
    """The group of services that such invocations need."""

    dispatcher: Dispatcher
    clock: Clock


def check_size(payload: bytes) -> None:
    """Refuse an event that is too large.

    Raises:
        RequestEntityTooLargeException: In AWS's words, quoted in public issues, 2017 to 2026.
    """
    if len(payload) > ASYNCHRONOUS_PAYLOAD.limit:
        raise RequestEntityTooLargeException(
            f"{len(payload)} byte payload is too large for the Event invocation type "
            f"(limit {ASYNCHRONOUS_PAYLOAD.limit} bytes)"
        )


async def accept(
    services: AsynchronousServices, key: FunctionKey, qualifier: str | None, invocation: Invocation
) -> None:
    """Take over an event; when this returns it is stored.

    Raises:
        UnavailableError: It is not known to be stored.
    """
    await services.dispatcher.accept(
        AcceptedEvent(
            request_id=invocation.request_id,
            key=key,
            qualifier=qualifier,
            accepted_s=services.clock.now().timestamp(),
            payload=invocation.payload,
            content_type=invocation.content_type,
            trace_id=invocation.trace_id,
            client_context=invocation.client_context,
            tenant_id=invocation.tenant_id,
        )
    )
