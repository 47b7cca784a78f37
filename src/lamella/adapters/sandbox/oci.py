"""The sandbox provider on top of an OCI runtime: prepares the node, keeps parts ready, makes sandboxes of them."""

import asyncio
import collections
import contextlib
import logging
import os
import resource
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from lamella.adapters.sandbox import bundle, cgroups, doctor, mounts, nat, programs, syscalls
from lamella.adapters.sandbox.nat import Nat, NatSettings
from lamella.adapters.sandbox.netns import SANDBOX_ADDRESS, NetworkNamespace, NetworkNamespaces
from lamella.adapters.sandbox.resolver import ResolverFile
from lamella.adapters.sandbox.runtime import OciRuntime
from lamella.adapters.sandbox.sandbox import OciSandbox, Parts
from lamella.adapters.sandbox.scratch import ScratchDirectories
from lamella.adapters.sandbox.spawner import Spawner
from lamella.adapters.sandbox.sweep import sweep
from lamella.domain.network import Network
from lamella.ports.sandbox import SandboxError, SandboxProblem, SandboxSpec

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OciSettings:
    """How sandboxes are made on this node.

    Attributes:
        state_dir: Belongs to the provider alone, which empties it at start. On a local file system with sparse files.
        instance: Tells this server's control groups from those of others on the host; stable for a data directory.
        runtime: Name of the OCI runtime.
        endpoint_port: Port of the AWS endpoint inside.
        cpu_limits: Whether `SandboxSpec.cpus` is obeyed.
        ready: How many network namespaces and `/tmp` images are kept ready ahead of need.
        ready_tmp_mib: Size of those images; others are made when needed.
        network: What those namespaces are for; others are made when needed.
        nat: Whether sandboxes can have `Network.NAT`, if this host is able to.
        nat_required: Whether the provider refuses to start if it is not.
        nat_blocked: Networks that such sandboxes may not reach, as CIDR, beside those that they never may.
        name_servers: Addresses of those that such sandboxes ask; none stands for the host's.
    """

    state_dir: Path
    instance: str
    runtime: str = "crun"
    endpoint_port: int = 4566
    cpu_limits: bool = True
    ready: int = 4
    ready_tmp_mib: int = 512
    network: Network = Network.NONE
    nat: bool = False
    nat_required: bool = False
    nat_blocked: tuple[str, ...] = ()
    name_servers: tuple[str, ...] = ()


_HOSTS_OWN: Final = {"hosts": Path("/etc/hosts"), "resolv.conf": Path("/etc/resolv.conf")}
_NAT_MARK: Final = (
    "nat"  # in the state directory while rules are loaded, so that they are swept whatever is wanted then
)
_REFILL_AFTER_S: Final = 0.05


