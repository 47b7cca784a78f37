"""Pools that share a node's room: a random walk over everything that can happen, with environments of a fake."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lamella.invoke.fleet as fleet_module
import lamella.invoke.pool as pool_module
from lamella.domain.function import FunctionKey
from lamella.domain.invocation import Invocation, Outcome
from lamella.invoke.deployment import Deployment, NodeServices
from lamella.invoke.fleet import Fleet
from lamella.invoke.host import EnvironmentHost
from lamella.invoke.job import Job
from lamella.invoke.pool import Pool, PoolClosedError, WaitedTooLongError
from lamella.lifecycle.admission import Concurrency, Limits
from lamella.lifecycle.scaling import PATIENCE_S

TIMEOUT_S = 30.0


class Host:
    """An environment that does what the test says. `lingers`: its extensions take time to shut down."""

    lingers = False
    now_s = 0.0
    numbers = count()

    def __init__(self, deployment: Deployment, node: NodeServices, owner: Pool) -> None:
        self.id = str(next(Host.numbers))
        self.pool = owner
        self.began_s = self.idle_since_s = 0.0
        self.soon_idle = False
        self.job: Job | None = None
        self.state = "starting"
        cast("Hosts", node).all.append(self)

    def start(self) -> None:
        """The task that makes the sandbox: here the test goes on with it."""

    def assign(self, job: Job) -> None:
        assert self.state in ("starting", "idle", "answered", "reset"), "it was not offered"
        self.state, self.job = "busy", job

    def shut_down(self) -> None:
        if self.state in ("leaving", "gone"):
            return
        self.answer()
        if Host.lingers:
            self.state, self.soon_idle = "leaving", False
            self.pool.leaving(cast("EnvironmentHost", self))
        else:
            self.go()

    def answer(self) -> None:
        """The runtime has posted its response."""
        if self.job is not None:
            job, self.job = self.job, None
            self.state, self.soon_idle = "answered", True
            job.on_outcome(Outcome(b"", None))

    def offer(self) -> None:
        """The runtime asks for the next event, or its processes are gone after a reset."""
        self.soon_idle = False
        self.idle_since_s = Host.now_s
        was, self.state = self.state, "idle"
        assert was in ("starting", "answered", "reset")
        self.pool.offered(cast("EnvironmentHost", self))

    def reset(self) -> None:
        self.answer()
        self.state, self.soon_idle = "reset", False

    def go(self) -> None:
        self.answer()
        self.state, self.soon_idle = "gone", False
        self.pool.gone(cast("EnvironmentHost", self))

    def fail(self) -> None:
        self.state = "gone"
        self.pool.failed(cast("EnvironmentHost", self), OSError("no sandbox"))


class Hosts:
    """Every environment that was made; takes the place of the node's services."""

    def __init__(self) -> None:
        self.all: list[Host] = []
        self.tasks = self

    def start(self, work: object, *, name: str) -> None:
        """Of the node's tasks."""

    def of(self, *states: str) -> list[Host]:
        return [host for host in self.all if host.state in states]


