"""Accounts whose services invoke functions, on a real server."""

import json
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.support.functions import Function, bash
from tests.support.server import LamellaServer

REGION: Final = "us-east-1"
PRINTS: Final = 'while true; do next; echo "GOT $BODY"; respond "$BODY" >/dev/null; done\n'
"""A function that says what it gets."""
_PATIENCE_S: Final = 30.0  # of a test whose event does not come; never waited for otherwise


class Account:
    """Clients of one account, with functions that print what they get."""

    def __init__(self, server: LamellaServer, number: str) -> None:
        self.server = server
        self.number = number
        self.functions = self("lambda")

    def __call__(self, service: str) -> Any:
        return self.server.boto3(service, aws_access_key_id=self.number, aws_secret_access_key="x")

    def function(self) -> Function:
        return bash(self.functions, PRINTS)

    def arn(self, function: Function, qualifier: str = "") -> str:
        return f"arn:aws:lambda:{REGION}:{self.number}:function:{function.name}{qualifier}"

    def permit(self, function: Function, principal: str, **conditions: str) -> None:
        self.functions.add_permission(
            FunctionName=function.name,
            StatementId="permit",
            Action="lambda:InvokeFunction",
            Principal=principal,
            **conditions,
        )

    @contextmanager
    def bucket(self) -> Iterator[str]:
        name = f"events-{uuid.uuid4().hex[:12]}"
        self("s3").create_bucket(Bucket=name)
        yield name

    def notify(self, bucket: str, arn: str, *events: str, rules: dict[str, str] | None = None, **more: Any) -> None:
        wanted: dict[str, Any] = {"Id": "test", "LambdaFunctionArn": arn, "Events": list(events)}
        if rules:
            filters = [{"Name": name, "Value": value} for name, value in rules.items()]
            wanted["Filter"] = {"Key": {"FilterRules": filters}}
        self("s3").put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [wanted]}, **more
        )

    def got(self, function: Function) -> Iterator[Any]:
        """The events that a function gets, from the first, as they come."""
        address = f"{self.server.url}/_lamella/logs/{function.name}?follow=1&account={self.number}"
        deadline_s = time.monotonic() + _PATIENCE_S
        with urllib.request.urlopen(address, timeout=_PATIENCE_S) as lines:
            for line in lines:
                assert time.monotonic() < deadline_s, self.server.log
                if line != b"\n" and (text := json.loads(line)["message"]).startswith("GOT "):
                    yield json.loads(text[4:])
