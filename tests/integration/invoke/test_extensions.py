"""Sections 3 and 4 of the contract: external and internal extensions in real sandboxes."""

import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.extensions import EXTENSION, SHEBANG, WELL, extended
from tests.support.functions import PRELUDE, Function, bash, create
from tests.support.layers import publish

pytestmark = pytest.mark.sandbox

Logs = Callable[..., list[str]]
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def retire(client: Any, function: Function) -> None:
    """End the function's environments, in order: a changed configuration needs new ones."""
    client.update_function_configuration(FunctionName=function.name, Description="changed")


def error_of(function: Function, answer_error_type: str) -> str:
    answer = function.invoke()
    assert (answer.status, answer.error) == (200, "Unhandled")
    assert answer.document["errorType"] == answer_error_type
    message: str = answer.document["errorMessage"]
    assert message.startswith(f"RequestId: {answer.request_id} Error: ")
    return message.partition("Error: ")[2]


# The life of a good extension


def test_an_extension_follows_invocations_until_the_shutdown(client: Any, logs: Logs) -> None:
    """EX-10, EX-30 to EX-33, LG-08 and the order of 4.1."""
    code = """
def handler(event, context):
    return {"id": context.aws_request_id, "arn": context.invoked_function_arn, "trace": os.environ["_X_AMZN_TRACE_ID"]}
"""
    function = extended(client, {"well.py": WELL}, code)
    first = function.invoke()
    second = function.invoke()
    retire(client, function)
    lines = logs(function.name, until='well.py got {"eventType":"SHUTDOWN"', whole=True)
    events = [json.loads(line.partition(" got ")[2]) for line in lines if line.startswith("well.py got ")]
    assert [event["eventType"] for event in events] == ["INVOKE", "INVOKE", "SHUTDOWN"]
    for event, answer in zip(events, (first, second), strict=False):
        told = answer.document
        assert list(event) == ["eventType", "deadlineMs", "requestId", "invokedFunctionArn", "tracing"]
        assert event["requestId"] == told["id"] == answer.request_id
        assert event["invokedFunctionArn"] == told["arn"]
        assert event["tracing"] == {"type": "X-Amzn-Trace-Id", "value": told["trace"]}
    assert events[1]["deadlineMs"] > events[0]["deadlineMs"]
    assert events[2]["shutdownReason"] == "spindown"
    kinds = [line.split()[0] for line in lines]
    assert kinds[:3] == ["INIT_START", "EXTENSION", "START"]
    assert lines[1] == "EXTENSION\tName: well.py\tState: Ready\tEvents: [INVOKE, SHUTDOWN]"


def test_answers_of_the_extensions_api_in_full(client: Any) -> None:
    """EX-10, EX-11, EX-30: registration without a content type, with a feature; headers of an event."""
    extension = (
        EXTENSION
        + """
status, headers, body = register(NAME, [], "accountId, other", body='{ "events": ["INVOKE"], "more": 1 }')
open("/tmp/registered", "w").write(json.dumps([status, headers, body.decode()]))
identifier = headers["lambda-extension-identifier"]
while True:
    status, headers, body = next_event(identifier)
    open("/tmp/half", "w").write(json.dumps([status, headers]))
    os.replace("/tmp/half", "/tmp/event")  # the function reads while the next one is written
"""
    )
    code = """
def handler(event, context):
    return [json.load(open("/tmp/registered")), json.load(open("/tmp/event"))] if event else None
"""
    function = extended(client, {"x.py": extension}, code, handler="function.handler")
    function.invoke({})
    (status, headers, body), (event_status, event_headers) = function.invoke({"tell": True}).document
    assert status == 200
    assert re.fullmatch(UUID, headers["lambda-extension-identifier"])
    assert headers["content-type"] == "application/json"
    assert body == (
        f'{{"functionName":"{function.name}","functionVersion":"$LATEST","handler":"function.handler",'
        '"accountId":"000000000000"}\n'
    )
    assert event_status == 200
    assert event_headers["content-type"] == "application/json"
    assert re.fullmatch(UUID, event_headers["lambda-extension-event-identifier"])


