"""Scenarios about runtimes against models of runtimes: no sandbox, no clock."""

import json
from collections.abc import Iterator, Sequence

import pytest

from lamella.conformance.api import request_id
from lamella.conformance.endings import FailedInit, RefusedNext, Streaming, Waiting
from lamella.conformance.first_aid import START_CHECKS
from lamella.conformance.invocations import Contract, Invocations, Step, action
from lamella.conformance.play import (
    RUNTIME,
    Abandoned,
    Answer,
    Call,
    Called,
    Command,
    DeadlinePassed,
    Ended,
    Event,
    Freeze,
    KillAll,
    Measure,
    Measured,
    NotStarted,
    Printed,
    Signal,
    Start,
    Thaw,
)
from lamella.conformance.plays import event_steps
from lamella.conformance.report import Verdict
from lamella.conformance.runtime_checks import RUNTIME_CHECKS
from lamella.conformance.runtime_examination import runtime_scenarios
from lamella.conformance.runtime_scenario import Beginning
from lamella.conformance.scenario import Pace, Scenario
from lamella.conformance.steps import Actions, Context, Echo, HandlerError, Headers, Refused, Survived, Trace
from lamella.ports.sandbox import ExitStatus

PACE = Pace(start_s=10.0, answer_s=5.0, idle_s=2.0, end_s=1.0)
OURS = Contract(frozenset({"echo", "error", "print", "size", "environment", "context"}), ours=True)
CALLS: Iterator[int] = iter(range(1, 100_000))


def get(path: str = "invocation/next") -> Called:
    return Called(Call(next(CALLS), 4000, "GET", f"/2018-06-01/runtime/{path}"))


def post(path: str, body: object = None, *, headers: dict[str, str] | None = None, connection: int = 4000) -> Called:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = tuple((headers or {}).items())
    return Called(Call(next(CALLS), connection, "POST", f"/2018-06-01/runtime/{path}", pairs, content))


def response(number: int, body: object = None, **options: dict[str, str]) -> Called:
    return post(f"invocation/{request_id(number)}/response", body, **options)  # type: ignore[arg-type]  # headers alone


def error(number: int, body: object = None, **options: dict[str, str]) -> Called:
    return post(f"invocation/{request_id(number)}/error", body, **options)  # type: ignore[arg-type]  # as above


def play(scenario: Scenario, *events: Event, now_s: float = 0.0) -> list[Command]:
    """Begin, feed events at one moment, and return the commands of the last."""
    commands = scenario.begin(now_s)
    for event in events:
        if isinstance(event, DeadlinePassed):
            now_s = max(now_s, scenario.deadline_s)
        commands = scenario.receive(event, now_s)
    return commands


def invocations(steps: Sequence[Step], contract: Contract = OURS) -> Invocations:
    return Invocations("play", PACE, 1_000_000.0, list(steps), contract)


def verdicts(scenario: Scenario) -> dict[str, str]:
    return {check: result.verdict.value for check, result in scenario.results.items()}


def answer(commands: Sequence[Command]) -> Answer:
    found = [command for command in commands if isinstance(command, Answer)]
    assert len(found) == 1
    return found[0]


# The start


@pytest.mark.parametrize(
    ("event", "beginning"),
    [
        (get(), Beginning.READY),
        (NotStarted(RUNTIME, "fork/exec /opt/bootstrap: permission denied"), Beginning.NOT_STARTED),
        (Ended(RUNTIME, ExitStatus(3)), Beginning.ENDED),
        (post("init/error", {"errorMessage": "m"}), Beginning.INIT_ERROR),
        (DeadlinePassed(), Beginning.SILENT),
        (response(1), Beginning.STRANGE),
    ],
)
def test_how_a_runtime_begins(event: Event, beginning: Beginning) -> None:
    scenario = invocations([Step()])
    play(scenario, Printed(RUNTIME, b"a line\n"), event)
    assert scenario.opening is not None
    assert scenario.opening.beginning is beginning
    assert scenario.finished is (beginning is not Beginning.READY)
    if beginning is not Beginning.READY:
        assert scenario.results["response-id"].verdict is Verdict.UNTRIED


