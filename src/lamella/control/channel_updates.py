"""Bringing functions along after their channel has moved.

A move is durable before anybody is told of it; what follows from it is worked off here, function by function, and can
be read off the store at any time: a subscription in the mode `Auto` whose generation is older than the channel's. So a
process that dies leaves nothing but work for the next one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from typing import Any, Final

from lamella.awsapi.context import Context, Services, new_request_id
from lamella.control.configuration import runnable
from lamella.control.following import KIND, find_channel, now_of, place_of, step, with_version
from lamella.control.resolution import check_settled
from lamella.control.services import services_of
from lamella.control.updating import store_update
from lamella.domain._api_errors import ResourceConflictException, ResourceNotFoundException
from lamella.domain.channel import Channel, ChannelName, Subscription, layer_qualifier
from lamella.domain.errors import ApiError
from lamella.domain.function import FunctionKey
from lamella.lifecycle.channel import Standing, is_pending, standing
from lamella.ports.errors import UnavailableError
from lamella.ports.records import Document, FunctionRecord, Records

_log: Final = logging.getLogger("lamella.channels")
_PAGE: Final = 1000
_LEAST_PAUSE_S: Final = 0.1
_MOST_PAUSE_S: Final = 5.0

Place = tuple[str, str, ChannelName]
"""Account, region, and channel."""


class Step(Enum):
    """What came of trying to bring one function along."""

    DONE = auto()
    BUSY = auto()
    GONE = auto()


class ChannelUpdates:
    """Brings the functions of channels along, one task for each channel that has moved.

    Args:
        services: What handlers work with.
        sleep: Waits before functions that are busy are tried again; replaced in tests.
    """

    def __init__(self, services: Services, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._services: Final = services
        self._sleep: Final = sleep
        self._tasks: Final[dict[Place, asyncio.Task[None]]] = {}
        self._again: Final[set[Place]] = set()

    def context(self, account: str, region: str) -> Context:
        """A context to act for an account."""
        return Context(account, region, new_request_id(), "", self._services)

    def begin(self, account: str, region: str, name: ChannelName) -> None:
        """See to the functions of a channel, which has moved or has been given functions."""
        place = (account, region, name)
        if place in self._tasks:
            self._again.add(place)
            return
        task = asyncio.get_running_loop().create_task(self._work(place))
        self._tasks[place] = task
        task.add_done_callback(partial(self._ended, place))

    async def resume(self) -> None:
        """Go on where the last process ended. Called before requests are accepted.

        What it had begun to do to a function is settled at once, so that nothing can come in between.
        """
        records = self._services[Records]
        subscriptions = await records.functions.every(KIND)
        for record in subscriptions:
            if record.document["applying"]:
                await self._settle(record)
        for channel in await records.accounts.every(KIND):
            name = ChannelName.of_record(channel.id, channel.region)
            known = Channel.of_document(name, channel.document)
            for record in subscriptions:
                mine = (record.key.account, record.key.region) == (channel.account, channel.region)
                if mine and record.document["channel"] == name.record and is_pending(_read(record), known):
                    self.begin(channel.account, channel.region, name)
                    break

    async def wait_done(self) -> None:
        """Wait until nothing that was begun is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def close(self) -> None:
        """Give up what is under way; it stays in the store for `resume`."""
        for task in self._tasks.values():
            task.cancel()
        await self.wait_done()

    def _ended(self, place: Place, task: asyncio.Task[None]) -> None:
        del self._tasks[place]
        if place in self._again and not task.cancelled():
            self._again.discard(place)
            self.begin(*place)

    async def _work(self, place: Place) -> None:
        account, region, name = place
        pause_s = _LEAST_PAUSE_S
        while True:
            ctx = self.context(account, region)
            try:
                left = await self._round(ctx, name)
            except UnavailableError:
                _log.exception("cannot bring functions along with %s yet", name.shown(account))
                left, pause_s = True, _MOST_PAUSE_S
            except Exception:  # noqa: BLE001 - the task's boundary: `resume` and the next move try once more
                return _log.exception("cannot bring functions along with %s", name.shown(account))
            if not left:
                return None
            await self._sleep(pause_s)
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)

    async def _round(self, ctx: Context, name: ChannelName) -> bool:
        """See once to each function that is behind; true if some were busy."""
        left = False
        for record in await followers(ctx, name):
            channel = await find_channel(ctx, name)  # anew: it may have moved on
            if channel is None or not is_pending(_read(record), channel):
                continue
            done = await bring(ctx, channel, record.key)
            if done is Step.GONE:
                await _note_gone(ctx, channel, record.key.name)
            left |= done is Step.BUSY
        return left

    async def _settle(self, record: FunctionRecord) -> None:
        """Make good what the last process did and did not write down."""
        ctx = self.context(record.key.account, record.key.region)
        subscription = _read(record)
        name = ChannelName.of_record(subscription.channel, record.key.region)
        latest = await services_of(ctx).functions.get(record.key)
        if latest is None:
            return
        _, has = place_of(latest.config, name.layer)
        channel = await find_channel(ctx, name)
        if channel is not None and has == channel.version and has in subscription.applying:
            taken = partial(Subscription.updated, channel=channel, at=now_of(ctx))
        else:
            seen = has if has in subscription.applying else subscription.version
            taken = partial(replace, version=seen, applying=())
        await step(ctx, record.key, record.qualifier, subscription, taken)


