"""Which versions of layers an account wants to keep. Nothing is deleted here: that is for `lamella layer prune`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lamella.awsapi.context import Context
from lamella.control.following import KIND as CHANNEL
from lamella.control.mirroring import KIND as MIRROR
from lamella.domain.channel import Channel, ChannelName
from lamella.domain.layer import LayerKey
from lamella.ports.records import Records

KIND: Final = "layer-retention"
DEFAULT: Final = ":default"
"""Id of the policy of layers that have none of their own; no name of a layer."""

_PAGE: Final = 1000


class RetentionError(Exception):
    """That is no policy; the text is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Retention:
    """A version stays if any of these keeps it.

    Attributes:
        keep_last: So many of the newest versions.
        keep_used: Those that a version of a function has.
        keep_days: Those that are not older; `None` if age keeps nothing.
    """

    keep_last: int = 1
    keep_used: bool = True
    keep_days: int | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Retention":  # Any: JSON
        """Read what a client sent.

        Raises:
            RetentionError: It is no policy.
        """
        unknown = sorted(document.keys() - {"keep_last", "keep_used", "keep_days"})
        if unknown:
            raise RetentionError(f"A policy has keep_last, keep_used and keep_days, and not {', '.join(unknown)[:80]}.")
        keep_last, keep_days = document.get("keep_last", 1), document.get("keep_days")
        keep_used = document.get("keep_used", True)
        if not _is_count(keep_last) or not (keep_days is None or _is_count(keep_days)):
            raise RetentionError("keep_last and keep_days are whole numbers from 0 to 1000000.")
        if not isinstance(keep_used, bool):
            raise RetentionError("keep_used is true or false.")
        return cls(keep_last, keep_used, keep_days)

    def to_document(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return {"keep_last": self.keep_last, "keep_used": self.keep_used, "keep_days": self.keep_days}


async def policies(ctx: Context) -> dict[str, dict[str, Any]]:
    """All policies of the account in the region, by the name of the layer, or `DEFAULT`."""
    found: dict[str, dict[str, Any]] = {}
    marker = None
    while True:
        accounts = ctx.services[Records].accounts
        page = await accounts.list(ctx.account, ctx.region, KIND, limit=_PAGE, marker=marker)
        found |= {record.id: dict(record.document) for record in page.items}
        marker = page.next_marker
        if marker is None:
            return found


async def held(ctx: Context) -> dict[str, list[str]]:
    """Layer versions that something other than a function holds, by ARN, with what holds them.

    A channel holds the version it points to, and the one that a roll-back would lead to.
    """
    found: dict[str, list[str]] = {}
    accounts = ctx.services[Records].accounts
    for record in await accounts.every(CHANNEL):
        if (record.account, record.region) != (ctx.account, ctx.region):
            continue
        name = ChannelName.of_record(record.id, record.region)
        channel = Channel.of_document(name, record.document)
        shown = name.shown(ctx.account)
        found.setdefault(channel.arn, []).append(f"channel {shown}")
        if len(channel.trail) > 1:
            found.setdefault(name.layer.arn(channel.trail[-2]), []).append(f"the way back of channel {shown}")
    for record in await accounts.every(MIRROR):
        if (record.account, record.region) == (ctx.account, ctx.region) and not record.document["removed_at"]:
            layer, _, number = record.id.rpartition(":")
            arn = LayerKey(record.account, record.region, layer).arn(int(number))
            found.setdefault(arn, []).append("mirrored")
    return found


async def set_policy(ctx: Context, layer: str, policy: Retention) -> None:
    """Keep a policy for a layer, or `DEFAULT`."""
    await ctx.services[Records].accounts.put(ctx.account, ctx.region, KIND, layer, policy.to_document())


async def remove_policy(ctx: Context, layer: str) -> bool:
    """Forget a policy; false if there is none."""
    return await ctx.services[Records].accounts.delete(ctx.account, ctx.region, KIND, layer)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000
