"""Section 5 of the contract: telemetry as extensions in real sandboxes get it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.extensions import EXTENSION, extended
from tests.support.functions import Answer, Function

pytestmark = pytest.mark.sandbox

Logs = Callable[..., list[str]]

COLLECTOR = (
    EXTENSION
    + '''
from http.server import BaseHTTPRequestHandler, HTTPServer

ANSWERS = []  # statuses of the next requests

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        keep(method=self.command, path=self.path, headers=dict(self.headers.items()), events=events)
        self.send_response(ANSWERS.pop(0) if ANSWERS else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_POST

    def log_message(self, *words):
        pass

def keep(**batch):
    """Where the function finds it."""
    with open("/tmp/batches", "a") as file:
        file.write(json.dumps(batch) + "\\n")

def listen(host="sandbox.localdomain"):
    """Bind exactly that name, as the samples of AWS do (TL-09)."""
    server = HTTPServer((host, 4243), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

def wishes(**changes):
    destination = {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/to"}
    types = ["platform", "function", "extension"]
    limits = {"timeoutMs": 25}
    return {"schemaVersion": "2022-12-13", "types": types, "buffering": limits, "destination": destination, **changes}

def follow(identifier):
    while b"SHUTDOWN" not in next_event(identifier)[2]:
        pass
    sys.exit(0)
'''
)
"""Start of an extension that listens."""

PLAIN = (
    COLLECTOR
    + "listen()\nidentifier = started()\nassert subscribe(identifier, wishes())[0] == 200\nfollow(identifier)\n"
)

READER = '''
def batches():
    try:
        with open("/tmp/batches") as file:
            return [json.loads(line) for line in file.read().split("\\n")[:-1]]
    except FileNotFoundError:
        return []

def wait_for(*words):
    """What has been collected as soon as all of these are in it."""
    while True:
        found = batches()
        text = json.dumps(found)
        if all(word in text for word in words):
            return found
        time.sleep(0.005)

def handler(event, context):
    for line in event.get("say", []):
        print(line)
    if event.get("do"):
        exec(event["do"])
    return wait_for(*event["until"]) if "until" in event else context.aws_request_id
'''
"""A function that prints, and that gives back what the extension has collected."""


def told(function: Function, *until: str) -> list[dict[str, Any]]:
    """All events that the extension has got once all of these words are in them."""
    return [event for batch in batches(function, *until) for event in batch["events"]]


def batches(function: Function, *until: str) -> list[dict[str, Any]]:
    answer = function.invoke({"until": until})
    assert answer.error is None, answer.document
    found: list[dict[str, Any]] = answer.document
    return found


def ended(function: Function, answer: Answer) -> list[dict[str, Any]]:
    """The events up to the report of an invocation."""
    found = told(function, '"platform.report", "record": {"requestId": "' + answer.request_id)
    for place, event in enumerate(found):
        if event["type"] == "platform.report" and event["record"]["requestId"] == answer.request_id:
            return found[: place + 1]
    raise AssertionError(found)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("platform.") for event in events]


def test_a_good_cold_start(client: Any) -> None:
    """TL-01, TL-09, TL-20, TL-26 and the order of TL-47; TL-27: the report comes with the next invocation."""
    early = COLLECTOR + 'say("early")\nlisten()\nidentifier = started()\n'
    code = """