def test_the_runtime_starts_when_the_last_extension_has_registered(client: Any) -> None:
    """Step 3 of 4.1, EX-02: all start at once, the runtime after the last registration."""
    slow = (
        EXTENSION
        + """
while not os.path.exists("/tmp/quick"):  # they run side by side, or this never ends
    pass
open("/tmp/slow", "w").close()
identifier = started([])
open("/tmp/ready", "w").close()
next_event(identifier)
"""
    )
    quick = EXTENSION + 'open("/tmp/quick", "w").close()\nidentifier = started([])\nnext_event(identifier)\n'
    code = """
SEEN = os.path.exists("/tmp/slow")
def handler(event, context):
    return [SEEN, os.path.exists("/tmp/ready")]
"""
    assert extended(client, {"a-slow": slow, "b-quick": quick}, code).invoke().document == [True, True]


def test_an_extension_without_events_gates_the_init_and_nothing_else(client: Any, logs: Logs) -> None:
    """EX-32, EX-34, LG-08."""
    silent = EXTENSION + 'identifier = started([])\nsay("next", next_event(identifier))\n'
    function = extended(client, {"silent": silent})
    assert function.invoke(1).document == 1
    assert function.invoke(2).document == 2
    assert logs(function.name, until="EXTENSION") == ["EXTENSION\tName: silent\tState: Ready\tEvents: []"]
    assert not any(line.startswith("next") for line in logs(function.name, until="REPORT", whole=True))


def test_what_counts_as_an_extension(client: Any) -> None:
    """EX-01: files and links directly in the folder, of all layers together; directories are not."""
    first = publish(client, {"extensions/b": EXTENSION + "next_event(started([]))\n", "extensions/lib/x": "no"})
    second = publish(client, {"extensions/a": EXTENSION + "next_event(started([]))\n"})
    code = """
def handler(event, context):
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            found += [word for word in open(f"/proc/{pid}/cmdline").read().split("\\0") if "/opt/extensions" in word]
    return sorted(found)
"""
    function = extended(client, {}, code, files={"readme": "x"})
    client.update_function_configuration(FunctionName=function.name, Layers=[first, second])
    client.get_waiter("function_updated_v2").wait(FunctionName=function.name)
    assert function.invoke().document == ["/opt/extensions/a", "/opt/extensions/b"]


def test_the_variables_of_an_extension(client: Any) -> None:
    """EN-02, EX-02: exactly these; the customer's own among them; the working directory."""
    extension = (
        EXTENSION
        + """
open("/tmp/seen", "w").write(json.dumps([dict(os.environ), os.getcwd(), sys.argv[1:], os.getpgid(0) == os.getpid()]))
next_event(started([]))
"""
    )
    code = 'def handler(event, context):\n    return json.load(open("/tmp/seen"))\n'
    function = extended(
        client, {"x": extension}, code, Environment={"Variables": {"MINE": "a=b", "PYTHONPATH": "/mine"}}
    )
    variables, directory, arguments, _ = function.invoke().document
    assert set(variables) - {"HOME", "LC_CTYPE"} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LANG",
        "LD_LIBRARY_PATH",
        "MINE",
        "PATH",
        "PWD",
        "PYTHONPATH",
        "TZ",
    }
    assert (variables["MINE"], variables["PYTHONPATH"]) == ("a=b", "/mine")
    assert (directory, arguments) == ("/", [])


# Refusals


