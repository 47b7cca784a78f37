"""Traces of environments that never were: the real state machine and recorder, fed by hand."""

import json
from typing import Any, Self

from lamella.domain.function import FunctionKey
from lamella.domain.invocation import Invocation
from lamella.invoke.recorder import FlightRecorder
from lamella.invoke.timeline import document
from lamella.lifecycle.environment import EnvironmentMachine
from lamella.lifecycle.events import (
    Event,
    ExtensionPolled,
    ExtensionRegistered,
    InitRequested,
    InvocationAssigned,
    NextPolled,
    ResponsePosted,
)

KEY = FunctionKey("000000000000", "us-east-1", "orders")
ENVIRONMENT = "e" * 32
BEGAN_S = 1_767_225_600.0  # 2026-01-01 UTC


class Life:
    """An environment whose clock moves when it is told to.

    Attributes:
        ms: Milliseconds that have passed.
    """

    def __init__(self, *extensions: str, recorder: FlightRecorder | None = None) -> None:
        self.recorder = recorder or FlightRecorder(ENVIRONMENT, KEY, "7", "2026/01/01/[7]e")
        self.ms = 0.0
        self._machine = EnvironmentMachine(init_timeout_s=10.0, extensions=extensions)
        self._count = 0

    def after(self, ms: float, *events: Event) -> Self:
        """Let time pass, then feed events."""
        self.ms += ms
        for event in events:
            commands = self._machine.receive(event, now_s=self._now_s)
            self.recorder.fed(self._now_s, event, commands)
        return self

    def mark(self, ms: float, name: str, **detail: Any) -> Self:  # Any: JSON
        """Let time pass, then mark something."""
        self.ms += ms
        self.recorder.mark(self._now_s, name, **detail)
        return self

    def ready(self) -> Self:
        """A sandbox and an init of 30 ms, without extensions."""
        self.mark(0, "sandbox.asked").mark(10, "sandbox.made")
        return self.after(0, InitRequested()).after(20, NextPolled())

    def ready_with(self, name: str) -> Self:
        """The same with an extension whose identifier is `x-` and its name."""
        self.mark(0, "sandbox.asked").mark(10, "sandbox.made")
        self.after(0, InitRequested()).mark(2, "process.started", program=f"/opt/extensions/{name}", pid=41)
        self.after(8, ExtensionRegistered(f"x-{name}", name, ("INVOKE", "SHUTDOWN")))
        return self.after(5, ExtensionPolled(f"x-{name}")).after(15, NextPolled())

    def assigned(self, payload: bytes = b"{}", *, ms: float = 0, timeout_s: float = 3.0) -> str:
        """Give it an invocation; returns the request id."""
        self._count += 1
        request_id = f"00000000-0000-4000-8000-{self._count:012d}"
        invocation = Invocation(request_id, payload, "application/json", KEY.arn(), "Root=1-0-0", '{"a":\n1}')
        self.after(ms, InvocationAssigned(invocation, timeout_s))
        return request_id

    def invoked(self, payload: bytes = b"{}", answer: bytes = b"1", *, ms: float = 0) -> str:
        """An invocation of 5 ms."""
        request_id = self.assigned(payload, ms=ms)
        self.after(4, ResponsePosted(request_id, answer)).after(1, NextPolled())
        return request_id

    def trace(self) -> dict[str, Any]:  # Any: JSON
        """The document, as a reader gets it."""
        record = self.recorder.record(now_s=self._now_s, wall_s=BEGAN_S + self.ms / 1000)
        read: dict[str, Any] = json.loads(json.dumps(document(record)))  # Any: JSON
        return read

    @property
    def _now_s(self) -> float:
        return 5000.0 + self.ms / 1000
