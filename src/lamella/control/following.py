"""Functions that follow channels: where that is kept, and what their owners' updates do to it.

The handlers of UpdateFunctionCode and UpdateFunctionConfiguration come here in three steps: `with_channels` decides,
`intend` writes down what is about to happen, and `record`, once the function is changed, what has happened. A process
that dies in between leaves a state that the next one understands, see `lamella.lifecycle.channel`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias

from lamella.awsapi.context import Context
from lamella.control.configuration import attachable, check_size
from lamella.control.limits import limit_of
from lamella.control.services import services_of
from lamella.control.signing import check_deployment
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.channel import (
    Channel,
    ChannelName,
    Result,
    Subscription,
    layer_of_qualifier,
    layer_qualifier,
)
from lamella.domain.errors import ApiError
from lamella.domain.function import Artifact, FunctionConfig, FunctionKey, FunctionVersion, LayerReference
from lamella.domain.image import IMAGE
from lamella.domain.layer import LayerKey
from lamella.domain.names import parse_layer_version
from lamella.domain.quotas import LAYERS
from lamella.lifecycle.channel import named, swapped, takes_with_update
from lamella.ports.errors import ConflictError
from lamella.ports.records import Document, Records

KIND: Final = "layer-channel"
"""Of the records of channels (of an account) and of subscriptions (of a function)."""

_MOST: Final = 100
"""Subscriptions of a function; as many as it has layers, in fact."""

_log: Final = logging.getLogger("lamella.channels")


Step: TypeAlias = Callable[[Subscription], Subscription | None]
"""From a subscription as it is stored by then to what it shall be; `None` ends it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an update of a function means for one subscription.

    Attributes:
        step: What is stored once the function is changed.
        applies: The version that the function gets from the channel by it.
    """

    before: Subscription
    step: Step
    applies: int | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """What an update of a function means for all of its subscriptions.

    Attributes:
        config: The function's configuration, with the versions that it takes from channels by the way.
        changes: By qualifier of the record.
    """

    config: FunctionConfig
    changes: Mapping[str, Change] = field(default_factory=dict)


async def find_channel(ctx: Context, name: ChannelName) -> Channel | None:
    """A channel of the caller's account and region."""
    document = await ctx.services[Records].accounts.get(ctx.account, ctx.region, KIND, name.record)
    return None if document is None else Channel.of_document(name, document)


async def subscriptions_of(ctx: Context, key: FunctionKey) -> Sequence[tuple[LayerKey, Subscription]]:
    """What a function follows, with the layers."""
    page = await ctx.services[Records].functions.list_function(key, KIND, limit=_MOST)
    return [
        (layer_of_qualifier(record.qualifier, key.region), Subscription.of_document(record.document))
        for record in page.items
    ]


def place_of(config: FunctionConfig, layer: LayerKey) -> tuple[int | None, int | None]:
    """Where in a function's list a layer is, and its version; `None` twice if it is not."""
    for place, reference in enumerate(config.layers):
        key, number = parse_layer_version(reference.arn)
        if key == layer:
            return place, number
    return None, None


async def with_version(ctx: Context, latest: FunctionVersion, code: Artifact, channel: Channel) -> FunctionConfig:
    """The configuration of a function with the channel's version of the layer; its other layers stay as they are.

    Args:
        ctx: Of the function's account.
        latest: The function, with the configuration to change.
        code: That it has, or is about to get.
        channel: To follow.

    Raises:
        ApiError: As UpdateFunctionConfiguration: the version does not exist or is not shared, there would be a sixth
            layer, all would be too large together, or the code signing configuration forbids it.
    """
    if latest.config.package_type == IMAGE:
        raise InvalidParameterValueException("Functions of container images have no layers.")
    place, _ = place_of(latest.config, channel.name.layer)
    references: tuple[LayerReference, ...] = await attachable(ctx, [channel.arn])
    layers = swapped(latest.config.layers, place, references[0])
    if len(layers) > limit_of(ctx, LAYERS):
        raise InvalidParameterValueException(f"Cannot reference more than {limit_of(ctx, LAYERS)} layers.")
    await check_deployment(ctx, latest.key)
    check_size(ctx, code, layers)
    return replace(latest.config, layers=layers)


