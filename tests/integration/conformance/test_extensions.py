"""Extensions with one fault each in real sandboxes: the kit says which; and those of others, which have none."""

import asyncio
import io
import tempfile
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from tests.integration.conformance.conftest import REPOSITORY
from tests.support.clients import archive_of
from tests.support.extensions import SHEBANG

from lamella.adapters.sandbox import OciSandboxProvider, OciSettings
from lamella.conformance.extension.examination import Place, Wish, examine
from lamella.conformance.extension.ordinary import Ordinary
from lamella.conformance.extension_checks import EXTENSION_CHECKS
from lamella.conformance.report import Report, Verdict
from lamella.conformance.scenario import Pace
from lamella.runtimes.catalog import PackCatalog

pytestmark = pytest.mark.sandbox

LISTING: Final = Path(__file__).parent / "patients" / "telemetry-extension"
PACE: Final = Pace(start_s=20.0, answer_s=4.0, idle_s=1.5)

PROGRAM: Final = """
import http.client, json, os, sys, threading, time

HOST = os.environ["AWS_LAMBDA_RUNTIME_API"]
NAME = os.path.basename(__file__)
ADDRESS = "sandbox.localdomain"
TYPES = ["function"]
queue = []

def call(method, path, body=None, headers={}, timeout=None):
    connection = http.client.HTTPConnection(HOST, timeout=timeout)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    data = answer.read()
    return answer.status, answer.headers, data

def register(name=NAME, events=("INVOKE", "SHUTDOWN")):
    path = "/2020-01-01/extension/register"
    status, headers, _ = call("POST", path, {"events": events}, {"Lambda-Extension-Name": name})
    return headers.get("Lambda-Extension-Identifier", "")

def next_event(identifier, timeout=None):
    path = "/2020-01-01/extension/event/next"
    status, _, data = call("GET", path, headers={"Lambda-Extension-Identifier": identifier}, timeout=timeout)
    return json.loads(data) if status == 200 else sys.exit(4)

def taken(data):
    return 200

def subscribe(identifier):
    import http.server
    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            queue.append(data)
            self.send_response(taken(data))
            self.send_header("Content-Length", "0")
            self.end_headers()
        def log_message(self, *arguments):
            pass
    server = http.server.ThreadingHTTPServer((ADDRESS, 4243), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    body = {"schemaVersion": "2022-12-13", "types": TYPES, "buffering": {"timeoutMs": 25},
            "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243"}}
    call("PUT", "/2022-07-01/telemetry", body, {"Lambda-Extension-Identifier": identifier})

def ship():
    while queue:
        _, _, host, path = os.environ["TELEMETRY_ENDPOINT"].split("/")
        connection = http.client.HTTPConnection(host)
        connection.request("POST", f"/{path}", queue.pop(0))
        connection.getresponse().read()

def loop(identifier, timeout=None):
    while next_event(identifier, timeout)["eventType"] != "SHUTDOWN":
        ship()
    ship()
    sys.exit(0)
"""
"""What most of them begin with: an extension that takes the lines of functions and ships them, without a fault."""

SOUND: Final = "identifier = register()\nsubscribe(identifier)\nloop(identifier)\n"


@dataclass(frozen=True)
class Faulty:
    """An extension with a fault.

    Attributes:
        program: What follows `PROGRAM`.
        check: The one that finds it.
        seen: Part of what is reported.
        also: Other checks that fail because of it.
    """

    program: str
    check: str
    seen: str
    also: tuple[str, ...] = ()
    shebang: str = SHEBANG
    mode: int = 0o755


TCP: Final = """
import socket
listener = socket.create_server(("sandbox.localdomain", 4243))
def read():
    for line in listener.accept()[0].makefile("rb"):
        queue.append(line)
threading.Thread(target=read, daemon=True).start()
identifier = register()
body = {"schemaVersion": "2022-12-13", "types": TYPES, "buffering": {"timeoutMs": 25},
        "destination": {"protocol": "TCP", "port": 4243}}
call("PUT", "/2022-07-01/telemetry", body, {"Lambda-Extension-Identifier": identifier})
def ship_lines():
    count = len(queue)
    queue[:count] = [b"".join(queue[:count])]  # a request for each line would take too long
    ship()
while next_event(identifier)["eventType"] == "INVOKE":
    ship_lines()
time.sleep(0.2)
ship_lines()
"""
SAYS: Final = ("says-why",)

