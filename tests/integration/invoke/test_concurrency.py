"""How many invocations run at once: what is reserved, what the node has room for, and who waits; in real sandboxes."""

import errno
import json
import os
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.extensions import ECHO, WELL, extended
from tests.support.functions import Answer, Function, bash, create
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

FUNCTION = "ReservedFunctionConcurrentInvocationLimitExceeded"
ACCOUNT = "ConcurrentInvocationLimitExceeded"

HOLD = """
mkfifo /tmp/gate
while true; do
    next
    if [ "$BODY" = '"hold"' ]; then echo HOLDING; read < /tmp/gate; fi
    respond "\\"$AWS_LAMBDA_LOG_STREAM_NAME\\"" >/dev/null
done
"""
"""Answers with the name of the environment's log stream; the event "hold" first waits until the test lets it go."""


class Held:
    """Invocations of a function that wait for the test."""

    def __init__(self, server: LamellaServer, client: Any, threads: ThreadPoolExecutor) -> None:
        self.function = bash(client, HOLD, Timeout=60)
        self._server = server
        self._threads = threads
        self._held = 0

    def hold(self, times: int) -> list[Future[Answer]]:
        """Invoke so often, and wait until all of them are being run."""
        self._held += times
        # With the log, so that the environment is idle again when the answer comes.
        calls = [self._threads.submit(self.function.invoke, "hold") for _ in range(times)]
        url = f"{self._server.url}/_lamella/logs/{self.function.name}?follow=1"
        with urllib.request.urlopen(url, timeout=60) as lines:
            for line in lines:
                times -= json.loads(line)["message"].startswith("HOLDING")
                if not times:
                    return calls
        raise AssertionError

    def let_go(self) -> None:
        """Let them go on."""
        opened: set[tuple[int, int]] = set()
        while len(opened) < self._held:  # one that has just said so may not be reading yet
            for gate, place in list(self._gates()):
                if place not in opened and self._open(gate):
                    opened.add(place)
        self._held = 0

    def _gates(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                variables = (folder / "environ").read_bytes().split(b"\0")
                gate = folder / "root/tmp/gate"
                if f"AWS_LAMBDA_FUNCTION_NAME={self.function.name}".encode() in variables and gate.is_fifo():
                    yield gate, (gate.stat().st_dev, gate.stat().st_ino)

    def _open(self, gate: Path) -> bool:
        """Write a line if somebody reads; an idle environment does not."""
        try:
            descriptor = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ENOENT):
                raise
            return False
        os.write(descriptor, b"go\n")
        os.close(descriptor)
        return True


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


@pytest.fixture
def held(server: LamellaServer, client: Any, threads: ThreadPoolExecutor) -> Held:
    return Held(server, client, threads)


@pytest.fixture(scope="module")
def small() -> Iterator[LamellaServer]:
    """A node with room for one environment."""
    with LamellaServer(state_delay_s="0", max_environments="1", spare_sandboxes="0", queue_timeout_s="60") as running:
        yield running


def refusal(function: Function) -> tuple[int, str, str, str]:
    """Status, code, text and reason of an invocation that must be refused."""
    with pytest.raises(ClientError) as caught:
        function.invoke(tail=False)
    error = caught.value.response
    status = error["ResponseMetadata"]["HTTPStatusCode"]
    return status, error["Error"]["Code"], error["Error"]["Message"], error.get("Reason", "")


def environments(server: LamellaServer) -> int:
    with urllib.request.urlopen(f"{server.url}/_lamella/health", timeout=30) as answer:
        return int(json.load(answer)["execution_environments"])


def test_a_burst_ends_with_an_answer_for_each(server: LamellaServer) -> None:
    """200 at once, of a function that takes 100 ms, on a node with room for half of them: the others wait."""
    callers = 200
    client = server.boto3(config={"max_pool_connections": callers})
    sleeper = "import time\ndef handler(event, context):\n    time.sleep(0.1)\n    return event\n"
    function = create(client, {"function.py": sleeper}, runtime="python3.11", MemorySize=1769)
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            most.append(environments(server))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(callers) as pool:
            answers = list(pool.map(lambda number: function.invoke(number, tail=False), range(callers)))
    finally:
        over.set()
        watcher.join()
    assert [(answer.error, answer.document) for answer in answers] == [(None, number) for number in range(callers)]
    assert 2 <= max(most) <= 100


