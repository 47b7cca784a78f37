import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from lamella.adapters.sandbox.bundle import (
    Surroundings,
    environment_problem,
    has_hosts,
    hosts,
    process_config,
    sandbox_config,
)
from lamella.ports.sandbox import ProcessSpec, SandboxError, SandboxSpec

AROUND = Surroundings(Path("/usr/bin/catatonit"), "/proc/7/fd/8", Path("/state/scratch-1"))


def config(around: Surroundings = AROUND, **changes: Any) -> dict[str, Any]:
    return sandbox_config(SandboxSpec("a" * 32, Path("/root-tree"), Path("/task-tree"), **changes), around)


def mount_at(document: dict[str, Any], destination: str) -> dict[str, Any] | None:
    return next((mount for mount in document["mounts"] if mount["destination"] == destination), None)


def test_later_layers_come_first_for_overlay() -> None:
    mount = mount_at(config(layers=(Path("/l/1"), Path("/l/2"), Path("/l/3"))), "/opt")
    assert mount is not None
    assert mount["type"] == "overlay"
    assert "lowerdir=/l/3:/l/2:/l/1" in mount["options"]
    assert "ro" in mount["options"]


def test_one_layer_is_bound_and_none_is_the_roots_empty_directory() -> None:
    assert mount_at(config(), "/opt") is None
    mount = mount_at(config(layers=(Path("/l/1"),)), "/opt")
    assert mount is not None
    assert (mount["type"], mount["source"]) == ("bind", "/l/1")
    assert "ro" in mount["options"]


@pytest.mark.parametrize("character", [":", ",", "\\"])
def test_paths_that_overlay_cannot_be_told_are_refused(character: str) -> None:
    with pytest.raises(SandboxError, match="may not contain"):
        config(layers=(Path("/l/1"), Path(f"/l/{character}")))


def test_every_mount_but_the_root_refuses_setuid_programs() -> None:
    document = config(layers=(Path("/l/1"), Path("/l/2")), dev_shm=True)
    assert all("nosuid" in mount["options"] for mount in document["mounts"])
    assert document["root"] == {"path": "/root-tree", "readonly": True}


def test_without_a_scratch_directory_tmp_is_memory() -> None:
    mount = mount_at(config(Surroundings(Path("/c"), "/n", None), tmp_mib=700), "/tmp")
    assert mount is not None
    assert mount["type"] == "tmpfs"
    assert {"size=700m", "mode=1777", "nosuid", "nodev"} <= set(mount["options"])


def test_shared_memory_and_hosts_are_mounted_only_on_demand() -> None:
    assert mount_at(config(), "/dev/shm") is None
    assert mount_at(config(), "/etc/hosts") is None
    around = Surroundings(Path("/c"), "/n", None, hosts=Path("/state/hosts"))
    assert mount_at(config(around, dev_shm=True), "/dev/shm") is not None
    assert mount_at(config(around), "/etc/hosts") is not None


def test_name_servers_are_shown_where_there_are_any() -> None:
    assert mount_at(config(), "/etc/resolv.conf") is None
    mount = mount_at(config(Surroundings(Path("/c"), "/n", None, resolver=Path("/state/r"))), "/etc/resolv.conf")
    assert mount is not None
    assert (mount["source"], "ro" in mount["options"]) == ("/state/r", True)


def test_hosts_name_the_address_of_the_sandbox() -> None:
    assert hosts("127.100.3.4") == "127.0.0.1\tlocalhost\n127.100.3.4\tsandbox sandbox.localdomain\n"


def test_the_namespaces_are_new_and_the_network_is_given() -> None:
    namespaces = {entry["type"]: entry.get("path") for entry in config()["linux"]["namespaces"]}
    assert namespaces == dict.fromkeys(("pid", "mount", "ipc", "uts", "cgroup")) | {"network": "/proc/7/fd/8"}


def test_control_groups_are_named_only_for_runtimes_that_manage_them() -> None:
    assert "cgroupsPath" not in config()["linux"]
    around = Surroundings(Path("/c"), "/n", None, cgroups_path="/lamella-x/a")
    assert config(around)["linux"]["cgroupsPath"] == "/lamella-x/a"


def test_nobody_has_capabilities_or_gains_privileges() -> None:
    process = process_config(ProcessSpec(("/bin/x",), {}, "/", 1), 1024)
    for document in (process, config()["process"]):
        assert document["noNewPrivileges"] is True
        assert set(map(str, document["capabilities"].values())) == {"[]"}
        assert len(document["capabilities"]) == 5
        assert document["user"]["uid"] != 0
    assert config()["process"]["user"]["uid"] != process["user"]["uid"]


def test_a_process_as_json() -> None:
    spec = ProcessSpec(("/bin/x", "ä b"), {"A": "1=2", "B": ""}, "/var/task", 1)
    document = json.loads(json.dumps(process_config(spec, 1024)))
    assert document["args"] == ["/bin/x", "ä b"]
    assert document["env"] == ["A=1=2", "B="]
    assert (document["cwd"], document["user"]) == ("/var/task", {"uid": 993, "gid": 990})


def test_limits_never_exceed_the_servers_own_which_could_not_be_raised() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = {limit["type"]: limit for limit in process_config(ProcessSpec(("x",), {}, "/", 1), 1 << 40)["rlimits"]}
    if hard != resource.RLIM_INFINITY:
        assert limits["RLIMIT_NOFILE"]["hard"] == hard
    assert "RLIMIT_NPROC" not in limits  # the user is shared by all sandboxes


@pytest.mark.parametrize("env", [{"A": "\0"}, {"A\0": ""}, {"A=B": ""}, {"": "x"}])
def test_variables_the_kernel_cannot_pass_are_named(env: dict[str, str]) -> None:
    assert "cannot be environment variables" in (environment_problem(env) or "")


def test_other_variables_are_fine() -> None:
    assert environment_problem({"A": "=", "a b": ""}) is None


@pytest.mark.parametrize("kind", ["file", "link", "linked folder", "device", "pipe", "nothing"])
def test_the_hosts_of_a_root_are_never_read_from_the_host(tmp_path: Path, kind: str) -> None:
    """An image may have a link there to anything: `/dev/zero` would be read for ever."""
    text = hosts("169.254.100.1")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/hosts").write_text(text)
    (tmp_path / "root").mkdir()
    etc = tmp_path / "root/etc"
    if kind == "linked folder":
        etc.symlink_to(tmp_path / "outside")
    else:
        etc.mkdir()
    match kind:
        case "file":
            (etc / "hosts").write_text(text)
        case "link":
            (etc / "hosts").symlink_to(tmp_path / "outside/hosts")
        case "device":
            (etc / "hosts").symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(etc / "hosts")

    assert has_hosts(tmp_path / "root", text) == (kind == "file")
    assert not has_hosts(tmp_path / "root", text[:-1])