class Stock(Generic[T]):
    """Things that take a while to make, made ahead of need in their own thread."""

    def __init__(
        self, make: Callable[[], T], discard: Callable[[T], None], executor: ThreadPoolExecutor, size: int
    ) -> None:
        """Hold up to `size` of what `make` makes; `make` runs in `executor`, `discard` on the event loop."""
        self._make = make
        self._discard = discard
        self._executor = executor
        self._size = size
        self._ready: collections.deque[T] = collections.deque()
        self._refilling: asyncio.Task[None] | None = None
        self._closed = False

    async def take(self) -> T:
        """One of the ready ones, else a new one.

        Raises:
            OSError: It could not be made.
        """
        if self._ready:
            taken = self._ready.popleft()
            if len(self._ready) > self._size // 2:
                # Making the next one would share the processors with the cold start that this one is for.
                asyncio.get_running_loop().call_later(_REFILL_AFTER_S, self.refill)
            else:
                self.refill()
            return taken
        made = asyncio.get_running_loop().run_in_executor(self._executor, self._make)
        try:
            taken = await asyncio.shield(made)
        except asyncio.CancelledError:
            made.add_done_callback(self._discard_unwanted)
            raise
        self.refill()
        return taken

    def refill(self) -> None:
        """Start making what is missing, unless that is going on."""
        if not self._closed and (self._refilling is None or self._refilling.done()):
            self._refilling = asyncio.get_running_loop().create_task(self._refill())

    async def wait_full(self) -> None:
        """Wait until nothing is being made any more."""
        if self._refilling is not None:
            await self._refilling

    async def close(self) -> None:
        """Stop making, and discard what is ready."""
        self._closed = True
        await self.wait_full()
        while self._ready:
            self._discard(self._ready.popleft())

    async def _refill(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closed and len(self._ready) < self._size:
            try:
                self._ready.append(await loop.run_in_executor(self._executor, self._make))
            except OSError:
                return  # whoever needs one next makes it in the foreground, and tells why it fails

    def _discard_unwanted(self, made: "asyncio.Future[T]") -> None:
        if not made.cancelled() and made.exception() is None:
            self._discard(made.result())


class OciSandboxProvider:
    """Makes sandboxes with crun or runc. One for each server process; all calls from its event loop."""

    def __init__(self, settings: OciSettings) -> None:
        """Take the settings; touches nothing before `start`."""
        self._settings = settings
        state = settings.state_dir
        self._parent = f"lamella-{settings.instance}"
        self._bundles = state / "sandboxes"
        self._runtime = OciRuntime(settings.runtime, state / "oci-runtime", state / "oci")
        self._layout = cgroups.CgroupLayout()
        self._hidden_v2: Path | None = None
        self._keeper = Path()
        self._hosts = state / "hosts"
        self._spawner = Spawner()
        self._null = -1
        self._networks = NetworkNamespaces(settings.endpoint_port)
        self._nat = Nat(NatSettings(settings.instance, settings.nat_blocked))
        self._nat_works = False
        self._resolver = ResolverFile(state / "resolv.conf", servers=settings.name_servers)
        self._network_stocks = {
            network: Stock(
                make,
                NetworkNamespace.close,
                self._networks.executor,
                settings.ready if network is settings.network else 0,
            )
            for network, make in {
                Network.NONE: self._networks.make,
                Network.NAT: lambda: self._networks.make_attached(self._nat.attach),
                Network.HOST: self._networks.share,
            }.items()
        }
        self._scratch = ScratchDirectories(state / "scratch")
        self._scratch_stock = Stock(
            lambda: self._scratch.make(settings.ready_tmp_mib),
            self._scratch.release,
            self._scratch.executor,
            settings.ready,
        )
        self._has_loop_devices = True
        self._sandboxes: set[OciSandbox] = set()
        self._started = False

    @property
    def nat_works(self) -> bool:
        """Whether sandboxes can have `Network.NAT`; known after `start`."""
        return self._nat_works

    async def start(self) -> None:
        """Enter a private mount namespace, sweep, and begin to fill the stocks.

        Raises:
            SandboxError: This host cannot run sandboxes; the text names what is missing and the remedy.
        """
        problems = self.diagnose()
        fatal = [problem for problem in problems if problem.fatal and not problem.ok]
        if fatal:
            lines = [f"{problem.check}: {problem.detail}. {problem.remedy}".strip() for problem in fatal]
            raise SandboxError("this host cannot run sandboxes\n" + "\n".join(lines))
        try:
            self._prepare()
            self._start_nat(next((problem for problem in problems if problem.check == doctor.NAT), None))
        except OSError as error:
            raise SandboxError(f"cannot prepare this host for sandboxes: {error}") from error
        self._started = True
        self._spawner.start()
        if self._settings.network is not Network.NAT or self._nat_works:
            self._network_stocks[self._settings.network].refill()
        self._has_loop_devices = await self._try_scratch()
        if self._has_loop_devices:
            self._scratch_stock.refill()

    async def create(self, spec: SandboxSpec) -> OciSandbox:
        """Make a sandbox with nothing but its keeper inside.

        Raises:
            SandboxError: It could not be made; nothing of it is left.
        """
        if not self._started:
            raise SandboxError("the sandbox provider is not running")
        async with contextlib.AsyncExitStack() as undo:
            try:
                if spec.network is Network.NAT:
                    self._check_nat()
                network = await self._network_stocks[spec.network].take()
                undo.callback(network.close)
                cgroup = cgroups.Cgroup(self._layout, f"{self._parent}/{spec.id}")
                parts = Parts(self._bundles / spec.id, cgroup, f"/{self._parent}/{spec.id}", network)
                sandbox = OciSandbox(
                    spec,
                    parts,
                    runtime=self._runtime,
                    spawner=self._spawner,
                    null=self._null,
                    cpu_limited=self._settings.cpu_limits and spec.cpus is not None,
                )
                self._sandboxes.add(sandbox)
                sandbox.add_destroyed_callback(self._sandboxes.discard)
                undo.push_async_callback(sandbox.destroy)
                cgroup.create(cgroups.Limits(spec.memory_mib << 20, spec.max_processes, spec.cpus))
                parts.directory.mkdir(mode=0o700)
                scratch = await self._take_scratch(spec.tmp_mib)
                try:
                    await sandbox.start(self._surroundings(spec, parts, scratch))
                finally:
                    # The sandbox has its own view of it by now; ours would only outlive it.
                    if scratch is not None:
                        self._scratch.release(scratch)
            except OSError as error:
                raise SandboxError(f"cannot make sandbox {spec.id}: {error}") from error
            undo.pop_all()
            return sandbox

    def diagnose(self) -> list[SandboxProblem]:
        """Look at the host without changing it."""
        settings = self._settings
        return doctor.diagnose(settings.runtime, with_nat=settings.nat, nat_required=settings.nat_required)

    async def close(self) -> None:
        """Destroy all sandboxes and release what `start` took. Idempotent."""
        if not self._started:
            return
        self._started = False
        async with asyncio.TaskGroup() as tasks:
            for sandbox in list(self._sandboxes):
                tasks.create_task(sandbox.destroy())
        for stock in self._network_stocks.values():
            await stock.close()
        await self._scratch_stock.close()
        self._spawner.close()
        self._networks.close()
        if complaint := self._nat.close():
            _log.warning("%s", complaint)
        self._scratch.close()
        os.close(self._null)
        cgroups.remove_everywhere(self._layout, self._parent)
        if self._hidden_v2 is not None:  # so that a next provider in this process finds it
            syscalls.mount(str(self._layout.v2), str(self._hidden_v2), None, syscalls.MS_BIND)
        mounts.unmount_all_below(self._settings.state_dir)
        shutil.rmtree(self._settings.state_dir, ignore_errors=True)

    def _prepare(self) -> None:
        state = self._settings.state_dir
        mounts.enter_private_mount_namespace()
        syscalls.become_subreaper()
        _raise_open_files_limit()
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        mounts.unmount_all_below(state)
        layout = _with_unified_hierarchy(cgroups.detect_here(), state / "cgroup")
        if (state / _NAT_MARK).exists() and (complaint := nat.sweep(self._nat.settings)):
            _log.warning("%s", complaint)
        sweep(layout, self._parent, state)
        for directory in (self._bundles, state / "scratch", self._runtime.root):
            directory.mkdir(mode=0o700)
        self._hidden_v2 = layout.v2 if layout.mode == "hybrid" and layout.v2 != state / "cgroup" else None
        self._layout = layout if self._hidden_v2 is None else _hide_unified_hierarchy(layout, state / "cgroup")
        cgroups.prepare_parent(self._layout, self._parent)
        # Read-only, because crun and runc otherwise copy or rebind themselves and start a second time, lest a
        # function overwrites them through /proc/self/exe: 2 ms of every run and exec.
        mounts.bind_read_only(_program(self._settings.runtime), self._runtime.program)
        self._keeper = doctor.find_keeper() or Path()
        self._hosts.write_text(bundle.hosts(SANDBOX_ADDRESS))
        self._hosts.chmod(0o644)
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)

    def _start_nat(self, problem: SandboxProblem | None) -> None:
        if problem is None:
            return
        if not problem.ok:
            _log.warning("sandboxes have no network: %s; to have one: %s", problem.detail, problem.remedy)
            return
        (self._settings.state_dir / _NAT_MARK).touch()
        self._refresh_resolver()
        for warning in self._nat.start(self._resolver.servers):
            _log.warning("%s", warning)
        self._nat_works = True

    def _check_nat(self) -> None:
        if not self._nat_works:
            raise SandboxError("this server gives sandboxes no network of their own")
        self._refresh_resolver()

    def _refresh_resolver(self) -> None:
        if self._resolver.refresh() and not self._resolver.servers:
            _log.warning(
                "names will not be resolved in sandboxes: the host's name servers are on its own addresses, where "
                "sandboxes may not reach them; set network_dns"
            )

    async def _try_scratch(self) -> bool:
        try:
            directory = await asyncio.get_running_loop().run_in_executor(
                self._scratch.executor, self._scratch.make, self._settings.ready_tmp_mib
            )
        except OSError:
            return False
        self._scratch.release(directory)
        return True

    async def _take_scratch(self, tmp_mib: int) -> Path | None:
        if not self._has_loop_devices:
            return None
        if tmp_mib == self._settings.ready_tmp_mib:
            return await self._scratch_stock.take()
        return await asyncio.get_running_loop().run_in_executor(self._scratch.executor, self._scratch.make, tmp_mib)

    def _surroundings(self, spec: SandboxSpec, parts: Parts, scratch: Path | None) -> bundle.Surroundings:
        hosts: Path | None = self._hosts
        resolver = None
        if spec.network is Network.HOST:
            hosts, resolver = _hosts_own_names(parts)
        elif bundle.has_hosts(spec.rootfs, bundle.hosts(SANDBOX_ADDRESS)):
            hosts = None
        if spec.network is Network.NAT:
            resolver = self._resolver.path
        return bundle.Surroundings(
            keeper=self._keeper,
            network=parts.network.path,
            scratch=scratch,
            hosts=hosts,
            resolver=resolver,
            cgroups_path=parts.cgroups_path if self._runtime.manages_cgroups else None,
        )


