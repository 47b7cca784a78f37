"""What can be done with channels: move, roll back, delete, show, and let functions follow."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from lamella.awsapi.context import Context
from lamella.control.access import check_layer_version
from lamella.control.channel_updates import ChannelUpdates, followers
from lamella.control.following import KIND, find_channel, now_of, place_of, subscriptions_of
from lamella.control.services import services_of
from lamella.domain.channel import (
    Channel,
    ChannelError,
    ChannelName,
    Mover,
    Subscription,
    UpdateMode,
    layer_qualifier,
    moved,
    rolled_back,
)
from lamella.domain.function import FunctionKey
from lamella.domain.image import IMAGE
from lamella.lifecycle.channel import Standing, progress, standing
from lamella.lifecycle.function import settled
from lamella.ports.errors import ConflictError
from lamella.ports.records import Document, Records

_PAGE: Final = 1000


class UnknownError(ChannelError):
    """There is no such channel, function or layer version."""


class InUseError(ChannelError):
    """Functions follow the channel."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of one account in one region, for one request.

    Attributes:
        ctx: Acts for the account.
        updates: Brings functions along.
    """

    ctx: Context
    updates: ChannelUpdates

    def name(self, text: str) -> ChannelName:
        """Read a channel's name.

        Raises:
            ChannelError: It is none.
        """
        return ChannelName.parse(text, account=self.ctx.account, region=self.ctx.region)

    async def move(self, name: ChannelName, version: int, mover: Mover) -> Channel:
        """Point a channel to a version, and bring its functions along. The channel comes into being by that.

        Pointed to where it points already, it asks functions again that could not follow before.

        Raises:
            UnknownError: There is no such layer version, or it is not shared with the account.
        """
        await self._check_version(name, version)
        mover = self._dated(mover)
        return await self._change(name, lambda before: moved(before, name, version, mover), asks_again=True)

    async def roll_back(self, name: ChannelName, to: int | None, mover: Mover) -> Channel:
        """Point a channel where it pointed before.

        Raises:
            UnknownError: There is no such channel, or the version has been deleted.
            ChannelError: It did not point there.
        """
        mover = self._dated(mover)
        goal = rolled_back(await self.find(name), to, mover)
        await self._check_version(name, goal.version)

        def back(before: Channel | None) -> Channel:
            if before is None:
                raise self._unknown(name)
            return rolled_back(before, goal.version if to is None else to, mover)

        return await self._change(name, back)

    async def find(self, name: ChannelName) -> Channel:
        """A channel.

        Raises:
            UnknownError: There is none.
        """
        channel = await find_channel(self.ctx, name)
        if channel is None:
            raise self._unknown(name)
        return channel

    async def all(self, layer: str | None) -> list[dict[str, Any]]:  # Any: JSON
        """All channels, or those of a layer, in brief."""
        shown, marker = [], None
        accounts = self.ctx.services[Records].accounts
        while True:
            page = await accounts.list(self.ctx.account, self.ctx.region, KIND, limit=_PAGE, marker=marker)
            for record in page.items:
                name = ChannelName.of_record(record.id, self.ctx.region)
                if layer in (None, name.layer.name, name.layer.arn()):
                    shown.append(await self._brief(Channel.of_document(name, record.document)))
            marker = page.next_marker
            if marker is None:
                return shown

    async def show(self, name: ChannelName) -> dict[str, Any]:  # Any: JSON
        """A channel with its history, its functions, and how far the last move has got with them."""
        channel = await self.find(name)
        records = await followers(self.ctx, name)
        return {
            **await self._brief(channel),
            "history": [move.to_document() for move in reversed(channel.moves)],
            "functions": [
                await self._follower(channel, record.key, Subscription.of_document(record.document))
                for record in records
            ],
        }

    async def delete(self, name: ChannelName, *, force: bool) -> int:
        """Delete a channel; returns how many functions followed it. They keep the layer version that they have.

        Raises:
            UnknownError: There is none.
            InUseError: Functions follow it, and it is not forced.
        """
        await self.find(name)
        records = await followers(self.ctx, name)
        if records and not force:
            some = ", ".join(record.key.name for record in records[:5]) + (", ..." if len(records) > 5 else "")
            raise InUseError(
                f"{name.shown(self.ctx.account)} is followed by {some}: unsubscribe them, or delete it by force "
                "(--force), which leaves them at the version that they have."
            )
        await self.ctx.services[Records].accounts.delete(self.ctx.account, self.ctx.region, KIND, name.record)
        for record in records:
            await self.ctx.services[Records].functions.delete(record.key, KIND, record.qualifier)
        return len(records)

    async def subscribe(self, function: FunctionKey, name: ChannelName, update: UpdateMode) -> dict[str, Any]:
        """Let a function follow a channel, in place of another channel of the same layer.

        A function that does not have the layer yet gets it as its last one, when it is to follow.

        Raises:
            UnknownError: There is no such function or channel.
            ChannelError: The function is a container image.
        """
        channel = await self.find(name)
        latest = await services_of(self.ctx).functions.get(function)
        if latest is None:
            raise UnknownError(f"There is no function {function.name} in {function.region}.")
        if latest.config.package_type == IMAGE:
            raise ChannelError(f"{function.name} is a container image, which has no layers.")
        _, has = place_of(latest.config, name.layer)
        subscription = Subscription(name.record, update, has)
        if has == channel.version:
            subscription = subscription.already(channel, at=now_of(self.ctx))
        document = subscription.to_document()
        try:
            functions = self.ctx.services[Records].functions
            await functions.put(function, KIND, document, layer_qualifier(name.layer))
        except ConflictError:
            raise UnknownError(f"There is no function {function.name} any more.") from None
        if await find_channel(self.ctx, name) is None:  # deleted in between
            await functions.delete(function, KIND, layer_qualifier(name.layer))
            raise self._unknown(name)
        self.updates.begin(self.ctx.account, self.ctx.region, name)
        return await self._follower(channel, function, subscription)

    async def unsubscribe(self, function: FunctionKey, name: ChannelName) -> None:
        """Let a function stay where it is.

        Raises:
            UnknownError: It does not follow the channel.
        """
        functions = self.ctx.services[Records].functions
        stored = await functions.get(function, KIND, layer_qualifier(name.layer))
        if stored is None or stored["channel"] != name.record:
            raise UnknownError(f"{function.name} does not follow {name.shown(self.ctx.account)}.")
        await functions.delete(function, KIND, layer_qualifier(name.layer))

    async def followed_by(self, function: FunctionKey) -> list[dict[str, Any]]:
        """The channels that a function follows."""
        found = []
        for _, subscription in await subscriptions_of(self.ctx, function):
            name = ChannelName.of_record(subscription.channel, self.ctx.region)
            channel = await find_channel(self.ctx, name)
            if channel is not None:
                shown = {"channel": name.shown(self.ctx.account), "channel_version": channel.version}
                found.append({**shown, **await self._follower(channel, function, subscription)})
        return found

    def _dated(self, mover: Mover) -> Mover:
        return replace(mover, at=now_of(self.ctx))

    async def _check_version(self, name: ChannelName, version: int) -> None:
        """Raises ApiError too: the version is not shared."""
        await check_layer_version(self.ctx, name.layer, version)
        if await services_of(self.ctx).layers.get(name.layer, version) is None:
            raise UnknownError(f"There is no layer version {name.layer.arn(version)}.")

    async def _change(
        self, name: ChannelName, change: Callable[[Channel | None], Channel], *, asks_again: bool = False
    ) -> Channel:
        unmoved = False

        def work(stored: Document | None) -> dict[str, Any]:
            nonlocal unmoved
            before = None if stored is None else Channel.of_document(name, stored)
            after = change(before)
            unmoved = after == before
            return after.to_document()

        accounts = self.ctx.services[Records].accounts
        stored = await accounts.change(self.ctx.account, self.ctx.region, KIND, name.record, work)
        assert stored is not None  # `work` deletes nothing
        channel = Channel.of_document(name, stored)
        if unmoved and asks_again:
            await self._ask_again(channel)
        self.updates.begin(self.ctx.account, self.ctx.region, name)
        return channel

    async def _ask_again(self, channel: Channel) -> None:
        functions = self.ctx.services[Records].functions

        def again(stored: Document | None) -> dict[str, Any] | None:
            if stored is None or stored["channel"] != channel.name.record or stored["result"] != "refused":
                return None if stored is None else dict(stored)
            return {**stored, "generation": 0}

        for record in await followers(self.ctx, channel.name):
            if record.document["result"] == "refused":
                await functions.change(record.key, KIND, again, record.qualifier)

    async def _brief(self, channel: Channel) -> dict[str, Any]:
        records = await followers(self.ctx, channel.name)
        there = await services_of(self.ctx).layers.get(channel.name.layer, channel.version) is not None
        how_far = progress(channel, [Subscription.of_document(record.document) for record in records])
        return {
            "channel": channel.name.shown(self.ctx.account),
            "version": channel.version,
            "layer_version_arn": channel.arn,
            "dangling": not there,
            "moved_at": channel.moves[-1].at,
            "moves": channel.generation,
            "subscribers": len(records),
            "progress": {name: getattr(how_far, name) for name in how_far.__slots__},
            "deleted_functions": [*channel.gone],
        }

    async def _follower(self, channel: Channel, key: FunctionKey, subscription: Subscription) -> dict[str, Any]:
        latest = await services_of(self.ctx).functions.get(key)
        has = None if latest is None else place_of(latest.config, channel.name.layer)[1]
        pending = subscription.generation < channel.generation
        paused = standing(subscription, has) is not Standing.FOLLOWS
        behind = has != channel.version
        result = "paused" if paused else "waiting" if behind and pending else subscription.result.value
        if subscription.update is not UpdateMode.AUTO and not paused and result == "waiting":
            result = "behind"
        return {
            "function": key.name,
            "update": subscription.update.value,
            "version": has,
            "behind": behind,
            "settled": latest is None or settled(latest),
            "status": result,
            "detail": subscription.detail,
            "at": subscription.at,
        }

    def _unknown(self, name: ChannelName) -> UnknownError:
        return UnknownError(f"There is no channel {name.shown(self.ctx.account)} in {self.ctx.region}.")
