"""Where functions answer for custom resources, and what is believed of it."""

import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.neighbour.stacks.fakes import ACCOUNT, REGION

from lamella.neighbour.answers import ANSWERS_PATH
from lamella.neighbour.stacks.custom import Answers, CustomResource
from lamella.neighbour.stacks.errors import HalfMadeError, ResourceError
from lamella.neighbour.stacks.kinds import Task
from lamella.neighbour.stacks.template import Json

SERVICE = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


def put(answers: Answers, token: str, body: bytes, method: str = "PUT", length: int | None = None) -> str:
    said: list[str] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": f"{ANSWERS_PATH}{token}",
        "CONTENT_LENGTH": str(len(body) if length is None else length),
        "wsgi.input": io.BytesIO(body),
    }
    list(answers.application(environ, lambda status, headers: said.append(status)))
    return said[0]


class Function:
    """Answers at once, as often as it likes."""

    def __init__(self, answers: Answers, *bodies: Callable[[Json], Json]) -> None:
        self._answers = answers
        self._bodies = bodies
        self.said: list[str] = []

    def __call__(self, service: str, account: str, region: str) -> Any:  # Any: as a client of botocore
        return self

    def invoke(self, *, Payload: bytes, **_: object) -> None:  # noqa: N803
        event = json.loads(Payload)
        token = event["ResponseURL"].partition(ANSWERS_PATH)[2]
        for body in self._bodies:
            self.said.append(put(self._answers, token, json.dumps(body(event)).encode()))


def task(function: Function) -> Task:
    return Task(ACCOUNT, REGION, "arn:stack", "s", "C", "Custom::C", "s-C", function)


def success(identity: str, **more: Json) -> Callable[[Json], Json]:
    return lambda event: {"Status": "SUCCESS", "PhysicalResourceId": identity, **more}


def test_the_first_answer_is_the_answer() -> None:
    answers = Answers()
    function = Function(answers, success("first", Data={"a": 1}), success("second"))
    made = CustomResource(answers).create(task(function), {"ServiceToken": SERVICE})
    assert (made.physical_id, made.attributes, made.secret) == ("first", {"a": 1}, False)


def test_nobody_waits_at_an_address_that_was_used() -> None:
    answers = Answers()
    tokens: list[str] = []

    def body(event: Json) -> Json:
        tokens.append(event["ResponseURL"].partition(ANSWERS_PATH)[2])
        return {"Status": "SUCCESS", "PhysicalResourceId": "p", "NoEcho": "true"}

    assert CustomResource(answers).create(task(Function(answers, body)), {"ServiceToken": SERVICE}).secret
    assert put(answers, tokens[0], b"{}") == "404 Not Found"
    assert put(answers, "", b"{}") == "404 Not Found"


def test_others_cannot_answer_for_a_resource() -> None:
    answers = Answers()
    answers.open()
    assert put(answers, "x" * 43, b"{}") == "404 Not Found"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"Status": "SUCCESS", "PhysicalResourceId": "' + b"x" * 5000 + b'"}', "Response object is too long"),
        (b"[" * 4000, "it is no JSON object"),
        (b"[]", "it is no JSON object"),
        (b'{"Status": "SUCCESS"}', "Invalid PhysicalResourceId"),
        (
            b'{"Status": "SUCCESS", "PhysicalResourceId": "p", "LogicalResourceId": "other"}',
            "Invalid LogicalResourceId",
        ),
    ],
)
def test_answers_that_are_none(body: bytes, said: str) -> None:
    answers = Answers()

    class Bad(Function):
        def invoke(self, *, Payload: bytes, **_: object) -> None:  # noqa: N803
            token = json.loads(Payload)["ResponseURL"].partition(ANSWERS_PATH)[2]
            assert put(answers, token, body, length=10**12) == "200 OK"  # no more of it is read than may be

    with pytest.raises((ResourceError, HalfMadeError), match=said):
        CustomResource(answers).create(task(Bad(answers)), {"ServiceToken": SERVICE})


@pytest.mark.parametrize("limit", ["0", "3601", "1e9", "nan", "inf", [], "x"])
def test_how_long_it_is_waited_has_bounds(limit: Json) -> None:
    answers = Answers()
    with pytest.raises(ResourceError, match="ServiceTimeout has to be between 1 and 3600"):
        CustomResource(answers).create(task(Function(answers)), {"ServiceToken": SERVICE, "ServiceTimeout": limit})


class Silent:
    """A function that keeps its events and answers nothing."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> None:  # noqa: N803  # botocore's names
        self.events.append(json.loads(Payload))


def test_the_reason_names_the_request_that_the_function_was_told_of() -> None:
    function = Silent()
    task = Task(
        account=ACCOUNT,
        region=REGION,
        stack_id="id",
        stack_name="s",
        logical_id="C",
        kind="Custom::Thing",
        name="s-C",
        clients=lambda service, account, region: function,
        base_url="",
        tags={},
        token="",
        stop=threading.Event(),
        is_stack=lambda identity: False,
    )
    with pytest.raises(ResourceError, match="did not receive a response from your Custom Resource") as refusal:
        CustomResource(Answers()).create(task, {"ServiceToken": "arn:aws:lambda:…", "ServiceTimeout": "1"})
    assert f"requestId [{function.events[0]['RequestId']}]" in str(refusal.value)
