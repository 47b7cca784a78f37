"""Requests to registries: redirects and failures as a client of registries wants them."""

import ipaddress
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ProtocolError, SSLError
from urllib3.exceptions import TimeoutError as LateError

from lamella.images.patience import POOLS
from lamella.images.reference import DELETED, DENIED, INTERNAL
from lamella.images.source import Stopped
from lamella.ports.images import ImageError

T = TypeVar("T")

_ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 0.2
"""Before the second attempt; each later one waits twice as long."""

_LONGEST_PAUSE_S: Final = 10.0
_REDIRECTS: Final = 5
_REDIRECTED: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_S: Final = 45.0
"""After so long there is no further attempt: whoever creates a function waits for some of the answers."""

_PATIENCE_S: Final = 60.0
_LEAST_BYTES: Final = 1024 * 1024
"""Of a body, in that time. A timeout alone is met by a byte now and then."""

_FURTHER_BYTES: Final = 1 << 20
_TIMEOUT: Final = urllib3.Timeout(connect=5, read=15)
_USER_AGENT: Final = "lamella"


class DroppedError(Exception):
    """A connection failed, an answer ended early, or a server has no time; asking again may help.

    Attributes:
        pause_s: What the server asks to be waited, if it says so.
    """

    def __init__(self, reason: str, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_s = min(pause_s, _LONGEST_PAUSE_S)


class Web:
    """Connections by the environment's rules for proxies, and the system's certificate authorities.

    Args:
        stopped: Whether nobody waits any more: then there is no further attempt.
    """

    def __init__(self, stopped: Stopped) -> None:
        self._stopped = stopped
        self._pools: dict[str, urllib3.PoolManager] = {}

    def close(self) -> None:
        """Close connections."""
        for pool in self._pools.values():
            pool.clear()

    def repeat(self, host: str, attempt: Callable[[], T], arrived: Callable[[], int] = lambda: 0) -> T:
        """Do something until it is not dropped.

        Args:
            host: For errors.
            attempt: Begins where the one before has ended, if it can.
            arrived: How many bytes the attempts so far have brought. One that has got much further counts as the first:
                nobody waits for an answer meanwhile, and a large layer takes long.

        Raises:
            ImageError: It was, as often as it is tried.
        """
        began_s, number, had = time.monotonic(), 1, arrived()
        while True:
            try:
                return attempt()
            except DroppedError as error:
                if arrived() - had >= _FURTHER_BYTES:
                    began_s, number, had = time.monotonic(), 1, arrived()
                late = time.monotonic() - began_s > _LONGEST_S
                if number == _ATTEMPTS or late or self._stopped():
                    times = f", {number} times in a row" if number > 1 else ""
                    raise ImageError(
                        f"The registry {host} cannot be asked: {error}{times}. Try again later.", INTERNAL
                    ) from None
                time.sleep(max(error.pause_s, FIRST_PAUSE_S * 2 ** (number - 1)))
                number += 1

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str], *, form: Mapping[str, str] | None = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """One request, wherever it is redirected to; credentials stay with the host that they are for.

        Args:
            url: What is asked.
            headers: `Authorization` among them.
            form: Sent with POST, if there is one.

        Raises:
            DroppedError: There was no answer, or one that says to come back later.
            ImageError: There is no use in asking again.
        """
        for _ in range(_REDIRECTS):
            with self._one(url, headers, form) as answer:
                if answer.status not in _REDIRECTED:
                    yield answer
                    return
                target = urljoin(url, answer.headers.get("Location", ""))
            check_target(url, target)
            if _origin(target) != _origin(url):
                if form is not None:  # it holds a token, as the header does otherwise
                    raise ImageError(f"{_host(url)} redirects a request with credentials to {_host(target)}.", DENIED)
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise ImageError(f"{_host(url)} redirects without end.", INTERNAL)

    @contextmanager
    def _one(
        self, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        with _failures(_host(url)):
            answer = self._pool(url).request(
                "GET" if form is None else "POST",
                url,
                # Packed once more, parts would be parts of something else.
                headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **headers},
                body=None if form is None else urlencode(form),
                preload_content=False,
                retries=False,
                timeout=_TIMEOUT,
            )
        try:
            _check_passing(answer)
            yield answer
        except BaseException:
            answer.close()
            raise
        finally:
            if answer.length_remaining == 0:
                answer.drain_conn()  # has nothing to wait for, and lets the connection be used again
            else:
                answer.close()
            answer.release_conn()

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if proxy and urllib.request.proxy_bypass(parts.netloc):
            proxy = None
        key = proxy or ""
        if key not in self._pools:
            full = key if "://" in key else f"http://{key}"
            pool = urllib3.ProxyManager(full) if key else urllib3.PoolManager()
            pool.pool_classes_by_scheme = POOLS
            self._pools[key] = pool
        return self._pools[key]


