"""Telemetry over ten thousand invocations: every line is delivered once, in order, and none is lost at shutdown."""

import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support.extensions import EXTENSION, extended
from tests.support.functions import Function
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

INVOCATIONS = 10_000

# Takes everything there is, prints a line of its own for each invocation, and says at the end what it has got. At
# SHUTDOWN all that was buffered has been delivered already.
WITNESS = (
    EXTENSION
    + """
import http.server
SEEN = {"function": [], "extension": [], "platform.start": [], "platform.runtimeDone": [], "platform.report": []}
OTHERS = []

class Listener(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            kind, record = event["type"], event["record"]
            if kind not in SEEN:
                OTHERS.append(kind)
            else:
                SEEN[kind].append(record["requestId"] if isinstance(record, dict) else record)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("sandbox.localdomain", 4243), Listener)
threading.Thread(target=server.serve_forever, daemon=True).start()
identifier = started()
subscribe(identifier, {
    "schemaVersion": "2022-12-13",
    "types": ["platform", "function", "extension"],
    "buffering": {"timeoutMs": 25, "maxItems": 1000},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243"},
})
count = 0
while True:
    body = json.loads(next_event(identifier)[2])
    if body["eventType"] == "SHUTDOWN":
        break
    say("told of", body["requestId"])
    count += 1

ids = SEEN["platform.start"]
print(json.dumps({
    "invocations": count,
    "starts": len(ids),
    "distinct": len(set(ids)),
    "runtimeDone in order": SEEN["platform.runtimeDone"] == ids,
    "report in order": SEEN["platform.report"] == ids,
    "function in order": SEEN["function"] == [f"line {number}\\n" for number in range(len(ids))],
    "extension in order": SEEN["extension"] == [f"told of {one}\\n" for one in ids],
    "others": sorted(OTHERS),
}))
"""
)


def test_ten_thousand_invocations(server: LamellaServer, client: Any, logs: Callable[..., list[str]]) -> None:
    """TL-20 to TL-22, TL-26, TL-47, EX-83."""
    code = "def handler(event, context):\n    print('line', event)\n"
    function = extended(client, {"witness": WITNESS}, code)
    invoke_many(server, function)
    client.update_function_configuration(FunctionName=function.name, Description="retires the environment")
    (line,) = logs(function.name, until='{"invocations"')
    assert json.loads(line) == {
        "invocations": INVOCATIONS,
        "starts": INVOCATIONS,
        "distinct": INVOCATIONS,
        "runtimeDone in order": True,
        "report in order": True,
        "function in order": True,
        "extension in order": True,
        "others": [
            "platform.extension",
            "platform.initReport",
            "platform.initRuntimeDone",
            "platform.initStart",
            "platform.telemetrySubscription",
        ],
    }


def invoke_many(server: LamellaServer, function: Function) -> None:
    """One after another on one connection: an SDK would cost more than the invocations."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    for number in range(INVOCATIONS):
        connection.request("POST", f"/2015-03-31/functions/{function.name}/invocations", str(number))
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"null")
    connection.close()
