"""What an `asyncio.Protocol` on uvloop can reach at most: a relay between callers and one runtime, and nothing else.

No limits, no deadline, no log, no sandbox, no check of anything. Run: python -m bench.relay FRONT_PORT RUNTIME_PORT.
"""

import asyncio
import sys
from collections import deque

import uvloop

idle: deque["Protocol"] = deque()  # runtimes that wait for an event
queued: deque[tuple["Protocol", bytes]] = deque()  # events that wait for a runtime
callers: dict[bytes, "Protocol"] = {}


class Protocol(asyncio.Protocol):
    """One connection, of a caller or of a runtime: the first line of each request tells."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = transport.write  # type: ignore[attr-defined]  # uvloop's transport does not inherit asyncio's
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer = buffer = self.buffer + data if self.buffer else data
        while (end := buffer.find(b"\r\n\r\n") + 4) > 3:
            at = buffer.lower().find(b"\r\ncontent-length:", 0, end)
            length = int(buffer[at + 17 : buffer.find(b"\r", at + 17)]) if at >= 0 else 0
            if len(buffer) < end + length:
                return
            self.serve(buffer[: buffer.find(b"\r")], buffer[end : end + length])
            self.buffer = buffer = buffer[end + length :]

    def serve(self, line: bytes, body: bytes) -> None:
        if line.endswith(b"/invocation/next HTTP/1.1"):
            idle.append(self)
        elif line.endswith(b"/response HTTP/1.1"):
            caller = callers.pop(line.split(b"/", 5)[4])
            caller.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            self.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        else:
            queued.append((self, body))
        while idle and queued:
            caller, event = queued.popleft()
            request_id = b"%036d" % id(caller)
            callers[request_id] = caller
            head = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: %b\r\nContent-Length: %d\r\n\r\n"
            idle.popleft().write(head % (request_id, len(event)) + event)


async def main(front_port: int, runtime_port: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Protocol, "127.0.0.1", port) for port in (front_port, runtime_port)]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
