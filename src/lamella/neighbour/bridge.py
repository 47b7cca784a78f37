"""How the neighbour's child reaches Lamella: clients of AWS's SDK whose requests go over Unix sockets.

The child has no network, and Lamella may ask for signatures that it could not make. So it is known by a secret that
it was given when it was started, and says with each request for whom it asks. Runs within the child.
"""

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from lamella.domain.principal import ServicePrincipal
from lamella.neighbour.trust import (
    ACCOUNT_HEADER,
    BRIDGE_HEADER,
    BRIDGE_SOCKET,
    METRICS_PATH,
    NEIGHBOUR_SOCKET,
    TRUST_HEADERS,
    Claim,
)

_BASE: Final = "http://lamella"
_ANSWER_TIMEOUT_S: Final = 960.0
"""A function runs for 15 minutes at most, and may have waited for an environment before."""

Client = Any  # botocore makes its clients at run time


@dataclass(frozen=True, slots=True, eq=False)
class _Bridge:
    directory: str
    secret: str
    session: botocore.session.Session
    making: Lock  # sessions are not made for threads, clients are


_opened: list[_Bridge] = []
"""At most one: the process has one parent."""


def open_bridge(directory: Path, secret: str) -> None:
    """Say where Lamella listens and what it knows this process by; once, before any client is made."""
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # By the descriptor: the path itself may be longer than a socket's address can be.
    _opened[:] = [_Bridge(f"/proc/self/fd/{place}", secret, botocore.session.Session(), Lock())]


def lambda_client(
    account_id: str,
    region: str,
    *,
    principal: str | None = None,
    source_arn: str | None = None,
    source_account: str | None = None,
    attempts: int = 1,
) -> Client:
    """A client of Lamella's Lambda.

    Args:
        account_id: For which it asks.
        region: Where; functions of other regions are not reached.
        principal: The service that invokes a function, such as `s3.amazonaws.com`, or its names with commas between
            them; the function's policy decides. Without one the account itself asks, for whatever it wants.
        source_arn: The resource for which the service acts, such as a bucket.
        source_account: Whose that is.
        attempts: How often in all it asks, ever later, while Lambda is not well. Of events one: what is sent twice
            is delivered twice.

    Raises:
        RuntimeError: There is no bridge: this is no child of Lamella's.
    """
    if not _opened:
        raise RuntimeError("this process has no bridge to Lamella")
    service = None
    if principal is not None:
        service = ServicePrincipal(tuple(principal.split(",")), source_arn or "", source_account or "")
    return _client(_opened[0], Claim(account_id, region, service), attempts)


def read_metrics(
    account_id: str, region: str, *, begin_s: float, end_s: float, functions: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """What Lamella has counted of functions, as `lamella.invoke.measurements` gives it.

    Raises:
        RuntimeError: There is no bridge: this is no child of Lamella's; or Lamella is gone.
    """
    if not _opened:
        raise RuntimeError("this process has no bridge to Lamella")
    bridge = _opened[0]
    claim = Claim(account_id, region, None)
    body = json.dumps({"begin_s": begin_s, "end_s": end_s, "functions": list(functions)})
    headers = {BRIDGE_HEADER: bridge.secret, **dict(claim.headers()), "Connection": "close"}
    try:
        answer = _Pool(f"{bridge.directory}/{BRIDGE_SOCKET}").urlopen(
            "POST", METRICS_PATH, body=body, headers=headers, retries=False
        )
        series: list[dict[str, Any]] = json.loads(answer.data)["series"]
    except (HTTPError, OSError, ValueError, KeyError) as error:
        raise RuntimeError(f"Lamella did not say what it has counted: {error}") from error
    return series


def neighbour_client(service: str, account_id: str, region: str) -> Client:
    """A client of another service, which this process itself answers for.

    Raises:
        RuntimeError: There is no bridge: this is no child of Lamella's.
    """
    if not _opened:
        raise RuntimeError("this process has no bridge to Lamella")
    bridge = _opened[0]
    transport = _Transport(f"{bridge.directory}/{NEIGHBOUR_SOCKET}", {ACCOUNT_HEADER: account_id})
    # The service validates: a state machine's parameters are what its author wrote.
    return _make(bridge, service, account_id, region, transport, parameter_validation=False)


@lru_cache(maxsize=64)
def _client(bridge: _Bridge, claim: Claim, attempts: int) -> Client:
    headers = {BRIDGE_HEADER: bridge.secret, **dict(claim.headers())}
    transport = _Transport(f"{bridge.directory}/{BRIDGE_SOCKET}", headers)
    # Lambda validates: the events of a stack have its words for what is wrong with a template.
    return _make(
        bridge, "lambda", claim.account, claim.region, transport, parameter_validation=False, attempts=attempts
    )


def _make(
    bridge: _Bridge,
    service: str,
    account: str,
    region: str,
    transport: "_Transport",
    *,
    parameter_validation: bool,
    attempts: int = 1,
) -> Client:
    with bridge.making:
        client = bridge.session.create_client(
            service,
            region_name=region,
            endpoint_url=_BASE,
            aws_access_key_id=account,
            aws_secret_access_key=account,  # nobody looks at the signature
            config=Config(
                retries={"total_max_attempts": attempts, "mode": "standard"},
                s3={"addressing_style": "path"},
                parameter_validation=parameter_validation,
            ),
        )
    client.meta.events.register("before-send", transport)
    return client


class _Transport:
    """Sends a client's requests; botocore takes what this returns for the answer."""

    def __init__(self, path: str, headers: dict[str, str]) -> None:
        self._path: Final = path
        self._headers: Final = headers

    def __call__(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in TRUST_HEADERS}
        headers |= {**self._headers, "Connection": "close"}
        pool = _Pool(self._path)
        try:
            answer = pool.urlopen(
                request.method,
                request.url.removeprefix(_BASE),
                body=request.body,
                headers={name: _text(value) for name, value in headers.items()},
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            response = AWSResponse(request.url, answer.status, answer.headers, answer)
            if not request.stream_output:
                _ = response.content  # read while the connection is there
        except (HTTPError, OSError) as error:
            raise EndpointConnectionError(endpoint_url=request.url, error=error) from error
        return response


class _Connection(HTTPConnection):
    """To a Unix socket instead of a host."""

    def __init__(self, path: str) -> None:
        super().__init__("lamella", timeout=_ANSWER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ANSWER_TIMEOUT_S)
        self.sock.connect(self._path)


class _Pool(HTTPConnectionPool):
    def __init__(self, path: str) -> None:
        super().__init__("lamella", timeout=_ANSWER_TIMEOUT_S)
        self._path = path

    def _new_conn(self) -> _Connection:
        return _Connection(self._path)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