status, headers, body = subscribe(identifier, wishes())
keep(headers=[status, headers, body.decode()], events=[])
follow(identifier)
"""
    function = extended(client, {"ext.py": early + code}, READER)
    answer = function.invoke({"say": ["hello"]})
    found = batches(function, "platform.report")
    (status, headers, body), first = found[0]["headers"], found[1]
    assert (status, headers["content-type"], body) == (200, "text/plain; charset=utf-8", '"OK"')
    assert (first["method"], first["path"]) == ("POST", "/to")
    names = {name.lower(): value for name, value in first["headers"].items()}
    assert set(names) == {"host", "content-type", "content-length"}
    assert (names["host"], names["content-type"]) == ("sandbox.localdomain:4243", "application/json")
    assert first["events"][0]["type"] == "platform.initStart"

    events = ended(function, answer)
    assert sorted(kinds(events[1:3])) == ["extension", "telemetrySubscription"]
    assert sorted(kinds(events[3:5])) == ["extension", "initRuntimeDone"]
    assert kinds(events[5:]) == ["initReport", "start", "function", "runtimeDone", "report"]
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    by_kind = {event["type"]: event["record"] for event in events}
    assert by_kind["extension"] == "early\n"
    assert by_kind["function"] == "hello\n"
    assert by_kind["platform.telemetrySubscription"] == {
        "name": "ext.py",
        "state": "Subscribed",
        "types": ["platform", "function", "extension"],
    }
    assert by_kind["platform.extension"] == {"name": "ext.py", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}
    assert by_kind["platform.initStart"]["functionName"] == function.name
    assert by_kind["platform.initStart"]["phase"] == "init"
    assert by_kind["platform.start"]["requestId"] == by_kind["platform.report"]["requestId"] == answer.request_id


def test_the_numbers_of_an_invocation(client: Any) -> None:
    """TL-41 to TL-44: those of the events are those of the log."""
    function = extended(client, {"ext.py": PLAIN}, READER)
    answer = function.invoke({"do": "time.sleep(0.05)"})
    events = ended(function, answer)
    by_kind = {event["type"]: event["record"] for event in events}
    done, report = by_kind["platform.runtimeDone"], by_kind["platform.report"]
    assert done["status"] == report["status"] == "success"
    assert done["metrics"]["producedBytes"] == len(answer.payload)
    spans = {span["name"]: span["durationMs"] for span in done["spans"]}
    assert list(spans) == ["responseLatency", "responseDuration", "runtimeOverhead"]
    assert (
        50 <= spans["responseLatency"] <= done["metrics"]["durationMs"] + 0.01 <= report["metrics"]["durationMs"] + 0.02
    )
    assert [span["name"] for span in report["spans"]] == ["extensionOverhead"]
    metrics = report["metrics"]
    logged = re.findall(r"\t([\w ]+): ([\d.]+) (?:ms|MB)", answer.tail.splitlines()[-1])
    assert {name: float(value) for name, value in logged} == {
        "Duration": pytest.approx(metrics["durationMs"], abs=0.006),  # two decimals of three
        "Billed Duration": metrics["billedDurationMs"],
        "Memory Size": metrics["memorySizeMB"],
        "Max Memory Used": metrics["maxMemoryUsedMB"],
        "Init Duration": pytest.approx(metrics["initDurationMs"], abs=0.006),
    }
    assert metrics["initDurationMs"] == by_kind["platform.initReport"]["metrics"]["durationMs"]
    assert metrics["memorySizeMB"] == 1769
    assert by_kind["platform.start"]["tracing"] == done["tracing"] == report["tracing"]
    second = ended(function, function.invoke({}))[-1]["record"]
    assert "initDurationMs" not in second["metrics"]


@pytest.mark.parametrize("schema", ["2022-07-01", "2022-12-13", "2025-01-29"])
def test_lines_of_a_function_whose_log_is_json(client: Any, schema: str) -> None:
    """TL-46: objects from 2022-12-13 on; what is none is a text, with its line feed."""
    extension = PLAIN.replace("wishes()", f'wishes(schemaVersion="{schema}")')
    function = extended(client, {"ext.py": extension}, READER, LoggingConfig={"LogFormat": "JSON"})
    line = '{"level": "INFO", "message": "from print"}'
    answer = function.invoke({"say": [line], "do": "os.write(1, b'plain text\\n')"})
    records = [event["record"] for event in ended(function, answer) if event["type"] == "function"]
    assert "plain text\n" in records
    if schema == "2022-07-01":
        assert all(isinstance(record, str) for record in records)
        assert any("from print" in record for record in records)
    else:
        assert any(isinstance(record, dict) and "from print" in json.dumps(record) for record in records)


@pytest.mark.parametrize("schema", ["2020-08-15", "2021-03-18"])
def test_the_logs_api(client: Any, schema: str) -> None:
    """TL-01, TL-20 and section 5.5: another path, PUT if asked for, fewer events."""
    extension = (
        COLLECTOR
        + f"""
