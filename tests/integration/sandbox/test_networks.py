"""What sandboxes with a network reach, and what they must not; on a host and in a world made by the test."""

import asyncio
import fcntl
import re
import socket
import struct
import subprocess
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.sandbox.conftest import DEADLINE_S, Make, python, start
from tests.support.rootfs import PYTHON
from tests.support.world import HOST, METADATA, NAME_SERVER, NEIGHBOUR, SITE, World, world

from lamella.adapters.sandbox import OciSandboxProvider, OciSettings, nat, programs
from lamella.adapters.sandbox.nat import NatSettings, ruleset
from lamella.adapters.sandbox.netns import entered
from lamella.adapters.sandbox.rtnetlink import RoutingSocket
from lamella.adapters.sandbox.sandbox import OciSandbox
from lamella.domain.network import Network
from lamella.ports.sandbox import SandboxError, SandboxSpec

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(programs.find("nft") is None, reason="needs nft"),
]

_SCRIPT = Path(__file__).with_name("nat_server.py")
_SIOCSIFMTU = 0x8922
_REFUSED_AFTER_S = 0.7  # silence for this long, where what is allowed takes a millisecond

REACH = f"""
import errno, select, socket
def reach(*places):
    # All at once, since silence has to be waited for.
    clients = {{}}
    for place in places:
        client = socket.socket()
        client.setblocking(False)
        if client.connect_ex(place) in (0, errno.EINPROGRESS):
            clients[client] = place
    waiting, reached = list(clients), []
    while waiting:
        done = select.select([], waiting, [], {_REFUSED_AFTER_S})[1]
        if not done:
            break
        for client in done:
            waiting.remove(client)
            if client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                reached.append(clients[client][0])
    return sorted(reached)
"""


@pytest.fixture
def around() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def settings(around: World, tmp_path: Path) -> OciSettings:
    return OciSettings(
        tmp_path / "run",
        uuid.uuid4().hex[:8],
        ready=1,
        network=Network.NAT,
        nat=True,
        nat_required=True,
        name_servers=(NAME_SERVER,),
    )


@pytest.fixture
async def pair(make: Make) -> tuple[OciSandbox, OciSandbox]:
    return await make(network=Network.NAT), await make(network=Network.NAT)


async def reached(sandbox: OciSandbox, *places: tuple[str, int]) -> list[str]:
    result = await python(sandbox, f"{REACH}\nprint(reach(*{places!r}))")
    assert result.output.startswith("["), result.output
    return list(eval(result.output))


async def address_of(sandbox: OciSandbox) -> str:
    code = f"""
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("{SITE}", 9))
            print(probe.getsockname()[0])
    """
    return (await python(sandbox, textwrap.dedent(code))).output.strip()


def tables() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name.startswith("lam-")]


Tree = tuple[Path, Path]


@pytest.fixture
def tree(around: World, rootfs: Path, tmp_path: Path) -> Tree:
    task = tmp_path / "code"
    task.mkdir()
    return rootfs, task


@asynccontextmanager
async def serving(settings: OciSettings, tree: Tree, *, network: Network = Network.NAT) -> AsyncIterator[OciSandbox]:
    """A provider with one sandbox."""
    provider = OciSandboxProvider(settings)
    await provider.start()
    try:
        yield await provider.create(SandboxSpec(uuid.uuid4().hex, *tree, network=network))
    finally:
        await provider.close()