def test_refused_registrations(client: Any) -> None:
    """EX-05, EX-11 to EX-20: each of them from inside the runtime, where an external one has registered already."""
    code = """
def told(answer):
    status, headers, body = answer
    document = json.loads(body)
    return [status, document.get("errorType"), document.get("errorMessage")]

RESULTS = {
    "no name": told(register("", ["INVOKE"])),
    "no body": told(register("i", [], body="")),
    "no json": told(register("i", [], body="{no")),
    "no object": told(register("i", [], body="[]")),
    "no list": told(register("i", [], body='{"events": 1}')),
    "deep": told(register("i", [], body="[" * 100000)),
    "configuration": told(register("i", [], body='{"events": [], "configurationKeys": ["a"]}')),
    "unknown event": told(register("i", ["FOO"])),
    "shutdown": told(register("i", ["SHUTDOWN"])),
    "external again": told(register("x", ["INVOKE"])),
    "good": told(register("i", [], body="{}"))[0],
    "name taken": told(register("i", [])),
    "others": [register(f"i{number}", [])[0] for number in range(8)],
    "eleventh": told(register("i9", [])),
}
# all those that have registered have to ask for an event, or the init never ends
"""
    code += """
import http.client
IDS = []
def handler(event, context):
    if event == "late":
        return told(register("late", []))
    return RESULTS
"""
    # The names above are registered without their identifiers being kept; ask for events with those.
    code = code.replace('"good": told(register("i", [], body="{}"))[0],', '"good": keep(register("i", [], body="{}")),')
    code = code.replace('[register(f"i{number}", [])[0] for', '[keep(register(f"i{number}", [])) for')
    code = (
        """
KEPT = []
def keep(answer):
    KEPT.append(answer[1]["lambda-extension-identifier"])
    return answer[0]
"""
        + code
        + """
for identifier in KEPT:
    threading.Thread(target=next_event, args=(identifier,), daemon=True).start()
"""
    )
    function = extended(client, {"x": EXTENSION + "next_event(started([]))\n"}, code)
    results = function.invoke().document
    taken = "Extension with this name already registered"
    failed = "failed for extension x. Error: State transition is not allowed"
    assert results["no name"] == [403, "Extension.InvalidExtensionName", "Empty extension name"]
    assert results["no body"] == [403, "InvalidRequestFormat", "unexpected end of JSON input"]
    for name in ("no json", "no object", "no list", "deep"):
        assert results[name][:2] == [403, "InvalidRequestFormat"]
    deprecated = "configurationKeys are deprecated; use environment variables instead"
    assert results["configuration"] == [403, "InvalidRequestFormat", deprecated]
    assert results["unknown event"] == [403, "Extension.InvalidEventType", "FOO: ErrorInvalidEventType"]
    unsupported = "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension"
    assert results["shutdown"] == [403, "Extension.InvalidEventType", unsupported]
    assert results["external again"][:2] == [403, "Extension.InvalidExtensionState"]
    again = [f"State transition from {state} to Registered {failed}" for state in ("Registered", "Ready")]
    assert results["external again"][2] in again
    assert results["good"] == 200
    assert results["name taken"] == [403, "Extension.InvalidExtensionState", taken]
    assert results["others"] == [200] * 8
    assert results["eleventh"] == [403, "Extension.TooManyExtensions", "Extension limit (10) reached"]
    closed = [403, "Extension.RegistrationClosed", "Extension registration closed already"]
    assert function.invoke("late").document == closed


