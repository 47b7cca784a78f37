"""A fleet through a real botocore client and the real handlers: read, planned, rolled out, taken back."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.contract.wire.control_server import ControlServer, zipped

from lamella.fleet.audit import Fault, audit
from lamella.fleet.cloudwatch import NoWatcher
from lamella.fleet.driver import Driver
from lamella.fleet.events import Resumed, RollbackRequested, Started
from lamella.fleet.journal import Journal, read_record
from lamella.fleet.lambda_api import FunctionApi
from lamella.fleet.making import find_layer, make_plan
from lamella.fleet.plan import Plan
from lamella.fleet.planning import Request
from lamella.fleet.policy import Policy
from lamella.fleet.reading import read_fleet
from lamella.fleet.work import Performer

POLICY = Policy(steps=(0.1, 1.0), bake_s=0.0, watch=False, parallel=3, settle_s=20.0)
NAMES = ("a", "b", "c")


@pytest.fixture
def fleet(server: ControlServer, client: Any) -> Any:
    """Three functions with two layers, a version and an alias; a fourth has no alias."""
    for name, count in (("other", 1), ("shared", 3)):
        for number in range(count):
            content = zipped(x__txt=f"{name} {number}")
            client.publish_layer_version(LayerName=name, Content={"ZipFile": content})
    for name in (*NAMES, "plain"):
        client.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler="f.handler",
            Role="arn:aws:iam::123456789012:role/r",
            Code={"ZipFile": zipped(f__py=name)},
            Layers=[arn(client, "shared", 1), arn(client, "other", 1)],
            Description="what it does",
        )
        server.release()
        if name != "plain":
            client.publish_version(FunctionName=name)
            client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return client


def arn(client: Any, name: str, version: int) -> str:
    return str(client.get_layer_version(LayerName=name, VersionNumber=version)["LayerVersionArn"])


def planned(client: Any, version: str = "2") -> Plan:
    wanted = find_layer(client, "shared", version)
    return make_plan(client, wanted, Request(wanted.layer, wanted.version.number), waves="1,100%")


def lead(directory: Path, client: Any, *, rollback: bool = False) -> bool:
    with Journal(directory) as journal:
        record = read_record(directory)
        api = FunctionApi(client, settle_s=record.policy.settle_s)
        performer = Performer(record.plan, record.policy, api, NoWatcher())
        driver = Driver(record.machine, record.policy, journal, performer)
        if rollback:
            driver.take(RollbackRequested("wanted"))
        driver.take(Resumed() if driver.machine.began else Started())
        return driver.run()


def layers_of(client: Any, name: str, **qualifier: str) -> list[str]:
    return [one["Arn"] for one in client.get_function_configuration(FunctionName=name, **qualifier)["Layers"]]


def test_it_is_rolled_out_and_taken_back(fleet: Any, tmp_path: Path) -> None:
    plan = planned(fleet)
    assert [list(wave) for wave in plan.waves] == [["a"], ["b", "c", "plain"]]
    Journal.create(tmp_path, plan, POLICY)
    assert lead(tmp_path / plan.id, fleet)
    new = [arn(fleet, "shared", 2), arn(fleet, "other", 1)]
    for name in NAMES:
        alias = fleet.get_alias(FunctionName=name, Name="live")
        assert (alias["FunctionVersion"], "RoutingConfig" in alias) == ("2", False)
        assert layers_of(fleet, name) == layers_of(fleet, name, Qualifier="2") == new
        described = fleet.get_function_configuration(FunctionName=name, Qualifier="2")["Description"]
        assert described == f"what it does [roll-out {plan.id}]"
    assert layers_of(fleet, "plain") == new
    assert len(fleet.list_versions_by_function(FunctionName="plain")["Versions"]) == 1

    # Once more there is nothing to do.
    again = planned(fleet)
    assert (again.functions, {one.code for one in again.skipped}) == ({}, {"already"})

    assert lead(tmp_path / plan.id, fleet, rollback=True)
    old = [arn(fleet, "shared", 1), arn(fleet, "other", 1)]
    for name in (*NAMES, "plain"):
        assert layers_of(fleet, name) == old
    assert {fleet.get_alias(FunctionName=name, Name="live")["FunctionVersion"] for name in NAMES} == {"1"}


def test_it_waits_for_updates(fleet: Any, server: ControlServer, tmp_path: Path) -> None:
    plan = planned(fleet)
    Journal.create(tmp_path, plan, POLICY)
    server.hold()
    release = threading.Timer(0.3, server.release)
    release.start()
    try:
        assert lead(tmp_path / plan.id, fleet)
    finally:
        release.join()
    assert {one.phase.value for one in read_record(tmp_path / plan.id).machine.functions.values()} == {"done"}


def test_an_update_that_takes_too_long_is_a_failure(fleet: Any, server: ControlServer, tmp_path: Path) -> None:
    plan = planned(fleet)
    Journal.create(tmp_path, plan, replace(POLICY, settle_s=0.2))
    server.hold()
    lead(tmp_path / plan.id, fleet)
    machine = read_record(tmp_path / plan.id).machine
    assert "is not usable after 0.2 s" in machine.functions["a"].reason
    # It could not be put back either, while Lambda is at it; later it can.
    assert machine.functions["a"].phase.value == "stuck"
    server.release()
    assert lead(tmp_path / plan.id, fleet, rollback=True)
    assert layers_of(fleet, "a") == [arn(fleet, "shared", 1), arn(fleet, "other", 1)]


def test_a_layer_version_that_was_deleted_is_refused_by_lambda_and_all_goes_back(fleet: Any, tmp_path: Path) -> None:
    plan = planned(fleet)
    fleet.delete_layer_version(LayerName="shared", VersionNumber=2)
    Journal.create(tmp_path, plan, POLICY)
    lead(tmp_path / plan.id, fleet)
    assert "does not exist" in read_record(tmp_path / plan.id).machine.reason
    assert layers_of(fleet, "a") == [arn(fleet, "shared", 1), arn(fleet, "other", 1)]


def test_an_audit_reads_all_pages(fleet: Any) -> None:
    for number in range(60):
        fleet.publish_layer_version(LayerName="long", Content={"ZipFile": zipped(x__txt=str(number))})
    fleet.delete_layer_version(LayerName="shared", VersionNumber=1)
    found = {layer.name: layer for layer in audit(read_fleet(fleet), now=datetime(2026, 12, 24, tzinfo=UTC))}
    assert len(found["long"].versions) == 60
    assert found["shared"].behind == ["a", "b", "c", "plain"]
    by_number = {version.number: version for version in found["shared"].versions}
    assert list(by_number[1].faults) == [Fault.STALE, Fault.DELETED]
    assert [str(use) for use in by_number[1].uses if use.function == "a"] == ["a:$LATEST", "a:1 (live)"]
    assert by_number[3].age_days == 33
