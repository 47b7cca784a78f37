"""Functions of container images: nobody runs them, and everything says so."""

import time
import uuid
from typing import Any

import pytest
from tests.support.functions import ROLE
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

STATE = "The operation cannot be performed at this time. The function is currently in the following state: Failed"


def wait_failed(client: Any, name: str) -> dict[str, Any]:
    deadline_s = time.monotonic() + 30
    while True:
        found = client.get_function_configuration(FunctionName=name)
        if found["State"] != "Pending":
            return dict(found)
        assert time.monotonic() < deadline_s


def test_it_cannot_be_invoked(server: LamellaServer, client: Any) -> None:
    name = f"image-{uuid.uuid4().hex[:8]}"
    uri = "000000000000.dkr.ecr.us-east-1.amazonaws.com/shop:v1"
    client.create_function(FunctionName=name, Role=ROLE, PackageType="Image", Code={"ImageUri": uri}, Publish=True)
    found = wait_failed(client, name)
    assert (found["State"], found["StateReasonCode"]) == ("Failed", "InvalidConfiguration")
    assert found["StateReason"].startswith("Lamella does not run container images yet.")
    for options in ({}, {"InvocationType": "Event"}, {"Qualifier": "1"}):
        with pytest.raises(client.exceptions.ResourceConflictException) as caught:
            client.invoke(FunctionName=name, **options)
        assert caught.value.response["Error"]["Message"] == STATE
    shown = server.aws(
        "lambda", "get-function", "--function-name", name, "--query", "Code.ImageUri", "--output", "text"
    )
    assert shown.stdout.strip() == uri
    client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    deadline_s = time.monotonic() + 30
    while (kept := client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1"))["Status"] != "FAILED":
        assert time.monotonic() < deadline_s
    assert kept["StatusReason"] == "The function version is in the following state: Failed"
    client.delete_function(FunctionName=name)
