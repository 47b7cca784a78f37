"""The seccomp filter of every sandbox: system calls that are not listed here do not exist.

An allow-list, so that calls which newer kernels add are refused until somebody has looked at them; with `ENOSYS`,
because then C libraries fall back to the call they used before. Calls long known to be refused to containers say
`EPERM`. Only the machine's own architecture is in it (no 32-bit, no x32: such calls kill the process). That also keeps
it cheap: measured with crun 1.8, compiling costs 1.4 ms for one architecture and 10 ms for three; a deny-list would
save 0.6 ms. Processes that join later load the compiled filter. The kernel caches "always allowed", so a permitted call
costs nothing more.
"""

import platform
from collections.abc import Mapping
from typing import Any, Final

_ARCHITECTURES: Final = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

_EPERM: Final = 1
_ENOSYS: Final = 38
_CLONE_NEW_NAMESPACES: Final = 0x7E02_0000  # every CLONE_NEW* flag: namespaces are a door to most kernel exploits
_AF_NETLINK: Final = 16

_ALLOWED_NAMES: Final = """
    accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres
    clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve
    execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown
    fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate
    futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_mempolicy get_robust_list get_thread_area
    getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid
    getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid
    gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
    io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr
    lremovexattr lseek lsetxattr lstat madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore
    mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
    pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6
    pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages
    removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
    semtimedop sendfile sendmmsg sendmsg sendto set_mempolicy set_robust_list set_thread_area set_tid_address
    setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit
    setsid setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair
    splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create
    timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
    tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4 waitid write writev
"""
ALLOWED: Final = tuple(_ALLOWED_NAMES.split())

_REFUSED_NAMES: Final = """
    add_key bpf chroot fsopen init_module finit_module delete_module io_uring_setup kexec_load keyctl mount move_mount
    open_by_handle_at open_tree perf_event_open pivot_root process_vm_readv process_vm_writev ptrace reboot
    request_key setns swapon umount2 unshare userfaultfd
"""
REFUSED: Final = tuple(_REFUSED_NAMES.split())


def profile(machine: str | None = None) -> Mapping[str, Any]:  # Any: JSON of the OCI runtime specification
    """The `linux.seccomp` part of an OCI configuration for `machine` (as `uname -m` says; default this one)."""
    architecture = _ARCHITECTURES.get(machine or platform.machine())
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        **({"architectures": [architecture]} if architecture else {}),
        "syscalls": [
            {"names": list(ALLOWED), "action": "SCMP_ACT_ALLOW"},
            {"names": list(REFUSED), "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM},
            # A filter cannot look into clone3's argument, so callers must be made to fall back to clone.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [_masked(0, _CLONE_NEW_NAMESPACES, 0)]},
            # Unix, IPv4, IPv6 and route netlink sockets; no packet, vsock, alg or bluetooth sockets.
            *(
                {
                    "names": ["socket"],
                    "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 0, "value": family, "op": "SCMP_CMP_EQ"}],
                }
                for family in (1, 2, 10)
            ),
            {
                "names": ["socket"],
                "action": "SCMP_ACT_ALLOW",
                "args": [
                    {"index": 0, "value": _AF_NETLINK, "op": "SCMP_CMP_EQ"},
                    {"index": 2, "value": 0, "op": "SCMP_CMP_EQ"},  # NETLINK_ROUTE: getifaddrs() needs it
                ],
            },
            # What the personality call is used for: asking (0xffffffff), Linux (0), no address
            # randomisation (debuggers).
            *(
                {
                    "names": ["personality"],
                    "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 0, "value": persona, "op": "SCMP_CMP_EQ"}],
                }
                for persona in (0, 0xFFFF_FFFF)
            ),
        ],
    }


def _masked(index: int, mask: int, value: int) -> dict[str, Any]:  # Any: as above
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
