"""What the child process runs: moto's server on a socket that it inherits.

It has no network: functions can ask moto to call addresses (subscriptions of SNS among them), and this machine's
loopback trusts who comes from it. It starts no containers: moto would run a function's batch jobs as the user root of
a Docker engine. And it dies with its parent.
"""

import argparse
import ctypes
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from flask import Flask
from moto.backends import SERVICE_NAMES
from moto.iam.models import get_account_id_from
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.utilities.docker_utilities import DockerModel
from werkzeug.serving import make_server

from lamella.neighbour import moto_kinesis, services
from lamella.neighbour.answers import ANSWERS_PATH
from lamella.neighbour.bridge import open_bridge
from lamella.neighbour.missing import absent_service, tell_what_is_missing

_CLONE_NEWNET: Final = 0x4000_0000
_PR_SET_PDEATHSIG: Final = 1
_KEY: Final = re.compile(r"(?:Credential=|AWS )([^/:,\s]+)")
_ACCOUNT: Final = "HTTP_X_MOTO_ACCOUNT_ID"
_SANDBOX: Final = "HTTP_X_LAMELLA_SANDBOX"
_NOBODY: Final = "0"
_OPERATORS: Final = ("/moto-api", "/latest/")
"""moto's own pages, which reset it and more, and its imitation of an instance's metadata: not for functions."""

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]  # Any: WSGI


def application(wrapped: Application, account: str) -> Application:
    """Let each request act for an account: the one it names, the one whose access key it has, or the server's."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if _SANDBOX in environ and environ["PATH_INFO"].startswith(_OPERATORS):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"This is not for functions.\n"]
        if _ACCOUNT not in environ:
            environ[_ACCOUNT] = _account_of(environ, account)
        return wrapped(environ, start_response)

    return serve


def _account_of(environ: dict[str, Any], default: str) -> str:
    found = _KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
    query = parse_qs(environ.get("QUERY_STRING", ""))
    presigned = query.get("X-Amz-Credential") or query.get("AWSAccessKeyId")
    key = found[1] if found else presigned[0].partition("/")[0] if presigned else ""
    if not key:
        return default
    # moto answers with its own default where the key is nobody's; a key that cannot exist shows which that is.
    account = get_account_id_from(key)
    return default if account == get_account_id_from(_NOBODY) else account


class _Services:
    """moto's services, and CloudFormation, which is ours."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(self._make)
        self._answers: Application | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        if self._answers is not None and environ["PATH_INFO"].startswith(ANSWERS_PATH):
            return self._answers(environ, start_response)
        answer: Iterable[bytes] = self._moto(environ, start_response)
        return answer

    def _make(self, service: SERVICE_NAMES | None) -> Flask:
        """Called by moto with the first request for a service, `None` for one that it does not have."""
        if service is None:
            return absent_service()
        if service == "cloudformation":
            # Not before: it takes seconds and much memory to import, and most servers never see a stack.
            stacks = import_module("lamella.neighbour.stacks.install")
            self._answers = stacks.install()
        return tell_what_is_missing(create_backend_app(service))


def _refuse_containers(_: object) -> object:
    raise RuntimeError("Lamella's neighbour starts no containers")


def main() -> None:
    """Serve until the parent says otherwise."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--account", required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--apart", action="store_true")
    arguments = parser.parse_args()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != arguments.parent:
        return  # it died before that could be noticed
    if os.geteuid() == 0 and libc.unshare(_CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unshare: {os.strerror(code)}")
    os.umask(0o077)
    os.chdir(arguments.directory)
    open_bridge(Path(arguments.directory), sys.stdin.readline().strip())
    services.install(accounts_apart=arguments.apart)
    DockerModel.docker_client = property(_refuse_containers)  # type: ignore[assignment,method-assign]
    moto_kinesis.correct()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal it goes to the whole group; the parent decides
    app = _Services()
    server = make_server(
        "unix://neighbour",
        0,
        application(app, arguments.account),
        threaded=True,
        request_handler=_Handler,
        fd=arguments.fd,
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()


class _Handler(MotoRequestHandler):
    """Who is at the other end of a Unix socket has no address; werkzeug expects one."""

    def address_string(self) -> str:
        return "127.0.0.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: the parent answers for what is logged."""


if __name__ == "__main__":
    main()
