"""What the server needs from the program that uses it."""

import logging
from typing import Final, Protocol

from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import Answer, Buffered, Refusal, Request, Streamed, refusal_status

LOG: Final = logging.getLogger("lamella.httpserver")


class Handler(Protocol):
    """Serves requests. All methods are called on the event loop and must not block."""

    def head(self, request: Request) -> Buffered | Streamed:
        """Say how the body of a request is to be read; called for every request once its headers are complete.

        Raises:
            RejectedError: Answer with this and do not read the body.
        """
        ...

    def handle(self, exchange: Exchange) -> None:
        """Serve a request: answer now, or keep the exchange and answer later, or `Exchange.start` a coroutine.

        Called when the body is complete (`Buffered`) or right after `head` (`Streamed`). An exception is passed
        to `failed`.
        """
        ...

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        """Word the answer to what the server turns away; `refusal_status` gives the status.

        Args:
            request: None if not even the head could be read; its body is empty or incomplete.
            refusal: The reason. The connection is closed afterwards, as a rule.
        """
        ...

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:
        """Word the answer to a request whose handling raised `error`, which has been logged."""
        ...


def word_refusal(handler: Handler, request: Request | None, refusal: Refusal) -> Answer:
    """Return the handler's answer, or a plain one if it fails."""
    try:
        return handler.refuse(request, refusal)
    except Exception:  # the boundary: the peer is answered whatever happens
        LOG.exception("the handler failed to word a refusal")
        return Answer(refusal_status(request, refusal))


def word_failure(handler: Handler, exchange: Exchange, error: BaseException) -> Answer:
    """Return the handler's answer, or a plain one if it fails."""
    try:
        return handler.failed(exchange, error)
    except Exception:  # as above
        LOG.exception("the handler failed to word its failure")
        return Answer(500)
