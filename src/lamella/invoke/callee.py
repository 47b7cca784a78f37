"""How pollers call functions: by ARN, again and again, whatever becomes of the function meanwhile."""

import json
import logging
from typing import Any, Protocol

from lamella.domain.function import FunctionVersion
from lamella.domain.invocation import Invocation, Outcome
from lamella.domain.names import FunctionReference
from lamella.invoke.router import BusyError, DeletedError, EnvironmentFailedError, Router
from lamella.invoke.service import new_trace_id
from lamella.invoke.targets import NotReadyError
from lamella.ports.runtimes import RuntimeNotInstalledError

_log = logging.getLogger(__name__)


class Callee(Protocol):
    """Functions, as pollers see them."""

    async def find(self, arn: str) -> FunctionVersion | None:
        """What an ARN means now; `None` if there is no such function, or it is not ready."""

    async def call(self, version: FunctionVersion, arn: str, event: bytes, request_id: str) -> Outcome | None:
        """Invoke it; `None` if it never saw the event: a limit is reached, or the node cannot run it now."""


class RoutedCallee:
    """Calls functions through the router."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def find(self, arn: str) -> FunctionVersion | None:
        """See the protocol."""
        _, _, _, region, account, *_ = arn.split(":")
        reference = FunctionReference.parse(arn, account=account, region=region)
        try:
            return await self._router.resolve(reference.key, reference.qualifier)
        except NotReadyError as error:
            _log.info("%s cannot be called now: %s", arn, error)
            return None

    async def call(self, version: FunctionVersion, arn: str, event: bytes, request_id: str) -> Outcome | None:
        """See the protocol."""
        invocation = Invocation(request_id, event, "application/json", arn, new_trace_id())
        try:
            return await self._router.invoke(version, invocation, want_tail=False)
        except (BusyError, DeletedError, EnvironmentFailedError, RuntimeNotInstalledError) as error:
            _log.info("%s was not called: %s", arn, error)
            return None


def dump(document: Any) -> bytes:  # Any: JSON
    """As it goes to functions and destinations."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
