"""Recorded invocations against a bootstrap, which is a real process."""

import json
import os
import select
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.traces import Life

from lamella.cli.failure import CommandError
from lamella.cli.replay import Given, Recorded, Result, Verdict, compare, play, recorded
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    NextPolled,
    ProcessesGone,
    ResponseEnded,
    ResponseRefused,
    ResponseStarted,
    RuntimeExited,
)

BOOTSTRAP = """\
import http.client, json, os, sys, time

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

def call(method, path, body=None):
    api.request(method, "/2018-06-01/runtime/" + path, body)
    answer = api.getresponse()
    return answer.headers, answer.read(), answer.status

if "init" in sys.argv:
    call("POST", "init/error", b'{"errorType":"Runtime.Bad"}')
    sys.exit(1)
if "never" in sys.argv:
    sys.exit(7)
while True:
    headers, body, _ = call("GET", "invocation/next")
    event = json.loads(body)
    request_id = headers["Lambda-Runtime-Aws-Request-Id"]
    if event.get("die"):
        os._exit(3)
    if event.get("hang"):
        time.sleep(60)
    if event.get("fail"):
        error = {"errorType": "E", "errorMessage": "no", "stackTrace": [__file__]}
        call("POST", f"invocation/{request_id}/error", json.dumps(error).encode())
    elif event.get("tell"):
        left_ms = int(headers["Lambda-Runtime-Deadline-Ms"]) - time.time() * 1000
        known = {name: headers[name] for name in headers if name.startswith("Lambda-")}
        del known["Lambda-Runtime-Deadline-Ms"]
        call("POST", f"invocation/{request_id}/response", json.dumps([known, 0 < left_ms < 3000]).encode())
    else:
        assert call("POST", "invocation/other/response", b"1")[2] == 400
        assert call("POST", f"invocation/{request_id}/response", json.dumps(event).encode())[2] == 202
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    path = tmp_path / "bootstrap.py"
    path.write_text(BOOTSTRAP)
    return [sys.executable, str(path)]


async def played(life: Life, program: list[str], request_id: str = "") -> list[Result]:
    return [result async for result in play(list(recorded(life.trace(), request_id)), program)]


async def test_the_same_answers(program: list[str]) -> None:
    life = Life().ready()
    ids = [life.invoked(b'{"a": 1}', b'{"a":1}'), life.invoked(b"{}", b"{}")]
    results = await played(life, program)
    assert [(one.request_id, one.verdict) for one in results] == [(name, Verdict.SAME) for name in ids]


async def test_one_of_several(program: list[str]) -> None:
    life = Life().ready()
    life.invoked(b"{}", b"{}")
    second = life.invoked(b'{"b":1}', b'{"b":1}')
    assert [one.request_id for one in await played(life, program, second)] == [second]


async def test_another_answer_is_shown_as_a_difference(program: list[str]) -> None:
    life = Life().ready()
    life.invoked(b'{"price":2}', b'{"price":1}')
    (result,) = await played(life, program)
    assert result.verdict is Verdict.DIFFERENT
    assert '- "price": 1' in result.diff
    assert '+ "price": 2' in result.diff


async def test_the_bootstrap_gets_what_the_recorded_one_got(program: list[str]) -> None:
    life = Life().ready()
    request_id = life.invoked(b'{"tell":1}', b"null")
    (result,) = await played(life, program)
    shown = "\n".join(result.diff)
    for text in (request_id, "arn:aws:lambda:us-east-1:000000000000:function:orders", "Root=1-0-0"):
        assert text in shown
    assert '{\\"a\\": 1}' in shown  # the client context, on one line
    assert shown.endswith("+ true\n+]")  # the deadline was as far away as then


async def test_errors_are_compared_without_their_stack_traces(program: list[str]) -> None:
    life = Life().ready()
    for text in ('{"errorType":"E","errorMessage":"no","stackTrace":["elsewhere"]}', '{"errorType":"F"}'):
        life.after(1, ErrorPosted(life.assigned(b'{"fail":1}'), text.encode(), "E"), NextPolled())
    assert [one.verdict for one in await played(life, program)] == [Verdict.SAME, Verdict.DIFFERENT]


async def test_an_error_where_there_was_a_response(program: list[str]) -> None:
    life = Life().ready()
    life.invoked(b'{"fail":1}', b"1")
    (result,) = await played(life, program)
    assert result.verdict is Verdict.ERROR
    assert any("errorMessage" in line for line in result.diff)


async def test_a_bootstrap_that_ends_is_started_anew(program: list[str]) -> None:
    life = Life().ready()
    life.invoked(b'{"die":1}', b"1")
    life.invoked(b"{}", b"{}")
    first, second = await played(life, program)
    assert first.verdict is Verdict.ERROR
    assert first.detail == "it ended without an answer: exit status 3"
    assert second.verdict is Verdict.SAME


async def test_no_answer_by_the_deadline(program: list[str]) -> None:
    life = Life().ready()
    life.assigned(b'{"hang":1}', timeout_s=1.0)
    invocation, *_ = recorded(_answered(life))
    (result,) = [one async for one in play([_quick(invocation)], program)]
    assert result.verdict is Verdict.NO_ANSWER
    assert result.detail == "its deadline was 0.5 s"


async def test_what_crashed_or_timed_out_then_may_do_so_again(program: list[str]) -> None:
    life = Life().ready()
    life.assigned(b'{"die":1}')
    life.after(1, RuntimeExited("Runtime exited with error: exit status 3"), ProcessesGone())
    life.assigned(b'{"hang":1}', timeout_s=1.0)
    life.after(1000, DeadlinePassed()).after(1, ProcessesGone())
    results = [one async for one in play([_quick(one) for one in recorded(life.trace())], program)]
    assert [one.verdict for one in results] == [Verdict.SAME, Verdict.SAME]


async def test_what_crashed_then_and_answers_now_is_different(program: list[str]) -> None:
    life = Life().ready()
    life.assigned(b"{}")
    life.after(1, RuntimeExited("Runtime exited with error: exit status 3"), ProcessesGone())
    (result,) = await played(life, program)
    assert result.verdict is Verdict.DIFFERENT
    assert "its end without an answer was recorded" in result.detail


@pytest.mark.parametrize(("how", "detail"), [("init", "its init failed"), ("never", "it ended before it asked")])
async def test_a_bootstrap_that_does_not_begin(program: list[str], how: str, detail: str) -> None:
    life = Life().ready()
    life.invoked()
    (result,) = await played(life, [*program, how])
    assert result.verdict is Verdict.ERROR
    assert detail in result.detail


async def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    life = Life().ready()
    life.invoked()
    with pytest.raises(CommandError, match=r"cannot start .*nothing: No such file or directory"):
        await played(life, [str(tmp_path / "nothing")])


async def test_what_was_not_kept_whole_is_not_played(program: list[str]) -> None:
    life = Life().ready()
    life.invoked(b'{"x":"' + b"x" * 1_000_000 + b'"}', b"1")
    while not life.recorder.shrink():
        pass
    (result,) = await played(life, program)
    assert result.verdict is Verdict.NOT_PLAYED
    assert result.detail == "only the first 256 of 1000008 bytes of its event were kept"


async def test_what_has_no_recorded_answer_is_not_played(program: list[str]) -> None:
    life = Life().ready()
    refused = ResponseRefused(life.assigned(), "Function.ResponseSizeTooLarge", "too large")
    life.after(1, refused, NextPolled())
    life.assigned()
    results = await played(life, program)
    assert [one.verdict for one in results] == [Verdict.NOT_PLAYED] * 2
    assert "ResponseSizeTooLarge" in results[0].detail
    assert "still running" in results[1].detail


async def test_of_a_streamed_response_the_size_is_compared(program: list[str]) -> None:
    life = Life().ready()
    for size_bytes in (8, 9):
        request_id = life.assigned(b'{"a": 1}')
        life.after(1, ResponseStarted(request_id)).after(1, ResponseEnded(request_id, size_bytes), NextPolled())
    assert [one.verdict for one in await played(life, program)] == [Verdict.SAME, Verdict.DIFFERENT]


async def test_nothing_the_bootstrap_started_stays(program: list[str], tmp_path: Path) -> None:
    script = tmp_path / "bootstrap.sh"
    script.write_text(f'#!/bin/sh\nsleep 1000 & echo $! > {tmp_path}/child\nexec "$@"\n')
    script.chmod(0o755)
    life = Life().ready()
    life.invoked(b"{}", b"{}")
    assert [one.verdict for one in await played(life, [str(script), *program])] == [Verdict.SAME]
    with suppress(ProcessLookupError):
        child = os.pidfd_open(int((tmp_path / "child").read_text()))
        assert select.select([child], [], [], 10) == ([child], [], [])  # it has ended
        os.close(child)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (b'{"a":1,"b":2}', b'{ "b": 2, "a": 1 }', True),
        (b"1", b"1.0", False),
        (b"1", b"true", False),
        (b"text", b"text", True),
        (b"text", b"text ", False),
        (b"\xff", b"\xfe", False),
        (b"", b"", True),
    ],
)
def test_json_is_compared_by_its_meaning(old: bytes, new: bytes, same: bool) -> None:
    invocation = Recorded("r", (), b"", 0, True, 3.0, Given("response", old, len(old)))
    result = compare(invocation, Given("response", new, len(new)))
    assert (result.verdict is Verdict.SAME) == same
    assert bool(result.diff) != same


def test_a_large_difference_is_not_printed() -> None:
    invocation = Recorded("r", (), b"", 0, True, 3.0, Given("response", bytes(1_000_000), 1_000_000))
    assert compare(invocation, Given("response", b"1", 1)).diff == ("1000000 bytes were recorded, 1 came",)
    long = json.dumps(list(range(1000))).encode()
    invocation = Recorded("r", (), b"", 0, True, 3.0, Given("response", long, len(long)))
    assert len(compare(invocation, Given("response", b"[]", 2)).diff) == 21


def test_a_response_of_which_only_the_beginning_was_kept() -> None:
    invocation = Recorded("r", (), b"", 0, True, 3.0, Given("response", b"ab", 4))
    assert compare(invocation, Given("response", b"abcd", 4)).verdict is Verdict.SAME
    assert compare(invocation, Given("response", b"abcde", 5)).verdict is Verdict.DIFFERENT


@pytest.mark.parametrize("damage", ["entries", "invocations"])
def test_a_damaged_trace(damage: str) -> None:
    life = Life().ready()
    life.invoked()
    with pytest.raises(CommandError, match="the trace is damaged"):
        list(recorded({**life.trace(), damage: [{}]}))


def _answered(life: Life) -> dict[str, object]:
    """The trace of an invocation that is running as if it had been answered."""
    trace = life.trace()
    trace["invocations"][0]["status"] = "success"
    trace["invocations"][0]["response_entry"] = len(trace["entries"])
    trace["entries"].append({"event": "ResponsePosted", "payload": {"size_bytes": 1, "text": "1"}})
    return trace


def _quick(invocation: Recorded) -> Recorded:
    """With a deadline that does not keep the tests waiting."""
    return Recorded(
        invocation.request_id,
        invocation.headers,
        invocation.payload,
        invocation.size_bytes,
        invocation.whole,
        0.5,
        invocation.given,
    )
