"""Functions whose execution environments serve one tenant each, in real sandboxes."""

import json
import urllib.request
from typing import Any

import pytest
from tests.support.functions import Function, create
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

HANDLER = """
import uuid
ME = uuid.uuid4().hex
def handler(event, context):
    print("SERVES", context.tenant_id)
    return {"me": ME, "tenant": context.tenant_id}
"""
NEEDED = (
    "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again."
)


@pytest.fixture(scope="module")
def function(client: Any) -> Function:
    return create(
        client,
        {"function.py": HANDLER},
        runtime="python3.11",
        MemorySize=1769,
        TenancyConfig={"TenantIsolationMode": "PER_TENANT"},
    )


def test_tenants_share_no_environment(function: Function) -> None:
    turns = [function.invoke(TenantId=tenant).document for tenant in ("blue", "green", "blue", "a b@c:/=+-._")]
    assert [turn["tenant"] for turn in turns] == ["blue", "green", "blue", "a b@c:/=+-._"]
    blue, green, again, odd = (turn["me"] for turn in turns)
    assert blue == again
    assert len({blue, green, odd}) == 3


def test_streamed_responses_and_events_have_a_tenant(server: LamellaServer, function: Function) -> None:
    answer = function.client.invoke_with_response_stream(FunctionName=function.name, TenantId="streamed")
    body = b"".join(event["PayloadChunk"]["Payload"] for event in answer["EventStream"] if "PayloadChunk" in event)
    assert json.loads(body)["tenant"] == "streamed"
    assert function.invoke(TenantId="later", InvocationType="Event", tail=False).status == 202
    with urllib.request.urlopen(f"{server.url}/_lamella/logs/{function.name}?follow=1", timeout=30) as lines:
        assert any(b"SERVES later" in line for line in lines)


def test_who_has_to_say_whose_it_is(client: Any, function: Function) -> None:
    invalid = client.exceptions.InvalidParameterValueException
    for options in ({}, {"InvocationType": "Event"}, {"InvocationType": "DryRun"}):
        with pytest.raises(invalid) as caught:
            function.invoke(tail=False, **options)
        assert caught.value.response["Error"]["Message"] == NEEDED
    other = create(client, {"function.py": "def handler(event, context): return 1"}, runtime="python3.11")
    with pytest.raises(invalid, match="not enabled with tenancy configuration"):
        other.invoke(tail=False, TenantId="blue")
    assert function.invoke(tail=False, TenantId="blue", InvocationType="DryRun").status == 204


def test_an_update_replaces_the_environments_of_all_tenants(function: Function) -> None:
    client = function.client
    before = {function.invoke(TenantId=tenant).document["me"] for tenant in ("blue", "green")}
    client.update_function_configuration(FunctionName=function.name, Description="other")
    client.get_waiter("function_updated_v2").wait(FunctionName=function.name, WaiterConfig={"Delay": 1})
    after = {function.invoke(TenantId=tenant).document["me"] for tenant in ("blue", "green")}
    assert len(before | after) == 4
