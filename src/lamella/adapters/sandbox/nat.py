"""The way out of sandboxes with `Network.NAT`: a pair of interfaces for each, and one table of rules for all of them.

Everything that depends on a single sandbox is in the pair: its name and its addresses. The rules know interfaces by
their group, a number that stands for this server, and are the same whether there is one sandbox or a thousand.
"""

import errno
import itertools
import json
import os
import socket
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from lamella.adapters.sandbox import programs, syscalls
from lamella.adapters.sandbox.netns import entered
from lamella.adapters.sandbox.rtnetlink import RoutingSocket
from lamella.ports.sandbox import SandboxError

# Link-local, because no network that a function might want to reach lies there.
RANGE: Final = IPv4Network("169.254.192.0/18")
_SLOTS: Final = RANGE.num_addresses // 2
_PREFIX: Final = "lam-"  # of interfaces of all servers on the host: what begins so is never a way from a sandbox
_INSIDE: Final = "eth0"
_FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")
_TIMEOUT_S: Final = 20
LET_PASS: Final = f'accept there what comes in by interfaces named "{_PREFIX}*", and what goes out by them'

# What no sandbox may reach. Clouds answer with credentials at link-local addresses, and at the three single ones
# (Azure, Alibaba Cloud, Oracle's classic cloud).
FORBIDDEN: Final = (
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3",
    "168.63.129.16", "100.100.100.200", "192.0.0.192",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NatSettings:
    """How addresses are translated on this node.

    Attributes:
        instance: Names the table and the group of interfaces.
        blocked: Networks that sandboxes may not reach, as CIDR, beside those that they never may.
    """

    instance: str
    blocked: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """Name of the table of rules."""
        return f"lamella-{self.instance}"

    @property
    def group(self) -> int:
        """Number of the group that this server's interfaces on the host belong to; far from those people choose."""
        return 0x4C00_0000 | zlib.crc32(self.instance.encode()) & 0xFF_FFFF


def ruleset(settings: NatSettings, resolvers: Sequence[str] = ()) -> str:
    """Rules for `nft -f`, which replace those of the same table as a whole or not at all.

    Args:
        settings: Names the table, the group and the blocked networks.
        resolvers: Name servers; at port 53 they are reached even where nothing else is, as link-local ones on clouds.
    """
    group = f"{settings.group:#x}"
    names = f"ip daddr {{ {', '.join(resolvers)} }} meta l4proto {{ tcp, udp }} th dport 53 accept" if resolvers else ""
    # A drop is final, while an accept only ends the chain: other tables may still refuse. What arrives is looked at
    # before anybody has translated its destination, so that ports which the host forwards are of no use either.
    return f"""\
table inet {settings.table}
delete table inet {settings.table}
table inet {settings.table} {{
	set forbidden {{
		type ipv4_addr
		flags interval
		auto-merge
		elements = {{ {", ".join((*FORBIDDEN, *settings.blocked))} }}
	}}
	chain arriving {{
		type filter hook prerouting priority raw; policy accept;
		iifgroup != {group} accept
		meta nfproto ipv6 drop
		fib saddr . iif oif missing drop
		fib daddr type != unicast drop
		{names}
		ip daddr @forbidden drop
	}}
	chain to_host {{
		type filter hook input priority filter - 10; policy accept;
		iifgroup {group} drop
	}}
	chain from_host {{
		type filter hook output priority filter - 10; policy accept;
		oifgroup {group} ct state established,related accept
		oifgroup {group} drop
	}}
	chain through {{
		type filter hook forward priority filter - 10; policy accept;
		iifgroup {group} oifname "{_PREFIX}*" drop
		iifgroup {group} accept
		oifgroup {group} ct state established,related accept
		oifgroup {group} drop
	}}
	chain leaving {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {RANGE} oifname != "{_PREFIX}*" masquerade
	}}
}}
"""


class Nat:
    """Owns the table, and the interfaces of its group."""

    def __init__(self, settings: NatSettings) -> None:
        """Touch nothing yet."""
        self.settings: Final = settings
        self._routing: RoutingSocket | None = None
        # Not from 0, so that two servers which start together rarely want the same.
        self._slots = itertools.count(settings.group)

    def start(self, resolvers: Sequence[str]) -> list[str]:
        """Load the rules and let the host forward packets.

        Returns:
            What may stand in the way all the same, each as a sentence.

        Raises:
            SandboxError: The rules could not be loaded.
            OSError: The host may not be told to forward.
        """
        self._routing = RoutingSocket()
        complaint = _nft(ruleset(self.settings, resolvers))
        if complaint is not None:
            raise SandboxError(f"cannot load the rules of sandboxes' networks: {complaint}")
        if _FORWARDING.read_text().strip() != "1":
            _FORWARDING.write_text("1")
        closed = dropping_chains() + _pass_iptables(self.settings)
        return [
            f"sandboxes may reach nothing: chain {chain} drops what it does not know; {LET_PASS}" for chain in closed
        ]

    def attach(self, namespace: int) -> None:
        """Give the network namespace of this descriptor a way out. Must run in a thread of the host's namespace.

        The thread is in the sandbox's namespace for a moment. The interfaces are gone together with that namespace.

        Raises:
            OSError: The kernel refused, or all addresses are taken.
        """
        assert self._routing is not None
        name, here, there = self._add_pair(self._routing, namespace)
        index = socket.if_nametoindex(name)
        _disable_ipv6(name)
        self._routing.add_address(index, str(here), 31, link_scope=True)
        self._routing.set_up(index)
        with entered(namespace), RoutingSocket() as inside:
            index = socket.if_nametoindex(_INSIDE)
            _disable_ipv6(_INSIDE)
            inside.add_address(index, str(there), 31, link_scope=False)
            inside.set_up(index)
            inside.add_default_route(index, str(here))

    def close(self) -> str | None:
        """Take interfaces and rules away. That the host forwards stays: others may rely on it by now. Idempotent.

        Returns:
            What could not be taken away, and why.
        """
        if self._routing is None:
            return None
        self._routing.close()
        self._routing = None
        return sweep(self.settings)

    def _add_pair(self, routing: RoutingSocket, namespace: int) -> tuple[str, IPv4Address, IPv4Address]:
        for slot in itertools.islice(self._slots, _SLOTS):
            # The name is the claim to the addresses, which holds for all servers of the host.
            name = f"{_PREFIX}{slot % _SLOTS}"
            try:
                routing.add_veth(name, self.settings.group, _INSIDE, namespace)
            except FileExistsError:
                continue
            here = RANGE[slot % _SLOTS * 2]
            return name, here, here + 1
        raise OSError(errno.EADDRNOTAVAIL, f"all {_SLOTS} pairs of addresses for sandboxes are in use")


def sweep(settings: NatSettings) -> str | None:
    """Take away interfaces and rules of a server with these settings that is gone, or about to go.

    Returns:
        Why the rules could not be deleted; they do no harm without interfaces.

    Raises:
        OSError: The kernel refused to delete the interfaces.
    """
    with RoutingSocket() as routing:
        routing.delete_group(settings.group)
    # As with the rules themselves: made before it is deleted, so that it need not be there.
    complaint = _nft(f"table inet {settings.table}\ndelete table inet {settings.table}\n")
    _close_iptables(settings)
    return None if complaint is None else f"cannot delete the table of rules {settings.table}: {complaint}"


def obstacle() -> tuple[str, str] | None:
    """What keeps this host from translating addresses, and the remedy; `None` if nothing. Needs privileges.

    Everything is tried out in a network namespace that is gone afterwards.
    """
    if programs.find("nft") is None:
        return "nft is not installed", "apt-get install -y nftables"
    if _FORWARDING.read_text().strip() != "1" and not os.access(_FORWARDING, os.W_OK):
        return "the host does not forward packets, and may not be told to", "sysctl -w net.ipv4.ip_forward=1"
    with ThreadPoolExecutor(max_workers=1) as thread:
        complaint = thread.submit(_trial).result()
    return None if complaint is None else (complaint, "modprobe -a veth nft_masq nft_fib_inet nf_conntrack")


def dropping_chains() -> list[str]:
    """Chains of other programs that drop what is forwarded unless a rule says otherwise, as `family table chain`.

    Those of iptables are not among them: with its own command a way through can be had, see `_pass_iptables`.
    """
    found: list[str] = []
    with suppress(OSError, subprocess.SubprocessError, ValueError):  # without its answer there is nothing to tell
        listed = _run("nft", "-j", "list", "chains")
        for entry in json.loads(listed.stdout)["nftables"]:
            chain = entry.get("chain", {})
            place = (chain.get("family"), chain.get("table"), chain.get("name"))
            drops = chain.get("hook") == "forward" and chain.get("policy") == "drop"
            if drops and place != ("ip", "filter", "FORWARD"):
                rules = _run("nft", "list", "chain", *place).stdout
                found.extend([" ".join(place)] if _PREFIX not in rules else [])
    return found


def _trial() -> str | None:
    """In a thread that ends afterwards, and takes its network namespaces along."""
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        with RoutingSocket() as routing, Path("/proc/thread-self/ns/net").open("rb") as here:
            routing.add_veth(f"{_PREFIX}0", 1, _INSIDE, here.fileno())
    except OSError as error:
        return f"cannot make a pair of interfaces: {error}"
    complaint = _nft(ruleset(NatSettings("trial")))
    return None if complaint is None else f"cannot load rules: {complaint}"


def _disable_ipv6(interface: str) -> None:
    """Sandboxes have none: what it reaches would need rules of its own, and few hosts could pass it on."""
    with suppress(FileNotFoundError):  # neither has the kernel
        Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")


def _pass_iptables(settings: NatSettings) -> list[str]:
    """Let sandboxes' packets through where iptables drops what nothing else has decided about, as Docker makes it.

    Appended and not inserted: only the policy changes for them, whatever rules there are still come first.

    Returns:
        Chains that drop them all the same.
    """
    if programs.find("iptables") is None:
        return []
    chain = _iptables("-S", "FORWARD").stdout.splitlines()
    if len(chain) > 1 or chain == ["-P FORWARD DROP"]:
        for rule in _iptables_rules(settings):
            _iptables("-A", *rule)
    final = ("-A FORWARD -j DROP", "-A FORWARD -j REJECT")
    return ["iptables FORWARD"] if chain and chain[-1].startswith(final) else []


def _close_iptables(settings: NatSettings) -> None:
    if programs.find("iptables") is not None:
        for rule in _iptables_rules(settings):
            while _iptables("-D", *rule).returncode == 0:
                pass


def _iptables_rules(settings: NatSettings) -> Iterator[list[str]]:
    for way in ("-i", "-o"):
        yield ["FORWARD", way, f"{_PREFIX}+", "-m", "comment", "--comment", settings.table, "-j", "ACCEPT"]


def _iptables(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return _run("iptables", "-w", "5", *arguments)


def _nft(rules: str) -> str | None:
    """Load rules; what was complained about, or `None`."""
    if programs.find("nft") is None:
        return "nft is not installed"
    try:
        done = _run("nft", "-f", "-", given=rules)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def _run(*argv: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": programs.PROGRAM_PATH}
    return subprocess.run(
        argv, input=given, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, env=environment
    )
