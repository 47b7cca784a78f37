"""The one listener: Lambda's API, beside it what only Lamella has, below `/_lamella/`, and the neighbour's services.

Where signatures are required, the host's door answers nobody but who signs with an access key of this server, for
whatever service (`lamella.foreign`), and most pages below `/_lamella/` are for the operator alone. Pages of accounts
and keys always are.

Function URLs have host names of their own, under which there is nothing else, and a place below `/_lamella/urls/`. They
are public as AWS's are: pages of any site may call them, and CORS decides what those pages see.

A sandbox has a door of its own. There the caller is a function, which is an adversary: it acts for its own account
whatever it claims to be, and finds no `/_lamella/` but the downloads that an API answer gave it the address of.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from lamella.access import Access, Caller
from lamella.awsapi.context import Context, Services, new_request_id
from lamella.awsapi.endpoint import Api
from lamella.awsapi.eventstream import EventBytes
from lamella.awsapi.serialize import WireResponse, serialize_error
from lamella.awsapi.sigv4 import account_of, parse_credential, unknown_client
from lamella.domain._api_errors import RequestTooLargeException, ServiceException
from lamella.domain.errors import ApiError, MissingAuthenticationTokenException, RequestEntityTooLargeException
from lamella.domain.quotas import (
    CREATE_FUNCTION_REQUEST,
    SYNCHRONOUS_PAYLOAD,
    UPLOAD_REQUEST,
    LimitProfile,
    Quota,
)
from lamella.domain.url import UrlName
from lamella.foreign import ForeignAccess
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.limits import Limits
from lamella.httpserver.message import (
    Answer,
    Buffered,
    DisconnectedError,
    Refusal,
    RejectedError,
    Request,
    Streamed,
    refusal_status,
)
from lamella.invoke.eager import drive
from lamella.invoke.urls import UrlAddress, Urls
from lamella.neighbour.answers import ANSWERS_PATH, STACKS
from lamella.neighbour.proxy import BODY, UNSIGNED, Neighbours, forward
from lamella.neighbour.refusals import error_answer, too_large
from lamella.spool import Upload, received

_log = logging.getLogger(__name__)

_OURS: Final = "/_lamella/"
_URLS: Final = f"{_OURS}urls/"
_FUNCTIONS: Final = "/2015-03-31/functions/"
_INVOCATIONS: Final = "/invocations"
_INVOKE_BODY: Final = Buffered(limit_bytes=SYNCHRONOUS_PAYLOAD.limit, drain_excess=True)
SMALL_BODY: Final = Buffered(limit_bytes=1024 * 1024)
# Of a request that will be refused. It is read and dropped, so that clients which look for an answer only when they
# have sent everything get it.
_NO_BODY: Final = Buffered(limit_bytes=0, drain_excess=True)
_UPLOADS: Final[Mapping[str, Quota]] = {
    "CreateFunction": CREATE_FUNCTION_REQUEST,
    "UpdateFunctionCode": UPLOAD_REQUEST,
    "PublishLayerVersion": UPLOAD_REQUEST,
}
LIMITS: Final = Limits(max_connections=8192, held_bytes=1024**3)
"""Of the host's listener. A body is kept until its signature can be verified, and who knows the id of a key, which is
no secret, can begin as many as there are connections: all that are still coming in have a bound together."""
_INVOKES: Final = frozenset({"Invoke", "InvokeWithResponseStream"})
_JSON: Final = (("Content-Type", "application/json"),)
# Pages that need no signature: one tells nothing secret, the others have signatures of their own.
_OPEN_PAGES: Final = frozenset({"health", "artifacts"})
# Pages that an account may see as far as they are about it.
_ACCOUNT_PAGES: Final = frozenset(
    {"channels", "events", "layers", "logs", "managed-runtimes", "retention", "runtime-contents", "subscriptions"}
)
# Pages that are for the operator whether or not signatures are required: what they make outlives that setting.
_OPERATOR_PAGES: Final = frozenset({"accounts", "keys"})

_BEYOND_AWS: Final = "X-Lamella-Beyond-Aws"
"""Header of an answer that names what AWS would have refused."""

Page = Callable[[Exchange, Mapping[str, str]], Awaitable[None]]
"""Answers one request below `/_lamella/`; gets the query."""


class PageError(Exception):
    """A request below `/_lamella/` cannot be served; the text is for the person who made it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Door:
    """What tells the host's door from a sandbox's.

    Attributes:
        region: Of requests that are signed for none.
        account: Of requests whose access key is no account number; of all requests if `one_account`.
        hosts: Names under which the door may be addressed; a `*.` in front stands for any label.
        pages: Below `/_lamella/`, by method and first part of the path.
        uploads: Pages there that take a large body, by method and whole path or first part of the path.
        access: Verifies signatures; None for a door that has no use for them.
        limits: Whose limits hold for the size of requests.
        any_address: Whether the door may be addressed by any literal address: where other machines reach it.
        urls: The function URLs; `None` if they are not served at this door.
    """

    region: str
    account: str
    one_account: bool
    hosts: frozenset[str]
    pages: Mapping[tuple[str, str], Page]
    access: Access | None = None
    limits: LimitProfile = LimitProfile.AWS
    any_address: bool = False
    urls: Urls | None = None
    uploads: Mapping[tuple[str, str], Upload] = field(default_factory=dict)