def test_refused_calls_with_an_identifier(client: Any) -> None:
    """EX-36 to EX-40, EX-50 to EX-52, TL-03 and the text of 3.4 for an unknown one."""
    code = f"""
def told(answer):
    status, headers, body = answer
    document = json.loads(body)
    return [status, document["errorType"], document["errorMessage"]]

UNKNOWN = "{"0" * 8}-{"0" * 4}-{"0" * 4}-{"0" * 4}-{"0" * 12}"
BASE = "/2020-01-01/extension/"
IDENTIFIER = register("internal", [])[1]["lambda-extension-identifier"]
threading.Thread(target=next_event, args=(IDENTIFIER,), daemon=True).start()

def handler(event, context):
    headers = {{"Lambda-Extension-Identifier": IDENTIFIER}}
    return {{
        "missing": told(call("GET", BASE + "event/next")),
        "malformed": told(next_event("x")),
        "unknown": told(next_event(UNKNOWN)),
        "pending": told(next_event(IDENTIFIER)),
        "error missing": told(call("POST", BASE + "exit/error")),
        "error unknown": told(fail("init", UNKNOWN)),
        "no type": told(call("POST", BASE + "exit/error", b"{{}}", headers)),
        "init error while ready": told(fail("init", IDENTIFIER)),
        "telemetry missing": told(call("PUT", "/2022-07-01/telemetry", b"{{}}")),
        "telemetry unknown": told(subscribe(UNKNOWN, {{}})),
        "wrong method": [call("POST", BASE + "event/next")[0], call("GET", BASE + "register")[1]["allow"]],
        "unknown path": call("GET", BASE + "other")[0],
        "id": IDENTIFIER,
    }}
"""
    results = extended(client, {}, code, files={"readme": "x"}).invoke().document
    missing = [403, "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header"]
    unknown = "00000000-0000-0000-0000-000000000000"
    identifier = results["id"]
    assert results["missing"] == results["error missing"] == results["telemetry missing"] == missing
    assert results["malformed"] == [403, "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"]
    assert results["unknown"] == [403, "Extension.UnknownExtensionIdentifier", f"Unknown extension {unknown}"]
    assert results["telemetry unknown"][:2] == [403, "Extension.UnknownExtensionIdentifier"]
    text = "Error: State transition is not allowed"
    assert results["pending"] == [
        403,
        "Extension.InvalidExtensionState",
        f"State transition from Ready to Ready failed for extension {identifier}. {text}",
    ]
    assert results["error unknown"] == [
        403,
        "Extension.UnknownExtensionIdentifier",
        "Unknown Lambda-Extension-Identifier",
    ]
    assert results["no type"] == [403, "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"]
    assert results["init error while ready"] == [
        403,
        "Extension.InvalidExtensionState",
        f"State transition from Ready to InitError failed for extension {identifier}. {text}",
    ]
    assert results["wrong method"] == [405, "POST"]
    assert results["unknown path"] == 404


RAW = """
import select, socket
IDENTIFIER = register("inside", ["INVOKE"])[1]["lambda-extension-identifier"]
CALL = "GET /2020-01-01/extension/event/next HTTP/1.1\\r\\nHost: x\\r\\nLambda-Extension-Identifier: "

def ask():
    one = socket.create_connection(HOST.split(":"))
    one.sendall(f"{CALL}{IDENTIFIER}\\r\\n\\r\\n".encode())
    return one

def read(one):
    answer = http.client.HTTPResponse(one)
    answer.begin()
    return answer.status, json.loads(answer.read())

WAITING = ask()
"""


def test_a_refused_second_call_leaves_the_first_one_waiting(client: Any) -> None:
    """EX-36."""
    code = """
def handler(event, context):
    global WAITING
    status, document = read(WAITING)
    calls = [ask(), ask()]
    ((refused,), _, _) = select.select(calls, [], [])
    assert read(refused)[0] == 403
    calls.remove(refused)
    (WAITING,) = calls
    return document["requestId"]
"""
    function = extended(client, {}, RAW + code, files={"readme": "x"})
    for _ in range(3):
        answer = function.invoke()
        assert answer.document == answer.request_id


def test_a_call_that_is_gone_makes_way_for_the_next(client: Any) -> None:
    """EX-36."""
    code = """
def handler(event, context):
    global WAITING
    status, document = read(WAITING)
    gone = ask()
    gone.shutdown(socket.SHUT_WR)
    assert gone.recv(1) == b""  # the server has taken note
    WAITING = ask()
    return document["requestId"]
"""
    function = extended(client, {}, RAW + code, files={"readme": "x"})
    for _ in range(3):
        answer = function.invoke()
        assert answer.document == answer.request_id


# Misbehaviour: only the extension's own environment is harmed, and the caller sees AWS's error


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("sys.exit(0)", "exit code 0"),
        ("sys.exit(2)", "exit status 2"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal: killed"),
    ],
)
def test_an_extension_that_ends_during_init(client: Any, end: str, message: str) -> None:
    """EX-65, EX-67, LG-05, LG-08, TL-45: init is tried again inside the invocation."""
    function = extended(client, {"bad": EXTENSION + f"{end}\n"})
    answer = function.invoke()
    assert answer.document == {
        "errorType": "Extension.Crash",
        "errorMessage": f"RequestId: {answer.request_id} Error: {message}",
    }
    lines = answer.tail.splitlines()
    assert lines[0] == "EXTENSION\tName: bad\tState: Started\tEvents: []\tError Type: Extension.Crash"
    pattern = r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: invoke\tStatus: error\tError Type: Extension.Crash"
    assert re.fullmatch(pattern, lines[1])
    assert lines[-1].endswith("\tStatus: error\tError Type: Extension.Crash")


