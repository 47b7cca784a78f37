"""Bytes in, one request at a time out; no I/O.

llhttp does the parsing. What is decided here is how much of the input it gets to see: never more than the current
message. A head and a chunked body both end with an empty line, so they are fed up to the next CR LF CR LF; a body of
known length is fed by count. So a pipelined request stays unparsed until the previous one is answered, and limits
hold on raw bytes, before llhttp or httptools have buffered anything.

Cutting at CR LF CR LF finds every end: llhttp (strict) ends a head or a chunked body only there, and the byte before
is a visible one, so that no earlier match can overlap it.
"""

from collections.abc import Callable
from typing import Final

import httptools

from lamella.httpserver.limits import Limits
from lamella.httpserver.message import Refusal, Request

_BLANK_LINE: Final = b"\r\n\r\n"

# llhttp also knows RTSP's and Icecast's methods, and HTTP/2's PRI; they are not HTTP/1.1.
# fmt: off
_METHODS: Final = {
    b"GET": "GET", b"HEAD": "HEAD", b"POST": "POST", b"PUT": "PUT", b"DELETE": "DELETE", b"CONNECT": "CONNECT",
    b"OPTIONS": "OPTIONS", b"TRACE": "TRACE", b"PATCH": "PATCH", b"COPY": "COPY", b"LOCK": "LOCK", b"MKCOL": "MKCOL",
    b"MOVE": "MOVE", b"PROPFIND": "PROPFIND", b"PROPPATCH": "PROPPATCH", b"SEARCH": "SEARCH", b"UNLOCK": "UNLOCK",
    b"BIND": "BIND", b"REBIND": "REBIND", b"UNBIND": "UNBIND", b"ACL": "ACL", b"REPORT": "REPORT",
    b"MKACTIVITY": "MKACTIVITY", b"CHECKOUT": "CHECKOUT", b"MERGE": "MERGE", b"M-SEARCH": "M-SEARCH",
    b"NOTIFY": "NOTIFY", b"SUBSCRIBE": "SUBSCRIBE", b"UNSUBSCRIBE": "UNSUBSCRIBE", b"PURGE": "PURGE",
    b"MKCALENDAR": "MKCALENDAR", b"LINK": "LINK", b"UNLINK": "UNLINK", b"QUERY": "QUERY",
}
# fmt: on
# Headers that decide how the message is read.
_SPECIAL: Final = frozenset({"connection", "content-length", "expect", "transfer-encoding"})
_LEARNT_NAMES_MAX: Final = 1024  # senders choose names: the cache must not grow without bound
_LEARNT_NAME_BYTES_MAX: Final = 64
_MANY_HEADERS_BYTES: Final = 16_384  # heads beyond this are counted before they are parsed
_COPY_BYTES_MAX: Final = 4096  # a copy up to this is cheaper than a memoryview
_REPEATED_BYTES_MAX: Final = 2048  # a head up to this is remembered, in case it comes again
_CHUNK_OVERHEAD: Final = 32  # bytes of chunk framing tolerated for each byte of body; one-byte chunks need 5
_HOST: Final = frozenset({b"Host", b"host"})

# Spelling as sent -> lower case, for names that are not special. Shared by all connections of the process.
_plain_names: dict[bytes, str] = {}


def split_target(method: str, target: bytes) -> tuple[str, str] | None:
    """Return path and query of a request target as sent; None if it is not one that a server may be sent.

    The authority of an absolute-form target (`GET http://host/path`) is dropped; it is still in `Request.target`.
    """
    text = target.decode("latin-1")
    if "#" in text:
        return None
    if text[0] != "/":
        if text == "*":
            return (text, "") if method == "OPTIONS" else None
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            return None
        authority_end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        text = rest[authority_end:]
        if not text.startswith("/"):
            text = "/" + text
    path, _, query = text.partition("?")
    return path, query


