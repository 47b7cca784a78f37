"""The limits of this server, and what is said of what goes beyond AWS's."""

import logging
from typing import Final

from lamella.awsapi.context import Context
from lamella.control.services import services_of
from lamella.domain.quotas import LimitProfile, Quota, beyond_aws

_log: Final = logging.getLogger("lamella.limits")


def profile_of(ctx: Context) -> LimitProfile:
    """Whose limits hold here."""
    return services_of(ctx).settings.limits


def limit_of(ctx: Context, quota: Quota) -> int:
    """The limit of a quota here."""
    return profile_of(ctx).limit(quota)


def note(ctx: Context, quota: Quota, value: int) -> None:
    """Say in the answer and in the log that AWS would refuse this value; nothing is said of what AWS allows.

    Call it with what has been accepted: a value that is refused here needs no warning.
    """
    text = beyond_aws(quota, value)
    if text is not None and text not in ctx.warnings:
        ctx.warnings.append(text)
        _log.warning("%s (account %s, %s)", text, ctx.account, ctx.region, extra={"request_id": ctx.request_id})
