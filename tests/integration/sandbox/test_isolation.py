"""Function code is the adversary: what it may not see, write, reach or become."""

import asyncio
import socket
import textwrap
from pathlib import Path

import pytest
from tests.integration.sandbox.conftest import Make, python, start
from tests.support.rootfs import PYTHON

from lamella.ports.sandbox import ExitStatus, SandboxError

pytestmark = pytest.mark.sandbox

ATTEMPT = """
import os, socket, sys
def attempt(what):
    try:
        print("DONE", what())
    except OSError as error:
        print(error.strerror)
"""


def attempts(*expressions: str) -> str:
    return ATTEMPT + "\n".join(f"attempt(lambda: {expression})" for expression in expressions)


async def test_only_tmp_can_be_written(make: Make, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir(mode=0o777)
    (tmp_path / "task").chmod(0o777)
    places = ["/", "/opt", "/var/task", "/usr", "/etc", "/dev", "/proc/sys/kernel", "/var"]
    sandbox = await make(layers=(layer,))
    result = await python(sandbox, attempts(*(f"open({place!r} + '/new', 'w')" for place in places)))
    refused = {"Read-only file system", "Permission denied", "No such file or directory"}
    assert len(result.output.splitlines()) == len(places)
    assert set(result.output.splitlines()) <= refused
    assert list(layer.iterdir()) == list((tmp_path / "task").iterdir()) == []
    assert "DONE" in (await python(sandbox, attempts("open('/tmp/new', 'w').write('x')"))).output


async def test_host_files_are_not_there(make: Make, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o644)
    paths = [
        "/etc/shadow",
        "/root/.ssh",
        "/home",
        str(secret),
        "/var/lib",
        "/sys/kernel",
        "/run",
        "/dev/vda",
        "/dev/loop0",
    ]
    paths.append(f"/proc/1/root{secret}")
    result = await python(await make(), attempts(*(f"os.stat({path!r})" for path in paths)))
    assert set(result.output.splitlines()) <= {"No such file or directory", "Permission denied"}


async def test_the_servers_environment_is_not_there(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "1")
    code = """
        import os
        for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
            for name in ("environ", "maps", "mem", "fd"):
                try:
                    path = f"/proc/{pid}/{name}"
                    content = os.listdir(path) if name == "fd" else open(path, "rb").read()
                    assert b"SECRET" not in bytes(str(content), "utf-8")
                    assert int(pid) == os.getpid(), path
                except OSError:
                    pass
        print(sorted(os.environ))
    """
    assert (
        await python(await make(), textwrap.dedent(code))
    ).output == "['HOME', 'PATH']\n"  # HOME is the OCI runtime's


async def test_only_its_own_processes_can_be_seen(make: Make) -> None:
    code = "import os; print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()) == [1, os.getpid()])"
    assert (await python(await make(), code)).output == "True\n"


async def test_the_first_process_cannot_be_harmed(make: Make) -> None:
    sandbox = await make()
    signals = [f"os.kill(1, {number})" for number in (9, 15, 2, 19)]
    result = await python(sandbox, attempts(*signals, "open('/proc/1/mem', 'r+b')", "os.kill(-1, 9)"))
    assert set(result.output.splitlines()) <= {"Operation not permitted", "Permission denied", "No such process"}
    assert (await python(sandbox, "print('alive')")).output == "alive\n"


async def test_privileged_system_calls_are_refused(make: Make) -> None:
    code = """
        import ctypes, errno, os
        libc = ctypes.CDLL(None, use_errno=True)
        def call(name, *arguments):
            result = getattr(libc, name)(*arguments)
            print(name, result, errno.errorcode.get(ctypes.get_errno()))
        call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
        call("umount2", b"/tmp", 2)
        call("ptrace", 16, 1, 0, 0)
        call("unshare", 0x10000000)
        call("unshare", 0x40000000)
        call("setns", 0, 0)
        call("chroot", b"/tmp")
        call("reboot", 0)
        call("init_module", b"", 0, b"")
        call("setuid", 0)
        call("setgid", 0)
        call("sethostname", b"x", 1)
        calls = {"bpf": 321, "perf_event_open": 298, "keyctl": 250, "io_uring_setup": 425, "userfaultfd": 323}
        for name, number in calls.items():
            ctypes.set_errno(0)
            print(name, libc.syscall(number, 0, 0, 0, 0, 0), errno.errorcode.get(ctypes.get_errno()))
        print("clone", libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0), errno.errorcode.get(ctypes.get_errno()))
        print("clone3", libc.syscall(435, 0, 0), errno.errorcode.get(ctypes.get_errno()))
    """
    result = await python(await make(), textwrap.dedent(code))
    lines = [line.split() for line in result.output.splitlines()]
    assert len(lines) == 19, result.output
    assert {line[1] for line in lines} == {"-1"}
    assert {line[2] for line in lines} == {"EPERM", "ENOSYS"}
    assert {line[0] for line in lines if line[2] == "ENOSYS"} <= {"clone", "clone3", "sethostname"}


async def test_no_raw_sockets_device_nodes_or_other_families(make: Make) -> None:
    result = await python(
        await make(),
        attempts(
            "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
            "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)",
            "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
            "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)",
            "os.mknod('/tmp/disk', 0o60666, os.makedev(7, 0))",
            "os.mknod('/tmp/null', 0o20666, os.makedev(1, 3))",
        ),
    )
    assert set(result.output.splitlines()) <= {"Operation not permitted", "Function not implemented"}
    assert len(result.output.splitlines()) == 6


async def test_setuid_programs_give_nothing(make: Make, tmp_path: Path) -> None:
    program = tmp_path / "task/id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o6755)
    assert (await (await start(await make(), "/var/task/id", "-u")).result()).output == "993\n"


async def test_nothing_listens_but_its_own_server(make: Make) -> None:
    sandbox, other = await make(), await make()
    with socket.create_server(("127.0.0.1", 0)) as host:
        port = host.getsockname()[1]
        code = f"""
            import socket
            def reach(address, port):
                with socket.socket() as client:
                    client.settimeout(2)
                    return client.connect_ex((address, port))
            print([reach("169.254.100.1", 9001), reach("169.254.100.1", 4566), reach("sandbox", 9001)])
            print([reach("127.0.0.1", {port}) != 0, reach("127.0.0.1", 9001) != 0, reach("8.8.8.8", 53) != 0])
        """
        result = await python(sandbox, textwrap.dedent(code))
        assert result.output == "[0, 0, 0]\n[True, True, True]\n"
        host.setblocking(False)
        with pytest.raises(BlockingIOError):
            host.accept()
    with pytest.raises(BlockingIOError):
        other.runtime_api_listener.accept()
    for _ in range(2):
        connection, peer = sandbox.runtime_api_listener.accept()
        connection.close()
        assert peer[0] == "169.254.100.1"


async def test_the_server_reaches_what_listens_inside_one_sandbox_and_no_other(make: Make) -> None:
    code = """
        import socket
        with socket.create_server(("0.0.0.0", 4243)) as server:
            print("ready", flush=True)
            connection, peer = server.accept()
            print(peer[0], connection.recv(100))
    """
    sandbox, other = await make(), await make()
    assert sandbox.address == "169.254.100.1"
    inside = await start(sandbox, PYTHON, "-I", "-S", "-c", textwrap.dedent(code))
    assert await inside.read() == b"ready\n"
    loop = asyncio.get_running_loop()
    with await other.open_socket() as elsewhere, pytest.raises(ConnectionRefusedError):
        await loop.sock_connect(elsewhere, (other.address, 4243))
    with await sandbox.open_socket() as client:
        assert not client.getblocking()
        await loop.sock_connect(client, (sandbox.address, 4243))
        await loop.sock_sendall(client, b"records")
        assert (await inside.result()).output == "169.254.100.1 b'records'\n"


async def test_opening_sockets_leaves_the_servers_threads_in_their_own_network(make: Make) -> None:
    def networks() -> set[str]:
        return {str(path.readlink()) for path in Path("/proc/self/task").glob("*/ns/net")}

    sandbox = await make()
    before = networks()
    sockets = await asyncio.gather(*(sandbox.open_socket() for _ in range(5)))
    for opened in sockets:
        opened.close()
    assert networks() == before
    assert len(before) == 1


async def test_no_socket_is_opened_in_a_sandbox_that_is_gone(make: Make) -> None:
    sandbox = await make()
    await sandbox.destroy()
    with pytest.raises(SandboxError, match="destroyed"):
        await sandbox.open_socket()


async def test_sandbox_is_a_name_that_can_be_bound(make: Make) -> None:
    code = """
        import socket
        for name in ("sandbox", "sandbox.localdomain", "localhost"):
            with socket.create_server((name, 4243)) as server:
                print(server.getsockname()[0])
    """
    result = await python(await make(), textwrap.dedent(code))
    assert result.output.split() == ["169.254.100.1", "169.254.100.1", "127.0.0.1"]


async def test_layers_are_merged_in_order(make: Make, tmp_path: Path) -> None:
    layers = []
    for number in range(5):
        layer = tmp_path / f"layer{number}"
        (layer / "a").mkdir(parents=True)
        (layer / "a/b").write_text(str(number))
        (layer / f"a/own{number}").write_text("")
        layers.append(layer)
    result = await (
        await start(await make(layers=tuple(layers)), "/bin/bash", "-c", "cat /opt/a/b; echo; ls /opt/a")
    ).result()
    assert result.output.split() == ["4", "b", "own0", "own1", "own2", "own3", "own4"]


async def test_one_layer_and_none(make: Make, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "only").write_text("")
    assert (await (await start(await make(layers=(layer,)), "/bin/ls", "/opt")).result()).output == "only\n"
    assert (await (await start(await make(), "/bin/ls", "/opt")).result()).output == ""


@pytest.mark.parametrize("wanted", [False, True])
async def test_dev_shm_exists_only_when_wanted(make: Make, wanted: bool) -> None:
    code = "import os; print(os.path.isdir('/dev/shm') and open('/dev/shm/x', 'w').write('x'))"
    assert (await python(await make(dev_shm=wanted), code)).output == ("1\n" if wanted else "False\n")


async def test_usual_programs_work(make: Make) -> None:
    code = """
        import concurrent.futures, os, random, signal, socket, subprocess, tempfile, threading, time
        print(subprocess.run(["/bin/id", "-un"], capture_output=True, text=True).stdout.strip())
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            print(sum(pool.map(abs, range(10))))
        a, b = socket.socketpair(); a.send(b"x"); print(b.recv(1))
        reading, writing = os.pipe(); os.write(writing, b"y"); print(os.read(reading, 1))
        with tempfile.NamedTemporaryFile() as file: print(os.path.dirname(file.name))
        print(len(os.urandom(4)), open("/dev/null").read() == "", socket.if_nameindex())
        os.mkfifo("/tmp/fifo"); print(os.path.exists("/tmp/fifo"))
    """
    result = await (await start(await make(), PYTHON, "-c", textwrap.dedent(code))).result()
    expected = ["sbx_user1051", "45", "b'x'", "b'y'", "/tmp", "4 True [(1, 'lo')]", "True"]
    assert (result.output.splitlines(), result.status) == (expected, ExitStatus(code=0))
