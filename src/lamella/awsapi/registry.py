"""The table of operations: which handler answers each, and why those without one have none."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from lamella.awsapi.context import Context

# A handler takes the TypedDict of its own operation, which no common type but Any describes.
Handler = Callable[[Context, Any], Awaitable[Mapping[str, object]]]
_H = TypeVar("_H", bound=Handler)

OPERATIONS: Final[dict[str, Handler]] = {}
"""Handlers by operation, filled when the modules that hold them are imported."""


def operation(name: str) -> Callable[[_H], _H]:
    """Register the decorated function as the handler of operation `name`.

    Raises:
        ValueError: `name` has a handler, or is listed as not implemented.
    """

    def register(handler: _H) -> _H:
        if name in OPERATIONS:
            raise ValueError(f"{name} has two handlers")
        if name in NOT_IMPLEMENTED:
            raise ValueError(f"{name} has a handler and is listed as not implemented")
        OPERATIONS[name] = handler
        return handler

    return register


_FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "capacity providers and managed instances are not built": (
        "CreateCapacityProvider",
        "DeleteCapacityProvider",
        "GetCapacityProvider",
        "ListCapacityProviders",
        "ListFunctionVersionsByCapacityProvider",
        "UpdateCapacityProvider",
    ),
    "durable functions are not built": (
        "CheckpointDurableExecution",
        "DeleteDurableExecution",
        "GetDurableExecution",
        "GetDurableExecutionHistory",
        "GetDurableExecutionState",
        "ListDurableExecutionsByFunction",
        "PauseDurableExecution",
        "ResumeDurableExecution",
        "SendDurableExecutionCallbackFailure",
        "SendDurableExecutionCallbackHeartbeat",
        "SendDurableExecutionCallbackSuccess",
        "StopDurableExecution",
    ),
    "network connectors are not built": (
        "CreateNetworkConnector",
        "DeleteNetworkConnector",
        "GetNetworkConnector",
        "ListNetworkConnectorVersions",
        "ListNetworkConnectors",
        "UpdateNetworkConnector",
    ),
}

NOT_IMPLEMENTED: Final[Mapping[str, str]] = MappingProxyType(
    {name: reason for reason, names in _FAMILIES.items() for name in names}
)
"""Operations of the model without a handler, each with its reason."""
