from pathlib import Path

from lamella.adapters.sandbox.runtime import OciRuntime

FILES = (Path("/b"), Path("/p"), Path("/l"))


def test_crun_is_told_to_leave_control_groups_alone() -> None:
    crun = OciRuntime("crun", Path("/state/oci-runtime"), Path("/state/oci"))
    common = ["/state/oci-runtime", "--root", "/state/oci", "--log", "/l", "--cgroup-manager=disabled"]
    assert crun.run("id", *FILES) == [*common, "run", "--detach", "--bundle", "/b", "--pid-file", "/p", "id"]
    entering = [*common, "exec", "--detach", "--process", "/b", "--pid-file", "/p"]
    assert crun.exec("id", *FILES) == [*entering, "id"]
    assert crun.exec("id", *FILES, passed_fds=1) == [*entering, "--preserve-fds", "1", "id"]


def test_runc_knows_no_such_option() -> None:
    runc = OciRuntime("runc", Path("/r"), Path("/s"))
    assert runc.manages_cgroups
    assert not [argument for argument in runc.run("id", *FILES) if "cgroup" in argument]
