"""Random walks through the life of an environment with extensions, streams and restores.

The walk is the host and all processes at once. What processes ask for is chosen without regard to whether it is legal;
what the host says (an assignment, an exit, a deadline) is only said when a host may say it, and is then never refused.
"""

import math
import random
import re
from collections import Counter
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from lamella.domain.invocation import Invocation
from lamella.lifecycle.commands import (
    CloseSubscriptions,
    Command,
    Discard,
    EndReply,
    FlushTelemetry,
    Freeze,
    GiveEvent,
    GiveInvoke,
    GiveShutdown,
    KillProcesses,
    LaunchExtension,
    LaunchRuntime,
    Offer,
    RecordEnd,
    RecordExtension,
    RecordInit,
    RecordInitRuntimeDone,
    RecordInitStart,
    RecordRestore,
    RecordRestoreStart,
    RecordRuntimeDone,
    RecordStart,
    Reply,
    TerminateRuntime,
    Thaw,
    Withdraw,
)
from lamella.lifecycle.environment import EnvironmentMachine, Phase
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    Event,
    ExtensionExited,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionLaunchFailed,
    ExtensionPolled,
    ExtensionRefusedError,
    ExtensionRegistered,
    InitErrorPosted,
    InitRequested,
    InvocationAssigned,
    LaunchFailed,
    NextPolled,
    ProcessesGone,
    ProtocolError,
    ResponseEnded,
    ResponsePosted,
    ResponseRefused,
    ResponseStarted,
    RestoreErrorPosted,
    RestorePolled,
    RuntimeExited,
    ShutdownRequested,
    TelemetryFlushed,
    TransitionError,
)
from lamella.lifecycle.shutdown import SHUTDOWN_S

TIMEOUT_S = 3.0
_LETTERS: dict[type[Command], str] = {
    RecordInitStart: "I",
    RecordInitRuntimeDone: "R",
    RecordRestoreStart: "q",
    RecordRestore: "r",
    RecordExtension: "E",
    CloseSubscriptions: "C",
    RecordInit: "N",
    RecordStart: "S",
    RecordRuntimeDone: "D",
    RecordEnd: "F",
}
_ORDER = re.compile(r"(IR(qr)?E*C?N(SDF)*)*(I(R(qr?)?)?)?")
"""TL-47, TL-48: inits, each with its invocations; the last init may have been cut off by the end."""
_LAST = (Offer, Discard, KillProcesses, FlushTelemetry)  # performing these can bring the next event
_GIVEN_TO_PROCESSES = (GiveEvent, GiveInvoke, GiveShutdown, TerminateRuntime, LaunchRuntime, LaunchExtension)