FAULTY: Final[Mapping[str, Faulty]] = {
    "not-executable": Faulty(SOUND, "starts", "fork/exec /opt/extensions/faulty: permission denied", mode=0o644),
    "of-windows": Faulty(SOUND, "starts", "no such file or directory", shebang=SHEBANG.replace("\n", "\r\n")),
    "needs-a-package": Faulty("import requests_oauthlib\n", "modules", "no module 'requests_oauthlib'"),
    "needs-the-task": Faulty('os.environ["LAMBDA_TASK_ROOT"]\n', "variables", "looks for LAMBDA_TASK_ROOT"),
    "named-wrongly": Faulty('loop(register("my-extension"))\n', "file-name", "Its file is 'faulty'"),
    "forgets-who-it-is": Faulty('register()\nloop("")\n', "identifier", "Missing Lambda-Extension-Identifier"),
    "ends-at-invoke": Faulty(
        "next_event(register())\nsys.exit(0)\n", "stays", "At its first INVOKE it ended with", SAYS
    ),
    "busy-for-ever": Faulty("next_event(register())\ntime.sleep(60)\n", "asks-again", "within 4 s"),
    "needs-tracing": Faulty(
        "identifier = register()\nwhile True:\n    next_event(identifier)['tracing']\n",
        "tracing",
        "KeyError: 'tracing'",
        SAYS,
    ),
    "impatient": Faulty("loop(register(), timeout=0.4)\n", "waits", "gave up its call for the next event after 0."),
    "impatient-some-day": Faulty("loop(register(), timeout=60)\n", "wait-limit", "for the answer 60 s at most"),
    "locks-itself-out": Faulty(
        "os.mkdir('/tmp/lock')\nloop(register())\n", "starts-again", "it ended with status 1; it printed"
    ),
    "stays-for-ever": Faulty(
        "identifier = register()\nwhile next_event(identifier)['eventType'] == 'INVOKE': pass\ntime.sleep(60)\n",
        "ends",
        "still busy 2 s after SHUTDOWN",
    ),
    "subscribes-late": Faulty(
        "identifier = register()\nnext_event(identifier)\nsubscribe(identifier)\nloop(identifier)\n",
        "telemetry-in-time",
        "subscription is closed already",
    ),
    "listens-to-itself": Faulty('ADDRESS = "127.0.0.1"\n' + SOUND, "telemetry-listens", "connection refused"),
    "slow-listener": Faulty(
        "def taken(data, slow=[1.2]):\n    if len(data) > 100_000 and slow: time.sleep(slow.pop())\n    return 200\n"
        + SOUND,
        "telemetry-keeps-up",
        "to answer a batch",
    ),
    "hears-itself": Faulty(
        'TYPES = ["extension"]\ndef taken(data):\n    print(len(data), flush=True)\n    return 200\n' + SOUND,
        "telemetry-echo",
        "With nothing going on it printed",
    ),
    "forgets-the-rest": Faulty(
        "identifier = register()\nsubscribe(identifier)\n"
        "while next_event(identifier)['eventType'] == 'INVOKE': ship()\n",
        "ships",
        "reached the collector at $TELEMETRY_ENDPOINT",
    ),
}


def layer_of(root: Path, program: str, *, name: str = "faulty", mode: int = 0o755) -> Path:
    path = root / "extensions" / name
    path.parent.mkdir(parents=True)
    path.write_text(program, newline="")
    path.chmod(mode)
    return root


async def examined(wishes: Mapping[str, Wish], catalog: PackCatalog, directory: Path) -> dict[str, Report]:
    """Examine several at once: they mostly wait."""
    provider = OciSandboxProvider(OciSettings(directory / "run", f"test-{uuid.uuid4().hex[:8]}", ready=2))
    await provider.start()
    turns = asyncio.Semaphore(8)
    reports: dict[str, Report] = {}

    async def one(name: str, wish: Wish) -> None:
        async with turns:
            place = Place(provider, catalog.packs(), directory, "000000000000", "us-east-1")
            reports[name] = await examine(wish, place)

    try:
        async with asyncio.TaskGroup() as group:
            for name, wish in wishes.items():
                group.create_task(one(name, wish))
    finally:
        await provider.close()
    return reports