def test_no_more_than_reserved_run_at_once(client: Any, held: Held) -> None:
    client.put_function_concurrency(FunctionName=held.function.name, ReservedConcurrentExecutions=2)
    running = held.hold(2)
    for _ in range(3):
        assert refusal(held.function) == (429, "TooManyRequestsException", "Rate Exceeded.", FUNCTION)
    held.let_go()
    assert len({call.result().document for call in running}) == 2
    assert held.function.invoke(tail=False).status == 200


def test_a_reservation_covers_all_versions(client: Any, held: Held) -> None:
    version = client.publish_version(FunctionName=held.function.name)["Version"]
    client.get_waiter("published_version_active").wait(
        FunctionName=held.function.name, Qualifier=version, WaiterConfig={"Delay": 0}
    )
    client.put_function_concurrency(FunctionName=held.function.name, ReservedConcurrentExecutions=1)
    (running,) = held.hold(1)
    assert refusal(Function(client, f"{held.function.name}:{version}"))[3] == FUNCTION
    held.let_go()
    assert running.result().status == 200
    assert Function(client, f"{held.function.name}:{version}").invoke(tail=False).status == 200


def test_a_change_is_in_force_at_once(client: Any, held: Held) -> None:
    name = held.function.name
    running = held.hold(2)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert refusal(held.function)[3] == FUNCTION
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    assert refusal(held.function)[3] == FUNCTION  # two run already
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    assert held.function.invoke(tail=False).status == 200
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    client.delete_function_concurrency(FunctionName=name)
    assert held.function.invoke(tail=False).status == 200
    held.let_go()
    assert [call.result().status for call in running] == [200, 200]


def test_a_reservation_of_one_means_one_environment(client: Any) -> None:
    """Not even for the moment between an answer and the runtime's following `next` are there two."""
    slow = 'while true; do next; respond "\\"$AWS_LAMBDA_LOG_STREAM_NAME\\"" >/dev/null; date >/dev/null; done'
    function = bash(client, slow)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    assert len({function.invoke(tail=False).document for _ in range(9)}) == 1


def throttled(function: Function, *, within: int = 1) -> dict[str, Any]:
    """What one of so many invocations is answered."""
    for _ in range(within):
        try:
            function.invoke(tail=False)
        except function.client.exceptions.TooManyRequestsException as error:
            return dict(error.response)
    raise AssertionError