def read_pieces(answer: urllib3.BaseHTTPResponse, count: int) -> Iterator[bytes]:
    """The body of an answer, as it comes: no more than `count` bytes at a time.

    Raises:
        DroppedError: It ended early, or comes so slowly that others would wait for it for ever.
    """
    began_s, arrived = time.monotonic(), 0
    while True:
        with _failures(""):
            piece = answer.read1(count, decode_content=False)
        if not piece:
            return
        arrived += len(piece)
        now_s = time.monotonic()
        if now_s - began_s > _PATIENCE_S:
            if arrived < _LEAST_BYTES:
                raise DroppedError(f"it sends less than {_LEAST_BYTES >> 10} KiB a minute")
            began_s, arrived = now_s, 0
        yield piece


@contextmanager
def _failures(host: str) -> Iterator[None]:
    """Turn what urllib3 raises into what it means."""
    try:
        yield
    except NameResolutionError:
        raise ImageError(
            f"There is no host {host}: is the registry's name right? 'lamella image load' brings an image that is in "
            "no registry, and the setting image_registries says which registry stands for another.",
            DELETED,
        ) from None
    except SSLError as error:
        if "WRONG_VERSION_NUMBER" in str(error):
            advice = f"it does not speak HTTPS; if it should speak HTTP, set image_registries = {host}=http://{host}"
        else:
            advice = "if its certificate is your own, name its authority in the server's environment, SSL_CERT_FILE"
        raise ImageError(f"There is no safe connection to {host} ({_reason(error)}): {advice}.", DENIED) from None
    except NewConnectionError as error:
        raise DroppedError(f"it cannot be reached ({_reason(error)})") from None
    except LateError:
        raise DroppedError("it does not answer in time") from None
    except ProtocolError:
        raise DroppedError("the connection was dropped") from None
    except HTTPError as error:
        raise DroppedError(f"the connection failed ({type(error).__name__})") from None


def _check_passing(answer: urllib3.BaseHTTPResponse) -> None:
    """Raise `DroppedError` for a server that has no time."""
    if answer.status in _PASSING:
        wait = answer.headers.get("Retry-After", "")
        raise DroppedError(f"it answered {answer.status}", float(wait) if wait.isdecimal() else 0.0)


def _reason(error: HTTPError) -> str:
    """What the operating system or the TLS library says, without object addresses in front."""
    return str(error).rpartition("] ")[2].rpartition(" (_ssl")[0] or str(error).rpartition("] ")[2]


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def check_target(url: str, target: str) -> None:
    """Go from safe to unsafe for nobody, nowhere but to web servers, and to none of this machine or its cloud's.

    A registry of the machine itself may redirect to another one there.
    """
    old, new = urlsplit(url), urlsplit(target)
    unsafe = new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http")
    if unsafe or not new.hostname or _insides(new.hostname) - _insides(old.hostname or ""):
        raise ImageError(f"{_host(url)} redirects to {target[:80]!r}, where images are not fetched from.", INTERNAL)


def _insides(host: str) -> set[str]:
    """Where a host is if that is this machine, or what only this machine sees, as a cloud's metadata service."""
    try:
        found = {str(address[4][0]).partition("%")[0] for address in socket.getaddrinfo(host, None)}
        addresses = [ipaddress.ip_address(address) for address in found]
    except (OSError, ValueError):  # a proxy may know it
        return set()
    return {
        "link" if one.is_link_local else "machine"
        for one in addresses
        if one.is_link_local or one.is_loopback or one.is_unspecified
    }
