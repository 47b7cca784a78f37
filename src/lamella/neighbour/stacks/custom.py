"""`Custom::…` and `AWS::CloudFormation::CustomResource`: resources that a function makes.

The function is told where to answer, and does so from within its sandbox: the address is that of the server as every
sandbox knows it, and its last part is a secret that nobody else has.

Source: CloudFormation user guide, "Custom resource request objects" and "Custom resource response objects".
"""

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event, Lock
from time import monotonic
from typing import Any, Final
from uuid import uuid4

from werkzeug.wsgi import get_input_stream

from lamella.neighbour.answers import ANSWERS_PATH
from lamella.neighbour.stacks.errors import HalfMadeError, ResourceError
from lamella.neighbour.stacks.intrinsics import text
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.template import Json

_SERVER: Final = "http://sandbox.localdomain:4566"
"""How every sandbox reaches this server, whatever its network."""
_LIMIT_BYTES: Final = 4096
_WAIT_S: Final = 3600.0
_LOOK_S: Final = 0.5
_TOO_LONG: Final = "Response object is too long."

StartResponse = Callable[[str, list[tuple[str, str]]], Any]  # Any: WSGI


@dataclass(slots=True)
class _Slot:
    came: Event = field(default_factory=Event)
    answer: Mapping[str, Json] = field(default_factory=dict)


class Answers:
    """Whoever waits for a function's answer, by the secret in its address."""

    def __init__(self) -> None:
        self._slots = dict[str, _Slot]()
        self._lock = Lock()

    def open(self) -> tuple[str, _Slot]:
        """A new address, and where its answer will be."""
        token, slot = secrets.token_urlsafe(32), _Slot()
        with self._lock:
            self._slots[token] = slot
        return token, slot

    def close(self, token: str) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._slots.pop(token, None)

    def application(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:  # Any: WSGI
        """Take one answer."""
        token = str(environ["PATH_INFO"]).removeprefix(ANSWERS_PATH)
        with self._lock:
            slot = self._slots.get(token)
        if slot is None or environ["REQUEST_METHOD"] != "PUT":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Nobody waits for this.\n"]
        body = get_input_stream(dict(environ)).read(_LIMIT_BYTES + 1)
        with self._lock:
            if not slot.came.is_set():  # the first answer is the answer
                slot.answer = _read(body)
                slot.came.set()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]


class CustomResource:
    """See the module."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def create(self, task: Task, properties: Properties) -> Made:
        """Ask for one."""
        return self._ask(task, "Create", properties, {})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Ask for a change; another physical id in the answer is another resource, and the old one is removed."""
        if old["ServiceToken"] != new["ServiceToken"]:
            raise ResourceError("Modifying service token is not allowed.")
        previous = {"PhysicalResourceId": made.physical_id, "OldResourceProperties": _texts(old)}
        return self._ask(task, "Update", new, previous)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Ask for it to go."""
        self._ask(task, "Delete", properties, {"PhysicalResourceId": made.physical_id})

    def _ask(self, task: Task, kind: str, properties: Properties, more: Mapping[str, Json]) -> Made:
        token, slot = self._answers.open()
        request_id = str(uuid4())
        event = {
            "RequestType": kind,
            "ServiceToken": properties["ServiceToken"],
            "ResponseURL": f"{_SERVER}{ANSWERS_PATH}{token}",
            "StackId": task.stack_id,
            "RequestId": request_id,
            "LogicalResourceId": task.logical_id,
            "ResourceType": task.kind,
            "ResourceProperties": _texts(properties),
            **more,
        }
        try:
            _send(task, str(properties["ServiceToken"]), event)
            _wait(slot, task, _limit_s(properties), kind, request_id)
        finally:
            self._answers.close(token)
        return _made(slot.answer, task, request_id, kind, str(more.get("PhysicalResourceId", "")))


def _limit_s(properties: Properties) -> float:
    """Source: template reference, `AWS::CloudFormation::CustomResource`: from 1 to 3600 seconds."""
    given = text(properties.get("ServiceTimeout", _WAIT_S))
    limit_s = float(given) if re.fullmatch(r"[0-9]{1,4}(\.0)?", given) else 0.0
    if not 1 <= limit_s <= _WAIT_S:
        raise ResourceError(f"ServiceTimeout has to be between 1 and {_WAIT_S:g}")
    return limit_s


def _send(task: Task, service: str, event: Mapping[str, Json]) -> None:
    if service.startswith("arn:aws:sns:"):
        message = {"Subject": "AWS CloudFormation custom resource request", "Message": json.dumps(event)}
        task.client("sns").publish(TopicArn=service, **message)
    else:
        payload = json.dumps(event).encode()
        task.client("lambda").invoke(FunctionName=service, InvocationType="Event", Payload=payload)


def _wait(slot: _Slot, task: Task, limit_s: float, kind: str, request_id: str) -> None:
    until = monotonic() + limit_s
    while not slot.came.wait(min(_LOOK_S, max(0.0, until - monotonic()))):
        # A stack that is to go does not wait for what it will remove; the removal itself is waited for.
        if task.stop.is_set() and kind != "Delete":
            raise ResourceError("Resource creation cancelled")
        if monotonic() >= until:
            # Source: the text that AWS's knowledge centre quotes for custom resources.
            raise ResourceError(
                "CloudFormation did not receive a response from your Custom Resource. Please check your logs for "
                f"requestId [{request_id}]. If you are using the Python cfn-response module, you may need to update "
                "your Lambda function code so that CloudFormation can attach the updated version."
            )


def _made(answer: Mapping[str, Json], task: Task, request_id: str, kind: str, previous: str) -> Made:
    identity = str(answer.get("PhysicalResourceId") or previous)
    data = answer.get("Data") or {}
    secret = text(answer.get("NoEcho", False)).lower() == "true"
    made = Made(identity, data if isinstance(data, Mapping) else {}, secret=secret)
    if answer.get("Status") == "SUCCESS":
        if not identity:
            raise ResourceError("Invalid PhysicalResourceId")
        if answer.get("LogicalResourceId", task.logical_id) != task.logical_id:
            raise ResourceError("Invalid LogicalResourceId")
        return made
    reason = text(answer.get("Reason") or "")
    # Source: events of stacks as quoted in issues of aws-cdk: "Received response status [FAILED] from custom resource".
    reason = (
        f"Received response status [FAILED] from custom resource. Message returned: {reason} (RequestId: {request_id})"
    )
    if kind == "Create" and identity:
        raise HalfMadeError(reason, made)
    raise ResourceError(reason)


def _read(body: bytes) -> Mapping[str, Json]:
    if len(body) > _LIMIT_BYTES:
        return {"Status": "FAILED", "Reason": _TOO_LONG}
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        return answer
    return {"Status": "FAILED", "Reason": "Invalid response: it is no JSON object"}


def _texts(value: Json) -> Json:
    """Numbers and booleans as texts, which is how AWS hands them on."""
    match value:
        case Mapping():
            return {key: _texts(item) for key, item in value.items()}
        case list():
            return [_texts(item) for item in value]
        case None:
            return None
        case _:
            return text(value)
