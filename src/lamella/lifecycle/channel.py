"""What a function's subscription to a channel turns into: by its owner's updates, and by moves of the channel.

Whether a function still follows is read off the function itself, by the version of the layer that it has, and not only
off what was noted down: an owner's update is never undone because a note of it was lost with the process.

| The function has the layer in | and the subscription is | it |
|---|---|---|
| the version last written down, or the one it was about to get | not paused | follows |
| one of these | paused | is paused |
| another version | | is paused: the owner named one |
| no version, and had one | | has ended: the owner left the layer out |
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import TypeVar

from lamella.domain.channel import Channel, Progress, Result, Subscription, UpdateMode

T = TypeVar("T")


class Standing(Enum):
    """Whether a function is moved along with its channel."""

    FOLLOWS = auto()
    PAUSED = auto()
    ENDED = auto()


def standing(subscription: Subscription, has: int | None) -> Standing:
    """Whether a function follows, whose version of the layer is `has`."""
    known = {subscription.version, *subscription.applying}
    if has is None and None not in known:
        return Standing.ENDED
    if has not in known or subscription.paused:
        return Standing.PAUSED
    return Standing.FOLLOWS


def named(
    subscription: Subscription, channel: Channel, *, had: int | None, has: int | None, at: str
) -> Subscription | None:
    """After the owner has named the function's layers himself: what he named holds.

    Args:
        subscription: Before that.
        channel: That it is for.
        had: The layer's version that the function had.
        has: The one that the owner has named; `None` if he left the layer out.
        at: When.

    Returns:
        `None` if the subscription has ended.
    """
    if has is None:
        return None
    if has == channel.version:
        return subscription.already(channel, at=at)
    if has == had:
        return subscription
    return replace(subscription, paused=True, applying=(), at=at)


def takes_with_update(subscription: Subscription, channel: Channel, has: int | None) -> bool:
    """Whether an update by the owner that names no layers brings the channel's version along."""
    return (
        subscription.update is not UpdateMode.MANUAL
        and has != channel.version
        and standing(subscription, has) is Standing.FOLLOWS
    )


def is_pending(subscription: Subscription, channel: Channel) -> bool:
    """Whether the channel's last move has still to reach the function."""
    return (
        subscription.update is UpdateMode.AUTO
        and not subscription.paused
        and subscription.generation < channel.generation
    )


def swapped(layers: Sequence[T], place: int | None, new: T) -> tuple[T, ...]:
    """The layers with another one in a place, or at their end: the others stay, and keep their order."""
    if place is None:
        return (*layers, new)
    return (*layers[:place], new, *layers[place + 1 :])


def progress(channel: Channel, subscriptions: Iterable[Subscription]) -> Progress:
    """How far the channel's last move has got."""
    counts = dict.fromkeys(Result, 0)
    for subscription in subscriptions:
        if subscription.update is UpdateMode.AUTO and not subscription.paused:
            counts[Result.WAITING if is_pending(subscription, channel) else subscription.result] += 1
    deleted = len(channel.gone)
    return Progress(
        functions=sum(counts.values()) + deleted,
        waiting=counts[Result.WAITING],
        updated=counts[Result.UPDATED],
        already_there=counts[Result.ALREADY],
        refused=counts[Result.REFUSED],
        deleted=deleted,
    )