def test_an_internal_extension_may_register_before_the_first_event() -> None:
    scenario = invocations([Step()])
    commands = play(scenario, Called(Call(1, 1, "POST", "/2020-01-01/extension/register")))
    assert answer(commands).status == 200
    assert not scenario.finished


# Events and answers


def test_an_answer_is_accepted_and_the_next_event_has_another_id() -> None:
    scenario = invocations([Step(), Step()])
    first = answer(play(scenario, get()))
    assert dict(first.headers)["Lambda-Runtime-Aws-Request-Id"] == request_id(1)
    assert answer(scenario.receive(response(1, "ok"), 1.0)).status == 202
    second = answer(scenario.receive(get(), 1.0))
    assert dict(second.headers)["Lambda-Runtime-Aws-Request-Id"] == request_id(2)
    assert verdicts(scenario) == dict.fromkeys(("response-id", "response-each", "response-once", "next-again"), "pass")


def test_the_same_event_comes_again_until_it_is_answered() -> None:
    """RT-22."""
    scenario = invocations([Step(), Step()])
    first = play(scenario, get())
    for _ in range(3):
        assert answer(scenario.receive(get(), 1.0)).headers[1] == answer(first).headers[1]
    assert scenario.receive(get(), 1.0) == [KillAll(), Start(RUNTIME)]
    assert verdicts(scenario)["response-each"] == "fail"


def test_an_answer_to_another_event_is_refused() -> None:
    """RT-31."""
    scenario = invocations([Step()])
    refusal = answer(play(scenario, get(), response(7)))
    assert refusal.status == 400
    assert json.loads(refusal.body)["errorType"] == "InvalidRequestID"
    assert verdicts(scenario) == {"response-id": "fail"}
    assert answer(scenario.receive(response(1), 1.0)).status == 202


def test_a_second_answer_is_refused() -> None:
    """RT-32."""
    scenario = invocations([Step()])
    assert answer(play(scenario, get(), response(1), response(1))).status == 403
    assert verdicts(scenario)["response-once"] == "fail"


def test_one_fault_does_not_hide_the_others() -> None:
    scenario = invocations([Survived("empty-event", "an empty event", b""), Step()])
    commands = play(scenario, get(), Printed(RUNTIME, b"IndexError: why\n"), Ended(RUNTIME, ExitStatus(1)))
    assert commands == [KillAll(), Start(RUNTIME)]
    assert "IndexError: why" in scenario.results["empty-event"].seen
    scenario.receive(get(), 2.0)
    scenario.receive(response(2), 2.0)
    scenario.receive(get(), 2.0)
    assert scenario.finished


@pytest.mark.parametrize(
    ("step", "failed"),
    [
        (Step(), "next-again"),
        (Survived("text-event", "an event", b"{"), "text-event"),
        (Headers("connection-close", "an event", unusual=True, close=True), "connection-close"),
    ],
)
def test_a_runtime_that_ends_after_its_answer_fails_what_the_event_was_for(step: Step, failed: str) -> None:
    scenario = invocations([step, Step()])
    play(scenario, get(), error(1, {"errorMessage": "m", "errorType": "T"}), Ended(RUNTIME, ExitStatus(1)))
    assert [check for check, verdict in verdicts(scenario).items() if verdict == "fail"] == [failed]


def test_a_runtime_that_hangs_is_started_anew() -> None:
    scenario = invocations([Survived("text-event", "an event that is not JSON", b"{"), Step()])
    assert play(scenario, get(), DeadlinePassed()) == [KillAll(), Start(RUNTIME)]
    assert verdicts(scenario) == {"text-event": "fail"}


def test_a_deadline_that_has_moved_is_no_news() -> None:
    scenario = invocations([Step()])
    play(scenario, get())
    assert scenario.receive(DeadlinePassed(), 0.5) == []
    assert scenario.results == {}


