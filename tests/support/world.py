"""A host with one neighbour that stands for all the world, in network namespaces of their own.

The main thread is in the host's namespace while the world lasts, so servers under test believe it to be theirs. Nothing
of it can be seen outside, and the machine's own network is left alone.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from lamella.adapters.sandbox import syscalls
from lamella.adapters.sandbox.netns import back_afterwards, entered
from lamella.adapters.sandbox.rtnetlink import RoutingSocket

HOST: Final = "192.0.2.1"
NEIGHBOUR: Final = "192.0.2.2"  # knows no way back but to the host itself
SITE: Final = "203.0.113.5"  # reached over the neighbour, as the two below are
NAME_SERVER: Final = "203.0.113.53"
METADATA: Final = "169.254.169.254"
_DEADLINE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class World:
    """The two namespaces, by descriptors."""

    host: int
    outside: int

    def listen(self, address: str, port: int) -> socket.socket:
        """A server outside."""
        with entered(self.outside):
            return socket.create_server((address, port))

    def datagrams(self, address: str, port: int) -> socket.socket:
        """A socket outside that takes datagrams."""
        with entered(self.outside):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, port))
        made.settimeout(_DEADLINE_S)
        return made


@contextmanager
def world() -> Iterator[World]:
    """Make it, and be on its host meanwhile. Takes root."""
    with back_afterwards():
        host, outside = _namespace(), _namespace()
        try:
            with entered(host), RoutingSocket() as routing:
                routing.add_veth("out0", 0, "in0", outside)
                _give(routing, "lo")
                _give(routing, "out0", HOST, prefix=24)
                with entered(outside), RoutingSocket() as theirs:
                    _give(theirs, "lo", SITE, NAME_SERVER, METADATA)
                    _give(theirs, "in0", NEIGHBOUR, prefix=24)
                routing.add_default_route(socket.if_nametoindex("out0"), NEIGHBOUR)
            syscalls.setns(host, syscalls.CLONE_NEWNET)
            yield World(host, outside)
        finally:
            os.close(host)
            os.close(outside)


def _namespace() -> int:
    with back_afterwards():
        syscalls.unshare(syscalls.CLONE_NEWNET)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _give(routing: RoutingSocket, name: str, *addresses: str, prefix: int = 32) -> None:
    index = socket.if_nametoindex(name)
    for address in addresses:
        routing.add_address(index, address, prefix, link_scope=False)
    routing.set_up(index)