listen()
identifier = started()
destination = {{**wishes()["destination"], "method": "PUT", "encoding": "JSON"}}
answer = subscribe(identifier, wishes(schemaVersion="{schema}", destination=destination), "/2020-08-15/logs")
assert answer[0] == 200, answer
follow(identifier)
"""
    )
    function = extended(client, {"ext.py": extension}, READER)
    answer = function.invoke({"say": ["hello"]})
    assert {batch["method"] for batch in batches(function, "platform.report")} == {"PUT"}
    events = ended(function, answer)
    done = ["runtimeDone"] if schema == "2021-03-18" else []
    assert kinds(events) == ["logsSubscription", "extension", "start", "function", *done, "end", "report"]
    by_kind = {event["type"]: event["record"] for event in events}
    assert list(by_kind["platform.report"]) == ["requestId", "metrics"]
    if done:
        assert by_kind["platform.runtimeDone"] == {"requestId": answer.request_id, "status": "success"}


def test_plain_tcp(client: Any) -> None:
    """TL-24: a JSON object to a line."""
    extension = (
        COLLECTOR
        + """
import socket
server = socket.create_server(("0.0.0.0", 4243))
def read():
    with server.accept()[0].makefile("rb") as lines:
        for line in lines:
            keep(events=[json.loads(line)])
threading.Thread(target=read, daemon=True).start()
identifier = started()
assert subscribe(identifier, wishes(destination={"protocol": "TCP", "port": 4243}))[0] == 200
follow(identifier)
"""
    )
    function = extended(client, {"ext.py": extension}, READER)
    events = ended(function, function.invoke({"say": ["hello"]}))
    assert kinds(events)[0] == "initStart"
    assert kinds(events)[-3:] == ["function", "runtimeDone", "report"]


def test_a_listener_that_refuses_and_fails_at_first(client: Any) -> None:
    """TL-23: nobody listens for 200 ms, then it answers 500 twice; nothing is lost, nothing comes twice."""
    late = """
identifier = started()
assert subscribe(identifier, wishes())[0] == 200
time.sleep(0.2)
ANSWERS += [500, 500]
listen()
follow(identifier)
"""
    function = extended(client, {"ext.py": COLLECTOR + late}, READER)
    answer = function.invoke({"say": ["hello"]})
    ended(function, answer)
    found = batches(function, "platform.report")
    assert found[0]["events"] == found[1]["events"] == found[2]["events"]
    lines = [event for batch in found[2:] for event in batch["events"] if event["type"] == "function"]
    assert [event["record"] for event in lines] == ["hello\n"]
    assert found[0]["events"][0]["type"] == "platform.initStart"


def test_a_slow_listener(client: Any) -> None:
    """TL-25: the function does not notice; what does not fit is dropped and told of."""
    stall = COLLECTOR.replace(
        "        keep(method",
        '        while os.path.exists("/tmp/stall"):\n            time.sleep(0.005)\n        keep(method',
    )
    start = """
keep_whole = keep
def keep(events, **batch):
    short = [{**one, "record": one["record"][:10]} if isinstance(one["record"], str) else one for one in events]
    keep_whole(events=short, **batch)

