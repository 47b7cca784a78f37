from pathlib import Path

import pytest

from lamella.adapters.sandbox.cgroups import CgroupLayout, detect, page_cache_bytes, parse_counters
from lamella.adapters.sandbox.mounts import parse_mounts

KERNEL = ["cpuset", "cpu", "cpuacct", "memory", "pids", "freezer", "devices"]
V1 = """\
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
"""
UNIFIED = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n"
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,relatime,nsdelegate 0 0\n"


def layout(text: str, controllers: str = "") -> CgroupLayout:
    return detect(parse_mounts("proc /proc proc rw 0 0\n" + text), KERNEL, lambda root: controllers)


def test_version_2_does_everything_in_one_place() -> None:
    found = layout(V2, "cpuset cpu io memory pids")
    assert (found.mode, found.missing(), found.entered) == ("v2", [], [])
    assert found.limiter("memory") == Path("/sys/fs/cgroup")
    assert found.is_v2("memory")
    assert found.roots == [Path("/sys/fs/cgroup")]


def test_version_1_has_a_hierarchy_for_each() -> None:
    found = layout(V1)
    assert (found.mode, found.missing()) == ("v1", [])
    assert found.limiter("cpu") == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert [path.name for path in found.entered] == ["memory", "pids", "cpu,cpuacct"]
    assert len(found.roots) == 5


def test_a_hybrid_host_limits_in_version_1_and_freezes_in_version_2() -> None:
    found = layout(V1 + UNIFIED)
    assert (found.mode, found.missing()) == ("hybrid", [])
    assert found.limiter("memory") == Path("/sys/fs/cgroup/memory")
    assert not found.is_v2("memory")
    assert found.v2 == Path("/sys/fs/cgroup/unified")
    assert [path.name for path in found.entered] == ["memory", "pids", "cpu,cpuacct"]


def test_a_controller_may_have_moved_to_version_2() -> None:
    found = layout(V1.replace("relatime,memory", "relatime,hugetlb") + UNIFIED, "memory")
    assert found.limiter("memory") == Path("/sys/fs/cgroup/unified")
    assert found.is_v2("memory")


@pytest.mark.parametrize(
    ("text", "controllers", "missing"),
    [
        ("", "", ["memory", "pids", "cpu"]),
        (V2, "cpu pids", ["memory"]),
        (V1.replace("relatime,pids", "relatime"), "", ["pids"]),
    ],
)
def test_what_is_missing_is_named(text: str, controllers: str, missing: list[str]) -> None:
    assert layout(text, controllers).missing() == missing


def test_page_cache_is_what_has_a_file() -> None:
    v1 = b"cache 1000\nrss 50\nshmem 100\ntotal_cache 5000\ntotal_rss 70\ntotal_shmem 300\n"
    v2 = b"anon 50\nfile 5000\nkernel 20\nshmem 300\n"
    assert page_cache_bytes(v1) == page_cache_bytes(v2) == 4700
    assert page_cache_bytes(b"anon 1\n") == 0


def test_counters() -> None:
    assert parse_counters(b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")["oom_kill"] == 3