def test_a_runtime_may_end_after_a_refusal_but_not_repeat_itself() -> None:
    """RT-3A."""
    steps = [Refused("refused-size", "an event", 413, "RequestEntityTooLarge") for _ in range(1)]
    good = invocations(steps)
    assert answer(play(good, get(), response(1))).status == 413
    good.receive(Ended(RUNTIME, ExitStatus(1)), 1.0)
    assert verdicts(good)["refused-size"] == "pass"
    bad = invocations(steps)
    play(bad, get(), *(response(1) for _ in range(5)))
    assert verdicts(bad)["refused-size"] == "fail"
    assert bad.finished


# What answers say


def test_what_the_handler_knows_is_asked_first() -> None:
    for body, contract in (
        (["echo"], Contract(frozenset({"echo"}))),
        (json.loads(action("actions")), Contract(echoes=True)),
        ("hello", Contract()),
    ):
        scenario = invocations([Actions()], Contract())
        play(scenario, get(), response(1, body))
        assert scenario.contract == contract


def test_events_go_round_by_whichever_way_the_handler_can() -> None:
    step = Echo("event-intact", "an event", {"ä": [1]})
    for contract, sent, back, verdict in (
        (OURS, {"verify": "echo", "value": {"ä": [1]}}, {"ä": [1]}, "pass"),
        (OURS, {"verify": "echo", "value": {"ä": [1]}}, {"ä": [1], "more": 2}, "fail"),
        (Contract(echoes=True), {"ä": [1]}, {"ä": [1]}, "pass"),
        (Contract(), {"ä": [1]}, "hello", "not-applicable"),
    ):
        scenario = invocations([step], contract)
        assert json.loads(answer(play(scenario, get())).body) == sent
        scenario.receive(response(1, back), 1.0)
        assert verdicts(scenario)["event-intact"] == verdict


def test_what_a_handler_cannot_do_is_not_applicable() -> None:
    scenario = invocations(event_steps(), Contract(frozenset({"echo"})))
    play(scenario, get())
    for _ in range(100):
        if scenario.finished:
            break
        value = json.loads(b"null") if scenario.number == 2 else None
        scenario.receive(response(scenario.number, value), 1.0)
        scenario.receive(get(), 1.0)
    assert {check for check, verdict in verdicts(scenario).items() if verdict == "not-applicable"} == {
        *("trace-variable", "trace-cleared", "context", "context-deadline", "log-output"),
        *("error-post", "error-body", "error-type", "error-next"),
    }


@pytest.mark.parametrize(
    ("left_ms", "verdict"), [(8000, "pass"), (1, "pass"), (0, "fail"), (9000, "fail"), ("8000", "fail")]
)
def test_the_time_left_is_that_of_the_deadline(left_ms: object, verdict: str) -> None:
    scenario = invocations([Context()])
    sent = dict(answer(play(scenario, get())).headers)
    assert sent["Lambda-Runtime-Deadline-Ms"] == "1000008000"
    arn = sent["Lambda-Runtime-Invoked-Function-Arn"]
    said = {"aws_request_id": request_id(1), "invoked_function_arn": arn, "remaining_ms": left_ms}
    scenario.receive(response(1, said), 0.0)
    assert verdicts(scenario)["context-deadline"] == verdict
    assert verdicts(scenario)["context"] == "pass"


def test_the_trace_variable_is_that_of_the_event() -> None:
    for present, value, verdict in ((True, None, "fail"), (True, "Root=1-2-3", "fail"), (False, None, "pass")):
        scenario = invocations([Trace(present=present)])
        play(scenario, get(), response(1, value))
        assert list(verdicts(scenario).values())[-1] == verdict


@pytest.mark.parametrize(
    ("body", "kind", "failed"),
    [
        ({"errorMessage": "m", "errorType": "E"}, "Runtime.Reason", set()),
        ({"errorMessage": "m"}, "Runtime.Reason", {"error-body"}),
        (b"<html>", "Reason", {"error-body", "error-type"}),
        (["m"], "Function.Reason", {"error-body"}),
    ],
)
def test_the_form_of_an_error(body: object, kind: str, failed: set[str]) -> None:
    scenario = invocations([HandlerError()])
    play(scenario, get(), error(1, body, headers={"lambda-runtime-function-error-type": kind}), get())
    found = {check for check, verdict in verdicts(scenario).items() if verdict == "fail"}
    assert found == failed
    assert scenario.results["error-next"].verdict is Verdict.PASS