@pytest.mark.parametrize(("kind", "error_type"), [("init", "Extension.InitError"), ("exit", "Extension.ExitError")])
def test_an_extension_that_reports_an_error_and_exits(client: Any, kind: str, error_type: str) -> None:
    """EX-50 to EX-53."""
    extension = (
        EXTENSION
        + f"""
identifier = started()
assert fail("{kind}", identifier, "Mine.Configuration")[::2] == (202, b'{{"status":"OK"}}\\n')
assert fail("{kind}", identifier)[0] == 202
assert next_event(identifier)[0] == 403
sys.exit(3)
"""
    )
    function = extended(client, {"bad": extension})
    assert error_of(function, error_type) == "exit status 3"
    tail = function.invoke().tail
    state = {"init": "InitError", "exit": "ExitError"}[kind]
    line = f"EXTENSION\tName: bad\tState: {state}\tEvents: [INVOKE, SHUTDOWN]\tError Type: Mine.Configuration"
    assert line in tail.splitlines()


def test_an_extension_that_reports_an_error_and_stays(client: Any) -> None:
    """EX-52: within a second the call itself counts as the failure."""
    extension = EXTENSION + 'fail("init", started())\nthreading.Event().wait()\n'
    message = error_of(extended(client, {"bad": extension}), "Extension.InitError")
    assert message == "the extension reported an error and did not exit"


def test_an_extension_that_cannot_be_started(client: Any) -> None:
    """EX-03."""
    layer = publish(client, {"extensions/notes.txt": "no program"})
    function = create(client, {"bootstrap": PRELUDE + "next\n"}, Layers=[layer])
    assert error_of(function, "Extension.LaunchError") == "fork/exec /opt/extensions/notes.txt: exec format error"


def test_eleven_extensions(client: Any) -> None:
    """EX-05."""
    function = extended(client, {f"x{number}": WELL for number in range(11)})
    assert error_of(function, "Extension.LaunchError") == "TooManyExtensions"


def test_an_extension_that_crashes_in_an_invocation(client: Any) -> None:
    """EX-65; the next invocation gets a fresh start."""
    extension = EXTENSION + "identifier = started()\nnext_event(identifier)\nsys.exit(7)\n"
    code = "def handler(event, context):\n    threading.Event().wait()\n"
    function = extended(client, {"bad": extension}, code)
    assert error_of(function, "Extension.Crash") == "exit status 7"
    answer = function.invoke()
    assert answer.document["errorType"] == "Extension.Crash"
    assert answer.tail.splitlines()[-1].endswith("\tStatus: error\tError Type: Extension.Crash")


def test_an_extension_that_never_asks_again(client: Any, logs: Logs) -> None:
    """EX-63, EX-31: the caller keeps its answer; the environment times out and is reset for that reason."""
    stuck = (
        EXTENSION
        + """
identifier = started()
next_event(identifier)
threading.Event().wait()
"""
    )
    function = extended(client, {"stuck": stuck, "well": WELL}, Timeout=1)
    answer = function.invoke(42, tail=False)
    assert (answer.error, answer.document) == (None, 42)
    lines = logs(function.name, until='well got {"eventType":"SHUTDOWN"', whole=True)
    report = next(line for line in lines if line.startswith("REPORT"))
    assert "\tDuration: 1000.00 ms\t" in report
    assert report.endswith("\tStatus: timeout")
    assert json.loads(lines[-1].partition(" got ")[2])["shutdownReason"] == "timeout"


