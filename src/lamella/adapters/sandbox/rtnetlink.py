"""The few requests to the kernel's routing tables that a sandbox with a network needs.

Written out, because the library for all of them takes 24 MiB, a third of what an idle node may have, and programs
such as `ip` take milliseconds each. Source of numbers and layouts: Linux's uapi headers `netlink.h`, `rtnetlink.h`,
`if_link.h` and `veth.h`.
"""

import errno
import itertools
import os
import socket
import struct
from typing import Final, Self

_NLMSG_ERROR: Final = 2
_NLM_F_REQUEST: Final = 0x1
_NLM_F_ACK: Final = 0x4
_NLM_F_EXCL: Final = 0x200
_NLM_F_CREATE: Final = 0x400
_NEW: Final = _NLM_F_CREATE | _NLM_F_EXCL

_RTM_NEWLINK: Final = 16
_RTM_DELLINK: Final = 17
_RTM_NEWADDR: Final = 20
_RTM_NEWROUTE: Final = 24

_IFLA_IFNAME: Final = 3
_IFLA_LINKINFO: Final = 18
_IFLA_GROUP: Final = 27
_IFLA_NET_NS_FD: Final = 28
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_VETH_INFO_PEER: Final = 1
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_NLA_F_NESTED: Final = 0x8000

_IFF_UP: Final = 0x1
_RT_SCOPE_UNIVERSE: Final = 0
_RT_SCOPE_LINK: Final = 253
_RT_TABLE_MAIN: Final = 254
_RTPROT_STATIC: Final = 4
_RTN_UNICAST: Final = 1

_HEADER: Final = struct.Struct("=LHHLL")
_ANSWER_BYTES: Final = 65536
_TIMEOUT_S: Final = 10


class RoutingSocket:
    """Speaks to the kernel about the network namespace in which it was made, whichever one the thread enters later."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: The kernel has no routing sockets.
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(_TIMEOUT_S)  # the kernel answers before `send` returns; this is against our own faults
        self._serials = itertools.count(1)

    def __enter__(self) -> Self:
        """Close it at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it. Idempotent."""
        self._socket.close()

    def add_veth(self, name: str, group: int, peer: str, peer_namespace: int) -> None:
        """Make a pair of interfaces: `name`, in `group`, here; `peer` in the namespace of that descriptor.

        Raises:
            FileExistsError: There is an interface called `name`.
            OSError: The kernel refused.
        """
        there = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
        there += _attribute(_IFLA_IFNAME, _text(peer)) + _attribute(_IFLA_NET_NS_FD, _number(peer_namespace))
        pair = _attribute(_IFLA_INFO_KIND, _text("veth"))
        pair += _nested(_IFLA_INFO_DATA, _nested(_VETH_INFO_PEER, there))
        self._request(
            _RTM_NEWLINK,
            _NEW,
            struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
            + _attribute(_IFLA_IFNAME, _text(name))
            + _attribute(_IFLA_GROUP, _number(group))
            + _nested(_IFLA_LINKINFO, pair),
        )

    def add_address(self, index: int, address: str, prefix: int, *, link_scope: bool) -> None:
        """Give the interface an IPv4 address, and with it a route to its `prefix`.

        Args:
            index: Of the interface.
            address: Its own.
            prefix: Length of the prefix, in bits.
            link_scope: Keeps the kernel from using it as a source address towards others.

        Raises:
            OSError: The kernel refused.
        """
        packed = socket.inet_aton(address)
        scope = _RT_SCOPE_LINK if link_scope else _RT_SCOPE_UNIVERSE
        self._request(
            _RTM_NEWADDR,
            _NEW,
            struct.pack("=BBBBI", socket.AF_INET, prefix, 0, scope, index)
            + _attribute(_IFA_LOCAL, packed)
            + _attribute(_IFA_ADDRESS, packed),
        )

    def set_up(self, index: int) -> None:
        """Switch the interface on.

        Raises:
            OSError: The kernel refused.
        """
        self._request(_RTM_NEWLINK, 0, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, _IFF_UP, _IFF_UP))

    def add_default_route(self, index: int, gateway: str) -> None:
        """Send everything that has no better route to `gateway`.

        Raises:
            OSError: The kernel refused.
        """
        header = struct.pack(
            "=BBBBBBBBI",
            *(socket.AF_INET, 0, 0, 0),  # destination and source of length 0: all
            *(_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_UNICAST),
            0,
        )
        route = _attribute(_RTA_OIF, _number(index)) + _attribute(_RTA_GATEWAY, socket.inet_aton(gateway))
        self._request(_RTM_NEWROUTE, _NEW, header + route)

    def delete_group(self, group: int) -> None:
        """Delete all interfaces of a group; none is no error.

        Raises:
            OSError: The kernel refused.
        """
        header = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
        try:
            self._request(_RTM_DELLINK, 0, header + _attribute(_IFLA_GROUP, _number(group)))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        length, serial = _HEADER.size + len(body), next(self._serials)
        self._socket.send(_HEADER.pack(length, kind, flags | _NLM_F_REQUEST | _NLM_F_ACK, serial, 0) + body)
        answer = self._socket.recv(_ANSWER_BYTES)
        _, answered, _, answered_serial, _ = _HEADER.unpack_from(answer)
        (number,) = struct.unpack_from("=i", answer, _HEADER.size)
        if answered != _NLMSG_ERROR or answered_serial != serial or number > 0:  # an acknowledgement is error 0
            raise OSError(errno.EPROTO, f"the kernel answered request {kind} with {answered}")
        if number:
            raise OSError(-number, f"routing request {kind}: {os.strerror(-number)}")


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _nested(kind: int, payload: bytes) -> bytes:
    return _attribute(kind | _NLA_F_NESTED, payload)


def _number(value: int) -> bytes:
    return struct.pack("=I", value)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"
