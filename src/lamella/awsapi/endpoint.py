"""One request through the wire: parse, validate, handle, serialise; errors become answers here and nowhere else."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from lamella.awsapi.context import Context, new_request_id
from lamella.awsapi.parse import Parser
from lamella.awsapi.registry import NOT_IMPLEMENTED, Handler
from lamella.awsapi.route import Match, Router
from lamella.awsapi.serialize import Serializer, WireResponse, serialize_error
from lamella.awsapi.spec import ServiceSpec
from lamella.awsapi.validate import Validator
from lamella.domain._api_errors import ServiceException
from lamella.domain.errors import AccessDeniedException, ApiError, OperationNotImplementedError

_log: Final = logging.getLogger(__name__)

_INLINE_BYTES: Final = 1024 * 1024
"""A larger JSON body, some milliseconds of work, is parsed in a thread: the event loop has others to serve."""

Headers = Sequence[tuple[str, str]]
"""Names in lower case."""


class _Wire:
    """What speaks the protocol of one model."""

    __slots__ = ("parser", "serializer", "validator")

    def __init__(self, spec: ServiceSpec) -> None:
        self.parser: Final = Parser(spec)
        self.validator: Final = Validator(spec)
        self.serializer: Final = Serializer(spec)


class Api:
    """Answers requests of the control API.

    Args:
        spec: The service.
        operations: Handlers by operation, usually `registry.OPERATIONS`; may be filled later.
        more: Further models of the same endpoint. Lambda has two: botocore puts what came in 2026 into `lambda-core`,
            which signs for the same service and has no path or operation in common with the other.

    Raises:
        ValueError: Two models have an operation of the same name.
    """

    def __init__(self, spec: ServiceSpec, operations: Mapping[str, Handler], more: Sequence[ServiceSpec] = ()) -> None:
        self._operations: Final = operations
        self._routers: Final = tuple(Router(each) for each in (spec, *more))
        self._wires: Final[dict[str, _Wire]] = {}
        for each in (spec, *more):
            wire = _Wire(each)
            for name in each.operations:
                if name in self._wires:
                    raise ValueError(f"two models have an operation {name}")
                self._wires[name] = wire

    def match(self, method: str, path: str, query: str) -> Match | None:
        """The operation of a request; None if it names none."""
        for router in self._routers:
            match = router.match(method, path, query)
            if match is not None:
                return match
        return None

    def knows(self, path: str) -> bool:
        """Whether `path` is one of the service's, with whatever method."""
        return any(router.knows(path) for router in self._routers)

    async def call(self, match: Match, query: str, headers: Headers, body: bytes, *, context: Context) -> WireResponse:
        """Perform the operation and answer, whatever happens; only cancellation passes through."""
        operation = match.operation
        handler = self._operations.get(operation)
        if handler is None:
            reason = NOT_IMPLEMENTED.get(operation, "it is not part of this server")
            return serialize_error(OperationNotImplementedError(operation, reason), context.request_id)
        wire = self._wires[operation]
        try:
            parse = wire.parser.parse
            if len(body) > _INLINE_BYTES and wire.parser.reads_body(operation):
                params = await asyncio.to_thread(parse, operation, match, query, headers, body)
            else:
                params = parse(operation, match, query, headers, body)
            wire.validator.validate(operation, params)
            result = await handler(context, params)
            return wire.serializer.serialize(operation, result, context.request_id)
        except ApiError as error:
            return serialize_error(error, context.request_id)
        except Exception:  # noqa: BLE001 - the boundary that answers: anything else is our bug, told once in the log
            _log.exception("%s failed", operation, extra={"request_id": context.request_id})
            return serialize_error(ServiceException("An internal error occurred."), context.request_id)

    def unknown(self, request_id: str | None = None) -> WireResponse:
        """The answer to a request whose method and path name no operation.

        AWS's front end finds the operation before anything else, by method and path together, so it makes no difference
        between an unknown path and a wrong method. It answers in XML; ours has the same status and text in the JSON
        that every client of Lambda reads.

        Source: ysugimoto/cloudflare-worker-lambda-gateway issue 1 (a path with a double slash).
        """
        error = AccessDeniedException("Unable to determine service/operation name to be authorized")
        return serialize_error(error, request_id or new_request_id())
