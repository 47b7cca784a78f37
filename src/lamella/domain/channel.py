"""Channels: movable names for layer versions, and what functions that follow one have agreed to.

The words and their meaning are those of AWS's customer-managed runtimes: an alias points to one version, moving it is
the roll-out and moving it back the roll-back, and each function says by its update mode when it follows (developer
guide, "Runtime aliases" and "Using a customer-managed runtime", 2026). AWS has nothing of the kind for layers.

A channel belongs to an account in a region and moves functions of that account. Its layer may be another account's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self

from lamella.domain.errors import ValidationException
from lamella.domain.layer import LayerKey
from lamella.domain.names import parse_layer

_CHANNEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_KEPT_MOVES: Final = 100

Document = Mapping[str, Any]  # Any: JSON


class ChannelError(Exception):
    """A channel cannot do that; the text is for the person who asked."""


class UpdateMode(StrEnum):
    """When a function follows its channel."""

    AUTO = "Auto"
    """As soon as the channel moves."""
    ON_UPDATE = "OnUpdate"
    """With the next update of its code or configuration by its owner."""
    MANUAL = "Manual"
    """Never by itself: it is only shown as behind."""


class Result(StrEnum):
    """What came of a channel's last move for one function."""

    WAITING = "waiting"
    UPDATED = "updated"
    ALREADY = "already there"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ChannelName:
    """A layer and a name that moves over its versions.

    Attributes:
        layer: In the region of the channel; of any account.
    """

    layer: LayerKey
    channel: str

    @classmethod
    def parse(cls, text: str, *, account: str, region: str) -> Self:
        """Read `image-processing:stable`, or a layer's ARN with the channel in the place of a version.

        Raises:
            ChannelError: It is neither, or the layer is in another region.
        """
        layer, _, channel = text.rpartition(":")
        if not layer or not _CHANNEL.fullmatch(channel):
            raise ChannelError(
                f"{text[:300]!r} names no channel: say LAYER:CHANNEL, where the channel begins with a letter and has "
                "up to 64 letters, digits, '-' and '_'."
            )
        try:
            key = parse_layer(layer, account=account, region=region)
        except ValidationException as error:
            raise ChannelError(f"{layer[:300]!r} is neither the name nor the ARN of a layer.") from error
        if len(key.name) > 140:
            raise ChannelError("The name of a layer has at most 140 characters.")
        if key.region != region:
            raise ChannelError(f"The layer is in {key.region}, and the channel would be in {region}.")
        return cls(key, channel)

    @classmethod
    def of_record(cls, record: str, region: str) -> Self:
        """The reverse of `record`."""
        account, name, channel = record.split(":")
        return cls(LayerKey(account, region, name), channel)

    @property
    def record(self) -> str:
        """Id among the channels of an account in a region."""
        return f"{self.layer.account}:{self.layer.name}:{self.channel}"

    def shown(self, account: str) -> str:
        """As whoever works in `account` writes it."""
        layer = self.layer.name if self.layer.account == account else self.layer.arn()
        return f"{layer}:{self.channel}"


