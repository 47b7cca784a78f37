"""The bounds within which the server serves one peer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may ask of the server. Times are seconds; None means for ever.

    Attributes:
        line_bytes: The longest request line, its line end included.
        headers_bytes: The longest header block after the request line, and the longest trailer section.
        header_count: The most headers in one request.
        head_timeout_s: From the first byte of a request (or from connecting) to the end of its head.
        body_idle_timeout_s: The longest pause between two pieces of a body that the server is ready to read.
        keepalive_timeout_s: How long a connection may lie idle between requests.
        write_timeout_s: How long the peer may leave a full send buffer without reading any of it.
        max_connections: More are answered `OVERLOADED` and closed.
        held_bytes: What the requests that are still coming in may take, all connections together; one that would take
            more is answered `OVERLOADED`.
        drain_bytes: How much of a refused body is read and dropped at most, see `Buffered.drain_excess`.
        stream_bytes: Unread bytes of a streamed body at which reading from the peer pauses.
    """

    line_bytes: int = 65_536
    headers_bytes: int = 2_097_152
    header_count: int = 512
    head_timeout_s: float | None = 30.0
    body_idle_timeout_s: float | None = 60.0
    keepalive_timeout_s: float | None = 75.0
    write_timeout_s: float | None = 60.0
    max_connections: int | None = None
    held_bytes: int | None = None
    drain_bytes: int = 268_435_456
    stream_bytes: int = 262_144

    @property
    def shortest_timeout_s(self) -> float | None:
        """The shortest of the timeouts; None if there is none at all."""
        timeouts = (self.head_timeout_s, self.body_idle_timeout_s, self.keepalive_timeout_s, self.write_timeout_s)
        return min((timeout_s for timeout_s in timeouts if timeout_s is not None), default=None)
