"""A layer is rolled out over a fleet that is being invoked, by the command as its users run it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fleet import Callers, Fleet
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

QUICK = ("--probe", "{}", "--bake", "0", "--steps", "10%,100%", "--yes")


@pytest.fixture(scope="module")
def server() -> Iterator[LamellaServer]:
    with LamellaServer(state_delay_s="0", drain_timeout_s="1") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: LamellaServer) -> Any:
    return server.boto3(config={"max_pool_connections": 16})


def killed_in_the_middle(server: LamellaServer, *arguments: str | Path, at: str, count: int) -> str:
    """Begin a roll-out, and kill it with SIGKILL when it has said something for so many times; returns its id."""
    program = Path(sys.executable).parent / "lamella"
    with subprocess.Popen(
        [program, "fleet", "apply", *arguments],
        env=server.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            count -= at in line
            if not count:
                break
        process.kill()
    assert count == 0, "".join(said)
    [rollout] = [
        one for one in json.loads(server.lamella("fleet", "status", "--json").stdout)["rollouts"] if not one["finished"]
    ]
    assert not rollout["at_work"]
    return str(rollout["id"])


def stopped_in_the_first_wave(server: LamellaServer, fleet: Fleet, *, crash: bool) -> None:
    """Version 9, which breaks one function in ten, is rolled out over a fleet that has version 8."""
    arguments = (fleet.layer, "9", *QUICK, "--wave", "10%,100%")
    if crash:
        name = killed_in_the_middle(server, *arguments, at="$LATEST has the layer", count=3)
        ended = server.lamella("fleet", "apply", "--resume", name, check=False)
    else:
        ended = server.lamella("fleet", "apply", *arguments, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "rolled back" in ended.stderr
    assert f"{fleet.names[4]}: FAILED: the probe: ImportError: no module of that name" in ended.stderr


def test_fifty_functions_are_rolled_and_saved_while_they_are_invoked_through_crashes(
    server: LamellaServer, client: Any, tmp_path: Path
) -> None:
    """To version 8; then version 9 is stopped, and everything is as it was."""
    fleet = Fleet(client, "shop", 50)
    audit = server.lamella("fleet", "audit", fleet.layer, "--fail-on", "stale", check=False)
    assert audit.returncode == 1
    assert "50 of 50 functions are behind" in audit.stdout
    before = fleet.state()

    plan = tmp_path / "plan.json"
    planned = server.lamella("fleet", "plan", fleet.layer, "8", "--out", plan)
    assert "50 functions in 4 waves: 50 versions published, 50 aliases moved" in planned.stdout
    refused = server.lamella("fleet", "apply", plan, *QUICK[:-1], check=False)
    assert refused.returncode == 2
    assert "nothing was changed" in refused.stderr
    assert fleet.state() == before

    with Callers(fleet) as callers:
        # In the third wave, when some have been given the new layer and nothing of it gets invocations.
        name = killed_in_the_middle(server, plan, *QUICK, at="is published", count=15)
        server.lamella("fleet", "apply", plan, *QUICK)  # which finds what has been begun
        callers.finish_a_round()
    assert callers.failed == []
    assert callers.count > 100

    for number, (function, (layers, version, weights)) in enumerate(fleet.state().items()):
        assert layers == fleet.layers(number, 8)
        assert weights == {}
        assert int(version) == max(int(old) for old in (before[function][1], *before[function][2])) + 1
        published = client.get_function_configuration(FunctionName=function, Qualifier=version)
        assert [one["Arn"] for one in published["Layers"]] == layers
        assert f"[roll-out {name}]" in published["Description"]
        assert callers.seen[function][-1] == "8"
        versions = client.list_versions_by_function(FunctionName=function)["Versions"]
        assert len(versions) == int(version) + 1  # and no other: what was published before the crash was found again
    assert json.loads(server.lamella("fleet", "status", name, "--json").stdout)["state"] == "done"

    rolled = fleet.state()
    with Callers(fleet) as callers:
        for crash in (False, True):
            stopped_in_the_first_wave(server, fleet, crash=crash)
            assert fleet.state() == rolled
    assert callers.failed == []
    for function in fleet.names[5:]:  # the second wave was never touched
        versions = client.list_versions_by_function(FunctionName=function)["Versions"]
        assert len(versions) == int(rolled[function][1]) + 1
    fleet.delete()


def test_without_a_probe_it_is_seen_by_the_metrics_of_real_invocations(server: LamellaServer, client: Any) -> None:
    fleet = Fleet(client, "desk", 5)
    before = fleet.state()
    with Callers(fleet, threads=1) as callers:
        arguments = (fleet.layer, "9", "--steps", "50%,100%", "--bake", "1", "--min-invocations", "3", "--yes")
        ended = server.lamella("fleet", "apply", *arguments, "--wave", "100%", check=False)
    assert ended.returncode == 1, ended.stderr
    assert re.search(r"desk-04: \d+ of \d+ invocations of the new version failed, of the old 0.0%", ended.stderr)
    assert fleet.state() == before
    assert {one.partition(":")[0] for one in callers.failed} == {"desk-04"}  # and nobody else's callers noticed
    fleet.delete()