@contextmanager
def another_server(settings: OciSettings, tree: Tree) -> Iterator["subprocess.Popen[str]"]:
    """A provider with one sandbox in another process, on the same host."""
    argv = [sys.executable, str(_SCRIPT), str(settings.state_dir), settings.instance, *map(str, tree)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - of the kernel, which nobody tells
            await asyncio.sleep(0.01)


def load(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


async def test_a_site_is_reached_and_sees_the_hosts_address(around: World, make: Make) -> None:
    sandbox = await make(network=Network.NAT)
    with around.listen(SITE, 80) as site:
        assert await reached(sandbox, (SITE, 80)) == [SITE]
        site.settimeout(DEADLINE_S)
        connection, peer = site.accept()
        connection.close()
    assert peer[0] == HOST  # the neighbour knows no other way back


async def test_the_host_is_not_reached_at_any_address(around: World, make: Make) -> None:
    sandbox = await make(network=Network.NAT)
    own = await address_of(sandbox)
    gateway = ".".join([*own.split(".")[:3], str(int(own.split(".")[3]) - 1)])
    with socket.create_server(("0.0.0.0", 8080)) as host, around.listen(NEIGHBOUR, 8080):
        for address in (HOST, "127.0.0.1", gateway):  # it is reached by others
            socket.create_connection((address, 8080), timeout=DEADLINE_S).close()
            host.accept()[0].close()
        places = [(address, 8080) for address in (HOST, gateway, "127.0.0.1", "0.0.0.0", NEIGHBOUR)]
        assert await reached(sandbox, *places) == [NEIGHBOUR]
        host.setblocking(False)
        with pytest.raises(BlockingIOError):
            host.accept()


async def test_a_port_that_the_host_forwards_is_no_way_in(around: World, make: Make) -> None:
    load(f"""
        add table ip published
        add chain ip published arriving {{ type nat hook prerouting priority dstnat; }}
        add rule ip published arriving tcp dport 81 dnat to {SITE}:80
        add chain ip published leaving {{ type nat hook postrouting priority srcnat; }}
        add rule ip published leaving ip daddr {SITE} masquerade
    """)
    with around.listen(SITE, 80):
        assert await reached(await make(network=Network.NAT), (HOST, 81)) == []
        with entered(around.outside):
            client = socket.socket()
        with client:  # it is forwarded for others
            client.settimeout(DEADLINE_S)
            client.connect((HOST, 81))


async def test_where_the_host_leads_others_to_itself_sandboxes_are_not_led(around: World, make: Make) -> None:
    """As a transparent proxy does, and a port of a sandbox that the host publishes."""
    sandbox, other = await make(network=Network.NAT), await make(network=Network.NAT)
    address = await address_of(other)
    load(f"""
        add table ip leading
        add chain ip leading arriving {{ type nat hook prerouting priority dstnat; }}
        add rule ip leading arriving tcp dport 80 redirect to :8080
        add rule ip leading arriving udp dport 81 dnat to {address}:7000
    """)
    with socket.create_server(("0.0.0.0", 8080)), around.listen(SITE, 82):
        assert await reached(sandbox, (SITE, 80), (SITE, 82)) == [SITE]
    with entered(sandbox._parts.network.fd):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with entered(other._parts.network.fd):
        inside, listener = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with sender, inside, listener:
        listener.bind((address, 7000))
        listener.settimeout(DEADLINE_S)
        sender.sendto(b"from a sandbox", (SITE, 81))
        inside.sendto(b"from inside", (address, 7000))
        assert listener.recv(100) == b"from inside"


async def listen_inside(sandbox: OciSandbox) -> str:
    """Have a sandbox listen at port 7000; its address."""
    code = """
        import socket
        with socket.create_server(("0.0.0.0", 7000)) as server:
            print("ready", flush=True)
            while True:
                server.accept()[0].close()
    """
    listening = await start(sandbox, PYTHON, "-I", "-S", "-c", textwrap.dedent(code))
    assert await listening.read() == b"ready\n"
    return await address_of(sandbox)


async def test_the_host_sends_nothing_into_a_sandbox_unasked(make: Make) -> None:
    sandbox = await make(network=Network.NAT)
    address = await address_of(sandbox)
    with entered(sandbox._parts.network.fd):
        inside, listener = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with inside, listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        listener.bind((address, 7001))
        listener.settimeout(DEADLINE_S)
        with pytest.raises(PermissionError):  # as the kernel calls what its rules drop
            host.sendto(b"from the host", (address, 7001))
        inside.sendto(b"from inside", (address, 7001))
        assert listener.recv(100) == b"from inside"


async def test_sandboxes_do_not_reach_each_other(around: World, pair: tuple[OciSandbox, OciSandbox]) -> None:
    one, other = pair
    address = await listen_inside(other)
    assert await reached(other, (address, 7000)) == [address]
    assert await reached(one, (address, 7000)) == []
    with entered(around.outside), RoutingSocket() as routing:
        routing.add_default_route(socket.if_nametoindex("in0"), HOST)
        outsider = socket.socket()
    for client in (outsider, socket.socket()):  # neither from outside nor from the host
        client.settimeout(_REFUSED_AFTER_S)
        with client, pytest.raises(TimeoutError):
            client.connect((address, 7000))


async def test_metadata_of_a_cloud_is_not_reached(around: World, make: Make) -> None:
    with around.listen(METADATA, 80) as metadata:
        socket.create_connection((METADATA, 80), timeout=DEADLINE_S).close()  # the host reaches it
        metadata.accept()[0].close()
        assert await reached(await make(network=Network.NAT), (METADATA, 80)) == []


async def test_there_is_no_ipv6(make: Make) -> None:
    code = "print(*{line.split()[-1] for line in open('/proc/net/if_inet6')})"
    assert (await python(await make(network=Network.NAT), code)).output in ("lo\n", "\n")
    assert not [line for line in Path("/proc/net/if_inet6").read_text().splitlines() if "lam-" in line]


async def test_only_its_own_address_is_accepted_as_a_source(around: World, pair: tuple[OciSandbox, OciSandbox]) -> None:
    """With more rights than a function ever has: raw sockets."""
    sandbox, other = pair
    own, others = await address_of(sandbox), await address_of(other)
    with around.datagrams(SITE, 9) as site:
        with entered(sandbox._parts.network.fd):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with raw:
            for source in (others, "192.0.2.77", HOST, "169.254.100.1", "10.1.2.3", own):
                raw.sendto(datagram(source, SITE, source.encode()), (SITE, 0))
        received, peer = site.recvfrom(100)
    assert (received.decode(), peer[0]) == (own, HOST)


def datagram(source: str, destination: str, payload: bytes) -> bytes:
    udp = struct.pack("!HHHH", 4000, 9, 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses + udp


async def test_names_are_resolved_by_the_name_server(around: World, make: Make) -> None:
    sandbox = await make(network=Network.NAT)
    with around.datagrams(NAME_SERVER, 53) as server:
        asking = await start(sandbox, PYTHON, "-I", "-c", "import socket; print(socket.gethostbyname('a.test'))")
        query, peer = server.recvfrom(512)
        question = query[12 : query.index(b"\0", 12) + 5]
        answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(SITE)
        server.sendto(query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + answer, peer)
        assert (await asking.result()).output == f"{SITE}\n"
    assert b"\1a\4test\0" in question


async def test_packets_too_large_for_the_way_become_smaller(around: World, make: Make) -> None:
    """The host says so to the sandbox, the one thing that it may say."""
    with socket.socket() as control:
        fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si12x", b"out0", 1280))
    sandbox = await make(network=Network.NAT)
    code = f"import socket\nwith socket.create_connection(('{SITE}', 80), 10) as site: site.sendall(bytes(200_000))"
    with around.listen(SITE, 80) as site:
        sending = await start(sandbox, PYTHON, "-I", "-S", "-c", code)
        site.setblocking(False)
        loop = asyncio.get_running_loop()
        connection, _ = await asyncio.wait_for(loop.sock_accept(site), DEADLINE_S)
        with connection:
            size = 0
            while part := await asyncio.wait_for(loop.sock_recv(connection, 65536), DEADLINE_S):
                size += len(part)
        assert (size, (await sending.result()).output) == (200_000, "")


async def test_without_a_network_nothing_is_reached(around: World, make: Make) -> None:
    with around.listen(SITE, 80):
        assert await reached(await make(network=Network.NONE), (SITE, 80), (HOST, 80)) == []


async def test_the_runtime_api_is_where_it_always_is(make: Make) -> None:
    sandbox = await make(network=Network.NAT)
    assert await reached(sandbox, ("169.254.100.1", 9001), ("169.254.100.1", 4566)) == ["169.254.100.1"] * 2


@pytest.mark.parametrize("blocked", [("203.0.113.0/24", "203.0.113.5/32"), ("203.0.0.0/8", "203.0.113.5")])
async def test_blocked_networks_are_not_reached(
    around: World, settings: OciSettings, make: Make, blocked: tuple[str, ...]
) -> None:
    sandbox = await make(network=Network.NAT)
    with around.listen(SITE, 80):
        assert await reached(sandbox, (SITE, 80)) == [SITE]
        load(ruleset(NatSettings(settings.instance, blocked)))  # in place of what the provider has loaded
        assert await reached(sandbox, (SITE, 80)) == []


async def test_packets_pass_where_iptables_drops_the_unknown(around: World, settings: OciSettings, tree: Tree) -> None:
    if programs.find("iptables") is None:
        pytest.skip("needs iptables")
    iptables("-P", "FORWARD", "DROP")
    iptables("-A", "FORWARD", "-s", "10.0.0.0/8", "-j", "DROP")
    before = iptables("-S", "FORWARD")
    async with serving(settings, tree) as sandbox:
        with around.listen(SITE, 80):
            assert await reached(sandbox, (SITE, 80)) == [SITE]
    assert iptables("-S", "FORWARD") == before


def iptables(*arguments: str) -> str:
    return subprocess.run(["iptables", *arguments], capture_output=True, text=True, check=True).stdout


async def test_a_host_that_drops_the_unknown_by_nftables_is_told_of(
    settings: OciSettings, tree: Tree, caplog: pytest.LogCaptureFixture
) -> None:
    load("table inet firewall { chain through { type filter hook forward priority filter; policy drop; }; }")
    async with serving(settings, tree):
        pass
    assert "chain inet firewall through drops what it does not know" in caplog.text
    caplog.clear()
    load('add rule inet firewall through iifname "lam-*" accept')
    async with serving(settings, tree):
        pass
    assert "firewall" not in caplog.text


async def test_nothing_is_left_when_the_server_stops(around: World, settings: OciSettings, tree: Tree) -> None:
    async with serving(settings, tree):
        assert settings.instance in tables()
        assert interfaces()
    assert tables() == ""
    assert interfaces() == []


async def test_interfaces_are_gone_with_their_sandbox(settings: OciSettings, tree: Tree) -> None:
    async with serving(replace(settings, ready=0), tree) as sandbox:
        assert len(interfaces()) == 1
        await sandbox.destroy()
        await wait_until(lambda: not interfaces())  # the kernel takes its time


@pytest.mark.parametrize("again", [Network.NAT, Network.NONE])
async def test_what_a_killed_server_left_is_swept(
    around: World, settings: OciSettings, tree: Tree, again: Network
) -> None:
    with another_server(settings, tree) as other:
        other.kill()
        other.wait(DEADLINE_S)
    assert settings.instance in tables()
    assert interfaces()
    with_nat = again is Network.NAT
    provider = OciSandboxProvider(replace(settings, network=again, nat=with_nat, nat_required=with_nat, ready=0))
    await provider.start()
    assert interfaces() == []
    assert (settings.instance in tables()) is with_nat
    await provider.close()
    assert tables() == ""


async def test_two_servers_share_a_host(around: World, settings: OciSettings, tree: Tree, tmp_path: Path) -> None:
    async with serving(settings, tree) as sandbox:
        second = replace(settings, state_dir=tmp_path / "second", instance=uuid.uuid4().hex[:8])
        with another_server(second, tree) as other:
            assert {settings.instance, second.instance} <= set(re.findall("lamella-([0-9a-f]+)", tables()))
            with around.listen(SITE, 80):
                assert await reached(sandbox, (SITE, 80)) == [SITE]
            assert other.stdin is not None
            other.stdin.close()
            assert other.wait(DEADLINE_S) == 0
        assert second.instance not in tables()
        with around.listen(SITE, 80):
            assert await reached(sandbox, (SITE, 80)) == [SITE]


async def test_addresses_of_another_server_are_not_given_twice(settings: OciSettings, tree: Tree) -> None:
    group = NatSettings(settings.instance).group
    taken = [f"lam-{(group + number) % 8192}" for number in range(3)]
    with RoutingSocket() as routing, around_descriptor() as here:
        for number, name in enumerate(taken):
            routing.add_veth(name, 7, f"other{number}", here)
    async with serving(replace(settings, ready=0), tree) as sandbox:
        assert (await address_of(sandbox)) == str(nat.RANGE[(group + 3) % 8192 * 2 + 1])


@contextmanager
def around_descriptor() -> Iterator[int]:
    with Path("/proc/thread-self/ns/net").open("rb") as here:
        yield here.fileno()


async def test_a_host_that_cannot_is_named_with_the_remedy(
    settings: OciSettings, tree: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # All programs but nft.
    for directory in map(Path, programs.PROGRAM_PATH.split(":")):
        for program in directory.iterdir() if directory.is_dir() else ():
            if program.name != "nft" and not (tmp_path / "bin" / program.name).exists():
                (tmp_path / "bin").mkdir(exist_ok=True)
                (tmp_path / "bin" / program.name).symlink_to(program)
    monkeypatch.setattr(programs, "PROGRAM_PATH", str(tmp_path / "bin"))
    with pytest.raises(SandboxError, match=r"nat: nft is not installed\. apt-get install -y nftables"):
        await OciSandboxProvider(settings).start()
    async with serving(replace(settings, nat_required=False), tree, network=Network.NONE) as sandbox:
        assert await reached(sandbox, ("169.254.100.1", 9001)) == ["169.254.100.1"]
    assert caplog.text.count("sandboxes have no network: nft is not installed; to have one: apt-get install") == 1


async def test_the_hosts_network_is_shared_with_an_own_address_for_each(
    around: World, settings: OciSettings, make: Make
) -> None:
    one, other = await make(network=Network.HOST), await make(network=Network.HOST)
    assert one.address != other.address
    assert {address.rsplit(".", 2)[0] for address in (one.address, other.address)} == {"127.100"}
    with socket.create_server(("127.0.0.1", 8080)), around.listen(SITE, 80):
        places = [("127.0.0.1", 8080), (SITE, 80), (one.address, 9001), (one.address, 4566)]
        assert await reached(one, *places) == ["127.0.0.1", one.address, one.address, SITE]
    code = "import socket; print(*(socket.gethostbyname(name) for name in ('sandbox', 'sandbox.localdomain')))"
    assert (await python(one, code)).output == f"{one.address} {one.address}\n"
    with await one.open_socket() as client:
        await asyncio.get_running_loop().sock_connect(client, (other.address, 9001))
