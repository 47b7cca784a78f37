"""The service's side of the Extensions API and the Telemetry API, without I/O: calls in, answers and deliveries out.

The rules are those that functions of this server meet: the same request parser, the same state machine for what is
legal, and the same one for batches of telemetry. There is no runtime; scenarios play it.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final, cast

from lamella.conformance.extension.seen import Attempt, Refusal, Registration, Seen
from lamella.conformance.play import (
    Answer,
    Call,
    Command,
    Deliver,
    Delivered,
    Headers,
    StopDelivery,
)
from lamella.domain.invocation import Invocation
from lamella.httpserver.message import Request
from lamella.httpserver.server import Exchange
from lamella.invoke.answers import JSON, error_body
from lamella.invoke.envelope import render
from lamella.invoke.extensions_api import ExtensionsApi, FunctionFacts, invoke_event, shutdown_event
from lamella.invoke.telemetry_api import API_OF_PATH, refusal_of
from lamella.lifecycle.commands import ShutdownReason
from lamella.lifecycle.events import (
    DeadlinePassed,
    Event,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionPolled,
    ExtensionRegistered,
    InvocationAssigned,
    ShutdownRequested,
)
from lamella.lifecycle.extension import SHUTDOWN, Extensions, ExtensionState
from lamella.lifecycle.telemetry import DELIVERY_TIMEOUT_S, TelemetryMachine
from lamella.lifecycle.telemetry_events import Deliver as DeliverBatch
from lamella.lifecycle.telemetry_events import Delivered as BatchDelivered
from lamella.lifecycle.telemetry_events import (
    DeliveryFailed,
    Entry,
    Flushed,
    FlushRequested,
    Frozen,
    GiveUp,
    InitCompleted,
    Produced,
    Reset,
    Subscribed,
    Subscription,
    SubscriptionClosedError,
    SubscriptionConflictError,
    TelemetryEvent,
    Thawed,
)

FUNCTION: Final = FunctionFacts("verified-function", "$LATEST", "function.handler", "000000000000")
MARK: Final = re.compile(rb"lamella-mark-\d+")
"""In each log line that the function of a scenario prints, so that one can see where the line has got to."""
METADATA_PATH: Final = "/2026-01-15/metadata/execution-environment"
_RUNTIME: Final = "/2018-06-01/runtime/"
_FAULT: Final = error_body("Container.Error", "Container error. Non-recoverable state. Extension should exit promptly.")
"""Source: developer guide, "runtimes-extensions-api", status 500 of all calls."""
_NO_TELEMETRY: Final = error_body("Telemetry.NotSupported", "Telemetry API is not supported")
"""As local emulators answer. Source: AWS's Runtime Interface Emulator, version of January 2026."""