def _hosts_own_names(parts: Parts) -> tuple[Path, Path]:
    """Files for a sandbox in the host's network: what the host knows by name is known there as well."""
    made = []
    for name, source in _HOSTS_OWN.items():
        text = source.read_text(errors="replace") if source.exists() else ""
        file = parts.directory / name
        # First, because the first line with a name decides.
        file.write_text((bundle.hosts(parts.network.address) if name == "hosts" else "") + text)
        file.chmod(0o644)
        made.append(file)
    return made[0], made[1]


def _with_unified_hierarchy(layout: cgroups.CgroupLayout, target: Path) -> cgroups.CgroupLayout:
    """On a host with v1 alone, mount v2 where only this server sees it: every kernel that has v1 has v2 as well."""
    if layout.v2 is not None:
        return layout
    target.mkdir(exist_ok=True)
    syscalls.mount("none", str(target), "cgroup2", 0)
    return cgroups.CgroupLayout(layout.v1, target, layout.v2_controllers)


def _hide_unified_hierarchy(layout: cgroups.CgroupLayout, target: Path) -> cgroups.CgroupLayout:
    """On a hybrid host, move v2 to where the OCI runtime does not see it: crun refuses to start if it sees both."""
    assert layout.v2 is not None
    target.mkdir()
    syscalls.mount(str(layout.v2), str(target), None, syscalls.MS_BIND)
    syscalls.umount(str(layout.v2), syscalls.MNT_DETACH)
    return cgroups.CgroupLayout(layout.v1, target, layout.v2_controllers)


def _raise_open_files_limit() -> None:
    """Each sandbox takes seven descriptors of the server; the usual soft limit of 1,024 is for users of select()."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _program(name: str) -> Path:
    found = programs.find(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found.resolve()
