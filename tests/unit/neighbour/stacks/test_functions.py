"""Functions of stacks whose making fails half-way."""

import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session
from tests.unit.neighbour.stacks.fakes import ACCOUNT, REGION

from lamella.neighbour.stacks.errors import HalfMadeError
from lamella.neighbour.stacks.functions import Function
from lamella.neighbour.stacks.kinds import Task

PROPERTIES: dict[str, Any] = {"Role": "arn:aws:iam::111122223333:role/r", "Code": {"S3Bucket": "b", "S3Key": "k"}}


class Lambda:
    """Makes a function, and then fails; `deletes` says whether it can still remove one."""

    def __init__(self, *, deletes: bool) -> None:
        self.meta = _model()
        self.names = set[str]()
        self._deletes = deletes

    def get_paginator(self, operation: str) -> Any:  # Any: botocore
        return self

    def paginate(self, **_: object) -> list[dict[str, list[object]]]:
        return [{"Functions": []}]

    def create_function(self, FunctionName: str, **_: object) -> dict[str, str]:  # noqa: N803  # botocore's names
        self.names.add(FunctionName)
        return {"FunctionName": FunctionName, "FunctionArn": f"arn:{FunctionName}"}

    def get_function_configuration(self, **_: object) -> dict[str, str]:
        raise failure("GetFunctionConfiguration")

    def delete_function(self, FunctionName: str) -> None:  # noqa: N803
        if not self._deletes:
            raise failure("DeleteFunction")
        self.names.remove(FunctionName)


def _model() -> Any:  # Any: botocore
    return Session().create_client("lambda", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x").meta


def failure(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "ServiceException", "Message": f"{operation} fails"}}, operation)


def task(client: Lambda) -> Task:
    return Task(
        account=ACCOUNT,
        region=REGION,
        stack_id="id",
        stack_name="s",
        logical_id="F",
        kind="AWS::Lambda::Function",
        name="s-F-0123456789AB",
        clients=lambda service, account, region: client,
        base_url="",
        tags={},
        token="",
        stop=threading.Event(),
        is_stack=lambda identity: False,
    )


def test_what_cannot_be_finished_is_removed() -> None:
    client = Lambda(deletes=True)
    with pytest.raises(ClientError, match="GetFunctionConfiguration fails"):
        Function().create(task(client), PROPERTIES)
    assert client.names == set()


def test_what_cannot_be_removed_is_known_to_the_stack_with_the_reason_of_the_first_failure() -> None:
    client = Lambda(deletes=False)
    with pytest.raises(HalfMadeError, match="GetFunctionConfiguration fails") as half:
        Function().create(task(client), PROPERTIES)
    assert {half.value.made.physical_id} == client.names
