"""Events for a runtime, and what its answers say about it."""

import json
from typing import Any, Final

from lamella.conformance.api import FUNCTION_ARN, Sent, request_id, trace_id
from lamella.conformance.invocations import Contract, Invocations, Posted, Step, action

NESTED: Final[Any] = {  # Any: JSON
    "text": 'Grüße, 世界 🦀 "quoted" back\\slash\ttab\nline',
    "number": -12.5,
    "large": 9007199254740991,
    "flags": [True, False, None],
    "empty": {"list": [], "object": {}, "text": ""},
}
_LARGE_EVENT_BYTES: Final = 6_291_556  # 6 MiB + 100: RT-21
_LARGE_RESPONSE_BYTES: Final = 6_000_000
_LARGE_S: Final = 30.0
"""Shells are slow with texts of that size."""
_ERROR_BYTES: Final = 262_144
"""As much of an error as is looked at."""
_MESSAGE: Final = 'a "quoted" word, a back\\slash,\na second line and ü'
_NO_ACTION: Final = "The handler does not know the event {!r} of the kit."


class Actions(Step):
    """Asks the handler what it knows; the answer is kept in `contract`."""

    name = "the first event"
    checks = ("start-ready",)

    def sent(self, contract: Contract) -> Sent:  # noqa: ARG002  # that is what is found out
        """See docs/reference/verification.md."""
        return Sent(action("actions"))

    def judge(self, posted: Posted, play: Invocations) -> None:
        """A list of names, or the event itself; anything else comes of a handler that knows nothing of the kit."""
        document, ours = posted.document, play.contract.ours
        play.passed("start-ready")
        if posted.failed:
            play.contract = Contract(ours=ours)
            if ours:
                play.failed("event-intact", seen=f"The kit's handler has no reason to fail. {posted.describe()}")
        elif isinstance(document, list) and all(isinstance(name, str) for name in document):
            play.contract = Contract(frozenset(document), ours=ours)
        else:
            play.contract = Contract(echoes=document == json.loads(action("actions")), ours=ours)


class Echo(Step):
    """An event that is to come back as it is."""

    def __init__(self, check: str, name: str, value: Any, **how: Any) -> None:  # Any: JSON; members of `Sent`
        self.checks = (check,)
        self.name = name
        self._value = value
        self._how = how

    def sent(self, contract: Contract) -> Sent | str:
        """By whichever way the handler can."""
        return Sent(action("echo", value=self._value) if contract.can("echo") else self._plain, **self._how)

    @property
    def _plain(self) -> bytes:
        return json.dumps(self._value, ensure_ascii=False, separators=(",", ":")).encode()

    def judge(self, posted: Posted, play: Invocations) -> None:
        """Held against what was sent, if the handler gives it back; else that there is an answer must do."""
        contract = play.contract
        if contract.can("echo") or contract.echoes:
            if not posted.failed and posted.document == self._value and posted.is_json:
                play.passed(*self.checks)
            else:
                play.failed(*self.checks, seen=f"{posted.describe()}; sent was {self._plain.decode()[:200]}")
        elif self.checks == ("event-intact",):
            play.not_applicable(*self.checks, seen="The handler gives back no events.")
        else:
            play.passed(*self.checks)


class Null(Step):
    """A result that is nothing."""

    name = "an event whose result is null"
    checks = ("null-result",)

    def sent(self, contract: Contract) -> Sent | str:
        """See `Echo.sent`."""
        if contract.can("echo"):
            return Sent(action("echo", value=None))
        return Sent(b"null") if contract.echoes else "The handler gives back no events."

    def judge(self, posted: Posted, play: Invocations) -> None:
        """`null`, or nothing at all."""
        if not posted.failed and posted.text.strip() in ("null", ""):
            play.passed(*self.checks)
        else:
            play.failed(*self.checks, seen=posted.describe())


class Survived(Step):
    """An event that may go wrong, but may not end the runtime. AWS lets none like it through to functions."""

    unusual = True

    def __init__(self, check: str, name: str, payload: bytes) -> None:
        self.checks = (check,)
        self.name = name
        self._payload = payload

    def sent(self, contract: Contract) -> Sent | str:  # noqa: ARG002  # for any handler
        """As AWS labels whatever the invoker sends."""
        return Sent(self._payload)

    def lost(self, play: Invocations, seen: str) -> None:
        """It has answered, and did not survive all the same."""
        play.failed(*self.checks, seen=seen)