class Walk:
    """The host of one environment, and what runs in it; it looks at every command."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.external = sorted(rng.sample(["one", "two"], rng.randint(0, 2)))
        self.machine = EnvironmentMachine(init_timeout_s=10.0, extensions=self.external)
        self.now_s = 0.0
        self.life = 0  # an init begins a new one
        self.running: set[str] = set()  # programs that were started in this life and have not ended; "" is the runtime
        self.registered: set[str] = set()
        self.offered = self.frozen = self.withdrawn = self.ended = self.flushing = False
        self.began_shutdown_s: float | None = None
        self.accepted: list[str] = []
        self.answers: Counter[str] = Counter()
        self.told: Counter[tuple[str, str]] = Counter()  # identifier, and the id of the invocation or SHUTDOWN
        self.records = ""

    def name(self) -> str:
        return self.rng.choice([*self.external, "inside"])

    def identifier(self) -> str:
        return f"{self.name()} {self.life if self.rng.random() < 0.95 else self.life - 1}"

    def call(self) -> Event:
        """Something that a process says."""
        current = self.accepted[-1] if self.accepted and self.rng.random() < 0.95 else "bogus"
        name = self.name()
        wanted = tuple(self.rng.sample(["INVOKE", "SHUTDOWN"], self.rng.randint(0, 2)))
        usual: list[Event] = [
            NextPolled(),
            ResponsePosted(current, b"1"),
            ResponseStarted(current),
            ResponseEnded(current, 1, *self.rng.choice([(), ("Function.Bad", b"{}")])),
            ExtensionRegistered(f"{name} {self.life}", name, wanted if name != "inside" else ("INVOKE",)),
            ExtensionPolled(self.identifier(), replaces=self.rng.random() < 0.1),
            ExtensionPolled(self.identifier()),
        ]
        rare: list[Event] = [
            ErrorPosted(current, b"{}", "Function.Bad"),
            ResponseRefused(current, "Function.ResponseSizeTooLarge", "too large"),
            RestorePolled(),
            RestoreErrorPosted(b"", "Runtime.Bad"),
            InitErrorPosted(b"", "Runtime.Bad"),
            ExtensionInitErrorPosted(self.identifier(), "Extension.Bad"),
            ExtensionExitErrorPosted(self.identifier(), "Extension.Bad"),
        ]
        return self.rng.choice(rare if self.rng.random() < 0.05 else usual)

    def news(self) -> Event | None:
        """Something that only a host can say, if there is any."""
        possible: list[Event] = []
        for program in sorted(self.running):
            if program:
                possible += [ExtensionExited(program, "exit code 0"), ExtensionLaunchFailed(program, "fork/exec")]
            else:
                possible += [RuntimeExited("Runtime exited"), LaunchFailed("Runtime.InvalidEntrypoint", "no")]
        if self.flushing:
            possible.append(TelemetryFlushed())
        return self.rng.choice(possible) if possible else None

    def step(self) -> None:
        self.now_s = min(self.now_s + self.rng.random() / 8, self.machine.deadline_s)
        if self.now_s >= self.machine.deadline_s:
            self.feed(DeadlinePassed())
        elif self.machine.phase is Phase.RESET and self.rng.random() < 0.3:
            self.feed(ProcessesGone())
        elif self.offered and self.rng.random() < 0.5:
            request_id = f"r-{len(self.accepted)}"
            self.accepted.append(request_id)
            self.offered = False
            self.feed(InvocationAssigned(Invocation(request_id, b"", "application/json", "arn", "t"), TIMEOUT_S))
        elif self.rng.random() < 0.04 and (event := self.news()) is not None:
            self.feed(event)
        else:
            with suppress(TransitionError, ProtocolError, ExtensionRefusedError):
                self.feed(self.call())

    def feed(self, event: Event) -> None:
        before = self.machine.phase
        commands = self.machine.receive(event, now_s=self.now_s)
        match event:
            case ExtensionRegistered(identifier=identifier):
                self.registered.add(identifier)
            case RuntimeExited() | LaunchFailed():
                self.running.discard("")
            case ExtensionExited(name=name) | ExtensionLaunchFailed(name=name):
                self.running.discard(name)
            case TelemetryFlushed():
                self.flushing = False
            case _:
                pass
        phase = self.machine.phase
        if phase is Phase.SHUTDOWN and before is not Phase.SHUTDOWN:
            self.began_shutdown_s = self.now_s
        for position, command in enumerate(commands):
            assert not isinstance(command, _LAST) or position == len(commands) - 1
            self.perform(command)
        assert (self.machine.deadline_s < math.inf) == (phase in (Phase.INIT, Phase.INVOKE, Phase.SHUTDOWN))
        if phase is Phase.SHUTDOWN:
            assert self.began_shutdown_s is not None
            assert self.now_s <= self.machine.deadline_s <= self.began_shutdown_s + SHUTDOWN_S
        if self.offered:
            assert phase in (Phase.IDLE, Phase.COLD)
        assert self.ended == (phase is Phase.ENDED)

    def perform(self, command: Command) -> None:
        assert not self.ended  # nothing comes after the end
        assert not (self.frozen and isinstance(command, _GIVEN_TO_PROCESSES))
        self.records += _LETTERS.get(type(command), "")
        match command:
            case RecordInitStart():
                self.life += 1
                self.running.clear()
                self.registered.clear()
                self.flushing = False
            case LaunchExtension(name=name):
                assert name not in self.running
                self.running.add(name)
            case LaunchRuntime():
                assert "" not in self.running
                assert {f"{name} {self.life}" for name in self.external} <= self.registered
                self.running.add("")
            case Reply(invocation=invocation) | EndReply(invocation=invocation):
                self.answers[invocation.request_id] += 1
                assert invocation.request_id == self.accepted[-1]
            case RecordStart(invocation) | RecordRuntimeDone(invocation=invocation) | RecordEnd(invocation=invocation):
                assert invocation.request_id == self.accepted[-1]
            case GiveEvent(invocation):
                assert invocation.request_id == self.accepted[-1]
                assert not self.answers[invocation.request_id]
            case GiveInvoke(identifier=identifier, invocation=invocation):
                assert identifier in self.registered
                self.told[identifier, invocation.request_id] += 1
            case GiveShutdown(identifier=identifier, deadline_s=deadline_s):
                assert identifier in self.registered
                assert self.began_shutdown_s is not None
                assert deadline_s == self.began_shutdown_s + SHUTDOWN_S
                self.told[identifier, "SHUTDOWN"] += 1
            case FlushTelemetry():
                self.flushing = True
            case Freeze():
                assert not self.frozen
                self.frozen = True
            case Thaw() | KillProcesses():
                self.frozen = False
            case Offer():
                assert self.machine.phase in (Phase.IDLE, Phase.COLD)
                assert not self.withdrawn
                self.offered = True
            case Withdraw():
                assert not self.withdrawn
                self.withdrawn = True
                self.offered = False
            case Discard():
                self.ended = True
                self.offered = False
            case _:
                pass

    def check(self) -> None:
        """What must hold once it has ended."""
        assert self.answers == Counter(self.accepted)
        assert self.records.count("S") == len(self.accepted)
        assert _ORDER.fullmatch(self.records), self.records
        assert set(self.told.values()) <= {1}


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.integers(0, 300), st.booleans())
def test_a_walk_keeps_the_promises(seed: int, steps: int, init: bool) -> None:
    """EX-36, EX-63, EX-82, RT-32, TL-47: nothing twice, nothing lost, nothing while frozen, nothing after the end."""
    walk = Walk(random.Random(seed))
    if init:
        walk.feed(InitRequested())
    else:
        walk.offered = True  # a second init is inside the invocation, whatever has become of the first
    for _ in range(steps):
        walk.step()
        if walk.ended:
            break
    asked_s = walk.now_s
    if not walk.ended:
        walk.feed(ShutdownRequested())
    while not walk.ended:
        walk.step()
    assert walk.now_s <= asked_s + SHUTDOWN_S
    walk.check()