open("/tmp/stall", "w").close()
listen()
identifier = started()
assert subscribe(identifier, wishes())[0] == 200
follow(identifier)
"""
    function = extended(client, {"slow.py": stall + start}, READER, Timeout=60)
    flood = "for number in range(20): os.write(1, b'x' * 400_000 + b'\\n')"
    answer = function.invoke({"do": flood})
    assert answer.error is None
    answer = function.invoke({"do": 'os.remove("/tmp/stall")', "until": ["platform.logsDropped"]})
    assert answer.error is None, answer.document
    events = [event for batch in answer.document for event in batch["events"]]
    dropped = [event["record"] for event in events if event["type"] == "platform.logsDropped"]
    assert list(dropped[0]) == ["droppedBytes", "droppedRecords", "reason"]
    assert dropped[0]["droppedRecords"] > 0
    assert dropped[0]["droppedBytes"] > 262_144
    assert kinds(events)[0] == "initStart"


def test_refused_subscriptions(client: Any) -> None:
    """TL-02, TL-03, TL-05, TL-06 over the wire, and TL-04 once init is complete."""
    extension = (
        COLLECTOR
        + """
import uuid
answers = {}
def attempt(what, identifier, body, path="/2022-07-01/telemetry"):
    headers = {} if identifier is None else {"Lambda-Extension-Identifier": identifier}
    status, _, data = call("PUT", path, body if isinstance(body, str) else json.dumps(body), headers)
    answers[what] = [status, data.decode()]

listen()
identifier = started()
attempt("missing", None, wishes())
attempt("malformed", "me", wishes())
attempt("unknown", str(uuid.uuid4()), wishes())
attempt("not json", identifier, "{")
attempt("no types", identifier, wishes(types=[]))
attempt("logs, no types", identifier, wishes(types=[], schemaVersion="2020-08-15"), "/2020-08-15/logs")
attempt("managed", identifier, wishes(schemaVersion="2030-01-01"))
attempt("good", identifier, wishes())
attempt("again", identifier, wishes(types=["platform"]), "/2022-07-01/telemetry/")
attempt("other api", identifier, wishes(schemaVersion="2020-08-15"), "/2020-08-15/logs/")
next_event(identifier)
attempt("late", identifier, wishes())
attempt("late logs", identifier, wishes(schemaVersion="2020-08-15"), "/2020-08-15/logs")
keep(events=[], answers=answers)
follow(identifier)
"""
    )
    function = extended(client, {"ext.py": extension}, READER)
    function.invoke({})
    found = batches(function, "late logs")
    (answers,) = [batch["answers"] for batch in found if "answers" in batch]
    refusals = {
        what: (status, json.loads(body)["errorType"], json.loads(body)["errorMessage"])
        for what, (status, body) in answers.items()
        if status != 200
    }
    assert answers["good"] == answers["again"] == [200, '"OK"']
    assert refusals["missing"][:2] == (403, "Extension.MissingExtensionIdentifier")
    assert refusals["malformed"][:2] == (403, "Extension.InvalidExtensionIdentifier")
    assert refusals["unknown"][:2] == (403, "Extension.UnknownExtensionIdentifier")
    assert refusals["not json"][:2] == (400, "ValidationError")
    assert refusals["no types"] == (400, "ValidationError", "types should not be empty")
    assert refusals["logs, no types"] == (400, "Logs.ValidationError", "types should not be empty")
    assert refusals["managed"][:2] == (400, "ValidationError")
    assert refusals["other api"][:2] == (403, "Logs.SubscriptionConflict")
    assert refusals["late"] == (
        403,
        "Telemetry.SubscriptionClosed",
        "Telemetry API subscription is closed already",
    )
    assert refusals["late logs"] == (403, "Logs.SubscriptionClosed", "Logs API subscription is closed already")
    events = [event for batch in found for event in batch["events"]]
    assert not [event for event in events if event["type"] == "function"], "replaced"


def test_an_init_that_crashes(client: Any) -> None:
    """TL-48: both tries, the second in phase `invoke`."""
    code = 'if not os.path.exists("/tmp/second"):\n    open("/tmp/second", "w").close()\n    os._exit(3)\n' + READER
    function = extended(client, {"ext.py": PLAIN}, code)
    answer = function.invoke({})
    assert answer.error is None
    events = [event for event in ended(function, answer) if event["type"].startswith("platform.init")]
    seen = [
        (kind, event["record"]["phase"], event["record"].get("status"), event["record"].get("errorType"))
        for kind, event in zip(kinds(events), events, strict=True)
    ]
    assert seen == [
        ("initStart", "init", None, None),
        ("initRuntimeDone", "init", "error", "Runtime.ExitError"),
        ("initReport", "init", "error", "Runtime.ExitError"),
        ("initStart", "invoke", None, None),
        ("initRuntimeDone", "invoke", "success", None),
        ("initReport", "invoke", "success", None),
    ]


@pytest.mark.parametrize(
    ("do", "done", "report"),
    [
        ("os._exit(3)", ("error", "Runtime.ExitError"), ("error", "Runtime.ExitError")),
        ("time.sleep(60)", ("timeout", None), ("timeout", None)),
        ("raise ValueError", ("error", "Runtime.Unknown"), ("success", None)),
    ],
)
def test_an_invocation_that_fails(client: Any, do: str, done: tuple[Any, ...], report: tuple[Any, ...]) -> None:
    """TL-42, TL-49: crash, timeout, and an error that the function reports."""
    function = extended(client, {"ext.py": PLAIN}, READER, Timeout=2)
    function.invoke({})
    answer = function.invoke({"do": do})
    assert answer.error == "Unhandled"
    events = [
        event
        for event in ended(function, answer)
        if event["type"].startswith("platform.") and event["record"].get("requestId") == answer.request_id
    ]
    assert kinds(events) == ["start", "runtimeDone", "report"]
    seen = [(event["record"]["status"], event["record"].get("errorType")) for event in events[1:]]
    assert seen == [done, report]
    if done[0] == "timeout":
        assert "producedBytes" not in events[1]["record"]["metrics"]


def test_an_internal_extension_may_subscribe(client: Any) -> None:
    """TL-07: the identifier is all that counts."""
    inside = COLLECTOR.partition("\n")[2].replace("os.path.basename(__file__)", '"inside"')
    code = (
        inside
        + """
