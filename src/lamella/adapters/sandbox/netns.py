"""What a sandbox has for a network: a namespace, with the server's listening sockets inside.

A namespace is held by a file descriptor alone, so it is gone when server and sandbox are. All are made by one dedicated
thread: a thread's network namespace is its own, and the rest of the server must stay in the host's.
"""

import asyncio
import errno
import fcntl
import itertools
import os
import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from lamella.adapters.sandbox import syscalls

SANDBOX_ADDRESS: Final = "169.254.100.1"  # where the Runtime API listens on AWS
RUNTIME_API_PORT: Final = 9001

_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_IFF_UP: Final = 0x1
_BACKLOG: Final = 128
_MAX_TRIES: Final = 1000


@dataclass(slots=True)
class NetworkNamespace:
    """A namespace, and the server's sockets in it.

    Attributes:
        fd: Keeps the namespace; `path` leads there for other processes as long as this process lives.
        executor: The one thread that may enter it.
        address: Where the server's sockets listen.
    """

    fd: int
    executor: ThreadPoolExecutor
    address: str
    runtime_api_listener: socket.socket
    endpoint_listener: socket.socket

    @property
    def path(self) -> str:
        """Where another process of this host can open the namespace."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    async def open_socket(self) -> socket.socket:
        """A TCP socket of this namespace, non-blocking and not connected. The namespace lasts as long as the socket.

        Raises:
            OSError: The kernel refused, or `close` has been called.
        """
        fd = os.dup(self.fd)  # `close` may come while the thread is at work
        made = asyncio.get_running_loop().run_in_executor(self.executor, _socket_in, fd)
        try:
            return await asyncio.shield(made)
        except asyncio.CancelledError:
            made.add_done_callback(_close_unwanted)
            raise

    def close(self) -> None:
        """Close the sockets and let go of the namespace, and so of its interfaces. Idempotent."""
        self.runtime_api_listener.close()
        self.endpoint_listener.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class NetworkNamespaces:
    """Makes namespaces in a thread of its own; each method but `close` must run on `executor`."""

    def __init__(self, endpoint_port: int) -> None:
        """Start no thread yet; the first one that makes something does."""
        self._endpoint_port = endpoint_port
        self.executor: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lamella-netns")
        self._host_addresses = _host_addresses()

    def make(self) -> NetworkNamespace:
        """Make one with nothing but loopback.

        Raises:
            OSError: The kernel refused; nothing is left.
        """
        with back_afterwards():
            syscalls.unshare(syscalls.CLONE_NEWNET)
            _bring_up_loopback()
            return self._furnish(SANDBOX_ADDRESS)

    def make_attached(self, attach: Callable[[int], None]) -> NetworkNamespace:
        """Make one, to whose descriptor `attach` gives interfaces, from the host's namespace.

        Raises:
            OSError: The kernel refused; nothing is left.
        """
        made = self.make()
        try:
            attach(made.fd)
        except BaseException:
            made.close()
            raise
        return made

    def share(self) -> NetworkNamespace:
        """The host's own, with sockets for one sandbox at a loopback address that nobody else has.

        Raises:
            OSError: The kernel refused.
        """
        for address in itertools.islice(self._host_addresses, _MAX_TRIES):
            try:
                return self._furnish(address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, "no loopback address is free")

    def close(self) -> None:
        """End the thread."""
        self.executor.shutdown()

    def _furnish(self, address: str) -> NetworkNamespace:
        runtime_api = _listen(address, RUNTIME_API_PORT)
        try:
            endpoint = _listen(address, self._endpoint_port)
            try:
                fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                endpoint.close()
                raise
        except OSError:
            runtime_api.close()
            raise
        return NetworkNamespace(fd, self.executor, address, runtime_api, endpoint)


@contextmanager
def entered(namespace: int) -> Iterator[None]:
    """Have this thread in the network namespace of a descriptor for a while."""
    with back_afterwards():
        syscalls.setns(namespace, syscalls.CLONE_NEWNET)
        yield


@contextmanager
def back_afterwards() -> Iterator[None]:
    """Return this thread to its network namespace at the end. It would keep another one alive after its sandbox."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            yield
        finally:
            syscalls.setns(own, syscalls.CLONE_NEWNET)
    finally:
        os.close(own)


def _socket_in(namespace: int) -> socket.socket:
    """A TCP socket in the namespace of this descriptor, which is closed."""
    try:
        with entered(namespace):
            made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    finally:
        os.close(namespace)
    made.setblocking(False)
    return made


def _close_unwanted(made: asyncio.Future[socket.socket]) -> None:
    if not made.cancelled() and made.exception() is None:
        made.result().close()


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
        # An alias, because `lo` itself keeps 127.0.0.1; and one address only, because the class of 169.254
        # would claim 65,536.
        _set_address(control, _SIOCSIFADDR, SANDBOX_ADDRESS)
        _set_address(control, _SIOCSIFNETMASK, "255.255.255.255")


def _set_address(control: socket.socket, request: int, address: str) -> None:
    fcntl.ioctl(control, request, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(address)))


def _host_addresses() -> Iterator[str]:
    """Loopback addresses 127.100.0.1 to 127.100.255.254 over and over, beginning anywhere: two servers can be at it."""
    for number in itertools.count(secrets.randbits(16)):
        high, low = divmod(number % 65536, 256)
        if 0 < low < 255:
            yield f"127.100.{high}.{low}"


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
