"""Which name servers a sandbox is told of: the host's own, as far as they can be reached from inside."""

import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The first that names a server outside wins. Where the host's own file names a stub on loopback, as it does with
# systemd-resolved, and with dnsmasq under NetworkManager, the servers behind it are in one of the others.
SOURCES: Final = tuple(
    Path(path)
    for path in (
        "/etc/resolv.conf",
        "/run/systemd/resolve/resolv.conf",
        "/run/NetworkManager/no-stub-resolv.conf",
    )
)
_MAX_SERVERS: Final = 3  # more are ignored by C libraries
_KEPT: Final = frozenset({"search", "domain", "options"})


@dataclass(frozen=True, slots=True)
class Resolver:
    """What `/etc/resolv.conf` of a sandbox says.

    Attributes:
        servers: IPv4 addresses; none if no name can be resolved.
        lines: What else the host's file says.
    """

    servers: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The file."""
        return "".join(f"{line}\n" for line in (*(f"nameserver {server}" for server in self.servers), *self.lines))


def choose(texts: Iterable[str], is_ours: Callable[[str], bool]) -> Resolver:
    """The first of these files that names a server which sandboxes can reach, without those they cannot.

    Args:
        texts: Contents of files such as `/etc/resolv.conf`.
        is_ours: Whether an address is one of this host's, which sandboxes never reach.
    """
    for text in texts:
        lines = [line.strip() for line in text.splitlines()]
        named = [line.split()[1] for line in lines if line.startswith("nameserver ")]
        servers = tuple(server for server in named if is_outside(server) and not is_ours(server))
        if servers:
            kept = tuple(line for line in lines if line.partition(" ")[0] in _KEPT)
            return Resolver(servers[:_MAX_SERVERS], kept)
    return Resolver()


def is_outside(address: str) -> bool:
    """Whether it is an IPv4 address that may be another machine's; sandboxes have no IPv6."""
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast)


def is_of_this_host(address: str) -> bool:
    """Whether one of this host's interfaces has the address; asks the kernel, sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


class ResolverFile:
    """A `resolv.conf` for sandboxes, which follows the host's.

    Attributes:
        servers: What it names.
    """

    def __init__(self, path: Path, *, servers: Sequence[str] = (), sources: Sequence[Path] = SOURCES) -> None:
        """Write nothing yet. `servers` are used in place of the host's if there are any."""
        self.path: Final = path
        self._fixed = tuple(servers)
        self._sources = sources
        self._seen: list[object] = []
        self.servers: tuple[str, ...] = ()

    def refresh(self) -> bool:
        """Write the file if the host's have changed, in place, so that sandboxes that have it see the change.

        Returns:
            Whether they have, as the first time.
        """
        seen = [_state(source) for source in self._sources]
        if seen == self._seen:
            return False
        self._seen = seen
        resolver = Resolver(self._fixed) if self._fixed else choose(map(_read, self._sources), is_of_this_host)
        self.servers = resolver.servers
        self.path.write_text(resolver.text)
        self.path.chmod(0o644)
        return True


def _state(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
