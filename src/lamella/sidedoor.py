"""Lambda's API for the neighbour's child alone, on a private socket.

moto's other services invoke functions: on AWS S3 does so as `s3.amazonaws.com`, in nobody's account, and the function's
policy lets it in. So a request that comes here says for whom it is, and is believed, since nobody but the child can
send one: the socket is in a directory of the server's user alone, and the child knows a secret besides. At the other
doors the headers that say so mean nothing.
"""

import json
import logging
from functools import partial
from typing import Final

from lamella.awsapi.context import Context, Services, new_request_id
from lamella.awsapi.endpoint import Api
from lamella.awsapi.serialize import serialize_error
from lamella.domain._api_errors import ServiceException
from lamella.domain.quotas import LimitProfile
from lamella.frontdoor import SMALL_BODY, body_limits, plain_answer, send_stream
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import Answer, Buffered, Refusal, RejectedError, Request, refusal_status
from lamella.invoke.eager import drive
from lamella.invoke.measurements import Measurements
from lamella.neighbour.trust import METRICS_PATH, TRUST_HEADERS, Claim, TrustError, knows_secret

_log = logging.getLogger(__name__)

_SERVICES_MAY: Final = frozenset({"Invoke", "InvokeAsync"})
"""What a function's policy lets services do, as far as services here do anything."""
_TYPE_HEADER: Final = "x-amz-invocation-type"
_JSON: Final = (("Content-Type", "application/json"),)


class SideDoor:
    """Handler of the private listener.

    Args:
        base_url: Of the server, for addresses in answers.
        secret: What the child is known by.
        limits: Whose limits hold for the size of requests.
        measurements: What the child's CloudWatch is told of functions.
    """

    def __init__(
        self,
        api: Api,
        services: Services,
        *,
        base_url: str,
        secret: str,
        limits: LimitProfile,
        measurements: Measurements,
    ) -> None:
        self._api: Final = api
        self._services: Final = services
        self._base_url: Final = base_url
        self._secret: Final = secret
        self._measurements: Final = measurements
        self._bodies: Final = body_limits(limits)

    def head(self, request: Request) -> Buffered:
        """Turn away whoever is not the child, and what it may not ask for.

        Raises:
            RejectedError: It is not served.
        """
        if not knows_secret(request.headers, self._secret):
            raise _rejected(403, "This is for Lamella's own neighbour.")
        try:
            claim = Claim.read(request.headers)
        except TrustError as error:
            raise _rejected(400, f"{error}.") from None
        if request.path == METRICS_PATH:
            return SMALL_BODY
        match = self._api.match(request.method, request.path, request.query)
        if match is None:
            raise _rejected(404, "Lambda has no such operation.")
        if claim.principal is not None and match.operation not in _SERVICES_MAY:
            raise _rejected(403, f"{claim.principal.names[0]} may not do {match.operation}.")
        return self._bodies.get(match.operation, SMALL_BODY)

    def handle(self, exchange: Exchange) -> None:
        """Serve a request. An invocation does not depend on its caller, so it is not cancelled with the child."""
        if exchange.request.path == METRICS_PATH:
            self._tell_metrics(exchange)
            return
        match = self._api.match(exchange.request.method, exchange.request.path, exchange.request.query)
        if match is not None and match.operation in _SERVICES_MAY:
            drive(self._call(exchange), partial(self._called, exchange))
        else:
            exchange.start(self._call(exchange))

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        """The child makes its requests with an SDK; what is refused here is too large, or a fault of ours."""
        return Answer(refusal_status(request, refusal), _JSON, _body(f"The request was refused: {refusal.name}"))

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:  # noqa: ARG002  # logged by the server
        """Answer what is our own fault."""
        return plain_answer(serialize_error(ServiceException("An internal error occurred."), new_request_id()))

    async def _call(self, exchange: Exchange) -> None:
        request = exchange.request
        match = self._api.match(request.method, request.path, request.query)
        assert match is not None  # or `head` had rejected it
        claim = Claim.read(request.headers)
        context = Context(
            account=claim.account,
            region=claim.region,
            request_id=new_request_id(),
            base_url=self._base_url,
            services=self._services,
            headers=[header for header in request.headers if header[0] not in TRUST_HEADERS],
            principal=claim.principal,
        )
        wire = await self._api.call(match, request.query, request.headers, request.body, context=context)
        principal = claim.principal
        if principal is not None and wire.status >= 400 and context.header(_TYPE_HEADER) == "Event":
            # On AWS nobody is told either; here somebody looks for the reason.
            reason = wire.body.decode(errors="replace")
            _log.warning("an event of %s is lost: %s", principal.source_arn or principal.names[0], reason)
        if wire.stream is None:
            exchange.respond(wire.status, wire.headers, wire.body)
        else:
            await send_stream(exchange, wire, wire.stream)

    def _tell_metrics(self, exchange: Exchange) -> None:
        claim = Claim.read(exchange.request.headers)
        try:
            wanted = json.loads(exchange.request.body)
            begin_s, end_s = float(wanted["begin_s"]), float(wanted["end_s"])
            functions = frozenset(str(name) for name in wanted["functions"])
        except (ValueError, KeyError, TypeError):
            exchange.respond(400, _JSON, _body("Say from when to when, and of which functions."))
            return
        series = self._measurements.read(claim.account, claim.region, begin_s=begin_s, end_s=end_s, functions=functions)
        exchange.respond(200, _JSON, json.dumps({"series": series}).encode())

    def _called(self, exchange: Exchange, error: BaseException | None) -> None:
        if error is not None:
            _log.error("an invocation by the neighbour failed", exc_info=error)
            answer = self.failed(exchange, error)
            exchange.respond(answer.status, answer.headers, answer.body)


def _rejected(status: int, message: str) -> RejectedError:
    return RejectedError(Answer(status, _JSON, _body(message)))


def _body(message: str) -> bytes:
    return json.dumps({"message": message}).encode()