@dataclass(frozen=True, slots=True)
class Move:
    """One move of a channel, as its history keeps it.

    Attributes:
        number: Counts from 1; the generation that it made.
        at: Aware UTC, ISO 8601.
        by: What the client says of who moved it, and the access key that signed the request.
        before: The version it pointed to; `None` for the first.
        kind: `set` or `rollback`.
    """

    number: int
    at: str
    by: str
    key: str
    before: int | None
    version: int
    kind: str
    reason: str

    def to_document(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Channel:
    """Where a channel points, and how it came there.

    Attributes:
        generation: Number of the last move.
        trail: Versions that lead here, the present one last: a roll-back goes back along it.
        moves: The last hundred, oldest first.
        gone: Functions that were deleted while the last move was on its way to them.
    """

    name: ChannelName
    version: int
    generation: int
    trail: tuple[int, ...]
    moves: tuple[Move, ...]
    gone: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        """Of the layer version it points to."""
        return self.name.layer.arn(self.version)

    def to_document(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "version": self.version,
            "generation": self.generation,
            "trail": list(self.trail),
            "moves": [move.to_document() for move in self.moves],
            "gone": list(self.gone),
        }

    @classmethod
    def of_document(cls, name: ChannelName, document: Document) -> Self:
        """The reverse of `to_document`."""
        return cls(
            name,
            document["version"],
            document["generation"],
            tuple(document["trail"]),
            tuple(Move(**move) for move in document["moves"]),
            tuple(document["gone"]),
        )


@dataclass(frozen=True, slots=True)
class Mover:
    """Who moves a channel, when and why; see `Move`."""

    at: str
    by: str = ""
    key: str = ""
    reason: str = ""


def moved(before: Channel | None, name: ChannelName, version: int, mover: Mover) -> Channel:
    """The channel after it was pointed to a version; unchanged if it points there already."""
    if before is None:
        move = Move(1, mover.at, mover.by, mover.key, None, version, "set", mover.reason)
        return Channel(name, version, 1, (version,), (move,))
    if before.version == version:
        return before
    return _next(before, (*before.trail, version)[-_KEPT_MOVES:], "set", mover)


def rolled_back(before: Channel, to: int | None, mover: Mover) -> Channel:
    """The channel where it pointed before, or at the last place where it pointed to version `to`.

    Raises:
        ChannelError: It did not.
    """
    if to is None:
        if len(before.trail) < 2:
            raise ChannelError(f"It points to version {before.version}, and there is none before that.")
        return _next(before, before.trail[:-1], "rollback", mover)
    earlier = before.trail[:-1]
    if to not in earlier:
        known = ", ".join(str(version) for version in dict.fromkeys(reversed(earlier))) or "none"
        raise ChannelError(f"It has not pointed to version {to} on its way here; it can go back to: {known}.")
    last = len(earlier) - 1 - earlier[::-1].index(to)
    return _next(before, before.trail[: last + 1], "rollback", mover)


def _next(before: Channel, trail: tuple[int, ...], kind: str, mover: Mover) -> Channel:
    number = before.generation + 1
    move = Move(number, mover.at, mover.by, mover.key, before.version, trail[-1], kind, mover.reason)
    return Channel(before.name, trail[-1], number, trail, (*before.moves, move)[-_KEPT_MOVES:])


@dataclass(frozen=True, slots=True)
class Subscription:
    """A function's agreement to follow a channel.

    Attributes:
        channel: `ChannelName.record`.
        version: The version of the layer that the function had when this was last written; `None` if it did not have
            the layer yet.
        applying: Versions that the function is about to get, if all goes well. Written before the function is, so that
            one whose update was seen through by a process that then died is not taken for one that its owner changed.
        paused: Its owner has named another version since. That holds until he names the channel's, or subscribes anew.
        generation: Of the channel's last move that was dealt with.
        result, detail, at: What came of that.
    """

    channel: str
    update: UpdateMode
    version: int | None
    applying: tuple[int, ...] = ()
    paused: bool = False
    generation: int = 0
    result: Result = Result.WAITING
    detail: str = ""
    at: str = ""

    def to_document(self) -> dict[str, Any]:
        """As it is stored."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "update": self.update.value, "result": self.result.value, "applying": list(self.applying)}

    @classmethod
    def of_document(cls, document: Document) -> Self:
        """The reverse of `to_document`."""
        update, result = UpdateMode(document["update"]), Result(document["result"])
        return cls(**{**document, "update": update, "result": result, "applying": tuple(document["applying"])})

    def about_to(self, version: int) -> Self:
        """Before the function gets a version from the channel."""
        return replace(self, applying=(*(known for known in self.applying if known != version), version))

    def updated(self, channel: Channel, *, at: str) -> Self:
        """After the function was given the channel's version."""
        return self._dealt(channel, Result.UPDATED, at, version=channel.version)

    def already(self, channel: Channel, *, at: str) -> Self:
        """After it was seen to have it, or its owner has named it."""
        return self._dealt(channel, Result.ALREADY, at, version=channel.version, paused=False)

    def refused(self, channel: Channel, *, at: str, detail: str) -> Self:
        """After it could not get it."""
        return self._dealt(channel, Result.REFUSED, at, detail=detail)

    def _dealt(self, channel: Channel, result: Result, at: str, **changed: Any) -> Self:  # Any: members
        done = {"applying": (), "generation": channel.generation, "result": result, "at": at, "detail": ""}
        return replace(self, **{**done, **changed})


def layer_qualifier(layer: LayerKey) -> str:
    """Qualifier of the record that holds a function's subscription for a layer: there is one at most.

    Neither a version's number nor the name of an alias has a colon, with which such records would be deleted.
    """
    return f"layer:{layer.account}:{layer.name}"


def layer_of_qualifier(qualifier: str, region: str) -> LayerKey:
    """The reverse of `layer_qualifier`."""
    _, account, name = qualifier.split(":")
    return LayerKey(account, region, name)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a channel's last move has got with the functions that follow it by themselves.

    Attributes:
        functions: Those in the update mode `Auto` that are not paused, and those deleted since.
    """

    functions: int = 0
    waiting: int = 0
    updated: int = 0
    already_there: int = 0
    refused: int = 0
    deleted: int = 0