class FrontDoor:
    """Handler of the listener."""

    def __init__(self, api: Api, services: Services, door: Door, neighbours: Neighbours | None = None) -> None:
        self._api = api
        self._services = services
        self._door = door
        self._neighbours = neighbours
        self._bodies = body_limits(door.limits)
        # Where Lambda's API is for signed requests only.
        self._access = door.access if door.access is not None and door.access.required else None
        self._foreign_access = None if self._access is None else ForeignAccess(self._access)
        self._domains = frozenset(name for name in door.hosts if not name.startswith("*."))
        self._known_hosts: dict[str, UrlName | bool] = {}

    def head(self, request: Request) -> Buffered | Streamed:
        """Turn away what a web page of another site sends, and bound the body by the operation.

        Raises:
            RejectedError: The request came from elsewhere.
        """
        host = self._host(request)
        if self._url_of(request, host) is not None:
            return _INVOKE_BODY
        self._check_site(request, host)
        if self._refused_ahead(request) is not None:
            return _NO_BODY
        path = request.path
        if path.endswith(_INVOCATIONS) and path.startswith(_FUNCTIONS):
            return _INVOKE_BODY
        if path.startswith(_OURS):
            upload = self._upload(request)
            return SMALL_BODY if upload is None else Streamed(limit_bytes=upload.limit_bytes)
        if (service := self._foreign(request)) is not None:
            return BODY if self._foreign_access is None else self._foreign_access.body(service)
        match = self._api.match(request.method, request.path, request.query)
        return SMALL_BODY if match is None else self._bodies.get(match.operation, SMALL_BODY)

    def handle(self, exchange: Exchange) -> None:
        """Serve a request."""
        path = exchange.request.path
        urls = self._door.urls
        if urls is not None and (address := self._url_of(exchange.request, self._host(exchange.request))):
            urls.handle(exchange, address)
        elif path.endswith(_INVOCATIONS) and path.startswith(_FUNCTIONS):
            drive(self._call(exchange), partial(self._invoked, exchange))
        elif path.startswith(_OURS):
            exchange.start(self._page(exchange))
        elif (service := self._foreign(exchange.request)) is not None:
            exchange.start(self._forward(exchange, service))
        else:
            exchange.start(self._call(exchange))

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        """Word what the server turned away as AWS words it."""
        if refusal is Refusal.BODY_TOO_LARGE and request is not None:
            if self._door.urls is not None and self._url_of(request, self._host(request)) is not None:
                return self._door.urls.too_large()
            if (unsigned := self._refused_ahead(request)) is not None:
                return unsigned
            if (service := self._foreign(request)) is not None:
                return too_large(request, service, self.head(request).limit_bytes)
            match = self._api.match(request.method, request.path, request.query)
            if match is not None:
                invokes = match.operation in _INVOKES
                operation = "InvokeFunction" if invokes else match.operation  # by the name of the permission
                limit = self.head(request)
                # AWS names the two apart: its front end turns uploads away, the service itself events.
                kind = RequestTooLargeException if invokes else RequestEntityTooLargeException
                error = kind(f"Request must be smaller than {limit.limit_bytes} bytes for the {operation} operation")
                return plain_answer(serialize_error(error, new_request_id()))
        text = refusal.name.replace("_", " ").lower()
        return Answer(refusal_status(request, refusal), _JSON, _error_body(f"The request was refused: {text}"))

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:  # noqa: ARG002  # logged by the server
        """Answer what is our own fault."""
        return plain_answer(serialize_error(ServiceException("An internal error occurred."), new_request_id()))

    def _invoked(self, exchange: Exchange, error: BaseException | None) -> None:
        """Whatever an invocation failed with was answered where it failed; what comes up to here is a bug."""
        if error is not None:
            _log.error("an invocation failed", exc_info=error)
            answer = self.failed(exchange, error)
            exchange.respond(answer.status, answer.headers, answer.body)

    def _url_of(self, request: Request, host: UrlName | bool) -> UrlAddress | None:
        """The function URL that a request is for, if it is for one.

        Under a URL's own name everything is the function's, whatever the path; the API is not reached there.
        """
        if isinstance(host, UrlName):
            return UrlAddress(host, request.path if request.path.startswith("/") else "/")
        if self._door.urls is None or not host or not request.path.startswith(_URLS):
            return None
        url_id, slash, rest = request.path[len(_URLS) :].partition("/")
        return UrlAddress(UrlName(url_id, ""), slash + rest or "/", confined=True)

    def _host(self, request: Request) -> UrlName | bool:
        """What a request calls this server: by a function URL's name, or by its own; false for any other."""
        host = request.header("host")
        known = self._known_hosts.get(host)
        if known is None:
            name = _name_of(f"//{host}")
            url = None if self._door.urls is None else UrlName.parse(name, self._domains)
            known = self._is_ours(name) if url is None else url
            if len(self._known_hosts) < 256:
                self._known_hosts[host] = known
        return known

    def _check_site(self, request: Request, known: UrlName | bool) -> None:
        """Refuse forged cross-site requests and rebound names, also on loopback (architecture, "Security model")."""
        host = request.header("host")
        if not known:
            raise RejectedError(Answer(403, _JSON, _error_body(f"This server is not called '{host}'.")))
        origin = request.header("origin")
        if origin and _place_of(origin) != host:
            raise RejectedError(Answer(403, _JSON, _error_body(f"Pages of '{origin}' may not call this server.")))
        if request.header("sec-fetch-site") in ("cross-site", "same-site"):
            raise RejectedError(Answer(403, _JSON, _error_body("Pages of other sites may not call this server.")))

    def _is_ours(self, name: str) -> bool:
        door, parent = self._door, name.partition(".")[2]
        if name in door.hosts or f"*.{parent}" in door.hosts or _is_loopback(name):
            return True
        return door.any_address and _is_address(name)

    def _refused_ahead(self, request: Request) -> Answer | None:
        """Why a request with a large body need not be read; small ones are not looked at before they are complete."""
        if self._access is None or not _may_be_large(request):
            return None
        if request.path.startswith(_OURS):
            unsigned = self._upload(request) is not None and self._access.precheck(request) is not None
            return Answer(403, _JSON, _error_body(_FOR_THE_OPERATOR)) if unsigned else None
        service = self._foreign(request)
        if service is not None and self._foreign_access is not None:
            wrong = self._foreign_access.precheck(request, service)
            return None if wrong is None else error_answer(request, service, wrong)
        error = self._access.precheck(request)
        return None if error is None else plain_answer(serialize_error(error, new_request_id()))

    def _foreign(self, request: Request) -> str | None:
        """The service of a request that is not Lambda's; `None` if it is, or if nobody else could want it.

        The signature decides, since other services have paths of Lambda's form. What is not signed and not Lambda's is
        taken for S3's, whose public objects and forms bear no signature; empty if it shows that it is not.
        """
        if self._neighbours is None:
            return None
        try:
            credential = parse_credential(request.headers, request.query)
        except ApiError:
            if self._access is None:
                return None
            credential = None
        if credential is not None:
            return None if credential.service == "lambda" else credential.service
        if request.path.startswith(ANSWERS_PATH):
            return STACKS
        if self._api.knows(request.path) or not self._neighbours.serves(UNSIGNED):
            return None
        # Who must sign, and does not, is told so in the words of what they asked, as far as that can be seen.
        form = request.path == "/" and "x-www-form-urlencoded" in request.header("content-type")
        named = form or request.header("x-amz-target")
        return "" if self._access is not None and named else UNSIGNED

    async def _forward(self, exchange: Exchange, service: str) -> None:
        """Functions act for their own account; who else has an account number as access key acts for that.

        Where signatures are required, the key's account it is.
        """
        assert self._neighbours is not None
        request, door = exchange.request, self._door
        if self._foreign_access is not None:
            await self._foreign_access.hand_on(exchange, self._neighbours, service)
            return
        account: str | None = door.account
        if not door.one_account:
            credential = parse_credential(request.headers, request.query)
            account = None if credential is None else account_of(credential.access_key, "") or None
        await forward(exchange, self._neighbours, service, account=account, confined=door.one_account)

    async def _call(self, exchange: Exchange) -> None:
        request = exchange.request
        match = self._api.match(request.method, request.path, request.query)
        if match is None:
            wire = self._api.unknown()
        else:
            request_id = new_request_id()
            try:
                caller = None if self._access is None else await self._access.caller(request)
                context = self._context(request, request_id, caller)
            except ApiError as error:
                wire = serialize_error(error, request_id)
            else:
                wire = await self._api.call(match, request.query, request.headers, request.body, context=context)
                if context.warnings:
                    warned = tuple((_BEYOND_AWS, text) for text in context.warnings)
                    wire = replace(wire, headers=(*wire.headers, *warned))
        if wire.stream is None:
            exchange.respond(wire.status, wire.headers, wire.body)
        else:
            await send_stream(exchange, wire, wire.stream)

    def _context(self, request: Request, request_id: str, caller: Caller | None) -> Context:
        door = self._door
        account, region = door.account, door.region
        if caller is not None:
            if caller.is_operator:
                raise unknown_client()  # the operator's key is for pages: it is no account's
            account, region = caller.account, caller.region
        elif (credential := parse_credential(request.headers, request.query)) is not None:
            region = credential.region
            if not door.one_account:
                account = account_of(credential.access_key, door.account)
        return Context(
            account=account,
            region=region,
            request_id=request_id,
            base_url=f"http://{request.header('host')}",
            services=self._services,
            headers=request.headers,
        )

    async def _page(self, exchange: Exchange) -> None:
        request = exchange.request
        name = request.path[len(_OURS) :].partition("/")[0]
        upload = self._upload(request)
        page = self._door.pages.get((request.method, name))
        if page is None and upload is None:
            exchange.respond(404, _JSON, _error_body(f"There is no {request.method} {request.path} here."))
            return
        query = dict(parse_qsl(request.query))
        try:
            if upload is not None:
                if self._access is not None:
                    self._access.claimed(request)  # before anything is written for whoever that is
                async with received(exchange, upload) as (body, sha256):
                    await self._admit(name, request, query, payload_sha256=sha256)
                    await upload.page(exchange, query, body)
            elif page is not None:
                await self._admit(name, request, query)
                await page(exchange, query)
        except ApiError as error:
            exchange.respond(error.status, _JSON, _error_body(f"{error.code}: {error.message}"))
        except PageError as error:
            exchange.respond(error.status, _JSON, _error_body(str(error)))

    def _upload(self, request: Request) -> Upload | None:
        """The page that takes the body of a request piece by piece, if there is one."""
        path, uploads = request.path[len(_OURS) :], self._door.uploads
        return uploads.get((request.method, path)) or uploads.get((request.method, path.partition("/")[0]))

    async def _admit(
        self, name: str, request: Request, query: dict[str, str], *, payload_sha256: str | None = None
    ) -> None:
        """Refuse whom a page is not for, and narrow what an account sees to what is its own.

        Of a body that is not part of the request any more the hash is given. The operator may have a key of an account
        at hand (`key`), and then means that account.

        Raises:
            PageError, ApiError: It is not for this caller.
        """
        access = self._door.access
        if name in _OPEN_PAGES or access is None or not (access.required or name in _OPERATOR_PAGES):
            return
        try:
            caller = await access.caller(request, payload_sha256=payload_sha256)
        except MissingAuthenticationTokenException:
            raise PageError(403, _FOR_THE_OPERATOR) from None
        if caller.is_operator:
            meant = access.keyring.find(query.get("key", ""))
            if meant is not None and meant.account:
                query.setdefault("account", meant.account)
            return
        if name not in _ACCOUNT_PAGES:
            raise PageError(403, _FOR_THE_OPERATOR)
        if query.setdefault("account", caller.account) != caller.account:
            raise PageError(403, "That is another account's.")