def test_a_function_that_times_out_shuts_its_extensions_down(client: Any, logs: Logs) -> None:
    """4.7 and EX-31: reason `timeout`; the caller does not wait for it."""
    code = "def handler(event, context):\n    threading.Event().wait()\n"
    function = extended(client, {"well": WELL}, code, Timeout=1)
    assert function.invoke().document["errorType"] == "Sandbox.Timedout"
    line = logs(function.name, until='well got {"eventType":"SHUTDOWN"')[0]
    assert json.loads(line.partition(" got ")[2])["shutdownReason"] == "timeout"


def test_a_runtime_that_crashes_shuts_its_extensions_down(client: Any, logs: Logs) -> None:
    """EX-84: SHUTDOWN with reason `failure`; the environment is used again."""
    code = """
def handler(event, context):
    if event == "die":
        os._exit(1)
"""
    function = extended(client, {"well": WELL}, code)
    function.invoke(1)
    assert function.invoke("die").document["errorType"] == "Runtime.ExitError"
    line = logs(function.name, until='well got {"eventType":"SHUTDOWN"')[0]
    assert json.loads(line.partition(" got ")[2])["shutdownReason"] == "failure"
    assert function.invoke(2).error is None


def test_an_extension_that_ends_between_invocations(client: Any) -> None:
    """EX-66: nobody's error, also with exit code 0."""
    code = "def handler(event, context):\n    return os.environ['AWS_LAMBDA_LOG_STREAM_NAME']\n"
    function = extended(client, {"well": WELL}, code)
    before = function.invoke().document
    processes = processes_of(function.name, "/opt/extensions/well")
    assert processes
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        pass  # until the server, their parent, has taken note
    after = function.invoke(tail=False)
    assert after.error is None
    assert after.document != before


def processes_of(name: str, program: str) -> list[int]:
    """Host ids of the processes that run a program for a function."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            mine = f"AWS_LAMBDA_FUNCTION_NAME={name}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if mine and program.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def test_an_extension_that_ignores_the_shutdown_is_killed(client: Any, logs: Logs) -> None:
    """EX-82 and the budget of 4.6: asking again is no answer."""
    stubborn = (
        EXTENSION
        + """
signal.signal(signal.SIGTERM, lambda *_: say("SIGTERM came"))
identifier = started()
while True:
    body = json.loads(next_event(identifier)[2])
    say("told", body["eventType"], body.get("deadlineMs"))
