"""Runtimes with one fault each fail for it, and for nothing else.

They are the example's bootstrap, which is sound, with a line or two changed.
"""

from dataclasses import dataclass, replace

import pytest
from tests.integration.conformance.conftest import PACE, REPOSITORY, Patient, examine_all, failures, os_only

from lamella.conformance.checks import Weight
from lamella.conformance.first_aid import START_CHECKS
from lamella.conformance.invocations import OF_EVERY_EVENT
from lamella.conformance.report import Report, Verdict
from lamella.conformance.runtime_checks import RUNTIME_CHECKS
from lamella.runtimes.catalog import PackCatalog

pytestmark = pytest.mark.sandbox

SOUND = (REPOSITORY / "examples" / "python-bootstrap" / "layer" / "bootstrap").read_text()
EVENTS = {"event-intact", "null-result", "log-output", "context", "error-post", "error-body", "error-next"}


@dataclass(frozen=True)
class Broken:
    """A fault.

    Attributes:
        old, new: What is changed in the sound runtime.
        fails: The checks that fail because of it.
        seen: In what was seen of the first of them.
        beside: Other checks that are looked at as well, and pass: of the same scenario.
        idle_s: How long it is left alone.
    """

    old: str
    new: str
    fails: tuple[str, ...]
    seen: str = ""
    beside: tuple[str, ...] = ()
    idle_s: float = PACE.idle_s