_FOR_THE_OPERATOR: Final = (
    "This is for the operator: run the command as the user that the server runs as, on its machine, or set "
    "LAMELLA_OPERATOR_KEY to what the file operator-key of its data directory holds."
)


def body_limits(limits: LimitProfile) -> dict[str, Buffered]:
    """How much the operations take that take more than a small body."""
    # InvokeAsync refuses what is over its limit in its own words.
    bodies = dict.fromkeys(("Invoke", "InvokeWithResponseStream", "InvokeAsync"), _INVOKE_BODY)
    for operation, quota in _UPLOADS.items():
        bodies[operation] = Buffered(limit_bytes=limits.limit(quota), drain_excess=True)
    return bodies


def _may_be_large(request: Request) -> bool:
    length = request.header("content-length")
    return len(length) > 6 or bool(request.header("transfer-encoding"))  # a million bytes or more, or nobody knows


def respond_json(exchange: Exchange, document: Mapping[str, Any], status: int = 200) -> None:  # Any: JSON
    """Answer with a JSON object."""
    exchange.respond(status, _JSON, json.dumps(document).encode() + b"\n")


def path_tail(exchange: Exchange) -> str:
    """What follows the page's name in the path, decoded."""
    return unquote(exchange.request.path[len(_OURS) :].partition("/")[2])


