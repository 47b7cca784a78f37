"""`/_lamella/managed-runtimes` and `/_lamella/runtime-contents`: of customer-managed runtimes what AWS's API has not.

That is: which functions use one, why a version could not be made, and how a folder or a zip becomes one.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Final

from lamella.awsapi.context import Context
from lamella.control import managed_wire as wire
from lamella.control.code import stored
from lamella.control.managed_services import find_runtime
from lamella.control.services import services_of
from lamella.domain.function import FunctionVersion
from lamella.domain.managed_runtime import (
    RUNTIME_RECORD,
    ManagedRuntime,
    ResourceState,
    RuntimeChoice,
    RuntimeKey,
    version_of_arn,
)
from lamella.domain.quotas import UNZIPPED, LimitProfile
from lamella.domain.runtimes import UPDATE_RUNTIME_ON
from lamella.frontdoor import Page, PageError, path_tail, respond_json
from lamella.httpserver.exchange import Exchange
from lamella.pages.scope import Contexts, scope_of
from lamella.ports.managed import ContentError, RuntimeContents
from lamella.ports.records import Records
from lamella.spool import Upload

_PAGE: Final = 1000
_DELETED: Final = "deleted"
_SENT_MOST_BYTES: Final = 5 * 1024**3
_SENT_WITHIN_S: Final = 3600.0
"""As long as what was sent is kept though no version is made of it: no quota counts it meanwhile."""


class ManagedPages:
    """Runtimes of an account in a region: query `account`, `region`.

    Args:
        contexts: To act for the account.
        contents: Keeps what is sent.
        directory: Where a zip is put while it comes.
        limits: For the size of what is sent, which is that of a function's code.
        account, region: If the query has none.

    Attributes:
        uploads: What takes a zip.
    """

    def __init__(
        self,
        contexts: Contexts,
        contents: RuntimeContents,
        directory: Path,
        limits: LimitProfile,
        *,
        account: str,
        region: str,
    ) -> None:
        self.uploads = {("POST", "runtime-contents"): Upload(self.add, directory, limits.limit(UNZIPPED))}
        self._contexts = contexts
        self._contents = contents
        self._sent: dict[str, list[tuple[float, int]]] = {}  # by account: when, and how many bytes
        self._account = account
        self._region = region

    def pages(self) -> dict[tuple[str, str], Page]:
        """By method and first part of the path."""
        return {("GET", "managed-runtimes"): self.show}

    async def show(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """All runtimes, or one by its name: with versions, aliases and the account's functions that use it."""
        ctx, name = self._context(query), path_tail(exchange)
        if name:
            runtime = await find_runtime(ctx, RuntimeKey(ctx.account, ctx.region, name))
            if runtime is None:
                raise PageError(404, f"There is no runtime {name[:128]!r}; 'lamella runtime versions' lists them.")
            respond_json(exchange, await _shown(ctx, runtime))
            return
        found = []
        for key in await _names(ctx):
            runtime = await find_runtime(ctx, key)
            if runtime is not None:
                found.append(await _shown(ctx, runtime))
        respond_json(exchange, {"runtimes": found})

    async def add(self, exchange: Exchange, query: Mapping[str, str], body: Path) -> None:
        """Body: a zip with a `bootstrap` at its top. Answers with the `uri` to make a version from, within the hour."""
        ctx = self._context(query)
        size_bytes = (await asyncio.to_thread(body.stat)).st_size
        async with stored(ctx, body, size_bytes, account=ctx.account) as artifact:
            self.count_sent(ctx.account, artifact.unzipped_bytes)
            try:
                uri = await self._contents.add(services_of(ctx).artifacts.tree(artifact.digest), artifact.digest)
            except ContentError as error:
                raise PageError(400, str(error)) from error
        respond_json(exchange, {"uri": uri, "unzipped_bytes": artifact.unzipped_bytes})

    def count_sent(self, account: str, size_bytes: int) -> None:
        """Count what an account sends.

        Raises:
            PageError: It is too much.
        """
        now_s = monotonic()
        recent = [one for one in self._sent.get(account, ()) if now_s - one[0] < _SENT_WITHIN_S]
        if sum(size for _, size in recent) + size_bytes > _SENT_MOST_BYTES:
            raise PageError(
                429,
                f"Account {account} has sent {_SENT_MOST_BYTES >> 30} GiB of runtimes within the hour: wait a while.",
            )
        self._sent[account] = [*recent, (now_s, size_bytes)]

    def _context(self, query: Mapping[str, str]) -> Context:
        return self._contexts(*scope_of(query, self._account, self._region))


async def _names(ctx: Context) -> list[RuntimeKey]:
    found, marker = [], None
    while True:
        page = await ctx.services[Records].accounts.list(
            ctx.account, ctx.region, RUNTIME_RECORD, limit=_PAGE, marker=marker
        )
        found += [RuntimeKey(record.account, record.region, record.id) for record in page.items]
        marker = page.next_marker
        if marker is None:
            return found


async def _shown(ctx: Context, runtime: ManagedRuntime) -> dict[str, Any]:  # Any: JSON
    today = services_of(ctx).clock.now().date()
    versions = [
        {**wire.version_details(runtime, version), "Failure": version.failure or None}
        for version in runtime.versions.values()
    ]
    aliases = [wire.alias_info(runtime, alias, today) for alias in runtime.aliases.values()]
    return {
        **wire.runtime_info(runtime, today),
        "Versions": versions,
        "Aliases": aliases,
        "Functions": [_follower(runtime, version) for version in await _users(ctx, runtime.key)],
    }


async def _users(ctx: Context, key: RuntimeKey) -> list[FunctionVersion]:
    """Function versions of the account that use a runtime."""
    found: list[FunctionVersion] = []
    marker = None
    while True:
        page = await services_of(ctx).functions.list_functions(
            ctx.account, ctx.region, all_versions=True, limit=_PAGE, marker=marker
        )
        for version in page.items:
            choice = RuntimeChoice.of(version.config)
            if choice is not None and choice.key == key:
                found.append(version)
        marker = page.next_marker
        if marker is None:
            return found


def _follower(runtime: ManagedRuntime, version: FunctionVersion) -> dict[str, Any]:  # Any: JSON
    choice = RuntimeChoice.of(version.config)
    assert choice is not None  # it was chosen by that
    alias = runtime.aliases.get(choice.alias)
    kept = None if choice.kept is None else version_of_arn(choice.kept)
    name = kept[1] if kept is not None else "" if alias is None else alias.version
    there = runtime.versions.get(name)
    usable = alias is not None and alias.state is ResourceState.ACTIVE
    usable = usable and there is not None and there.state is ResourceState.ACTIVE
    return {
        "FunctionName": version.key.name,
        "Version": version.version,
        "RuntimeAlias": choice.alias,
        "UpdateRuntimeOn": version.config.other.get(UPDATE_RUNTIME_ON, "Auto"),
        "RuntimeVersion": name if usable else _DELETED,
    }