def test_ten_requests_a_second_for_each_reserved_execution(client: Any) -> None:
    source = "def handler(event, context): return 1"
    function = create(client, {"function.py": source}, runtime="python3.11", MemorySize=1769)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    answers = [function.invoke(tail=False).document for _ in range(10)]
    assert answers == [1] * 10
    refused = throttled(function, within=1000)
    assert refused["Reason"] == "ReservedFunctionInvocationRateLimitExceeded"
    assert refused["Error"]["Message"] == "Rate Exceeded."
    assert refused["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    client.delete_function_concurrency(FunctionName=function.name)
    assert function.invoke(tail=False).status == 200


def test_a_function_gets_new_environments_at_a_rate(threads: ThreadPoolExecutor) -> None:
    with LamellaServer(state_delay_s="0", scaling_rate="1", spare_sandboxes="0") as server:
        client = server.boto3()
        held, other = Held(server, client, threads), bash(client, HOLD)
        (running,) = held.hold(1)
        refused = throttled(held.function)
        assert refused["Reason"] == "FunctionInvocationRateLimitExceeded"
        assert 1 <= int(refused["retryAfterSeconds"]) <= 10
        assert other.invoke(tail=False).status == 200  # each function has a rate of its own
        held.let_go()
        assert running.result().status == 200
        assert held.function.invoke(tail=False).status == 200  # it needs no other environment


def test_relaxed_limits_warn_of_rates(threads: ThreadPoolExecutor) -> None:
    with LamellaServer(state_delay_s="0", scaling_rate="1", spare_sandboxes="0", limits="relaxed") as server:
        held = Held(server, server.boto3(), threads)
        running = held.hold(2)
        held.let_go()
        assert [call.result().status for call in running] == [200, 200]
        arn = f"arn:aws:lambda:us-east-1:000000000000:function:{held.function.name}"
        told = f"on AWS invocations of {arn} would be throttled now: FunctionInvocationRateLimitExceeded"
        assert server.log.count(told) == 1


def test_the_command_line_reserves(server: LamellaServer, client: Any) -> None:
    function = bash(client, HOLD)
    arguments = ("--function-name", function.name)
    done = server.aws("lambda", "put-function-concurrency", *arguments, "--reserved-concurrent-executions", "0")
    assert json.loads(done.stdout) == {"ReservedConcurrentExecutions": 0}
    assert refusal(function)[0] == 429
    shown = server.aws("lambda", "get-function-concurrency", *arguments)
    assert json.loads(shown.stdout) == {"ReservedConcurrentExecutions": 0}
    server.aws("lambda", "delete-function-concurrency", *arguments)
    assert function.invoke(tail=False).status == 200


def test_a_restart_changes_nothing(small: LamellaServer) -> None:
    client = small.boto3()
    function = bash(client, HOLD)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    small.restart()
    client = small.boto3()
    assert refusal(Function(client, function.name))[3] == FUNCTION
    client.delete_function(FunctionName=function.name)
    assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000


def test_who_finds_no_room_waits_for_it(small: LamellaServer, threads: ThreadPoolExecutor) -> None:
    """For an environment of the same version, and for one of another."""
    client = small.boto3()
    held, other = Held(small, client, threads), bash(client, HOLD)
    (first,) = held.hold(1)
    same = threads.submit(held.function.invoke, tail=False)
    another = threads.submit(other.invoke, tail=False)
    while json.load(urllib.request.urlopen(f"{small.url}/_lamella/health", timeout=30))["invocations_in_flight"] < 3:
        pass  # until both have been accepted
    assert environments(small) == 1
    held.let_go()
    assert first.result().document == same.result().document
    assert another.result().document != first.result().document
    assert environments(small) == 1


def test_idle_environments_make_room(small: LamellaServer) -> None:
    client = small.boto3()
    functions = [bash(client, HOLD) for _ in range(2)]
    streams = [function.invoke(tail=False).document for function in functions * 2]
    assert len(set(streams)) == 4
    assert environments(small) == 1


def test_room_comes_when_the_extensions_have_shut_down(small: LamellaServer) -> None:
    """One that ignores its shutdown takes 2 s, in which its environment counts."""
    client = small.boto3()
    stubborn = WELL.replace("sys.exit(0)", "pass")
    first = extended(client, {"stubborn.py": stubborn}, ECHO)
    other = bash(client, HOLD)
    assert first.invoke(1, tail=False).document == 1
    answered, most = threading.Event(), []

    def watch() -> None:
        while not answered.is_set():
            most.append(environments(small))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert other.invoke(tail=False).status == 200
    finally:
        answered.set()
        watcher.join()
    assert max(most) == 1


def test_who_waits_for_a_function_that_is_deleted_is_told(small: LamellaServer, threads: ThreadPoolExecutor) -> None:
    client = small.boto3()
    held, other = Held(small, client, threads), bash(client, HOLD)
    (running,) = held.hold(1)
    waiting = threads.submit(refusal, other)
    while json.load(urllib.request.urlopen(f"{small.url}/_lamella/health", timeout=30))["invocations_in_flight"] < 2:
        pass  # until it has been accepted
    client.delete_function(FunctionName=other.name)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{other.name}"
    assert waiting.result()[:3] == (404, "ResourceNotFoundException", f"Function not found: {arn}")
    held.let_go()
    assert running.result().status == 200


def test_who_waits_too_long_is_refused(threads: ThreadPoolExecutor) -> None:
    with LamellaServer(state_delay_s="0", max_environments="1", queue_timeout_s="1") as server:
        client = server.boto3()
        held, other = Held(server, client, threads), bash(client, HOLD)
        (running,) = held.hold(1)
        assert refusal(other) == (429, "TooManyRequestsException", "Rate Exceeded.", ACCOUNT)
        held.let_go()
        assert running.result().status == 200
        assert other.invoke(tail=False).status == 200