def body_object(exchange: Exchange) -> Mapping[str, Any]:  # Any: JSON
    """The request's body as a JSON object.

    Raises:
        PageError: It is none.
    """
    try:
        document = json.loads(exchange.request.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise PageError(400, "The body must be a JSON object.")
    return document


async def send_stream(exchange: Exchange, wire: WireResponse, stream: EventBytes) -> None:
    """Send each piece as it comes, no faster than the client reads."""
    try:
        exchange.start_response(wire.status, wire.headers)
        async for piece in stream:
            await exchange.write(piece)
        exchange.finish()
    except DisconnectedError:
        return  # whoever writes the stream is told by its being closed
    except ApiError:
        # What failed has logged it. There is no status left to tell it by: the client sees that the end is missing.
        exchange.abort()
    finally:
        await stream.aclose()


def plain_answer(wire: WireResponse) -> Answer:
    """An answer that has no stream, for the server."""
    return Answer(wire.status, wire.headers, wire.body)


def _error_body(message: str) -> bytes:
    return json.dumps({"error": message}).encode() + b"\n"


def _place_of(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    """Whether it is a literal address of this machine: nobody's name server decides where that leads.

    Sandboxes in the host's network have one each.
    """
    try:
        return IPv4Address(name).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    """Whether it is a literal address: a page of another site cannot make one lead here, as it could a name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