ANSWER = "            send_response(context.aws_request_id, result)\n"
BROKEN = {
    "trusts-the-trace-header": Broken(
        "        if trace_id:\n            os.environ", "        if True:\n            os.environ",
        ("header-trace", "header-optional"), "TypeError: str expected, not NoneType", ("text-event", "chunked-event"),
    ),
    "swallows-errors": Broken(
        "            send_error(f'invocation/{context.aws_request_id}/error', e)\n", "            continue\n",
        ("response-each", "error-post", "error-body", "error-type", "error-next"),
        "without an answer to an event whose handler raises", tuple(EVENTS),
    ),
    "drops-empty-results": Broken(
        ANSWER, "            if result != 'null':\n    " + ANSWER,
        ("null-result", "response-each", "log-output"), "It asked for the next event without an answer", tuple(EVENTS),
    ),
    "keeps-the-first-id": Broken(
        "    return body, Context(headers), ",
        "    globals().setdefault('kept', headers['Lambda-Runtime-Aws-Request-Id'])\n"
        "    headers.replace_header('Lambda-Runtime-Aws-Request-Id', kept)\n    return body, Context(headers), ",
        ("response-id", "response-each"), "the event's id was",
    ),
    "answers-twice": Broken(ANSWER, ANSWER + ANSWER, ("response-once",), "a second time", ("event-intact",)),
    "reads-latin-1": Broken(
        "json.loads(body)", "json.loads(body.decode('latin-1'))", ("event-intact",), "u00c3", tuple(EVENTS),
    ),
    "joins-json-by-hand": Broken(
        "    call('POST', path, json.dumps(body), {",
        "    call('POST', path, '{\"errorMessage\": \"%s\", \"errorType\": \"E\"}' % error, {",
        ("error-body",), "It is not JSON", tuple(EVENTS),
    ),
    "ends-after-an-error": Broken(
        "            send_error(f'invocation/{context.aws_request_id}/error', e)\n",
        "            send_error(f'invocation/{context.aws_request_id}/error', e)\n            sys.exit(7)\n",
        ("error-next",), "ended with status 7 after it had answered", tuple(EVENTS),
    ),
    "passes-a-dictionary": Broken(
        "handler(json.loads(body), context)", "handler(json.loads(body), vars(context))",
        ("context", "context-deadline"), "'dict' object has no attribute 'aws_request_id'", tuple(EVENTS),
    ),
    "keeps-output-back": Broken("            sys.stdout.flush()", "            pass", ("log-output",), "not printed",
        tuple(EVENTS)),
    "looks-for-capitals": Broken(
        "headers['Lambda-Runtime-Aws-Request-Id']", "dict(headers.items())['Lambda-Runtime-Aws-Request-Id']",
        ("header-case",), "KeyError: 'Lambda-Runtime-Aws-Request-Id'", ("header-all", "event-intact"),
    ),
    "reads-a-part": Broken(
        "response.read()", "response.read(65536)", ("large-event",), "an event of 6 MiB", ("large-response",),
    ),
    "does-not-report-init-errors": Broken(
        "        send_error('init/error', e)\n", "", ("init-error-post",), "ended with status 1",
    ),
    "stays-after-an-init-error": Broken(
        "        send_error('init/error', e)\n        sys.exit(1)",
        "        send_error('init/error', e)\n        time.sleep(60)", ("init-error-end",), "still there",
        ("init-error-post", "init-error-body"),
    ),
    "repeats-what-was-refused": Broken(
        "    call('POST', f'invocation/{request_id}/response', result)",
        "    while call('POST', f'invocation/{request_id}/response', result)[0] != 202: pass",
        ("refused-size", "refused-late", "refused-state"), "times, although it was refused",
    ),
    "takes-a-refusal-for-an-event": Broken(
        "    if status != 200:", "    if False:", ("refused-next", "refused-fault"), "It took the refusal for an event",
    ),
    "asks-again-and-again": Broken(
        "    if status != 200:\n", "    while status != 200:\n        status, headers, body = call('GET', "
        "'invocation/next')\n    if False:\n", ("refused-next", "refused-fault"), "times more, without a pause",
    ),
    "does-not-wait": Broken(
        "HTTPConnection(RUNTIME_API)", "HTTPConnection(RUNTIME_API, timeout=1)",
        ("wait-patience",), "It closed the connection of `next` after 1.", idle_s=1.5,
    ),
    "waits-a-minute": Broken(
        "HTTPConnection(RUNTIME_API)", "HTTPConnection(RUNTIME_API, timeout=60)",
        ("wait-limit",), "at most", ("wait-patience", "freeze-thaw"),
    ),
    "waits-a-minute-in-the-kernel": Broken(
        "    response = connection.getresponse()",
        "    import socket, struct\n    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, "
        "struct.pack('ll', 60, 0))\n    response = connection.getresponse()",
        ("wait-limit",), "60 s at most", ("wait-patience", "freeze-thaw"),
    ),
    "polls-busily": Broken(
        "    response = connection.getresponse()",
        "    import select\n    while not select.select([connection.sock], [], [], 0)[0]: pass\n"
        "    response = connection.getresponse()",
        ("wait-calm",), "of a processor while it waited", ("wait-patience", "freeze-thaw", "end-sigterm"),
    ),
    "does-not-survive-the-freezer": Broken(
        "        body, context, trace_id = get_next_invocation()\n",
        "        began = time.monotonic()\n        body, context, trace_id = get_next_invocation()\n"
        "        if time.monotonic() - began > 1.5: sys.exit(9)\n",
        ("freeze-thaw",), "ended with status 9", ("wait-patience", "wait-calm"), idle_s=1.0,
    ),
    "ignores-sigterm": Broken(
        "    # Processing loop\n", "    import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
        ("end-sigterm",), "still there", ("wait-patience", "wait-calm", "freeze-thaw"),
    ),
    "gathers-connections": Broken(
        "    connection.request(",
        "    globals().setdefault('kept', []).append(http.client.HTTPConnection(RUNTIME_API))\n"
        "    kept[-1].connect()\n    connection.request(", ("connection-leak",), "more files open",
    ),
    "does-not-connect-again": Broken(
        "    response = connection.getresponse()\n",
        "    response = connection.getresponse()\n    connection.auto_open = 0\n",
        ("connection-close",), "NotConnected", ("chunked-event", "text-event"),
    ),
    "counts-on-a-length": Broken(
        "response.read()", "response.read(int(response.headers['Content-Length']))", ("chunked-event",), "TypeError",
        ("text-event", "connection-close"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def reports(catalog: PackCatalog, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Of all of them, and of the sound one."""
    pack = os_only(catalog)
    patients = {"sound": Patient(pack, SOUND)}
    for name, broken in BROKEN.items():
        assert SOUND.count(broken.old) == 1, f"{name}: the example has changed"
        only = {*broken.fails, *broken.beside, *OF_EVERY_EVENT, *START_CHECKS}
        patients[name] = Patient(
            pack,
            SOUND.replace(broken.old, broken.new),
            options={"only": only, "pace": replace(PACE, idle_s=broken.idle_s)},
        )
    return examine_all(catalog, tmp_path_factory.mktemp("verify"), patients)


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_named_and_nothing_else(reports: dict[str, Report], name: str) -> None:
    broken, report = BROKEN[name], reports[name]
    assert failures(report) == set(broken.fails), report.to_dict()
    assert broken.seen in report.results[broken.fails[0]].seen
    if any(RUNTIME_CHECKS[check].weight is Weight.ERROR for check in broken.fails):
        assert not report.passed


def test_the_sound_one_has_none(reports: dict[str, Report]) -> None:
    report = reports["sound"]
    assert failures(report) == set(), report.to_dict()
    assert report.passed
    assert {check.id for check in report.with_verdict(Verdict.NOT_APPLICABLE)} == {"stream-mode", "stream-error"}
