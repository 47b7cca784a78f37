"""What a function can reach: the node's setting, and the tag by which a function asks for less, or for more.

A tag, because every tool that knows Lambda can set one, and no member of the API says anything of the kind. What a
function gets is never more than the node allows: a function may change its own tags through the API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NETWORK_TAG: Final = "lamella:network"


class Network(StrEnum):
    """What a sandbox can reach beside its Runtime API and the AWS endpoint; each member more than the one before."""

    NONE = "none"  # nothing
    NAT = "nat"  # the world beyond this host, by address translation; not the host itself, nor other sandboxes
    HOST = "host"  # whatever the host can reach, its loopback included


_ASCENDING: Final = tuple(Network)


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """What this node grants.

    Attributes:
        default: For functions without the tag; among `allowed`.
        allowed: What a tag may ask for; holds `Network.NONE`.
    """

    default: Network = Network.NONE
    allowed: frozenset[Network] = frozenset({Network.NONE})

    def choose(self, tags: Mapping[str, str]) -> Network:
        """What a function with these tags gets: what it asks for, or else the most that is less and allowed.

        A value that is no network, which only an older version can have stored, grants nothing.
        """
        text = tags.get(NETWORK_TAG)
        if text is None:
            return self.default
        wanted = Network(text) if text in _ASCENDING else Network.NONE
        return max((network for network in self.allowed if _rank(network) <= _rank(wanted)), key=_rank)

    def refusal(self, tags: Mapping[str, str]) -> str | None:
        """Why these tags cannot be given to a function; `None` if they can."""
        text = tags.get(NETWORK_TAG)
        if text is None or text in self.allowed:
            return None
        offered = ", ".join(network for network in _ASCENDING if network in self.allowed)
        if text in _ASCENDING:
            return f"The tag {NETWORK_TAG} asks for '{text}', which this server does not allow. It allows: {offered}."
        return f"The tag {NETWORK_TAG} has the value '{text}'. This server knows and allows: {offered}."


def policy(default: Network, limit: Network, *, nat_works: bool) -> NetworkPolicy:
    """The policy of a node whose settings say so.

    Args:
        default: For functions without the tag. It counts as allowed, if it works.
        limit: The most that a tag may ask for.
        nat_works: Whether this host can translate addresses.
    """
    most = max(default, limit, key=_rank)
    working = {network for network in _ASCENDING if network is not Network.NAT or nat_works}
    allowed = frozenset(network for network in working if _rank(network) <= _rank(most))
    return NetworkPolicy(default if default in allowed else Network.NONE, allowed)


def _rank(network: Network) -> int:
    return _ASCENDING.index(network)