@pytest.fixture(autouse=True, scope="module")
def fakes() -> Iterator[None]:
    """Environments and time of the test's own. For the module, as Hypothesis runs each test many times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool_module, "EnvironmentHost", Host)
        patch.setattr(pool_module, "monotonic", lambda: Host.now_s)
        patch.setattr(fleet_module, "monotonic", lambda: Host.now_s)
        yield


class Node:
    """A fleet, and the pools of several functions."""

    def __init__(self, limit: int, *, lingers: bool = False) -> None:
        Host.lingers, Host.now_s = lingers, 0.0
        self.limit = limit
        self.hosts = Hosts()
        self.fleet = Fleet(limit, TIMEOUT_S)
        self.concurrency = Concurrency(Limits(1000))
        self.pools: dict[str, Pool] = {}
        self.closed: list[Pool] = []
        self.emptied: set[Pool] = set()
        self.ended: list[tuple[str, object]] = []
        self.submitted = 0

    def pool(self, name: str) -> Pool:
        if name not in self.pools:
            function = self.concurrency.of(FunctionKey("0", "r", name))
            node = cast("NodeServices", self.hosts)
            self.pools[name] = Pool(cast("Deployment", None), node, self.fleet, function, on_empty=self.emptied.add)
        return self.pools[name]

    def submit(self, name: str) -> str:
        job_id = f"{name}{self.submitted}"
        self.submitted += 1

        def ended(result: object) -> None:
            self.ended.append((job_id, result))

        job = Job(Invocation(job_id, b"", "", "", ""), 3, want_tail=False, on_outcome=ended, on_failure=ended)
        self.pool(name).submit(job)
        return job_id

    def close(self, name: str, refusal: Exception | None = None) -> None:
        if name in self.pools:
            self.closed.append(self.pools.pop(name))
            self.closed[-1].close(refusal)

    @property
    def everything(self) -> list[Pool]:
        return [*self.pools.values(), *self.closed]

    @property
    def running(self) -> dict[str, str]:
        """States of environments by the job they have."""
        return {host.job.invocation.request_id: host.state for host in self.hosts.all if host.job is not None}

    def check(self) -> None:
        """What must be so after every event."""
        existing = [host for host in self.hosts.all if host.state != "gone"]
        assert self.fleet.environments == len(existing) <= self.limit
        room = len(existing) < self.limit
        wanted = 0
        for pool in self.everything:
            mine = [host for host in existing if host.pool is pool]
            idle, starting = [sum(host.state == state for host in mine) for state in ("idle", "starting")]
            assert pool.idle_count == idle
            assert pool.leaving_count == sum(host.state == "leaving" for host in mine)
            assert not (idle and pool.waiting_count), "an environment stands idle while a job of its version waits"
            hoping = pool._recheck is not None
            most = pool.concurrency.reserved
            active = sum(host.state not in ("idle", "leaving") for host in mine)
            if pool.waiting_count > starting and not hoping and (most is None or active < max(most, 1)):
                assert not room, "there is room, and somebody waits"
                wanted += 1
            assert (pool in self.emptied) == (pool in self.closed and not mine and not pool.waiting_count)
        leaving = sum(host.state == "leaving" for host in existing)
        assert wanted <= leaving or not any(host.state == "idle" for host in existing)
        assert len({job_id for job_id, _ in self.ended}) == len(self.ended), "a job ended twice"
        waiting = sum(pool.waiting_count for pool in self.everything)
        assert len(self.ended) + len(self.running) + waiting == self.submitted, "a job was lost"

    def drain(self) -> None:
        """Let everything end that can."""
        for _ in range(2 * self.submitted + 5):
            for host in self.hosts.of("starting", "answered", "reset"):
                if host.state != "gone":
                    host.offer()
            for host in self.hosts.of("busy"):
                host.answer()
            for host in self.hosts.of("leaving"):
                host.go()
            for pool in self.everything:
                if pool._recheck is not None:
                    pool._grace_over()
            self.check()


ACTIONS: dict[str, Callable[[Host], None]] = {
    "ready": Host.offer,
    "fails": Host.fail,
    "answers": Host.answer,
    "polls": Host.offer,
    "is reset": Host.reset,
    "was reset": Host.offer,
    "ends": Host.go,
    "dies": Host.go,
    "is gone": Host.go,
}
STATES = {
    "ready": "starting",
    "fails": "starting",
    "answers": "busy",
    "polls": "answered",
    "is reset": "busy",
    "was reset": "reset",
    "ends": "busy",
    "dies": "idle",
    "is gone": "leaving",
}
EVENTS = st.one_of(
    st.tuples(st.just("submit"), st.sampled_from("abc")),
    st.tuples(st.just("submit"), st.sampled_from("abc")),
    st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 9)),
    st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 9)),
    st.tuples(st.sampled_from(["grace", "update", "delete", "idle timeout"]), st.sampled_from("abc")),
    st.tuples(st.just("reserve"), st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.integers(0, 2)))),
    st.tuples(st.just("time"), st.sampled_from([0.1, PATIENCE_S + 0.1, TIMEOUT_S])),
)


@settings(max_examples=400)
@given(st.integers(1, 4), st.booleans(), st.lists(EVENTS, max_size=80))
def test_whatever_happens(limit: int, lingers: bool, events: list[tuple[str, object]]) -> None:
    """Never more environments than allowed, no job lost, and none that waits beside an idle environment."""
    asyncio.run(_walk(limit, events, lingers=lingers))


async def _walk(limit: int, events: list[tuple[str, object]], *, lingers: bool) -> None:
    node = Node(limit, lingers=lingers)
    for event, detail in events:
        if event in ACTIONS:
            able = node.hosts.of(STATES[event])
            if able:
                ACTIONS[event](able[cast("int", detail) % len(able)])
        else:
            _happen(node, event, detail)
        node.check()
    node.drain()
    assert len(node.ended) == node.submitted
    for name in list(node.pools):
        node.close(name)
    node.drain()
    assert node.fleet.environments == 0
    assert node.emptied == set(node.closed)


def _happen(node: Node, event: str, detail: object) -> None:
    name = str(detail)
    match event:
        case "submit":
            node.submit(name)
        case "grace":
            if node.pool(name)._recheck is not None:
                node.pool(name)._grace_over()
        case "update":
            node.close(name)
        case "delete":
            node.close(name, KeyError("deleted"))
        case "idle timeout":
            if node.pool(name).idle_count:
                node.pool(name).retire_oldest()
        case "reserve":
            function, executions = cast("tuple[str, int | None]", detail)
            node.concurrency.of(FunctionKey("0", "r", function)).reserve(executions)
            node.fleet.settle()
        case "time":
            Host.now_s += cast("float", detail)
            node.fleet._expire()


async def test_room_goes_to_who_has_waited_longest() -> None:
    node = Node(1)
    for name in "abcb":
        node.submit(name)
        Host.now_s += 0.1
    for name in "abc":
        (host,) = node.hosts.of("starting")
        host.offer()
        assert {job_id[0] for job_id in node.running} == {name}
        host.go()
    (host,) = node.hosts.of("starting")
    assert host.pool is node.pool("b")


async def test_a_busy_version_does_not_starve_another_one() -> None:
    node = Node(1)
    for _ in range(50):
        node.submit("a")
    node.hosts.of("starting")[0].offer()
    waits = node.submit("b")
    served = 0
    while waits not in node.running:
        for host in node.hosts.of("busy"):
            host.answer()
        node.submit("a")
        Host.now_s += PATIENCE_S / 4
        for host in node.hosts.of("starting", "answered"):
            host.offer()
        served += 1
    assert 40 <= served <= 60  # those of "a" that had come before, and the few within the patience


async def test_a_version_without_room_does_not_cost_the_others_their_environments() -> None:
    """Two overloaded versions: each goes on with its own environments, as long as nobody waits much longer."""
    node = Node(2)
    for _ in range(20):
        node.submit("a")
        node.submit("b")
    for _ in range(20):
        for host in node.hosts.of("starting", "answered"):
            host.offer()
        for host in node.hosts.of("busy"):
            host.answer()
    assert len(node.hosts.all) == 2
    assert len(node.ended) == 40


async def test_one_that_is_leaving_is_enough_for_one_that_waits() -> None:
    node = Node(2, lingers=True)
    for name in "aa":
        node.submit(name)
    node.drain()
    node.submit("b")
    assert [host.state for host in node.hosts.all] == ["leaving", "idle"]
    node.submit("b")
    assert [host.state for host in node.hosts.all] == ["leaving", "leaving"]


async def test_with_a_reservation_of_one_there_is_one_environment_that_runs() -> None:
    node = Node(4, lingers=True)
    node.concurrency.of(FunctionKey("0", "r", "a")).reserve(1)
    node.submit("a")
    (first,) = node.hosts.of("starting")
    first.offer()
    first.answer()
    second = node.submit("a")  # accepted, as the first has its answer
    node.pool("a")._grace_over()
    assert node.hosts.all == [first]
    first.shut_down()  # takes no more jobs, though it is not gone
    node.hosts.of("starting")[0].offer()
    assert set(node.running) == {second}


async def test_one_that_has_answered_and_not_asked_again_counts() -> None:
    node = Node(1)
    node.submit("a")
    (host,) = node.hosts.of("starting")
    host.offer()
    host.answer()
    second = node.submit("a")
    node.pool("a")._grace_over()
    assert node.fleet.environments == 1
    other = node.submit("b")
    assert node.fleet.environments == 1
    host.offer()
    assert set(node.running) == {second}
    host.answer()
    host.offer()  # nobody of its own waits any more, so it makes room
    assert host.state == "gone"
    node.hosts.of("starting")[0].offer()
    assert set(node.running) == {other}


async def test_who_has_waited_too_long_is_told() -> None:
    node = Node(1)
    node.submit("a")
    node.hosts.of("starting")[0].offer()
    own, other = node.submit("a"), node.submit("b")
    Host.now_s += TIMEOUT_S / 2
    later = node.submit("b")
    Host.now_s += TIMEOUT_S / 2
    node.fleet._expire()
    assert [(job_id, type(result)) for job_id, result in node.ended] == [
        (own, WaitedTooLongError),
        (other, WaitedTooLongError),
    ]
    Host.now_s += TIMEOUT_S / 2
    node.hosts.of("busy")[0].go()
    node.fleet._expire()  # its environment is starting by now, so it is not given up
    node.hosts.of("starting")[0].offer()
    assert set(node.running) == {later}


async def test_the_next_to_be_told_has_a_timer() -> None:
    node = Node(1)
    node.submit("a")
    node.hosts.of("starting")[0].offer()
    assert node.fleet._expiry is not None  # of the first, which has its environment
    node.fleet._expire()
    assert node.fleet._expiry is None
    node.submit("a")
    Host.now_s += TIMEOUT_S / 2
    node.submit("a")
    Host.now_s += TIMEOUT_S / 2
    node.fleet._expire()
    timer = node.fleet._expiry
    assert timer is not None
    assert timer.when() == pytest.approx(asyncio.get_running_loop().time() + TIMEOUT_S / 2, abs=1)
    node.fleet.close()
    assert timer.cancelled()


async def test_those_who_wait_for_a_deleted_function_are_told() -> None:
    node = Node(2)
    first, second, third = node.submit("a"), node.submit("a"), node.submit("a")
    node.hosts.of("starting")[0].offer()
    gone = KeyError("deleted")
    node.close("a", gone)
    assert node.ended == [(third, gone)]  # the second has an environment on its way
    node.drain()
    assert {job_id for job_id, result in node.ended if result is not gone} == {first, second}
    assert node.fleet.environments == 0


async def test_those_who_wait_for_a_replaced_version_get_an_environment_of_it() -> None:
    node = Node(1)
    node.submit("a")
    node.submit("a")
    starting = node.hosts.of("starting")
    node.close("a")
    node.submit("a")
    old = node.closed[0]
    assert node.hosts.of("starting") == starting
    starting[0].offer()
    node.hosts.of("busy")[0].go()
    assert [host.pool for host in node.hosts.of("starting")] == [old]
    node.drain()
    assert node.emptied == {old}
    assert len(node.ended) == 3


async def test_an_abort_tells_everybody() -> None:
    node = Node(1)
    node.submit("a")
    node.submit("b")
    node.hosts.of("starting")[0].offer()
    for name in "ba":
        node.close(name)
    for pool in node.closed:
        pool.abort()
    assert [type(result) for _, result in node.ended] == [PoolClosedError, Outcome]
    assert node.emptied == set(node.closed)
    assert node.fleet.environments == 0


@pytest.mark.parametrize("lingers", [False, True])
async def test_many_idle_ones_make_room_at_once(*, lingers: bool) -> None:
    """More of them than calls may be nested."""
    node = Node(400, lingers=lingers)
    for _ in range(400):
        node.submit("a")
    for step in (Host.offer, Host.answer, Host.offer):
        for host in node.hosts.all:
            step(host)
    assert node.pool("a").idle_count == 400
    function = node.concurrency.of(FunctionKey("0", "r", "b"))
    function.reserve(0)  # so that they come to want environments all at once
    for _ in range(300):
        node.submit("b")
    function.reserve(None)
    node.fleet.settle()
    node.check()
    for host in node.hosts.of("leaving"):
        host.go()
    node.check()
    assert len(node.hosts.of("starting")) == 300
