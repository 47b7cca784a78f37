"""What is served below `/_lamella/`: health, logs, traces, events, downloads, accounts and keys."""

import asyncio
import json
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

from lamella.access import Keyring
from lamella.control.locations import Download, LocationSigner
from lamella.domain.event import FINISHED, EventRecord, Stage
from lamella.domain.function import FunctionKey
from lamella.frontdoor import Page, PageError, body_object, path_tail, respond_json
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import DisconnectedError
from lamella.invoke.envelope import timestamp
from lamella.invoke.recorders import Recorders
from lamella.pages.ranges import UnsatisfiableRangeError, wanted_range
from lamella.pages.runtimes import Runtimes
from lamella.ports.clock import Clock
from lamella.ports.credentials import AccessKey, Account
from lamella.ports.errors import ConflictError
from lamella.ports.logs import LogEvent, LogStore
from lamella.ports.queue import EventQueue
from lamella.ports.stores import ArtifactStore

_CHUNK_BYTES: Final = 256 * 1024
_HEARTBEAT_S: Final = 10.0
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,140}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_REGION: Final = re.compile(r"[a-z0-9-]{1,64}")
_DURATION_MOST_S: Final = 366 * 86_400
_REQUEST: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_EVENTS: Final = 1000
_TRACE: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Load(Protocol):
    """What the data plane says of itself."""

    @property
    def in_flight(self) -> int:
        """Invocations that have not been answered."""

    @property
    def environments(self) -> int:
        """Execution environments that exist."""

    @property
    def spare_sandboxes(self) -> int:
        """Sandboxes that were made ahead of need."""


class Health:
    """`GET /_lamella/health`."""

    def __init__(self, version: str, load: Load) -> None:
        self._version = version
        self._load = load
        self._began_s = time.monotonic()
        self.draining = False

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes no parameters
        """Whether the server works, and what it is doing. 503 once it has been asked to stop."""
        document = {
            "status": "draining" if self.draining else "ok",
            "version": self._version,
            "uptime_s": round(time.monotonic() - self._began_s, 3),
            "invocations_in_flight": self._load.in_flight,
            "execution_environments": self._load.environments,
            "spare_sandboxes": self._load.spare_sandboxes,
        }
        respond_json(exchange, document, 503 if self.draining else 200)


