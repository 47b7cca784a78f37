"""A storm of asynchronous events on a server that is killed again and again: is any event lost, is any run twice?

    python -m tests.support.storm [--events 20000] [--kills 10] [--seed N]

The function tells a collector outside of the sandbox of each event it gets, over a connection on loopback: that is what
counts, not what the server says of itself. Events are sent once each, by clients that do not try again.
"""

import argparse
import http.client
import json
import random
import selectors
import socket
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.support.functions import ROLE, archive, wait_active
from tests.support.server import LamellaServer

SENDERS = 16
WITHIN_S = 600.0  # only a bound for a server that hangs
CODE = """
import socket, time
told = socket.create_connection(("127.0.0.1", %d))
def handler(event, context):
    told.sendall(b"%%d %%s\\n" %% (event["n"], context.aws_request_id.encode()))
    time.sleep(0.02)  # so that a server that is killed is in the middle of it
"""


@dataclass
class Report:
    """What happened.

    Attributes:
        accepted: Request ids by number, of events that were answered with 202.
        runs: How often the function got each request id.
        numbers: The numbers that it got.
        steps: Results of all that was tried with an event, by request id, as the server has it.
        counts: Events by state at the end.
    """

    accepted: dict[int, str] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    numbers: set[int] = field(default_factory=set)
    steps: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    took_s: float = 0.0

    @property
    def lost(self) -> list[int]:
        """Accepted, and never run."""
        return sorted(number for number, request_id in self.accepted.items() if not self.runs[request_id])

    @property
    def duplicates(self) -> dict[str, int]:
        """Request ids that the function got more than once."""
        return {request_id: runs for request_id, runs in self.runs.items() if runs > 1}

    @property
    def unexplained(self) -> list[str]:
        """Duplicates that the server does not know to have been interrupted, as often as they were repeated."""
        return [one for one, runs in self.duplicates.items() if self.steps.get(one, []).count("interrupted") < runs - 1]

    def __str__(self) -> str:
        """For people."""
        return (
            f"{len(self.accepted)} events accepted, {len(self.lost)} lost, {len(self.duplicates)} run more than once "
            f"({len(self.unexplained)} of them unexplained), {self.unanswered} sent without an answer, of which "
            f"{len(self.numbers - self.accepted.keys())} were run; {self.took_s:.1f} s; at the end {self.counts}"
        )


class Collector:
    """Takes what functions tell, on a port of loopback."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, bytearray())
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._stopping = False
        self._thread.start()

    def close(self) -> None:
        """Take what has been sent, and end."""
        self._stopping = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # sockets all
        self._selector.close()

    def _collect(self) -> None:
        while (ready := self._selector.select(0.2)) or not self._stopping:
            for key, _ in ready:
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    self._selector.register(connection, selectors.EVENT_READ, bytearray())
                else:
                    self._read(key)

    def _read(self, key: selectors.SelectorKey) -> None:
        connection: Any = key.fileobj
        try:
            data = connection.recv(65_536)
        except ConnectionError:
            data = b""
        if not data:
            self._selector.unregister(connection)
            connection.close()
            return
        key.data.extend(data)
        while (end := key.data.find(b"\n")) >= 0:
            number, request_id = key.data[:end].decode().split()
            del key.data[: end + 1]
            self._report.runs[request_id] += 1
            self._report.numbers.add(int(number))


class Storm:
    """Senders that go on while the server is away, and wait until it is back."""

    def __init__(self, server: LamellaServer, events: int, kills: int, seed: int) -> None:
        self._server = server
        self._wanted = events
        chance = random.Random(seed)
        self._kill_at = sorted(chance.sample(range(events // 20, events), kills))
        self._pauses_s = [chance.uniform(0.0, 0.05) for _ in range(kills)]
        self._lock = threading.Lock()
        self._next = 0
        self._up = threading.Event()
        self._enough = threading.Condition(self._lock)
        self.report = Report()

    def run(self) -> Report:
        """Send, kill, start again; wait until all is done."""
        began_s = time.monotonic()
        collector = Collector(self.report)
        try:
            client = self._server.boto3()
            code = archive({"storm.py": CODE % collector.port})
            client.create_function(
                FunctionName="storm", Runtime="python3.11", Handler="storm.handler", Role=ROLE, Code={"ZipFile": code}
            )
            wait_active(client, "storm")
            self._up.set()
            with ThreadPoolExecutor(SENDERS) as pool:
                senders = [pool.submit(self._send) for _ in range(SENDERS)]
                for threshold, pause_s in zip(self._kill_at, self._pauses_s, strict=True):
                    self._kill_when(threshold, pause_s)
                for sender in senders:
                    sender.result()
            self._wait_done()
        finally:
            collector.close()
        self.report.took_s = time.monotonic() - began_s
        return self.report

    def _kill_when(self, threshold: int, pause_s: float) -> None:
        with self._enough:
            assert self._enough.wait_for(lambda: len(self.report.accepted) >= threshold, WITHIN_S)
        time.sleep(pause_s)  # anywhere between two commits
        self._up.clear()
        self._server.kill()
        self._server.start()
        self._up.set()

    def _send(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while True:
            assert self._up.wait(WITHIN_S)
            with self._lock:
                if len(self.report.accepted) >= self._wanted:
                    break
                number, self._next = self._next, self._next + 1
            if connection is None:
                connection = http.client.HTTPConnection(urlsplit(self._server.url).netloc, timeout=60)
            try:
                headers = {"X-Amz-Invocation-Type": "Event"}
                path = "/2015-03-31/functions/storm/invocations"
                connection.request("POST", path, json.dumps({"n": number}), headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
                with self._lock:
                    self.report.unanswered += 1
                continue
            assert answer.status == 202, answer.status
            with self._enough:
                self.report.accepted[number] = answer.headers["x-amzn-RequestId"]
                self._enough.notify_all()
        if connection is not None:
            connection.close()

    def _wait_done(self) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while True:
            counts = self._page("events?limit=1")["counts"]
            if not {"waiting", "running", "delivering"} & counts.keys():
                break
            assert time.monotonic() < deadline_s, counts
            time.sleep(0.1)
        self.report.counts = counts
        for request_id in self.report.duplicates:
            steps = self._page(f"events/{request_id}")["steps"]
            self.report.steps[request_id] = [step["result"] for step in steps]

    def _page(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._server.url}/_lamella/{path}", timeout=60) as answer:
            return json.load(answer)


def storm(*, events: int, kills: int, seed: int) -> Report:
    """A storm on a server of its own."""
    # In the host's network, so that the function reaches the collector.
    with LamellaServer(network="host", state_delay_s="0", async_history=str(2 * events)) as server:
        return Storm(server, events, kills, seed).run()


def main() -> int:
    """Exit status 1 if an event was lost, or run twice for no reason."""
    parser = argparse.ArgumentParser(description="Kill a server while it takes and runs asynchronous events.")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    report = storm(events=arguments.events, kills=arguments.kills, seed=arguments.seed)
    print(report)
    return 1 if report.lost or report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