class Headers(Step):
    """An event with unusual headers, which has to be answered."""

    def __init__(self, check: str, name: str, *, unusual: bool = False, **how: Any) -> None:  # Any: members of `Sent`
        self.checks = (check,)
        self.name = name
        self.unusual = unusual
        self._how = how

    def sent(self, contract: Contract) -> Sent | str:  # noqa: ARG002  # for any handler
        """Any event will do."""
        return Sent(action("echo", value="headers"), **self._how)

    def judge(self, posted: Posted, play: Invocations) -> None:
        """The kit's own handlers have no reason to fail, unless they get something else."""
        if play.contract.ours and posted.failed:
            play.failed(*self.checks, seen=posted.describe())
        else:
            play.passed(*self.checks)


class Trace(Step):
    """What the handler finds in `_X_AMZN_TRACE_ID`."""

    def __init__(self, *, present: bool) -> None:
        self.checks = ("trace-variable",) if present else ("trace-cleared",)
        self.name = "an event with a trace id" if present else "an event without a trace id"
        self._present = present

    def sent(self, contract: Contract) -> Sent | str:
        """An event that asks for the variable."""
        if not contract.can("environment"):
            return _NO_ACTION.format("environment")
        headers = {} if self._present else {"Lambda-Runtime-Trace-Id": None}
        return Sent(action("environment", name="_X_AMZN_TRACE_ID"), headers)

    def judge(self, posted: Posted, play: Invocations) -> None:
        """The header of this very event, or nothing."""
        right = (trace_id(play.number),) if self._present else (None, "")
        if posted.document in right and not posted.failed:
            play.passed(*self.checks)
        else:
            play.failed(*self.checks, seen=f"The variable was {posted.text[:200]}.")


class Context(Step):
    """What the handler's context says."""

    name = "an event that asks for the context"
    checks = ("context", "context-deadline")
    timeout_s = 8.0

    def sent(self, contract: Contract) -> Sent | str:
        """An event that asks for the context."""
        return Sent(action("context")) if contract.can("context") else _NO_ACTION.format("context")

    def judge(self, posted: Posted, play: Invocations) -> None:
        """Id and ARN as in the headers, and a time left that they leave."""
        document = posted.document
        if posted.failed or not isinstance(document, dict):
            play.failed(*self.checks, seen=f"The handler could not read its context. {posted.describe()}")
            return
        right = {"aws_request_id": request_id(play.number), "invoked_function_arn": FUNCTION_ARN}
        wrong = {name: document.get(name) for name, value in right.items() if document.get(name) != value}
        if wrong:
            play.failed("context", seen=f"The context says {json.dumps(wrong)}; the headers {json.dumps(right)}.")
        else:
            play.passed("context")
        left_ms = document.get("remaining_ms")
        if isinstance(left_ms, int | float) and 0 < left_ms <= self.timeout_s * 1000 + 1:
            play.passed("context-deadline")
        else:
            play.failed("context-deadline", seen=f"With {self.timeout_s:g} s left the context says {left_ms!r} ms.")


class Print(Step):
    """What the handler prints."""

    name = "an event that is to be logged"
    checks = ("log-output",)
    _line = "a line for the log: 4711"

    def sent(self, contract: Contract) -> Sent | str:
        """An event that asks for a line."""
        return Sent(action("print", text=self._line)) if contract.can("print") else _NO_ACTION.format("print")

    def judge(self, posted: Posted, play: Invocations) -> None:
        """The line is in the output by the time of the answer, and not in the answer."""
        if self._line in posted.text:
            play.failed(*self.checks, seen=f"The line is in the response: {posted.text[:200]}")
        elif self._line.encode() in posted.printed:
            play.passed(*self.checks)
        else:
            play.failed(*self.checks, seen="The line was not printed by the time of the answer.")


class HandlerError(Step):
    """The handler raises."""

    name = "an event whose handler raises"
    checks = ("error-post", "error-body", "error-type", "error-next")

    def sent(self, contract: Contract) -> Sent | str:
        """An event that asks for an error."""
        return Sent(action("error", message=_MESSAGE)) if contract.can("error") else _NO_ACTION.format("error")

    def judge(self, posted: Posted, play: Invocations) -> None:
        """The form of an error."""
        if not posted.failed:
            play.failed("error-post", seen=posted.describe())
            play.not_applicable("error-body", "error-type", seen="No error was posted.")
            return
        play.passed("error-post")
        if problem := error_problem(posted.call.body):
            play.failed("error-body", seen=problem)
        else:
            play.passed("error-body")
        kind = posted.call.header("lambda-runtime-function-error-type")
        if kind.startswith(("Function.", "Runtime.")):
            play.passed("error-type")
        else:
            play.failed("error-type", seen=f"The header was {kind!r}." if kind else "There was no such header.")

    def after(self, play: Invocations) -> None:
        """It goes on."""
        play.passed("error-next")

    def lost(self, play: Invocations, seen: str) -> None:
        """It does not."""
        play.failed("error-next", seen=seen)