listen("sandbox")
identifier = started(["INVOKE"])
subscribe(identifier, wishes())
def follow():
    while True:
        next_event(identifier)
threading.Thread(target=follow, daemon=True).start()
"""
    )
    function = extended(client, {}, code + READER, files={"nothing": ""})
    events = ended(function, function.invoke({"say": ["hello"]}))
    assert kinds(events)[0] == "initStart"
    assert "hello\n" in [event["record"] for event in events]


def test_all_subscribers_get_all_lines(client: Any) -> None:
    """TL-28: those of another extension too; each has its own port and its own file."""
    second = PLAIN.replace("4243", "4244").replace("/tmp/batches", "/tmp/others")
    function = extended(client, {"a.py": PLAIN, "b.py": second.replace("listen()", 'say("of b")\nlisten()', 1)}, READER)
    events = ended(function, function.invoke({}))
    assert "of b\n" in [event["record"] for event in events if event["type"] == "extension"]


def test_the_lines_of_the_platform_in_json(client: Any) -> None:
    """Section 7.3, with the system log level of the function."""
    logging = {"LogFormat": "JSON", "SystemLogLevel": "DEBUG"}
    function = extended(client, {"ext.py": PLAIN}, READER, LoggingConfig=logging)
    answer = function.invoke({})
    lines = [json.loads(line) for line in answer.tail.splitlines() if '"type":"platform.' in line]
    assert [line["type"] for line in lines] == ["platform.start", "platform.runtimeDone", "platform.report"]
    assert {line["record"]["requestId"] for line in lines} == {answer.request_id}


def test_subscriptions_in_the_log(client: Any, logs: Logs) -> None:
    """Section 7.1 and LG-08: before the extension's own line."""
    function = extended(client, {"ext.py": PLAIN}, READER)
    function.invoke({})
    lines = logs(function.name, until="EXTENSION", whole=True)
    assert lines[-2:] == [
        "TELEMETRY\tName: ext.py\tState: Subscribed\tTypes: [Platform, Function, Extension]",
        "EXTENSION\tName: ext.py\tState: Ready\tEvents: [INVOKE, SHUTDOWN]",
    ]
