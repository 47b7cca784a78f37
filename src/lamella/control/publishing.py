"""Making a published version out of `$LATEST`."""

import uuid
from contextlib import suppress
from dataclasses import replace
from typing import Final

from lamella.awsapi.context import Context
from lamella.control.resolution import not_found
from lamella.control.services import services_of
from lamella.control.wire import PUBLISHED_FROM
from lamella.domain.function import LATEST, FunctionConfig, FunctionVersion
from lamella.lifecycle.function import created, settled
from lamella.ports.errors import ConflictError

_PAGE: Final = 1000


async def publish(ctx: Context, latest: FunctionVersion, description: str | None = None) -> FunctionVersion:
    """A version with the code and configuration of `$LATEST`, or the last one if there was no update since.

    An update that changed nothing counts: it gave `$LATEST` another time of modification, which versions keep. Source:
    getmoto/moto pull request 8379, 2024, whose tests were run against AWS.

    A version made from a settled `$LATEST` can be invoked at once, one made while a change is under way is settled
    along with it.

    Raises:
        ResourceNotFoundException: The function was deleted meanwhile.
    """
    services = services_of(ctx)
    last = await _last_published(ctx, latest)
    if last is not None and _of_same_update(last, latest):
        return last
    config = latest.config
    if description is not None and description != config.description:
        other = {**config.other, PUBLISHED_FROM: config.description}
        config = replace(config, description=description, other=other)
    snapshot = replace(latest, config=config, revision_id=str(uuid.uuid4()))
    if not settled(latest):
        snapshot = created(snapshot)
    try:
        published = await services.functions.publish(snapshot)
    except ConflictError:
        raise not_found(latest.key.arn()) from None
    if not settled(published):
        services.transitions.begin(published)
        return published
    services.observer.function_settled(published)
    # `$LATEST` gets another revision by that. Source: answers of AWS recorded in LocalStack's tests, 2023.
    with suppress(ConflictError):  # it was changed meanwhile, and has another revision already
        await services.functions.replace(
            replace(latest, revision_id=str(uuid.uuid4())), expected_revision_id=latest.revision_id
        )
    return published


async def _last_published(ctx: Context, latest: FunctionVersion) -> FunctionVersion | None:
    functions = services_of(ctx).functions
    page = await functions.list_versions(latest.key, limit=_PAGE)
    while page.next_marker is not None:
        page = await functions.list_versions(latest.key, limit=_PAGE, marker=page.next_marker)
    return page.items[-1] if page.items and page.items[-1].version != LATEST else None


def _of_same_update(last: FunctionVersion, latest: FunctionVersion) -> bool:
    return (
        last.modified_at == latest.modified_at
        and last.artifact == latest.artifact
        and _origin(last.config) == latest.config
    )


def _origin(published: FunctionConfig) -> FunctionConfig:
    """The configuration of `$LATEST` that a version was made from."""
    other = dict(published.other)
    description = other.pop(PUBLISHED_FROM, published.description)
    return replace(published, description=description, other=other)