class LargeResponse(Step):
    """A response near the limit."""

    name = "an event with a large result"
    checks = ("large-response",)
    timeout_s = _LARGE_S

    def sent(self, contract: Contract) -> Sent | str:
        """An event that asks for one, or is one."""
        if contract.can("size"):
            return Sent(action("size", bytes=_LARGE_RESPONSE_BYTES))
        if contract.echoes:
            return Sent(b'"' + b"x" * _LARGE_RESPONSE_BYTES + b'"')
        return _NO_ACTION.format("size")

    def judge(self, posted: Posted, play: Invocations) -> None:
        """All of it."""
        body = posted.call.body.strip().removeprefix(b'"').removesuffix(b'"')
        if not posted.failed and len(body) == _LARGE_RESPONSE_BYTES and not body.strip(b"x"):
            play.passed(*self.checks)
        else:
            play.failed(*self.checks, seen=f"Of {_LARGE_RESPONSE_BYTES} letters {len(body)} bytes came.")


class LargeEvent(Step):
    """As much as an invoker can send."""

    name = "an event of 6 MiB"
    checks = ("large-event",)
    timeout_s = _LARGE_S

    def sent(self, contract: Contract) -> Sent | str:  # noqa: ARG002  # for any handler
        """A size event with a filling, so that the answer is short where the handler can."""
        head = b'{"verify":"echo","value":"short","filling":"'
        return Sent(head + b"x" * (_LARGE_EVENT_BYTES - len(head) - 2) + b'"}')

    def judge(self, posted: Posted, play: Invocations) -> None:
        """The kit's own handlers see the member that comes first."""
        if play.contract.ours and posted.failed:
            play.failed(*self.checks, seen=posted.describe())
        else:
            play.passed(*self.checks)


class Refused(Step):
    """An answer that is refused, whatever it is."""

    def __init__(self, check: str, name: str, status: int, error_type: str) -> None:
        self.checks = (check,)
        self.name = name
        self.refusal = (status, error_type)

    def judge(self, posted: Posted, play: Invocations) -> None:
        """What counts is what it does next."""

    def after(self, play: Invocations) -> None:
        """It asked for the next event, or has ended."""
        play.passed(*self.checks)

    def lost(self, play: Invocations, seen: str) -> None:
        """It hangs."""
        play.failed(*self.checks, seen=seen)


class Reuse(Step):
    """After some events: how many connections there were."""

    checks = ("connection-reuse",)

    def judge(self, posted: Posted, play: Invocations) -> None:  # noqa: ARG002  # nothing about this answer
        """More calls than connections."""
        if play.calls < 4:
            play.not_applicable(*self.checks, seen="It was started anew too often.")
        elif len(play.connections) < play.calls:
            play.passed(*self.checks)
        else:
            play.failed(*self.checks, seen=f"{play.calls} calls came over {len(play.connections)} connections.")


class Leak(Step):
    """The last of some events: whether more is open than at the first."""

    name = "one event of many"
    measured = True
    _GREW = 6

    def __init__(self, *, last: bool) -> None:
        self._last = last
        self.checks = ("connection-leak",) if last else ()

    def judge(self, posted: Posted, play: Invocations) -> None:  # noqa: ARG002  # nothing about this answer
        """Files and processes before the first and the last event."""
        if not self._last or len(play.measurements) < 2:
            return
        first, last = play.measurements[0], play.measurements[-1]
        files, processes = last.files - first.files, last.processes - first.processes
        if files >= self._GREW or processes >= self._GREW:
            grown = f"{files} more files open and {processes} more processes"
            play.failed(*self.checks, seen=f"After {play.number} events there were {grown} than at the beginning.")
        else:
            play.passed(*self.checks)


def error_problem(body: bytes) -> str:
    """What is wrong with the body of an error; empty if nothing is."""
    try:
        document = json.loads(body[:_ERROR_BYTES])
    except (ValueError, RecursionError):
        return f"It is not JSON: {body[:200].decode('utf-8', 'replace')}"
    if not isinstance(document, dict):
        return f"It is no JSON object: {body[:200].decode('utf-8', 'replace')}"
    missing = [name for name in ("errorMessage", "errorType") if not isinstance(document.get(name), str)]
    return f"It has no text {' and no text '.join(missing)}: {json.dumps(document)[:200]}" if missing else ""
