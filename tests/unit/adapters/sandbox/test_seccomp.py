import pytest

from lamella.adapters.sandbox import seccomp

DANGEROUS = """
    acct add_key bpf chroot delete_module finit_module init_module io_uring_enter io_uring_register io_uring_setup
    ioperm iopl kexec_file_load kexec_load keyctl mount mount_setattr move_mount move_pages open_by_handle_at open_tree
    perf_event_open pidfd_getfd pivot_root process_vm_readv process_vm_writev ptrace quotactl reboot request_key setns
    settimeofday swapoff swapon syslog umount2 unshare userfaultfd vhangup
""".split()  # noqa: SIM905 - reads better than sixty quoted words
UNCONDITIONAL = {name for rule in seccomp.profile("x86_64")["syscalls"] if "args" not in rule for name in rule["names"]}


@pytest.mark.parametrize("name", DANGEROUS)
def test_dangerous_calls_are_not_allowed(name: str) -> None:
    rules = [rule for rule in seccomp.profile("x86_64")["syscalls"] if name in rule["names"]]
    assert all(rule["action"] == "SCMP_ACT_ERRNO" for rule in rules)


def test_calls_with_conditions_are_not_allowed_without_them() -> None:
    assert not {"clone", "socket", "personality"} & UNCONDITIONAL


def test_no_call_is_listed_twice() -> None:
    assert len(set(seccomp.ALLOWED)) == len(seccomp.ALLOWED)
    assert not set(seccomp.ALLOWED) & set(seccomp.REFUSED)


def test_what_is_not_listed_does_not_exist() -> None:
    profile = seccomp.profile("x86_64")
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 38)


@pytest.mark.parametrize(
    ("machine", "architecture"), [("x86_64", "SCMP_ARCH_X86_64"), ("aarch64", "SCMP_ARCH_AARCH64")]
)
def test_only_the_machines_own_architecture(machine: str, architecture: str) -> None:
    assert seccomp.profile(machine)["architectures"] == [architecture]


def test_an_unknown_machine_leaves_the_choice_to_the_runtime() -> None:
    assert "architectures" not in seccomp.profile("riscv64")
