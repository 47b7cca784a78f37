"""What this host is told about itself."""

import os
import socket

import pytest

from lamella.adapters.sandbox import OciSandboxProvider, OciSettings, programs
from lamella.adapters.sandbox.doctor import diagnose, find_keeper, is_static
from lamella.ports.sandbox import SandboxError


@pytest.mark.sandbox
def test_a_host_that_runs_sandboxes_has_no_fatal_problem() -> None:
    problems = diagnose("crun")
    assert [problem for problem in problems if problem.fatal and not problem.ok] == []
    assert len({problem.check for problem in problems}) == len(problems) == 9
    assert all(problem.detail for problem in problems)


@pytest.mark.sandbox
def test_whether_addresses_can_be_translated_is_tried_out_and_leaves_nothing() -> None:
    if programs.find("nft") is None:
        pytest.skip("needs nft")
    before = socket.if_nameindex()
    (problem,) = (problem for problem in diagnose("crun", with_nat=True, nat_required=True) if problem.check == "nat")
    assert (problem.ok, problem.fatal, problem.detail) == (True, True, "functions can reach other machines")
    assert socket.if_nameindex() == before


def test_a_missing_runtime_is_named_with_the_command_that_installs_it() -> None:
    problem = next(problem for problem in diagnose("absent-runtime") if problem.check == "runtime")
    assert (problem.ok, problem.fatal) == (False, True)
    assert problem.remedy == "apt-get install -y absent-runtime"


@pytest.mark.sandbox
async def test_a_provider_refuses_to_start_and_says_why(settings: OciSettings) -> None:
    provider = OciSandboxProvider(OciSettings(settings.state_dir, settings.instance, runtime="absent-runtime"))
    with pytest.raises(SandboxError, match=r"absent-runtime is not installed.*apt-get install"):
        await provider.start()
    assert not settings.state_dir.exists()
    await provider.close()


@pytest.mark.sandbox
def test_without_privileges_it_explains_that_they_are_missing() -> None:
    os.seteuid(65534)
    try:
        problems = {problem.check: problem for problem in diagnose("crun")}
    finally:
        os.seteuid(0)
    assert not problems["privileges"].ok
    assert "CAP_SYS_ADMIN" in problems["privileges"].detail
    assert "root" in problems["privileges"].remedy
    assert problems["runtime"].ok


@pytest.mark.sandbox
def test_the_keeper_is_static() -> None:
    keeper = find_keeper()
    assert keeper is not None
    assert is_static(keeper)
