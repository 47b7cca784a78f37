"""`/_lamella/channels` and `/_lamella/subscriptions`: movable names for layer versions, and who follows them."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from lamella.awsapi.sigv4 import parse_credential
from lamella.control.channel_updates import ChannelUpdates
from lamella.control.channels import Channels, InUseError, UnknownError
from lamella.domain.channel import ChannelError, Mover, UpdateMode
from lamella.domain.errors import ApiError
from lamella.domain.function import FunctionKey
from lamella.frontdoor import Page, PageError, body_object, path_tail, respond_json
from lamella.httpserver.exchange import Exchange
from lamella.pages.scope import scope_of, short_text

_FUNCTION: Final = re.compile(r"[A-Za-z0-9_-]{1,140}")
_MOST_VERSION: Final = 2**53


class ChannelPages:
    """Channels of an account in a region: query `account`, `region`."""

    def __init__(self, updates: ChannelUpdates, *, account: str, region: str) -> None:
        self._updates = updates
        self._account = account
        self._region = region

    def pages(self) -> dict[tuple[str, str], Page]:
        """By method and first part of the path."""
        return {
            ("GET", "channels"): self.show,
            ("PUT", "channels"): self.move,
            ("DELETE", "channels"): self.delete,
            ("GET", "subscriptions"): self.followed,
            ("PUT", "subscriptions"): self.subscribe,
            ("DELETE", "subscriptions"): self.unsubscribe,
        }

    async def show(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """All channels, or those of `layer`; or with a name in the path one, with its history and its functions."""
        channels, text = self._channels(query), path_tail(exchange)
        with _refusals():
            if text:
                respond_json(exchange, await channels.show(channels.name(text)))
            else:
                respond_json(exchange, {"channels": await channels.all(query.get("layer"))})

    async def move(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Body: `version`, or `rollback` (true) with `to` if it is not the one before; `message` and `by`.

        Answers at once, with the channel as GET shows it: `progress` says how far its functions are.
        """
        channels, wanted = self._channels(query), body_object(exchange)
        mover = Mover(
            at="",
            by=short_text(wanted.get("by", ""), "by"),
            key=_access_key(exchange),
            reason=short_text(wanted.get("message", ""), "message", most=1000),
        )
        with _refusals():
            name = channels.name(path_tail(exchange))
            if wanted.get("rollback") is True:
                to = wanted.get("to")
                await channels.roll_back(name, None if to is None else _version(to, "to"), mover)
            else:
                await channels.move(name, _version(wanted.get("version"), "version"), mover)
            respond_json(exchange, await channels.show(name))

    async def delete(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Functions that follow it keep the version they have; with `force=1` it does not matter that there are any."""
        channels = self._channels(query)
        with _refusals():
            count = await channels.delete(channels.name(path_tail(exchange)), force=query.get("force") == "1")
        respond_json(exchange, {"unsubscribed": count})

    async def followed(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """The channels that the function in the path follows."""
        channels = self._channels(query)
        respond_json(exchange, {"subscriptions": await channels.followed_by(self._function(exchange, channels))})

    async def subscribe(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Body: `channel`, and `update`: `Auto`, `OnUpdate` or `Manual`."""
        channels, wanted = self._channels(query), body_object(exchange)
        function, text = self._function(exchange, channels), wanted.get("channel")
        try:
            update = UpdateMode(wanted.get("update", UpdateMode.AUTO))
        except ValueError:
            raise PageError(400, f"update is one of {', '.join(UpdateMode)}.") from None
        if not isinstance(text, str):
            raise PageError(400, 'Say which channel: {"channel": "LAYER:CHANNEL"}')
        with _refusals():
            respond_json(exchange, await channels.subscribe(function, channels.name(text), update))

    async def unsubscribe(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Query: `channel`."""
        channels = self._channels(query)
        with _refusals():
            await channels.unsubscribe(self._function(exchange, channels), channels.name(query.get("channel", "")))
        respond_json(exchange, {})

    def _channels(self, query: Mapping[str, str]) -> Channels:
        account, region = scope_of(query, self._account, self._region)
        return Channels(self._updates.context(account, region), self._updates)

    def _function(self, exchange: Exchange, channels: Channels) -> FunctionKey:
        name = path_tail(exchange)
        if not _FUNCTION.fullmatch(name):
            raise PageError(400, "Say which function: /_lamella/subscriptions/<name>")
        return FunctionKey(channels.ctx.account, channels.ctx.region, name)


@contextmanager
def _refusals() -> Iterator[None]:
    """Give what a channel cannot do its status."""
    try:
        yield
    except UnknownError as error:
        raise PageError(404, str(error)) from error
    except InUseError as error:
        raise PageError(409, str(error)) from error
    except ChannelError as error:
        raise PageError(400, str(error)) from error


def _version(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < _MOST_VERSION:
        raise PageError(400, f"{name} is the number of a layer version.")
    return value


def _access_key(exchange: Exchange) -> str:
    """The access key that a request claims; where signatures are required it has been verified by now."""
    try:
        credential = parse_credential(exchange.request.headers, exchange.request.query)
    except ApiError:
        return ""
    key = "" if credential is None else credential.access_key
    return key if len(key) <= 128 and key.isprintable() else ""
