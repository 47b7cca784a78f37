"""The one place where moto is told that CloudFormation is ours."""

from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import moto
import moto.cloudformation.urls
from botocore.exceptions import ClientError

from lamella.neighbour.services.patching import UnknownMotoError
from lamella.neighbour.stacks.catalog import catalog
from lamella.neighbour.stacks.clients import clients
from lamella.neighbour.stacks.custom import Answers
from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.kinds import Clients, Kind
from lamella.neighbour.stacks.model import STACK
from lamella.neighbour.stacks.nested import NestedStack
from lamella.neighbour.stacks.responses import Responses
from lamella.neighbour.stacks.service import Stacks
from lamella.neighbour.stacks.template import unsupported

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]  # Any: WSGI
_PATH: Final = "{0}/$"
_LIMIT_BYTES: Final = 1024 * 1024
"""Source: CloudFormation user guide, "Quotas": a template in S3 has at most 1 MB."""


def install() -> Application:
    """Answer CloudFormation's requests; before moto makes its own application for them.

    Returns:
        What answers at the addresses of custom resources.

    Raises:
        UnknownMotoError: This version of moto is built differently.
    """
    answers = Answers()
    templates = _Templates(clients)
    more: dict[str, Kind] = {}
    stacks = Stacks(catalog(answers, more), clients)
    more[STACK] = NestedStack(stacks, templates.fetch)
    Responses.stacks = stacks
    Responses.template_at = staticmethod(templates.fetch)
    # moto's own stacks make functions of its own, fail as a whole, and read templates with a loader that can run code.
    # The path is moto's for all operations of the service, by whose signature it has found it; its other path, for its
    # own custom resources, goes.
    paths = moto.cloudformation.urls.url_paths
    if _PATH not in paths:
        raise UnknownMotoError(
            f"moto {moto.__version__} cannot be used: CloudFormation is not at {_PATH}; in moto 5.2 it is"
        )
    paths.clear()
    paths[_PATH] = Responses.dispatch
    return answers.application


class _Templates:
    """Templates that are objects of S3."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def fetch(self, url: str, account: str, region: str) -> str:
        """The object, wherever its URL says that S3 is.

        Raises:
            StackError: It is not there, or too large.
        """
        bucket, key = place_of(url)
        try:
            found = self._clients("s3", account, region).get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            raise StackError(
                f"S3 error: {code}\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/"
                "API/ErrorResponses.html"
            ) from error
        body: bytes = found["Body"].read(_LIMIT_BYTES + 1)
        if len(body) > _LIMIT_BYTES:
            raise StackError("Template may not exceed 1000000 bytes in size.")
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise unsupported() from None


def place_of(url: str) -> tuple[str, str]:
    """Bucket and key of an object's URL, in any of its forms.

    Raises:
        StackError: It is none.
    """
    parts = urlsplit(url)
    host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
    if parts.scheme == "s3":
        return host, path
    first = host.partition(".")[0]
    by_path = first.startswith("s3") or not host.endswith(".amazonaws.com")
    if not by_path:
        return host.partition(".s3")[0], path
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise StackError("TemplateURL must be a supported URL.")
    return bucket, key