class RequestReader:
    """Reads requests from one peer, one after the other.

    Call `read_head` until `request` is set, then `read_body` until `complete`, then `reset`. After each call look at
    `fault`: once it is set, nothing more can be read.

    Attributes:
        request: The request whose head is complete, else None.
        complete: The whole request has been read.
        fault: Why the input is refused, else None. `BODY_TOO_LARGE` alone leaves the reader usable.
        keep_alive: The peer wants the connection kept.
        http10: The peer speaks HTTP/1.0: no chunked responses, no 100 Continue.
        content_length: The announced length of the body, if any.
        expects_continue: The peer waits for 100 Continue before it sends the body.
        received_bytes: The length of the body so far, collected or not.
    """

    __slots__ = (
        "_body",
        "_chunk_framing_bytes",
        "_chunked",
        "_collecting",
        "_head_bytes",
        "_headers",
        "_headers_done",
        "_left_bytes",
        "_limit_bytes",
        "_limits",
        "_line_bytes",
        "_one_piece_bytes_max",
        "_parser",
        "_repeated",
        "_saw_host",
        "_section_bytes",
        "_sink",
        "_special",
        "_tail",
        "_target",
        "_upgraded",
        "complete",
        "content_length",
        "expects_continue",
        "fault",
        "http10",
        "keep_alive",
        "received_bytes",
        "request",
    )

    def __init__(self, limits: Limits) -> None:
        """Start before the first request."""
        self._limits = limits
        self._one_piece_bytes_max = min(limits.line_bytes, limits.headers_bytes, _MANY_HEADERS_BYTES)
        self._parser = httptools.HttpRequestParser(self)
        self._upgraded = False
        self.keep_alive = True
        self._tail = b""  # the last bytes fed, if they may be the start of an empty line
        self._repeated: tuple[bytes, Request] | None = None
        self._reset_head()
        self._reset_body()

    def _reset_head(self) -> None:
        self.request: Request | None = None
        self.complete = self._headers_done = self._saw_host = False
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._head_bytes = 0  # of a head that came in pieces
        self._line_bytes = 0  # the request line, once it has been seen whole

    def _reset_body(self) -> None:
        self.fault: Refusal | None = None
        self._special: dict[str, str] = {}
        self.content_length: int | None = None
        self.expects_continue = False
        self.http10 = False
        self.received_bytes = 0
        self._chunked = False
        self._collecting = False
        self._limit_bytes: int | None = None
        self._sink: Callable[[bytes], None] | None = None
        self._body: bytes | bytearray = b""
        self._left_bytes = 0
        self._chunk_framing_bytes = 0  # everything in a chunked body that is not body
        self._section_bytes = 0  # the same since the last piece of body: a chunk extension or the trailers

    def reset(self) -> None:
        """Forget the complete request and get ready for the next."""
        if self._special:
            self._reset_body()
        self._reset_head()

    def close(self) -> None:
        """Let go of everything: reader and parser know each other, so a body would stay until cycles are collected."""
        self._reset_head()
        self._reset_body()
        self._tail = b""
        self._repeated = None
        del self._parser

    @property
    def held_bytes(self) -> int:
        """Memory that the request takes, of which not all has been read; its decoded headers count twice."""
        return len(self._body) + 2 * self._head_bytes

    @property
    def begun(self) -> bool:
        """Some but not all of a request has been read."""
        return not self.complete and (self._head_bytes > 0 or self.request is not None)

    @property
    def can_go_on(self) -> bool:
        """The body of the current request can be read on, be it only to `discard` it."""
        return self.request is not None and self.fault in (None, Refusal.BODY_TOO_LARGE)

    @property
    def rest_bytes(self) -> int | None:
        """How much of the body is still to come; None if that is not known."""
        return None if self.content_length is None else self.content_length - self.received_bytes

    # Heads

    def read_head(self, data: bytes, start: int) -> int:
        """Read from `data[start:]` up to the end of a head at most; return where to go on.

        A long poll comes again and again in the same bytes. It is not parsed again: that saves a third of the parsing
        that an invocation takes.
        """
        repeated = self._repeated
        if repeated is not None and not start and data == repeated[0] and not self._head_bytes and not self._tail:
            known = repeated[1]
            self.request = Request(known.method, known.target, known.path, known.query, known.headers)
            self.complete = self.keep_alive = True
            return len(data)
        if not self._head_bytes and data[start] in b"\r\n":
            # Empty lines before a request are to be ignored (RFC 9112, 2.2) and do not begin one.
            rest = data[start:].lstrip(b"\r\n")
            start = len(data) - len(rest)
            if not rest:
                return start
        if self._tail or (at := data.find(_BLANK_LINE, start)) < 0:
            end = self._cut(data, start)
            in_pieces = True
        else:  # what `_cut` would say, without the call
            end = at + 4
            in_pieces = False
        size = end - start
        if (in_pieces or size > self._one_piece_bytes_max) and not self._fits(data, start, end):
            return end
        self._feed(data, start, end)
        if self.fault is None:
            if self._headers_done:
                self._finish_head()
                if self.complete and size == len(data) <= _REPEATED_BYTES_MAX and not self._special and not in_pieces:
                    assert self.request is not None
                    self._repeated = (data, self.request)
            else:
                self._head_bytes += size
                if len(self._headers) > self._limits.header_count:
                    self.fault = Refusal.HEADERS_TOO_LARGE
        return end

    def _cut(self, data: bytes, start: int) -> int:
        """Return where to stop feeding: behind the next empty line, or at the end of the data."""
        tail = self._tail
        if tail:
            at = (tail + data[start : start + 3]).find(_BLANK_LINE)
            if at >= 0:
                self._tail = b""
                return start + at + 4 - len(tail)
        at = data.find(_BLANK_LINE, start)
        if at >= 0:
            self._tail = b""
            return at + 4
        self._tail = (tail + data[max(start, len(data) - 3) :])[-3:]
        return len(data)

    def _fits(self, data: bytes, start: int, end: int) -> bool:
        """Check the limits of a head that is in pieces or not small; set `fault` if they do not hold."""
        limits = self._limits
        total = self._head_bytes + end - start
        line_bytes = self._line_bytes
        if not line_bytes:
            line_end = data.find(b"\n", start, end)
            seen = self._head_bytes + (line_end + 1 if line_end >= 0 else end) - start
            if seen > limits.line_bytes:
                self.fault = Refusal.LINE_TOO_LONG
                return False
            if line_end < 0:
                return True
            self._line_bytes = line_bytes = seen
        if total - line_bytes > limits.headers_bytes or (
            # Each header costs far more memory than bytes on the wire.
            end - start > _MANY_HEADERS_BYTES and data.count(b"\n", start, end) > limits.header_count + 2
        ):
            self.fault = Refusal.HEADERS_TOO_LARGE
            return False
        return True

    def _feed(self, data: bytes, start: int, end: int) -> None:
        try:
            size = end - start
            if size == len(data):
                self._parser.feed_data(data)
            elif size <= _COPY_BYTES_MAX:
                self._parser.feed_data(data[start:end])
            else:
                self._parser.feed_data(memoryview(data)[start:end])
        except httptools.HttpParserUpgrade:
            self._upgraded = True
        except httptools.HttpParserError:
            self.fault = Refusal.MALFORMED

    def _finish_head(self) -> None:
        method = _METHODS.get(self._parser.get_method())
        if method is None or method == "CONNECT":
            self.fault = Refusal.UNSUPPORTED
            return
        parts = split_target(method, self._target)
        if parts is None:
            self.fault = Refusal.MALFORMED
            return
        self.request = Request(method, self._target, parts[0], parts[1], self._headers)
        if len(self._headers) > self._limits.header_count:
            self.fault = Refusal.HEADERS_TOO_LARGE
        elif not self._special and self.keep_alive:
            self.complete = True
        else:
            self._finish_special_head(self.request)

    def _finish_special_head(self, request: Request) -> None:
        """Settle version and framing of a head that says more about them than the usual `GET` does."""
        special = self._special
        # Without `Connection`, only HTTP/1.1 is kept alive: then the version needs no (slow) look.
        if not self.keep_alive or "connection" in special:
            version = self._parser.get_http_version()
            self.http10 = version == "1.0"
            special.setdefault("connection", "")  # so that `reset` knows that there is something to reset
            if not self.http10 and version != "1.1":
                self.fault = Refusal.UNSUPPORTED
                return
        coding = special.get("transfer-encoding")
        if coding is not None:
            if self.http10:
                self.fault = Refusal.MALFORMED  # RFC 9112, 6.1: faulty framing
                return
            if coding.lower() != "chunked":
                self.fault = Refusal.UNSUPPORTED
                return
            self._chunked = True
            self._headers = request.trailers
        expectation = special.get("expect")
        if expectation is not None and not self.http10:
            if expectation.lower() != "100-continue":
                self.fault = Refusal.UNSUPPORTED
                return
            self.expects_continue = True
        length = special.get("content-length")
        if length is not None:
            if coding is not None or not length.isdigit():
                self.fault = Refusal.MALFORMED  # llhttp refuses both by itself; this is the second lock
                return
            self.content_length = self._left_bytes = int(length)
        self.complete = not self._chunked and not self._left_bytes
        if self._upgraded:
            self._resume_after_upgrade()

    def _resume_after_upgrade(self) -> None:
        """Go on in HTTP/1.1, as a server may (RFC 9110, 7.8): the Java client asks for h2c with every first request.

        llhttp skips the body of such a request. A fresh parser is told of the same framing without the offer.
        """
        self._upgraded = False
        self._parser = httptools.HttpRequestParser(self)
        headers, self._headers = self._headers, []
        keep_alive = self.keep_alive
        if self._chunked:
            self._parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        elif self._left_bytes:
            self._parser.feed_data(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % self._left_bytes)
        self._headers = headers
        self.keep_alive = keep_alive

    # Bodies

    def collect(self, limit_bytes: int) -> None:
        """Keep the body of the current request, for `Request.body`."""
        self._collecting = True
        self._limit_bytes = limit_bytes

    def pass_on(self, sink: Callable[[bytes], None], limit_bytes: int | None) -> None:
        """Hand each piece of the body of the current request to `sink`."""
        self._sink = sink
        self._limit_bytes = limit_bytes

    def discard(self, limit_bytes: int | None) -> None:
        """Read on over the body of the current request, but drop it; `limit_bytes` counts from here."""
        self._collecting = False
        self._sink = None
        self._body = b""
        self._limit_bytes = None if limit_bytes is None else self.received_bytes + limit_bytes
        self.fault = None

    def read_body(self, data: bytes, start: int) -> int:
        """Read from `data[start:]` up to the end of the body at most; return where to go on."""
        if self._chunked:
            return self._read_chunks(data, start)
        size = min(len(data) - start, self._left_bytes)
        self._left_bytes -= size
        self._feed(data, start, start + size)
        if not self._left_bytes and self.fault is None:
            self._finish_body()
        return start + size

    def _read_chunks(self, data: bytes, start: int) -> int:
        end = self._cut(data, start)
        before = self.received_bytes
        self._feed(data, start, end)
        received = self.received_bytes - before
        framing = end - start - received
        self._chunk_framing_bytes += framing
        self._section_bytes = self._section_bytes + framing if not received else 0
        if self.fault is None and (
            self._section_bytes > self._limits.headers_bytes
            or self._chunk_framing_bytes > self._limits.headers_bytes + _CHUNK_OVERHEAD * self.received_bytes
            or len(self._headers) > self._limits.header_count
        ):
            # A chunk extension or a trailer without end. llhttp knows no limit of its own.
            self.fault = Refusal.HEADERS_TOO_LARGE
        return end

    def _finish_body(self) -> None:
        self.complete = True
        if self._collecting and self.request is not None and self.fault is None:
            # A body that came in one piece is not copied.
            self.request.body = bytes(self._body)

    # Called by httptools

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self._target = self._target + url if self._target else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a complete header or trailer; llhttp leaves trailing white space."""
        plain = _plain_names.get(name)
        if plain is not None:
            self._headers.append((plain, value.rstrip().decode("latin-1")))
        elif name in _HOST and not self._saw_host:  # in every request, and so before the rest
            self._saw_host = True
            self._headers.append(("host", value.rstrip().decode("latin-1")))
        else:
            self._take_uncommon_header(name.decode("latin-1").lower(), name, value.rstrip().decode("latin-1"))

    def _take_uncommon_header(self, lower: str, name: bytes, value: str) -> None:
        self._headers.append((lower, value))
        if lower == "host":
            if self._saw_host and not self._headers_done:
                self.fault = Refusal.MALFORMED  # RFC 9112, 3.2
            self._saw_host = True
        elif lower in _SPECIAL:
            if not self._headers_done:
                known = self._special.get(lower)
                self._special[lower] = value if known is None else f"{known}, {value}"
        elif len(_plain_names) < _LEARNT_NAMES_MAX and len(name) <= _LEARNT_NAME_BYTES_MAX:
            _plain_names[name] = lower

    def on_headers_complete(self) -> None:
        """Note what only the parser knows, and only now."""
        self._headers_done = True
        self.keep_alive = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self.received_bytes += len(data)
        if self._limit_bytes is not None and self.received_bytes > self._limit_bytes:
            self.fault = Refusal.BODY_TOO_LARGE
        elif self._collecting:
            if not self._body:
                self._body = data
            else:
                if isinstance(self._body, bytes):
                    # Not a list of pieces: many small ones would cost many times their size.
                    self._body = bytearray(self._body)
                self._body += data
        elif self._sink is not None:
            self._sink(data)

    def on_message_complete(self) -> None:
        """Note the end of a chunked body; the other ends are known without."""
        if self._chunked:
            self._finish_body()