def test_an_error_that_is_posted_as_a_response_is_none() -> None:
    scenario = invocations([HandlerError()])
    play(scenario, get(), response(1, {"errorMessage": "m", "errorType": "E"}))
    assert verdicts(scenario)["error-post"] == "fail"


# Beginning, waiting, end


def test_an_init_error_and_the_end_after_it() -> None:
    scenario = FailedInit(PACE, 0.0, "nowhere.handler")
    assert scenario.begin(0.0) == [Start(RUNTIME, {"_HANDLER": "nowhere.handler"})]
    said = post("init/error", {"errorMessage": "m", "errorType": "E"})
    assert answer(scenario.receive(said, 0.1)).status == 202
    assert answer(scenario.receive(get(), 0.2)).status == 403
    scenario.receive(Ended(RUNTIME, ExitStatus(1)), 0.3)
    assert set(verdicts(scenario).values()) == {"pass"}


def test_a_runtime_that_stays_after_its_init_error() -> None:
    scenario = FailedInit(PACE, 0.0, "nowhere.handler")
    play(scenario, post("init/error", b"no JSON"), DeadlinePassed())
    assert verdicts(scenario) == {"init-error-post": "pass", "init-error-body": "fail", "init-error-end": "fail"}
    assert scenario.finished


def test_a_runtime_that_knows_no_handlers_has_none_to_miss() -> None:
    scenario = FailedInit(PACE, 0.0, "nowhere.handler")
    play(scenario, get())
    assert set(verdicts(scenario).values()) == {"not-applicable"}


@pytest.mark.parametrize("status", [403, 500])
def test_a_refused_next(status: int) -> None:
    check = "refused-next" if status == 403 else "refused-fault"
    ends, takes, loops = (RefusedNext(PACE, 0.0, status=status) for _ in range(3))
    assert answer(play(ends, get())).status == status
    ends.receive(Ended(RUNTIME, ExitStatus(1)), 0.1)
    play(takes, get(), post("invocation//response", "?"))
    play(loops, *(get() for _ in range(7)))
    assert [verdicts(one)[check] for one in (ends, takes, loops)] == ["pass", "fail", "fail"]
    assert all(one.finished for one in (ends, takes, loops))


def waiting() -> Waiting:
    scenario = Waiting(PACE, 0.0, OURS)
    play(scenario, get(), response(1))
    scenario.receive(get(), 0.0)
    return scenario


def measure(scenario: Waiting, cpu_s: float, limit_s: float | None = None) -> list[Command]:
    now_s = scenario.deadline_s
    assert scenario.receive(DeadlinePassed(), now_s) == [Measure(RUNTIME, 4000)]
    return scenario.receive(Measured(RUNTIME, cpu_s, 5, 1, limit_s), now_s)


def test_silence_the_freezer_and_the_end() -> None:
    scenario = waiting()
    assert measure(scenario, 0.1) == []
    assert measure(scenario, 0.2) == [Freeze()]
    frozen_until_s = scenario.deadline_s
    thawed = scenario.receive(DeadlinePassed(), frozen_until_s)
    assert thawed[0] == Thaw()
    answer(thawed)
    scenario.receive(response(2), frozen_until_s)
    assert scenario.receive(get(), frozen_until_s) == [Signal(RUNTIME, 15)]
    scenario.receive(Ended(RUNTIME, ExitStatus(signal=15)), frozen_until_s + 0.1)
    assert scenario.finished
    assert {verdicts(scenario)[check] for check in ("wait-patience", "wait-calm", "freeze-thaw", "end-sigterm")} == {
        "pass"
    }


def test_a_runtime_that_works_while_it_waits() -> None:
    scenario = waiting()
    measure(scenario, 0.1)
    measure(scenario, 1.9)
    assert verdicts(scenario)["wait-calm"] == "fail"


@pytest.mark.parametrize(("limit_s", "verdict"), [(None, "pass"), (1.0, "pass"), (2.4, "pass"), (60.0, "fail")])
def test_a_limit_of_waiting_shows_before_it_is_over(limit_s: float | None, verdict: str) -> None:
    scenario = waiting()
    measure(scenario, 0.1)
    measure(scenario, 0.1, limit_s)
    assert verdicts(scenario)["wait-limit"] == verdict


