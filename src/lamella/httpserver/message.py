"""What goes into and out of the server: requests, answers, and how the body of a request is to be read."""

import enum
from dataclasses import dataclass


class Request:
    """One request as it was sent; nothing is decoded that the sender may have meant literally.

    Attributes:
        method: The method, for example `GET`; always one of HTTP's registered methods.
        target: The raw request target: origin form, absolute form or `*`.
        path: The percent-encoded path of the target, without the query, not decoded; `*` for `OPTIONS *`.
        query: The raw query without the question mark; empty if there is none.
        headers: Names in lower case, values decoded from latin-1 and stripped, in the order sent, repeats kept.
        body: The whole body for `Buffered`; empty for `Streamed`.
        trailers: Headers that came after a chunked body, announced or not; complete once the body is.
    """

    __slots__ = ("body", "headers", "method", "path", "query", "target", "trailers")

    def __init__(
        self,
        method: str,
        target: bytes,
        path: str,
        query: str,
        headers: list[tuple[str, str]],
        body: bytes = b"",
        trailers: list[tuple[str, str]] | None = None,
    ) -> None:
        """Hold the parts given; nothing is checked."""
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.trailers = [] if trailers is None else trailers

    def header(self, name: str, default: str = "") -> str:
        """Return the first value of a header; the name is given in lower case."""
        for known, value in self.headers:
            if known == name:
                return value
        return default

    def __repr__(self) -> str:
        """Show method and target; headers may hold secrets."""
        return f"<Request {self.method} {self.target!r}>"


class Refusal(enum.Enum):
    """Why the server itself turns a request away; the handler's `refuse` words the answer."""

    MALFORMED = enum.auto()  # not HTTP, or ambiguous in a way that invites request smuggling
    LINE_TOO_LONG = enum.auto()  # the request line
    HEADERS_TOO_LARGE = enum.auto()  # the header block, the trailers, or the number of headers
    BODY_TOO_LARGE = enum.auto()
    TRUNCATED = enum.auto()  # the peer ended its side in the middle of a request
    TIMEOUT = enum.auto()  # the head or the body did not arrive in time
    UNSUPPORTED = enum.auto()  # transfer coding, expectation, version or method that is not implemented
    OVERLOADED = enum.auto()  # more than `Limits.max_connections` or `Limits.held_bytes`


_REFUSAL_STATUS = {
    Refusal.MALFORMED: 400,
    Refusal.LINE_TOO_LONG: 414,
    Refusal.HEADERS_TOO_LARGE: 431,
    Refusal.BODY_TOO_LARGE: 413,
    Refusal.TRUNCATED: 400,
    Refusal.TIMEOUT: 408,
    Refusal.UNSUPPORTED: 501,
    Refusal.OVERLOADED: 503,
}


def refusal_status(request: Request | None, refusal: Refusal) -> int:
    """Return the HTTP status that RFC 9110 gives for a refusal; for use in `Handler.refuse`."""
    if refusal is Refusal.UNSUPPORTED and request is not None:
        expectation = request.header("expect").lower()
        if expectation not in ("", "100-continue"):
            return 417
    return _REFUSAL_STATUS[refusal]


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response; framing headers are added when it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Buffered:
    """Read the whole body first, then call `Handler.handle`.

    Attributes:
        limit_bytes: A longer body is refused with `BODY_TOO_LARGE`; as soon as its length is known.
        drain_excess: Keep reading (and dropping) a body that was refused, up to `Limits.drain_bytes`, so that
            clients which send everything before they look for an answer get it, and can keep the connection.
    """

    limit_bytes: int
    drain_excess: bool = False


@dataclass(frozen=True, slots=True)
class Streamed:
    """Call `Handler.handle` right after the head; the body is read with `Exchange.read_chunk`."""

    limit_bytes: int | None = None


class RejectedError(Exception):
    """Raised by `Handler.head` to answer at once, without reading the body."""

    def __init__(self, answer: Answer) -> None:
        """Carry the answer to be sent."""
        super().__init__(f"rejected with status {answer.status}")
        self.answer = answer


class TruncatedBodyError(Exception):
    """A streamed request body ended too early: the peer left, was too slow, broke the framing or sent too much.

    A handler need not catch it: the server answers with the refusal if nothing has been answered yet.
    """

    def __init__(self, refusal: Refusal) -> None:
        """Carry the reason."""
        super().__init__(f"the request body is incomplete: {refusal.name}")
        self.refusal = refusal


class DisconnectedError(ConnectionError):
    """The peer is gone; nobody will see what is written. A handler need not catch it."""
