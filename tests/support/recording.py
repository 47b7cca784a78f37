"""A state machine that is fed by hand, and recorded."""

from itertools import count

from lamella.domain.function import FunctionKey
from lamella.domain.invocation import Invocation
from lamella.invoke.recorder import FlightRecorder
from lamella.lifecycle.environment import EnvironmentMachine
from lamella.lifecycle.events import Event, InvocationAssigned, NextPolled, ResponsePosted

KEY = FunctionKey("000000000000", "us-east-1", "orders")
ENVIRONMENT = "e" * 32


class Driven:
    """A state machine whose events and commands are recorded, a millisecond after each other."""

    def __init__(self, recorder: FlightRecorder) -> None:
        self.recorder = recorder
        self._machine = EnvironmentMachine(init_timeout_s=10.0)
        self._moments = (number / 1000 for number in count(1000))
        self._numbers = count(1)

    def feed(self, *events: Event) -> None:
        for event in events:
            now_s = next(self._moments)
            self.recorder.fed(now_s, event, self._machine.receive(event, now_s=now_s))

    def assign(self, payload: bytes = b"{}") -> str:
        request_id = f"00000000-0000-4000-8000-{next(self._numbers):012d}"
        invocation = Invocation(request_id, payload, "application/json", KEY.arn(), "Root=1-0-0")
        self.feed(InvocationAssigned(invocation, 3.0))
        return request_id

    def invoke(self, payload: bytes = b"{}", answer: bytes = b"1") -> str:
        request_id = self.assign(payload)
        self.feed(ResponsePosted(request_id, answer), NextPolled())
        return request_id
