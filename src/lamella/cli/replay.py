"""Plays recorded invocations against a bootstrap again, and compares what it answers with what was answered then.

The bootstrap runs as a process of this machine, as the user who asked for it and without a sandbox, and finds a Runtime
API on 127.0.0.1 that knows as much as that takes: `next`, `response`, `error` and `init/error`. Invocations come in the
order in which they were recorded, each as soon as the one before is over.
"""

import asyncio
import base64
import binascii
import difflib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from lamella.cli.failure import CommandError, Status
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.limits import Limits
from lamella.httpserver.message import Answer, Buffered, Refusal, Request, refusal_status
from lamella.httpserver.server import HttpServer

_PREFIX: Final = "/2018-06-01/runtime/"
_JSON: Final = (("Content-Type", "application/json"),)
_INIT_TIMEOUT_S: Final = 10.0
_LIMITS: Final = Limits(head_timeout_s=None, body_idle_timeout_s=None, keepalive_timeout_s=None)
_MAX_BODY_BYTES: Final = 64 * 1024 * 1024
_DIFF_LINES: Final = 20
_DIFF_BYTES: Final = 256 * 1024


class Verdict(StrEnum):
    """How an answer compares with the recorded one."""

    SAME = "same"
    DIFFERENT = "different"
    ERROR = "error"
    NO_ANSWER = "no answer"
    NOT_PLAYED = "not played"