class _Asked:
    """A call in the form that `ExtensionsApi` takes: what it answers becomes a command."""

    def __init__(self, call: Call, answer: Callable[[Answer], None]) -> None:
        self.call = call
        self.request = Request(call.method, b"", call.path, "", list(call.headers), call.body)
        self._answer = answer

    def respond(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        """Answer it."""
        self._answer(Answer(self.call, status, tuple(headers), body))

    def respond_raw(self, head: bytes, body: bytes) -> None:
        """Answer it with a head that is rendered already; the only one there is says 202."""
        assert head.startswith(b"HTTP/1.1 202 ")
        self.respond(202, JSON, body)


class Platform:
    """What one process of an extension has before it.

    Attributes:
        seen: What it has done so far.
        facts: Of the function, as told at the registration.
        refuses_subscriptions: Answer every subscription as a platform without telemetry does.
        out_of_order: Answer every call as one does that cannot go on.
        deadline_s: Monotonic seconds at which it wants `DeadlinePassed`.
    """

    def __init__(self, extension: str, send: Callable[[Command], None], *, epoch_s: float, now_s: float) -> None:
        """The process has just been started.

        Args:
            extension: Name of its file.
            send: Takes the commands.
            epoch_s: What turns monotonic seconds into those since the epoch.
            now_s: Monotonic seconds.
        """
        self.seen = Seen()
        self.facts = FUNCTION
        self.refuses_subscriptions = False
        self.out_of_order = False
        self.now_s = now_s
        self._began_s = now_s
        self._extension = extension
        self._send = send
        self._epoch_s = epoch_s
        self._api = ExtensionsApi(self)
        self._extensions = Extensions((extension,))
        self._telemetry = TelemetryMachine(render)
        self._sent: dict[int, DeliverBatch] = {}
        self._sent_s = 0.0
        self._waiting: Call | None = None
        self._waiting_since_s = 0.0
        self._gave_up = False
        self._flushed = True

    # What scenarios look at

    @property
    def deadline_s(self) -> float:
        """When telemetry is due."""
        return self._telemetry.deadline_s

    @property
    def age_s(self) -> float:
        """Seconds since the process was started."""
        return self.now_s - self._began_s

    @property
    def connection(self) -> int:
        """On which it waits for an event; 0 if it does not."""
        return 0 if self._waiting is None else self._waiting.connection

    @property
    def waited_s(self) -> float:
        """How long it has waited for an event."""
        return 0.0 if self._waiting is None else self.now_s - self._waiting_since_s

    @property
    def ready(self) -> bool:
        """Whether it waits for an event."""
        return self._state is ExtensionState.READY

    @property
    def unanswered_s(self) -> float:
        """For how long a batch has been on its way; 0 if none is."""
        return self.now_s - self._sent_s if self._sent else 0.0

    @property
    def flushed(self) -> bool:
        """Whether what `flush` was called for has happened."""
        return self._flushed

    @property
    def _state(self) -> ExtensionState:
        return self._extensions.named(self._extension).state

    # What scenarios do

    def give_invoke(
        self, invocation: Invocation, *, timeout_s: float, more: Mapping[str, object] | None = None
    ) -> None:
        """Tell it of an invocation, if it follows them and waits; `more` are members that the event has beside."""
        extension = self._extensions.named(self._extension)
        if extension not in self._extensions.followers or not self.ready:
            return
        extension.receive(InvocationAssigned(invocation, timeout_s))
        headers, body = invoke_event(
            request_id=invocation.request_id,
            function_arn=invocation.function_arn,
            trace_id=invocation.trace_id,
            deadline_ms=self._epoch_ms(timeout_s),
        )
        if more:
            body = json.dumps({**json.loads(body), **more}).encode()
        self._give(headers, body)

    def give_other(self, document: Mapping[str, object]) -> None:
        """Tell it of something else, whatever it has asked for."""
        extension = self._extensions.named(self._extension)
        extension.receive(InvocationAssigned(Invocation("", b"", "", "", ""), 1.0))
        headers, _ = shutdown_event(ShutdownReason.SPINDOWN, deadline_ms=0)
        self._give(headers, json.dumps(document).encode())

    def give_shutdown(self, reason: ShutdownReason, within_s: float) -> bool:
        """Tell it that the end is near, if it wants to know and waits; returns whether it was told."""
        extension = self._extensions.named(self._extension)
        if SHUTDOWN not in extension.events or not self.ready:
            return False
        extension.receive(ShutdownRequested())
        self._give(*shutdown_event(reason, deadline_ms=self._epoch_ms(within_s)))
        return True

    def give_fault(self) -> None:
        """Answer the call that waits as the service does when it is out of order."""
        if self._waiting is not None:
            self._send(Answer(self._waiting, 500, JSON, _FAULT))
            self._waiting = None

    def emit(self, kind: str, record: Mapping[str, object] | str) -> None:
        """Something happened that subscribers are told of."""
        self._feed(Produced(Entry(self.now_s + self._epoch_s, kind, record)))

    def flush(self) -> None:
        """Send what subscribers have coming; see `flushed`."""
        self._flushed = False
        self._feed(FlushRequested())

    def freeze(self) -> None:
        """Deliver nothing while the processes do not run."""
        self._feed(Frozen())

    def thaw(self) -> None:
        """Go on."""
        self._feed(Thawed())

    def reset(self) -> None:
        """The processes have been killed: nothing is owed to anybody."""
        self._feed(Reset())

    # What the process does

    def called(self, call: Call) -> None:
        """A call of any of the APIs."""
        self.seen.calls += 1
        asked = _Asked(call, self._answer)
        if self.out_of_order:
            asked.respond(500, JSON, _FAULT)
            return
        if self.refuses_subscriptions and call.path in API_OF_PATH:
            asked.respond(202, JSON, _NO_TELEMETRY)
            return
        # `ExtensionsApi` asks nothing of an exchange but what `_Asked` has.
        if self._api.handle(cast("Exchange", asked)):
            return
        if call.path == METADATA_PATH:
            asked.respond(200, JSON, b'{"AvailabilityZoneID":"use1-az1"}')
        elif call.path == f"{_RUNTIME}invocation/next":
            return  # an extension that plays the runtime as well (RT-06): there is no event for it
        elif call.path.startswith(_RUNTIME):
            asked.respond(202, JSON, b'{"status":"OK"}\n')
        else:
            asked.respond(404, (("Content-Type", "text/plain; charset=utf-8"),), b"404 page not found\n")

    def abandoned(self, call: Call) -> None:
        """It has closed the connection of a call."""
        if self._waiting is not None and self._waiting.id == call.id:
            self.seen.gave_up_s.append(self.now_s - self._waiting_since_s)
            self._waiting = None
            self._gave_up = True

    def delivered(self, event: Delivered) -> None:
        """What became of a batch."""
        sent = self._sent.pop(event.id, None)
        if sent is None:
            return
        attempt = Attempt(len(sent.batch), sum(map(len, sent.batch)), event.status, event.problem, event.took_s)
        self.seen.attempts.append(attempt)
        if attempt.taken:
            self.seen.handed |= marks_of(b"".join(sent.batch))
            self._feed(BatchDelivered(sent.identifier, sent.serial))
        else:
            self._feed(DeliveryFailed(sent.identifier, sent.serial))

    def deadline_passed(self) -> None:
        """Telemetry may be due."""
        if self._telemetry.deadline_s <= self.now_s:
            self._feed(DeadlinePassed())

    # The host of `ExtensionsApi`

    def post(self, event: Event) -> None:
        """See `ExtensionsApiHost`."""
        match event:
            case ExtensionRegistered(name=name, events=events):
                self._extensions.register(event, closed=False)
                if name == self._extension:
                    self.seen.registration = Registration(name, events, self.now_s - self._began_s)
                else:
                    self.seen.other_names.append(name)
            case (
                ExtensionInitErrorPosted(identifier=identifier, error_type=error_type)
                | ExtensionExitErrorPosted(identifier=identifier, error_type=error_type)
            ):
                self._extensions.identified(identifier).receive(event)
                self.seen.said.append(error_type)
            case _:
                pass  # the API has no others

    def poll_extension(self, identifier: str, exchange: Exchange) -> None:
        """See `ExtensionsApiHost`."""
        call = cast("_Asked", exchange).call  # it was made of one in `called`
        extension = self._extensions.identified(identifier)
        extension.receive(ExtensionPolled(identifier, replaces=self._gave_up))
        if not extension.external:
            return  # an internal one, as which this one has registered too; it is told of nothing
        self._gave_up = False
        self._waiting, self._waiting_since_s = call, self.now_s
        if self.seen.ready_s is None:
            self.seen.ready_s = self.now_s - self._began_s
            kind = {"name": extension.name, "state": "Ready", "events": list(extension.events)}
            self.emit("platform.extension", kind)
            self._feed(InitCompleted())

    def subscribe(self, identifier: str, subscription: Subscription) -> None:
        """See `ExtensionsApiHost`."""
        extension = self._extensions.identified(identifier)
        try:
            self._feed(Subscribed(identifier, subscription))
        except (SubscriptionClosedError, SubscriptionConflictError) as error:
            raise refusal_of(subscription.api, error) from None
        self.seen.subscriptions.append((subscription, self.now_s - self._began_s))
        kind = f"platform.{subscription.api.lower()}Subscription"
        self.emit(kind, {"name": extension.name, "state": "Subscribed", "types": list(subscription.types)})

    def refused(self, method: str, path: str, status: int, error_type: str) -> None:
        """See `ExtensionsApiHost`; `_answer` sees it too, with its words."""

    def check_extension(self, identifier: str) -> None:
        """See `ExtensionsApiHost`."""
        self._extensions.identified(identifier)

    # Inside

    def _answer(self, answer: Answer) -> None:
        if answer.status >= 400:
            call = answer.call
            self.seen.refusals.append(Refusal(call.method, call.path, answer.status, *_error_of(answer.body)))
        self._send(answer)

    def _give(self, headers: Headers, body: bytes) -> None:
        if self._waiting is not None:
            self._send(Answer(self._waiting, 200, headers, body))
            self._waiting = None

    def _feed(self, event: TelemetryEvent) -> None:
        for command in self._telemetry.receive(event, now_s=self.now_s):
            match command:
                case DeliverBatch(_, serial, destination, batch):
                    self._sent[serial] = command
                    self._sent_s = self.now_s
                    separator, ends = (b"\n", (b"", b"\n")) if destination.protocol == "TCP" else (b",", (b"[", b"]"))
                    self._send(Deliver(serial, destination, ends[0] + separator.join(batch) + ends[1]))
                case GiveUp():
                    for sent in self._sent.values():
                        size_bytes = sum(map(len, sent.batch))
                        late = Attempt(len(sent.batch), size_bytes, None, "no answer", DELIVERY_TIMEOUT_S)
                        self.seen.attempts.append(late)
                    self._sent.clear()
                    self._send(StopDelivery())
                case Flushed():
                    self._flushed = True

    def _epoch_ms(self, after_s: float) -> int:
        return int((self.now_s + after_s + self._epoch_s) * 1000)


def marks_of(data: bytes) -> set[str]:
    """The marks in some data."""
    return {mark.decode() for mark in MARK.findall(data)}


def _error_of(body: bytes) -> tuple[str, str]:
    """Type and message of an error body, which is one of ours; empty if there is none."""
    try:
        document = json.loads(body)
    except ValueError:
        return "", body.decode("utf-8", "replace").strip()
    return str(document.get("errorType", "")), str(document.get("errorMessage", ""))