@pytest.fixture(scope="module")
def reports(catalog: PackCatalog) -> Iterator[dict[str, Report]]:
    """Of all at once, in as little time as the slowest takes; each is looked at for its own fault alone."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        wishes = {
            name: Wish(
                [layer_of(directory / name, faulty.shebang + PROGRAM + faulty.program, mode=faulty.mode)],
                pace=PACE,
                telemetry="subscribe(" in faulty.program or faulty.program.endswith(SOUND),
                skipped=frozenset(EXTENSION_CHECKS) - {faulty.check, *Ordinary.checks} | {"start-time"},
            )
            for name, faulty in FAULTY.items()
        }
        wishes["tcp"] = Wish(
            [layer_of(directory / "tcp", SHEBANG + PROGRAM + TCP)],
            skipped=frozenset(EXTENSION_CHECKS) - {"telemetry-keeps-up", *Ordinary.checks} | {"start-time"},
            pace=PACE,
        )
        example = REPOSITORY / "examples/telemetry-extension/layer"
        wishes["example"] = Wish([example], skipped=frozenset({"start-time"}), pace=PACE)
        listing = layer_of(directory / "listing", LISTING.read_text(), name="telemetry-extension")
        skipped = frozenset(EXTENSION_CHECKS) - {"every-runtime", *Ordinary.checks} | {"start-time"}
        wishes["listing"] = Wish([listing], skipped=skipped, pace=PACE)
        yield asyncio.run(examined(wishes, catalog, directory))


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_found(reports: dict[str, Report], name: str) -> None:
    faulty, report = FAULTY[name], reports[name]
    assert {check.id for check in report.with_verdict(Verdict.FAIL)} == {faulty.check, *faulty.also}
    assert faulty.seen in report.results[faulty.check].seen
    assert not report.passed


def failed(report: Report) -> dict[str, str]:
    assert not report.with_verdict(Verdict.UNTRIED)
    return {check.id: report.results[check.id].seen for check in report.with_verdict(Verdict.FAIL)}


def test_a_listing_of_a_book(reports: dict[str, Report]) -> None:
    """It dies for want of a package, never subscribes, and ships nothing; it is a script, which is said."""
    report = reports["listing"]
    found = failed(report)
    assert set(found) == {"modules", "telemetry-subscribes", "ships", "every-runtime"}
    assert "There is no module 'requests'" in found["modules"]
    assert "speaks of telemetry" in found["telemetry-subscribes"]
    assert "nothing has reached the collector at $TELEMETRY_ENDPOINT" in found["ships"]
    assert "a script needs its interpreter" in found["every-runtime"]
    assert "It was lent the module requests" in report.notes[-1]
    assert not report.passed


def test_the_example_is_found_to_be_sound(reports: dict[str, Report]) -> None:
    """It is a script, which is said; what it takes it ships."""
    report = reports["example"]
    assert set(failed(report)) == {"every-runtime"}
    assert "a script needs its interpreter" in failed(report)["every-runtime"]
    assert report.results["ships"].seen.startswith("All 3 log lines")


def test_telemetry_by_tcp_is_as_good(reports: dict[str, Report]) -> None:
    report = reports["tcp"]
    assert failed(report) == {}
    assert report.results["telemetry-subscribes"].seen == "function by TCP to port 4243."
    assert report.results["telemetry-keeps-up"].verdict is Verdict.PASS


@pytest.mark.network
def test_those_of_others_are_found_to_be_sound(catalog: PackCatalog, tmp_path: Path) -> None:
    """AWS's Rust client, OpenTelemetry's extension, and the web adapter; advice there is for two of them."""
    layers = {"rust": "extension.zip", "opentelemetry-extension": "layer.zip", "web-adapter": "layer.zip"}
    wishes = {}
    for name, archive in layers.items():
        with zipfile.ZipFile(io.BytesIO(archive_of(name, archive))) as opened:
            opened.extractall(tmp_path / name)
        for program in (tmp_path / name / "extensions").iterdir():
            program.chmod(0o755)
        wishes[name] = Wish(
            [tmp_path / name], runtimes=("provided.al2023",), skipped=frozenset({"start-time"}), pace=PACE
        )
    reports = asyncio.run(examined(wishes, catalog, tmp_path))
    assert {name: set(failed(report)) for name, report in reports.items()} == {
        "rust": {"unknown-event", "telemetry-unknown", "exits"},
        "opentelemetry-extension": {"unknown-event", "telemetry-unknown"},
        "web-adapter": {"container-error"},
    }