async def with_channels(
    ctx: Context, latest: FunctionVersion, config: FunctionConfig, code: Artifact, *, names_layers: bool
) -> Followed:
    """What an owner's update does to the subscriptions of a function. Nothing is written.

    A channel's version that cannot be had with this update, for its size perhaps, is no reason to refuse the update:
    the subscription says why.

    Args:
        ctx: Of the request.
        latest: The function before the update.
        config: Its configuration after it.
        code: Its code after it.
        names_layers: Whether the owner has named layers.
    """
    ctx = replace(ctx, account=latest.key.account)  # another account may update the code, if the policy lets it
    changes: dict[str, Change] = {}
    at = now_of(ctx)
    for layer, subscription in await subscriptions_of(ctx, latest.key):
        channel = await find_channel(ctx, ChannelName.of_record(subscription.channel, ctx.region))
        if channel is None:
            continue
        _, had = place_of(latest.config, layer)
        _, has = place_of(config, layer)
        qualifier = layer_qualifier(layer)
        if names_layers:
            step = partial(named, channel=channel, had=had, has=has, at=at)
            if step(subscription) != subscription:
                changes[qualifier] = Change(subscription, step)
        elif takes_with_update(subscription, channel, has):
            try:
                config = await with_version(ctx, replace(latest, config=config), code, channel)
            except ApiError as error:
                step = partial(Subscription.refused, channel=channel, at=at, detail=error.message)
                changes[qualifier] = Change(subscription, step)
            else:
                step = partial(Subscription.updated, channel=channel, at=at)
                changes[qualifier] = Change(subscription, step, channel.version)
    return Followed(config, changes)


async def intend(ctx: Context, key: FunctionKey, followed: Followed) -> None:
    """Write down which versions the function is about to get from channels."""
    for qualifier, change in followed.changes.items():
        if change.applies is not None:
            await step(ctx, key, qualifier, change.before, partial(Subscription.about_to, version=change.applies))


async def record(ctx: Context, key: FunctionKey, followed: Followed) -> None:
    """Write down what has become of the subscriptions, now that the function is changed."""
    for qualifier, change in followed.changes.items():
        await step(ctx, key, qualifier, change.before, change.step)


async def step(ctx: Context, key: FunctionKey, qualifier: str, before: Subscription, taken: Step) -> bool:
    """Take a subscription a step on, and log what its owner should know; false if it has ended meanwhile."""
    found: list[tuple[Subscription, Subscription | None]] = []

    def change(stored: Document | None) -> dict[str, Any] | None:  # Any: JSON
        found.clear()
        if stored is None or stored["channel"] != before.channel:
            return None if stored is None else dict(stored)
        subscription = Subscription.of_document(stored)
        after = taken(subscription)
        found.append((subscription, after))
        return None if after is None else after.to_document()

    with suppress(ConflictError):  # the function is gone, and its records with it
        await ctx.services[Records].functions.change(key, KIND, change, qualifier)
        for stored, after in found:
            _tell(key, stored, after)
        return bool(found)
    return False


def _tell(key: FunctionKey, before: Subscription, after: Subscription | None) -> None:
    shown = ChannelName.of_record(before.channel, key.region).shown(key.account)
    if after is None:
        _log.info("%s does not follow %s any more: its owner left the layer out", key.arn(), shown)
    elif after.paused and not before.paused:
        _log.info("%s follows %s no further: its owner named another version", key.arn(), shown)
    elif before.paused and not after.paused:
        _log.info("%s follows %s again: its owner named the version it points to", key.arn(), shown)
    elif after.result is Result.REFUSED and after.generation != before.generation:
        _log.warning("%s stays behind %s: %s", key.arn(), shown, after.detail)


def now_of(ctx: Context) -> str:
    """The time, as records have it."""
    return services_of(ctx).clock.now().isoformat(timespec="milliseconds")
