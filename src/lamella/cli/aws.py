"""A botocore client for the commands that drive Lambda's public API alone, and so work against AWS as well."""

import os
import socket
import urllib.request
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from lamella.cli.endpoint import DEFAULT_ENDPOINT, Endpoint
from lamella.cli.failure import CommandError, Status

AWS: Final = "aws"
"""Instead of a URL: AWS itself, with the credentials and the region that its own tools would use."""

AnyEndpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        "--endpoint-url",
        metavar="URL|aws",
        help="Server to ask, or 'aws' for AWS itself; else $AWS_ENDPOINT_URL_LAMBDA, $AWS_ENDPOINT_URL, "
        f"{DEFAULT_ENDPOINT}.",
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Profile of AWS's tools, with '--endpoint aws'.", show_default=False),
]

_CONNECT_TIMEOUT_S: Final = 5.0
_PLACEHOLDER: Final = {"aws_access_key_id": "lamella", "aws_secret_access_key": "lamella"}
"""A server with `auth = "none"` takes any signature, botocore none at all without a key."""


def service_client(
    endpoint: str | None,
    region: str | None,
    *,
    service: str = "lambda",
    profile: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Any:  # Any: botocore makes its clients' classes at run time
    """A client of the server, or of AWS.

    Args:
        endpoint: A URL, `aws`, or `None` for what the environment says, and in the end the server of this machine.
        region: `None` for that of the environment; with a server, us-east-1 in the end.
        service: By botocore's name.
        profile: Of AWS's configuration files.
        environ: The environment.

    Raises:
        CommandError: The endpoint is not a URL, or nobody listens there; the profile is unknown; AWS is asked and no
            region is known.
    """
    # Here and not above: botocore takes half a second to load.
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    config = Config(
        retries={"mode": "adaptive", "max_attempts": 8},
        read_timeout=930,
        user_agent_extra="lamella",
        tcp_keepalive=True,
    )
    try:
        session = Session(profile=profile)
        if endpoint == AWS:
            session.set_config_variable("ignore_configured_endpoint_urls", True)
            return session.create_client(service, region_name=region, config=config)
        found = Endpoint.find(endpoint, region, environ)
        _reach(found.url)
        keys = {} if session.get_credentials() is not None else _PLACEHOLDER
        return session.create_client(
            service, region_name=found.region or "us-east-1", endpoint_url=found.url, config=config, **keys
        )
    except BotoCoreError as error:
        raise CommandError(str(error), Status.USAGE) from error


def _reach(url: str) -> None:
    """Say at once that no server is there: botocore would try it again for ten seconds.

    Raises:
        CommandError: Nobody listens.
    """
    parts = urlsplit(url)
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(str(parts.hostname)):
        return  # it is the proxy that has to be reached
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((str(parts.hostname), port), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        reason = "name not known" if isinstance(error, socket.gaierror) else error.strerror or str(error)
        raise CommandError(
            f"cannot reach {url} ({reason}); start the server with 'lamella serve', or give --endpoint"
        ) from error


def refused(error: Exception) -> CommandError:
    """What to say of an exception of botocore's: its code and text, or that the server was not reached."""
    from botocore.exceptions import ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NotConnectedError

    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        return CommandError(f"{answer.get('Code', 'Unknown')}: {answer.get('Message', error)}")
    if not isinstance(error, HTTPClientError | NotConnectedError):
        return CommandError(str(error), Status.USAGE)  # no credentials, a name that the model does not allow
    return CommandError(f"{error}; start the server with 'lamella serve', or give --endpoint")