def test_a_runtime_that_gives_up_waiting() -> None:
    scenario = Waiting(PACE, 0.0, OURS)
    play(scenario, get(), response(1))
    asked = get()
    scenario.receive(asked, 0.0)
    measure(scenario, 0.1)
    scenario.receive(Abandoned(asked.call), 1.5)
    assert scenario.results["wait-patience"].seen == "It closed the connection of `next` after 1.5 s."
    assert verdicts(scenario)["freeze-thaw"] == "untried"


def test_a_runtime_that_does_not_heed_sigterm() -> None:
    scenario = waiting()
    measure(scenario, 0.1)
    measure(scenario, 0.1)
    scenario.receive(DeadlinePassed(), scenario.deadline_s)
    scenario.receive(response(2), 10.0)
    scenario.receive(get(), 10.0)
    scenario.receive(DeadlinePassed(), scenario.deadline_s)
    assert verdicts(scenario)["end-sigterm"] == "fail"


def streamed(number: int, headers: dict[str, str], trailers: tuple[tuple[str, str], ...] = ()) -> Called:
    path = f"/2018-06-01/runtime/invocation/{request_id(number)}/response"
    return Called(Call(next(CALLS), 1, "POST", path, tuple(headers.items()), b"ab", trailers))


MODE = "lambda-runtime-function-response-mode"
CHUNKED = {"transfer-encoding": "chunked"}
TRAILERS = (("Lambda-Runtime-Function-Error-Type", "E"), ("Lambda-Runtime-Function-Error-Body", "e30="))


@pytest.mark.parametrize(
    ("headers", "trailers", "found"),
    [
        ({MODE: "streaming", **CHUNKED}, TRAILERS, ("pass", "pass")),
        ({MODE: "Streaming", **CHUNKED}, TRAILERS[:1], ("fail", "fail")),
        ({MODE: "streaming", "content-length": "2"}, (), ("fail", "fail")),
        ({"content-length": "2"}, (), ("not-applicable", "not-applicable")),
    ],
)
def test_streams(headers: dict[str, str], trailers: tuple[tuple[str, str], ...], found: tuple[str, str]) -> None:
    """RT-35, RT-40, RT-42."""
    scenario = Streaming(PACE, 0.0, OURS, {"_HANDLER": "verify.stream"})
    assert scenario.begin(0.0) == [Start(RUNTIME, {"_HANDLER": "verify.stream"})]
    scenario.receive(get(), 0.0)
    scenario.receive(streamed(1, headers), 0.0)
    scenario.receive(get(), 0.0)
    scenario.receive(streamed(2, headers, trailers), 0.0)
    assert (verdicts(scenario)["stream-mode"], verdicts(scenario)["stream-error"]) == found


def test_a_runtime_without_streams_need_not_have_the_handler() -> None:
    scenario = Streaming(PACE, 0.0, OURS, {"_HANDLER": "verify.stream"})
    play(scenario, post("init/error", {}))
    assert set(verdicts(scenario).values()) == {"not-applicable"}


def test_a_runtime_may_end_over_a_handler_for_streams_that_is_not_there() -> None:
    scenario = Streaming(PACE, 0.0, OURS, {"_HANDLER": "verify.stream"})
    play(scenario, get(), error(1, {}), Ended(RUNTIME, ExitStatus(255)), get(), error(2, {}))
    scenario.receive(Ended(RUNTIME, ExitStatus(255)), 1.0)
    assert scenario.finished
    assert verdicts(scenario) == {"stream-mode": "not-applicable", "stream-error": "not-applicable"}


def test_every_check_is_somebodys() -> None:
    """A row of the table that no scenario speaks of would be untried for ever."""
    scenarios = runtime_scenarios(OURS, PACE, 0.0, missing="nowhere.handler")
    first = {check for step in event_steps() for check in step.checks}
    assert {check for one in scenarios for check in one.checks}.union(START_CHECKS, first) == set(RUNTIME_CHECKS)