@dataclass(frozen=True, slots=True)
class Given:
    """An answer: a payload that was posted as a response or as an error, or none at all.

    Attributes:
        kind: `response`, `error`, `exit` (its process ended, or said that its init failed), `timeout`; of a recorded
            one also `size`, if only the size of a response is known, or `unknown`.
        payload: Empty if there was no answer.
        size_bytes: Of the whole, which is more than `payload` if only its beginning is known.
        detail: In words.
    """

    kind: str
    payload: bytes = b""
    size_bytes: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An invocation as it was recorded.

    Attributes:
        whole: Whether its payload was kept whole; else it cannot be played.
    """

    request_id: str
    headers: tuple[tuple[str, str], ...]
    payload: bytes
    size_bytes: int
    whole: bool
    timeout_s: float
    given: Given


@dataclass(frozen=True, slots=True)
class Result:
    """What came of playing one invocation."""

    request_id: str
    verdict: Verdict
    detail: str = ""
    diff: tuple[str, ...] = ()
    took_s: float = 0.0


def recorded(trace: Mapping[str, Any], request_id: str = "") -> Iterator[Recorded]:  # Any: JSON
    """The invocations of a trace, or the one named.

    Raises:
        CommandError: The trace is not of the form that it says it has.
    """
    try:
        for invocation in trace["invocations"]:
            if request_id in ("", invocation["request_id"]):
                yield _recorded(trace["entries"], invocation)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise CommandError(f"the trace is damaged: {error!r}", Status.USAGE) from error


def _recorded(entries: Sequence[Mapping[str, Any]], invocation: Mapping[str, Any]) -> Recorded:  # Any: JSON
    event = entries[invocation["assigned_entry"]]
    payload, whole = _payload(entries, event["payload"])
    headers = [
        ("Content-Type", event["content_type"]),
        ("Lambda-Runtime-Aws-Request-Id", event["request_id"]),
        ("Lambda-Runtime-Invoked-Function-Arn", event["function_arn"]),
        ("Lambda-Runtime-Trace-Id", event["trace_id"]),
    ]
    if event["client_context"]:
        headers.append(("Lambda-Runtime-Client-Context", " ".join(event["client_context"].splitlines())))
    if event.get("tenant_id"):
        headers.append(("Lambda-Runtime-Aws-Tenant-Id", event["tenant_id"]))
    return Recorded(
        event["request_id"],
        tuple(headers),
        payload,
        event["payload"]["size_bytes"],
        whole,
        invocation["timeout_us"] / 1e6,
        _given(entries, invocation),
    )


def _given(entries: Sequence[Mapping[str, Any]], invocation: Mapping[str, Any]) -> Given:  # Any: JSON
    if "status" not in invocation:
        return Given("unknown", detail="it was still running when the trace was taken")
    if "response_entry" not in invocation:
        return Given("timeout" if invocation["status"] == "timeout" else "exit", detail=invocation["error_type"])
    event = entries[invocation["response_entry"]]
    name = event["event"]
    if name in ("ResponsePosted", "ErrorPosted"):
        payload, _ = _payload(entries, event["payload"])
        return Given("response" if name == "ResponsePosted" else "error", payload, event["payload"]["size_bytes"])
    if name == "ResponseEnded" and not event["error_type"]:
        return Given("size", b"", event["size_bytes"])
    return Given("unknown", detail=f"its response was not taken ({event['error_type']})")


def _payload(entries: Sequence[Mapping[str, Any]], shown: Mapping[str, Any]) -> tuple[bytes, bool]:  # Any: JSON
    if "entry" in shown:
        shown = entries[shown["entry"]]["payload"]
    payload = base64.b64decode(shown["base64"]) if "base64" in shown else shown["text"].encode()
    return payload, not shown.get("abridged", False)


async def play(invocations: Sequence[Recorded], program: Sequence[str]) -> AsyncIterator[Result]:
    """Play invocations one after the other. A bootstrap that ends, or does not answer in time, is started anew.

    Args:
        invocations: In the order to be played.
        program: File and arguments.

    Yields:
        One result for each.

    Raises:
        CommandError: The program cannot be started.
    """
    api = _RuntimeApi()
    server = HttpServer(api, _LIMITS)
    await server.start(host="127.0.0.1", port=0)
    bootstrap = _Bootstrap(program, f"127.0.0.1:{server.addresses[0][1]}", api)
    try:
        for invocation in invocations:
            if not invocation.whole:
                kept = (
                    f"only the first {len(invocation.payload)} of {invocation.size_bytes} bytes of its event were kept"
                )
                yield Result(invocation.request_id, Verdict.NOT_PLAYED, kept)
                continue
            if invocation.given.kind == "unknown":
                yield Result(invocation.request_id, Verdict.NOT_PLAYED, invocation.given.detail)
                continue
            began_s = time.monotonic()
            given = await _play_one(invocation, bootstrap, api)
            yield compare(invocation, given, took_s=time.monotonic() - began_s)
    finally:
        await bootstrap.stop()
        server.abort()


async def _play_one(invocation: Recorded, bootstrap: "_Bootstrap", api: "_RuntimeApi") -> Given:
    exited = await bootstrap.ensure_running()
    polled = api.wait_polled()
    if not await _first(_INIT_TIMEOUT_S, polled, exited):
        await bootstrap.stop()
        return Given("timeout", detail=f"it did not ask for an event within {_INIT_TIMEOUT_S:g} s")
    if not polled.done():
        return await bootstrap.wait_ended("before it asked for an event")
    if api.init_error is not None:
        error, api.init_error = api.init_error, None
        await bootstrap.stop()
        return Given("exit", error, len(error), "its init failed")
    answered = api.give(invocation)
    if not await _first(invocation.timeout_s, answered, exited):
        await bootstrap.stop()
        return Given("timeout", detail=f"its deadline was {invocation.timeout_s:g} s")
    if not answered.done():
        return await bootstrap.wait_ended("without an answer")
    return answered.result()


async def _first(timeout_s: float, *waiting: "asyncio.Future[Any]") -> bool:  # Any: not looked at
    done, _ = await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)


def compare(invocation: Recorded, given: Given, *, took_s: float = 0.0) -> Result:
    """Judge an answer by the recorded one.

    JSON is compared by its meaning, as another spelling is no other answer; in errors the stack trace is left out,
    since it tells of the place of the files.
    """
    old = invocation.given
    if given.kind == "timeout" and old.kind != "timeout":
        return Result(invocation.request_id, Verdict.NO_ANSWER, given.detail, took_s=took_s)
    if given.kind in ("error", "exit") and given.kind != old.kind:
        lines = tuple(_pretty(given.payload))[:_DIFF_LINES]
        detail = given.detail or f"it posted an error where {_named(old)} was recorded"
        return Result(invocation.request_id, Verdict.ERROR, detail, lines, took_s)
    if old.kind == "size" and given.kind == "response":
        same = old.size_bytes == given.size_bytes
        detail = f"{given.size_bytes} bytes; of the streamed response only the size is known, {old.size_bytes} bytes"
        return Result(invocation.request_id, Verdict.SAME if same else Verdict.DIFFERENT, detail, took_s=took_s)
    if given.kind != old.kind:
        detail = f"it gave {_named(given)} where {_named(old)} was recorded"
        return Result(invocation.request_id, Verdict.DIFFERENT, detail, took_s=took_s)
    if given.kind in ("exit", "timeout"):
        return Result(invocation.request_id, Verdict.SAME, f"as recorded, {_named(old)}", took_s=took_s)
    if len(old.payload) < old.size_bytes:  # only its beginning was kept
        same = given.size_bytes == old.size_bytes and given.payload.startswith(old.payload)
        detail = f"of the recorded response only {len(old.payload)} of {old.size_bytes} bytes were kept"
        return Result(invocation.request_id, Verdict.SAME if same else Verdict.DIFFERENT, detail, took_s=took_s)
    if _meaning(old.payload, error=old.kind == "error") == _meaning(given.payload, error=old.kind == "error"):
        return Result(invocation.request_id, Verdict.SAME, took_s=took_s)
    return Result(invocation.request_id, Verdict.DIFFERENT, "", _diff(old.payload, given.payload), took_s)


def _named(given: Given) -> str:
    names = {"size": "a streamed response", "exit": "its end without an answer", "timeout": "no answer in time"}
    return names.get(given.kind) or ("an error" if given.kind == "error" else "a response")


def _meaning(payload: bytes, *, error: bool) -> object:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return payload
    if error and isinstance(value, dict):
        return {name: one for name, one in value.items() if name not in ("stackTrace", "trace", "requestId")}
    # As text: 1, 1.0 and true are equal in Python, and are not the same answer.
    return json.dumps(value, sort_keys=True)


def _diff(old: bytes, new: bytes) -> tuple[str, ...]:
    if max(len(old), len(new)) > _DIFF_BYTES:
        return (f"{len(old)} bytes were recorded, {len(new)} came",)
    lines = list(difflib.unified_diff(_pretty(old), _pretty(new), "recorded", "replayed", n=1, lineterm=""))
    more = len(lines) - _DIFF_LINES
    return (*lines[:_DIFF_LINES], *([f"({more} more lines)"] if more > 0 else []))


def _pretty(payload: bytes) -> list[str]:
    try:
        return json.dumps(json.loads(payload), indent=1, ensure_ascii=False).splitlines()
    except (ValueError, RecursionError):
        pass
    try:
        return payload.decode().splitlines()
    except UnicodeDecodeError:
        return [binascii.hexlify(payload[:64], " ").decode() + (" ..." if len(payload) > 64 else "")]


class _RuntimeApi:
    """The handler of the Runtime API: one invocation at a time."""

    def __init__(self) -> None:
        self.init_error: bytes | None = None
        self._poll: Exchange | None = None
        self._polled: asyncio.Future[None] | None = None
        self._running: Recorded | None = None
        self._answered: asyncio.Future[Given] | None = None

    def wait_polled(self) -> "asyncio.Future[None]":
        """Done once the bootstrap asks for an event, or says that its init failed."""
        self._polled = asyncio.get_running_loop().create_future()
        if self._poll is not None and self._poll.connected:
            self._polled.set_result(None)
        return self._polled

    def give(self, invocation: Recorded) -> "asyncio.Future[Given]":
        """Answer the waiting `next`; done with what the bootstrap answers."""
        assert self._poll is not None  # `wait_polled` has been waited for
        poll, self._poll = self._poll, None
        self._running, self._answered = invocation, asyncio.get_running_loop().create_future()
        deadline_ms = int((time.time() + invocation.timeout_s) * 1000)
        poll.respond(200, (*invocation.headers, ("Lambda-Runtime-Deadline-Ms", str(deadline_ms))), invocation.payload)
        return self._answered

    def forget(self) -> None:
        """The bootstrap has ended: what it asked for and owed is void."""
        self._poll = self._running = self.init_error = None

    def head(self, request: Request) -> Buffered:  # noqa: ARG002  # the same for all
        """Every body fits into memory."""
        return Buffered(limit_bytes=_MAX_BODY_BYTES, drain_excess=True)

    def handle(self, exchange: Exchange) -> None:
        """Answer one call."""
        request = exchange.request
        tail = request.path.removeprefix(_PREFIX)
        request_id, _, verb = tail.removeprefix("invocation/").partition("/")
        if (request.method, tail) == ("GET", "invocation/next"):
            self._poll = exchange
            self._tell_polled()
        elif (request.method, tail) == ("POST", "init/error"):
            self.init_error = request.body
            self._tell_polled()
            exchange.respond(202, _JSON, b'{"status":"OK"}\n')
        elif request.method == "POST" and verb in ("response", "error"):
            self._take(exchange, request_id, verb)
        else:
            exchange.respond(404, (), b"404 page not found\n")

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        """Word what the server turned away."""
        return Answer(refusal_status(request, refusal))

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:  # noqa: ARG002  # logged by the server
        """Word a fault of ours."""
        return Answer(500)

    def _tell_polled(self) -> None:
        if self._polled is not None and not self._polled.done():
            self._polled.set_result(None)

    def _take(self, exchange: Exchange, request_id: str, verb: str) -> None:
        running, self._running = self._running, None
        if running is None or running.request_id != request_id:
            self._running = running
            body = b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n'
            exchange.respond(400, _JSON, body)
            return
        body = exchange.request.body
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(Given(verb, body, len(body)))
        exchange.respond(202, _JSON, b'{"status":"OK"}\n')


class _Bootstrap:
    """The process under test, and its group."""

    def __init__(self, program: Sequence[str], address: str, api: _RuntimeApi) -> None:
        self._program = program
        self._variables = {
            "AWS_LAMBDA_FUNCTION_NAME": "replay",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_REGION": "us-east-1",
            "LAMBDA_TASK_ROOT": str(os.getcwd()),  # noqa: PTH109  # text is wanted
            **os.environ,
            "AWS_LAMBDA_RUNTIME_API": address,
        }
        self._api = api
        self._process: asyncio.subprocess.Process | None = None
        self._exited: asyncio.Task[int] | None = None

    async def ensure_running(self) -> "asyncio.Task[int]":
        """Start the program unless it runs. The task ends with it."""
        if self._exited is not None and not self._exited.done():
            return self._exited
        self._api.forget()
        try:
            # What it prints goes where our prose goes: stdout is for results.
            self._process = await asyncio.create_subprocess_exec(
                *self._program, env=self._variables, stdin=asyncio.subprocess.DEVNULL, stdout=2, start_new_session=True
            )
        except OSError as error:
            raise CommandError(f"cannot start {self._program[0]}: {error.strerror}", Status.USAGE) from error
        self._exited = asyncio.get_running_loop().create_task(self._process.wait(), name="bootstrap")
        return self._exited

    async def wait_ended(self, when: str) -> Given:
        """How it ended."""
        assert self._exited is not None
        code = await self._exited
        await self.stop()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return Given("exit", detail=f"it ended {when}: {how}")

    async def stop(self) -> None:
        """Kill it, and what it has started."""
        if self._process is not None and self._exited is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._exited
        self._api.forget()