"""
    )
    function = extended(client, {"stubborn": stubborn})
    function.invoke()
    (pid,) = processes_of(function.name, "/opt/extensions/stubborn")
    retire(client, function)
    lines = logs(function.name, until="told SHUTDOWN", whole=True)
    while Path(f"/proc/{pid}").exists():
        pass
    assert not any("SIGTERM" in line for line in lines)  # EX-80


# The end of the runtime


TERMINATED = """
import socket
# AWS's client waits for events outside of the interpreter, where no handler of Python's runs: a thread is told instead.
TOLD, TELL = socket.socketpair()
TELL.setblocking(False)
signal.set_wakeup_fd(TELL.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
def stop():
    say("runtime got", signal.Signals(TOLD.recv(1)[0]).name)
    os._exit(0)
threading.Thread(target=stop, daemon=True).start()
def handler(event, context):
    return event
"""


def test_the_runtime_gets_sigterm_before_its_extensions_are_told(client: Any, logs: Logs) -> None:
    """EX-80, EX-81 and the third row of 4.6."""
    function = extended(client, {"well": WELL}, TERMINATED)
    function.invoke()
    retire(client, function)
    lines = logs(function.name, until='well got {"eventType":"SHUTDOWN"', whole=True)
    assert lines[-2] == "runtime got SIGTERM"


def test_an_internal_extension_gets_its_runtime_sigterm(client: Any, logs: Logs) -> None:
    """EX-04, EX-35, EX-81 and the second row of 4.6."""
    code = (
        TERMINATED
        + """
IDENTIFIER = register("inside", ["INVOKE"])[1]["lambda-extension-identifier"]
def follow():
    while True:
        say("inside got", next_event(IDENTIFIER)[2].decode())
threading.Thread(target=follow, daemon=True).start()
"""
    )
    function = extended(client, {}, code, files={"readme": "x"})
    function.invoke()
    retire(client, function)
    lines = logs(function.name, until="runtime got SIGTERM", whole=True)
    assert "EXTENSION\tName: inside\tState: Ready\tEvents: [INVOKE]" in lines
    (told,) = [json.loads(line.partition(" got ")[2]) for line in lines if line.startswith("inside got")]
    assert told["eventType"] == "INVOKE"


def test_a_runtime_without_extensions_gets_no_sigterm(client: Any, logs: Logs) -> None:
    """EX-81 and the first row of 4.6: it is killed at once."""
    function = extended(client, {}, TERMINATED, files={"readme": "x"})
    function.invoke()
    (pid,) = processes_of(function.name, "bootstrap.py")
    retire(client, function)
    while Path(f"/proc/{pid}").exists():
        pass
    function.invoke()
    lines = logs(function.name, until="REPORT", whole=True)
    assert not any("SIGTERM" in line for line in lines)


# Others


def test_an_extension_may_be_the_runtime(client: Any) -> None:
    """RT-06: calls are not tied to processes; a web adapter asks for events on behalf of a mute bootstrap."""
    adapter = (
        SHEBANG
        + WELL.partition(SHEBANG)[2].partition("identifier = started()")[0]
        + """
identifier = started([])
threading.Thread(target=next_event, args=(identifier,), daemon=True).start()
while True:
    status, headers, body = call("GET", "/2018-06-01/runtime/invocation/next")
    path = f"/2018-06-01/runtime/invocation/{headers['lambda-runtime-aws-request-id']}/response"
    call("POST", path, b"adapted " + body)
"""
    )
    layer = publish(client, {"extensions/adapter": adapter})
    # The interpreter comes with the managed runtime, whose bootstrap is replaced by a handler that never returns.
    function = extended(client, {}, "threading.Event().wait()\n", files={"readme": "x"})
    client.update_function_configuration(FunctionName=function.name, Layers=[layer])
    client.get_waiter("function_updated_v2").wait(FunctionName=function.name)
    assert function.invoke(raw=b'"event"').payload == b'adapted "event"'


def test_a_background_thread_ticks_only_while_the_environment_runs(client: Any) -> None:
    """Freeze and thaw: not a tick while idle, and on it goes at the next invocation."""
    code = """
TICKS, TICKED = [], threading.Event()
def tick():
    while True:
        TICKS.append(time.monotonic())
        TICKED.set()
        time.sleep(0.1)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    began = time.monotonic()
    TICKED.clear()
    TICKED.wait()
    return {"began": began, "ticks": TICKS, "ended": time.monotonic()}
"""
    function = extended(client, {}, code, files={"readme": "x"})
    first = function.invoke().document
    other = bash(client, "while true; do next; sleep 2; respond done >/dev/null; done\n")
    other.invoke()  # two seconds pass, on a clock that goes on for frozen processes as well
    second = function.invoke().document
    assert second["began"] - first["ended"] > 2
    # One may fall into the moment before freezing takes hold, and one is due as soon as the processes run again,
    # which is before the handler does. Two seconds would have twenty.
    assert len([tick for tick in second["ticks"] if first["ended"] < tick < second["began"]]) <= 2
    assert any(tick > second["began"] for tick in second["ticks"])


def test_an_extension_that_floods_its_log_harms_nobody_else(client: Any) -> None:
    """Its own function works as well; the log is bounded like any other."""
    flood = (
        EXTENSION
        + """
identifier = started()
def flood():
    while True:
        os.write(1, b"x" * 4095 + b"\\n")
threading.Thread(target=flood, daemon=True).start()
while True:
    next_event(identifier)
"""
    )
    flooded = extended(client, {"flood": flood})
    other = extended(client, {"well": WELL})
    for number in range(20):
        assert flooded.invoke(number, tail=False).document == number
        assert other.invoke(number).document == number
    client.delete_function(FunctionName=flooded.name)