async def followers(ctx: Context, name: ChannelName) -> list[FunctionRecord]:
    """The records of all functions that are subscribed to a channel, by name."""
    records, marker = ctx.services[Records].functions, None
    found: list[FunctionRecord] = []
    while True:
        page = await records.list_account(
            ctx.account, ctx.region, KIND, limit=_PAGE, marker=marker, where={"channel": name.record}
        )
        found += page.items
        marker = page.next_marker
        if marker is None:
            return found


async def bring(ctx: Context, channel: Channel, key: FunctionKey) -> Step:
    """Give a function the version that a channel points to, if it follows it still.

    An update by its owner that comes in between is kept: the function is looked at anew.
    """
    services, qualifier = services_of(ctx), layer_qualifier(channel.name.layer)
    async with services.garbage.referencing():
        stored = await ctx.services[Records].functions.get(key, KIND, qualifier)
        latest = await services.functions.get(key)
        if latest is None:
            return Step.GONE
        if stored is None or stored["channel"] != channel.name.record:
            return Step.DONE
        subscription = Subscription.of_document(stored)
        _, has = place_of(latest.config, channel.name.layer)
        at = now_of(ctx)
        match standing(subscription, has):
            case Standing.ENDED:
                await step(ctx, key, qualifier, subscription, _end)
                return Step.DONE
            case Standing.PAUSED:
                await step(ctx, key, qualifier, subscription, partial(replace, paused=True, applying=(), at=at))
                return Step.DONE
            case Standing.FOLLOWS:
                pass
        if has == channel.version:
            await step(ctx, key, qualifier, subscription, partial(Subscription.already, channel=channel, at=at))
            return Step.DONE
        try:
            check_settled(latest)
        except ResourceConflictException:
            return Step.BUSY
        try:
            config = await with_version(ctx, latest, latest.artifact, channel)
            config = await runnable(ctx, config, creating=False)
        except ApiError as error:
            refused = partial(Subscription.refused, channel=channel, at=at, detail=error.message)
            await step(ctx, key, qualifier, subscription, refused)
            return Step.DONE
        about = partial(Subscription.about_to, version=channel.version)
        if not await step(ctx, key, qualifier, subscription, about):
            return Step.DONE
        try:
            updating = await store_update(ctx, latest, replace(latest, config=config))
        except ResourceConflictException:
            return Step.BUSY
        except ResourceNotFoundException:
            return Step.GONE
        await step(ctx, key, qualifier, subscription, partial(Subscription.updated, channel=channel, at=at))
    services.transitions.begin(updating)
    _log.info("%s has %s now, as %s", key.arn(), channel.arn, channel.name.shown(ctx.account))
    return Step.DONE


def _read(record: FunctionRecord) -> Subscription:
    return Subscription.of_document(record.document)


def _end(_: Subscription) -> None:
    """A step to the end."""


async def _note_gone(ctx: Context, channel: Channel, function: str) -> None:
    """Keep with the channel's last move that a function was deleted before it was reached."""

    def note(stored: Document | None) -> dict[str, Any] | None:  # Any: JSON
        if stored is None or stored["generation"] != channel.generation:
            return None if stored is None else dict(stored)
        return {**stored, "gone": [*stored["gone"], function]}

    with suppress(UnavailableError):
        accounts = ctx.services[Records].accounts
        await accounts.change(ctx.account, ctx.region, KIND, channel.name.record, note)