class Logs:
    """`GET /_lamella/logs/<function>`: log events as NDJSON."""

    def __init__(self, store: LogStore, *, account: str, region: str) -> None:
        self._store = store
        self._account = account
        self._region = region
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the answers that have no end of their own."""
        self._stopping.set()

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Query: `account`, `region`, `since_ms`, `limit`, and `follow=1` for an answer without end."""
        name = path_tail(exchange)
        if not _NAME.fullmatch(name):
            raise PageError(400, "Say which function: /_lamella/logs/<name>")
        account, region = query.get("account", self._account), query.get("region", self._region)
        if not _ACCOUNT.fullmatch(account) or not _REGION.fullmatch(region):
            raise PageError(400, "That is no account or region.")
        try:
            since_ms = int(query.get("since_ms", "0"))
            limit = int(query["limit"]) if "limit" in query else None
        except ValueError:
            raise PageError(400, "since_ms and limit are whole numbers.") from None
        if limit is not None and limit < 1:
            raise PageError(400, "limit is 1 or more.")
        events = self._store.read(
            FunctionKey(account, region, name), since_ms=since_ms, limit=limit, follow=query.get("follow") == "1"
        )
        exchange.start_response(200, (("Content-Type", "application/x-ndjson"),))
        try:
            await self._copy(events, exchange)
            exchange.finish()
        except* DisconnectedError:
            pass  # nobody is left to be told; `suppress` does not look into the group that `_copy` raises

    async def _copy(self, events: AsyncIterator[LogEvent], exchange: Exchange) -> None:
        """Write events until there are no more, the reader has gone, or the server stops."""
        async with asyncio.TaskGroup() as group:
            stop = group.create_task(self._stopping.wait())
            try:
                while True:
                    step = group.create_task(_next_of(events))
                    # A reader that has gone without a word is only noticed by writing: an empty line now and then.
                    while not step.done() and not stop.done():
                        await asyncio.wait((step, stop), timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                        if not step.done() and not stop.done():
                            await exchange.write(b"\n")
                    event = None if stop.done() else step.result()
                    if event is None:
                        step.cancel()
                        return
                    line = {"timestamp": event.timestamp_ms, "stream": event.stream, "message": event.message}
                    await exchange.write(json.dumps(line).encode() + b"\n")
            finally:
                stop.cancel()


async def _next_of(events: AsyncIterator[LogEvent]) -> LogEvent | None:
    return await anext(events, None)


class Traces:
    """`GET /_lamella/traces`, and `/_lamella/traces/<environment or request id>`: what the flight recorder knows."""

    def __init__(self, recorders: Recorders) -> None:
        self._recorders = recorders

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes no parameters
        """What there is to look at; or one environment, as `lamella.invoke.timeline` describes it."""
        if not self._recorders.enabled:
            raise PageError(404, "Nothing is recorded: the server runs with flight_recorder = false.")
        name = path_tail(exchange)
        if not name:
            respond_json(exchange, await self._recorders.recent())
            return
        found = await self._recorders.find(name) if _TRACE.fullmatch(name) else None
        if found is None:
            raise PageError(
                404,
                f"No execution environment or request {name[:80]!r} is known, or no longer: "
                "the last environments are remembered, and those with failures. 'lamella trace' lists them.",
            )
        exchange.respond(200, (("Content-Type", "application/json"),), found)


class Events:
    """`GET /_lamella/events`, and `/_lamella/events/<request id>`: what became of asynchronous invocations."""

    def __init__(self, queue: EventQueue, *, account: str, region: str) -> None:
        self._queue = queue
        self._account = account
        self._region = region

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Query: `account`, `region`, `function`, `state`, `limit`; of one event `account` alone.

        One event has its payload and the function's response as well, as long as they are kept.
        """
        request_id = path_tail(exchange)
        if request_id:
            found = await self._queue.get(request_id) if _REQUEST.fullmatch(request_id) else None
            if found is None or query.get("account", found.event.key.account) != found.event.key.account:
                raise PageError(
                    404, f"No event {request_id[:80]!r} is known, or no longer: the last ones are remembered."
                )
            respond_json(exchange, {**_event(found), **_contents(found)})
            return
        account, region = query.get("account", self._account), query.get("region", self._region)
        if not _ACCOUNT.fullmatch(account) or not _REGION.fullmatch(region):
            raise PageError(400, "That is no account or region.")
        name = query.get("function")
        if name is not None and not _NAME.fullmatch(name):
            raise PageError(400, "That is no name of a function.")
        try:
            stage = Stage(query["state"]) if "state" in query else None
        except ValueError:
            raise PageError(400, f"A state is one of {', '.join(Stage)}.") from None
        try:
            limit = int(query.get("limit", "100"))
        except ValueError:
            limit = 0
        if not 1 <= limit <= _MAX_EVENTS:
            raise PageError(400, f"limit is a number from 1 to {_MAX_EVENTS}.")
        records = await self._queue.list(account, region, limit=limit, name=name, stage=stage)
        counts = await self._queue.counts(account, region, name=name)
        respond_json(
            exchange,
            {
                "counts": {stage.value: counts[stage] for stage in Stage if counts.get(stage)},
                "events": [_event(record) for record in records],
            },
        )


def _event(record: EventRecord) -> dict[str, Any]:  # Any: JSON
    event, progress = record.event, record.progress
    return {
        "request_id": event.request_id,
        "function_arn": event.key.arn(event.qualifier),
        "state": progress.stage.value,
        "accepted_at": timestamp(event.accepted_s),
        "due_at": None if progress.stage in FINISHED else timestamp(progress.due_s),
        "attempts": progress.attempts,
        "condition": progress.condition,
        "undelivered_to": [target.arn for target in progress.targets],
        "steps": [
            {
                "began_at": timestamp(step.began_s),
                "ended_at": None if step.ended_s is None else timestamp(step.ended_s),
                "action": step.action,
                "result": step.result,
                "detail": step.detail,
            }
            for step in record.steps
        ],
    }


def _contents(record: EventRecord) -> dict[str, Any]:  # Any: JSON
    response = record.response
    return {
        "payload": record.event.payload.decode(errors="replace"),
        "response": None if response is None else response.payload.decode(errors="replace"),
        "executed_version": None if response is None else response.executed_version,
    }


class Downloads:
    """`GET /_lamella/artifacts/<digest>.zip`: what `Code.Location` and `Content.Location` point to."""

    def __init__(self, artifacts: ArtifactStore, signer: LocationSigner, clock: Clock) -> None:
        self._artifacts = artifacts
        self._signer = signer
        self._clock = clock

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # the signer reads it
        """The zip or a part of it, to whoever holds a valid address."""
        request = exchange.request
        download = self._signer.verify(request.path, request.query, self._clock.now())
        if download is None:
            raise PageError(403, "This address is not valid, or no longer: ask for a new one with GetFunction.")
        try:
            file = os.open(self._artifacts.archive(download.digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise PageError(404, "This archive has been deleted.") from None
        try:
            await self._send(exchange, file, download)
        except DisconnectedError:
            return
        finally:
            os.close(file)

    async def _send(self, exchange: Exchange, file: int, download: Download) -> None:
        """The whole, or the part that is asked for."""
        size_bytes = os.fstat(file).st_size
        etag = f'"{download.digest}"'
        try:
            part = wanted_range(exchange.request, size_bytes, etag)
        except UnsatisfiableRangeError:
            exchange.respond(416, (("Content-Range", f"bytes */{size_bytes}"), ("Accept-Ranges", "bytes")))
            return
        position, end = (0, size_bytes) if part is None else (part.first, part.first + part.length)
        headers = [
            ("Content-Type", "application/zip"),
            ("Content-Length", str(end - position)),
            ("Content-Disposition", f'attachment; filename="{_plain(download.filename)}"'),
            ("Accept-Ranges", "bytes"),
            ("ETag", etag),
        ]
        if part is not None:
            headers.append(("Content-Range", f"bytes {position}-{end - 1}/{size_bytes}"))
        exchange.start_response(200 if part is None else 206, headers)
        if exchange.request.method == "GET":
            while position < end:
                chunk = await asyncio.to_thread(os.pread, file, min(_CHUNK_BYTES, end - position), position)
                position += len(chunk)
                await exchange.write(chunk)
                if not chunk:  # somebody cut the file: `finish` drops the connection
                    break
        exchange.finish()


def _plain(filename: str) -> str:
    return "".join(letter for letter in filename if letter.isascii() and (letter.isalnum() or letter in "._-"))


class Credentials:
    """`/_lamella/accounts` and `/_lamella/keys`: who may call when signatures are verified."""

    def __init__(self, keyring: Keyring, default_account: str) -> None:
        self._keyring = keyring
        self._default_account = default_account

    async def accounts_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes none
        """All accounts, and how many keys each has."""
        counts = Counter(key.account for key in self._keyring.usable())
        accounts = await self._keyring.accounts()
        respond_json(exchange, {"accounts": [{**_account(one), "keys": counts[one.id]} for one in accounts]})

    async def create_account_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002
        """Body: `id`, twelve digits, else random ones, and `name`."""
        wanted = body_object(exchange)
        account, name = wanted.get("id"), wanted.get("name", "")
        if not (account is None or (isinstance(account, str) and _ACCOUNT.fullmatch(account))):
            raise PageError(400, "The number of an account has 12 digits.")
        try:
            made = await self._keyring.create_account(account, _short_text(name, "name"))
        except ConflictError as error:
            raise PageError(409, f"There is an account {account} already.") from error
        respond_json(exchange, _account(made))

    async def delete_account_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002
        """`/_lamella/accounts/<id>`: the account and its keys, not what else belongs to it."""
        account = path_tail(exchange)
        if account == self._default_account:
            raise PageError(409, f"{account} is the server's own account (account_id), and stays.")
        if not await self._keyring.delete_account(account):
            raise PageError(404, f"There is no account {account[:80]}.")
        respond_json(exchange, {})

    async def keys_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """All keys, or with `account` those of one; without their secrets."""
        wanted = query.get("account")
        keys = [_key(key) for key in self._keyring.usable() if wanted in (None, key.account)]
        respond_json(exchange, {"keys": keys})

    async def create_key_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002
        """Body: `account`, else the server's own, `description`, and `duration_s` for a temporary key.

        The answer is the only one that has the secret.
        """
        wanted = body_object(exchange)
        account, duration_s = wanted.get("account", self._default_account), wanted.get("duration_s")
        if not isinstance(account, str):
            raise PageError(400, "The number of an account has 12 digits.")
        if duration_s is not None and (
            not isinstance(duration_s, int) or isinstance(duration_s, bool) or not 1 <= duration_s <= _DURATION_MOST_S
        ):
            raise PageError(400, f"duration_s is a number of seconds from 1 to {_DURATION_MOST_S}.")
        description = _short_text(wanted.get("description", ""), "description")
        try:
            key = await self._keyring.create_key(account, description, duration_s)
        except ConflictError as error:
            raise PageError(404, f"There is no account {account[:80]}.") from error
        secrets = {"secret_access_key": key.secret, "session_token": key.session_token or None}
        respond_json(exchange, {**_key(key), **secrets})

    async def delete_key_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002
        """`/_lamella/keys/<id>`."""
        key = path_tail(exchange)
        if not await self._keyring.delete_key(key):
            raise PageError(404, f"There is no access key {key[:80]}.")
        respond_json(exchange, {})


def _account(account: Account) -> dict[str, Any]:  # Any: JSON
    return {"id": account.id, "name": account.name, "created_at": account.created_at.isoformat()}


def _key(key: AccessKey) -> dict[str, Any]:  # Any: JSON
    return {
        "access_key_id": key.id,
        "account": key.account,
        "description": key.description,
        "created_at": key.created_at.isoformat(),
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
    }


def _short_text(value: object, name: str) -> str:
    if not isinstance(value, str) or len(value) > 256 or not value.isprintable():
        raise PageError(400, f"{name} is a text of at most 256 characters.")
    return value


def host_pages(
    health: Health,
    logs: Logs,
    traces: Traces,
    events: Events,
    runtimes: Runtimes,
    downloads: Downloads,
    credentials: Credentials,
    *more: Mapping[tuple[str, str], Page],
) -> dict[tuple[str, str], Page]:
    """What the host's door serves; `more` are the pages of parts of the product, each of which makes its own."""
    return {
        ("GET", "health"): health.page,
        ("GET", "logs"): logs.page,
        ("GET", "traces"): traces.page,
        ("GET", "events"): events.page,
        **runtimes.pages(),
        ("GET", "accounts"): credentials.accounts_page,
        ("POST", "accounts"): credentials.create_account_page,
        ("DELETE", "accounts"): credentials.delete_account_page,
        ("GET", "keys"): credentials.keys_page,
        ("POST", "keys"): credentials.create_key_page,
        ("DELETE", "keys"): credentials.delete_key_page,
        **sandbox_pages(downloads),
        **dict(item for pages in more for item in pages.items()),
    }


def sandbox_pages(downloads: Downloads) -> dict[tuple[str, str], Page]:
    """What a sandbox's door serves."""
    return {("GET", "artifacts"): downloads.page, ("HEAD", "artifacts"): downloads.page}
