"""Putting down a change of `$LATEST`, whoever makes it."""

import uuid
from dataclasses import replace

from lamella.awsapi.context import Context
from lamella.control.resolution import CANNOT_NOW, not_found
from lamella.control.services import services_of
from lamella.domain._api_errors import ResourceConflictException
from lamella.domain.function import FunctionVersion
from lamella.lifecycle.function import UpdateRequested, advance
from lamella.ports.errors import ConflictError


async def store_update(ctx: Context, latest: FunctionVersion, changed: FunctionVersion) -> FunctionVersion:
    """Put the change down as under way.

    Raises:
        ResourceNotFoundException: The function was deleted meanwhile.
        ResourceConflictException: It was changed meanwhile.
    """
    services = services_of(ctx)
    updating = advance(
        replace(changed, modified_at=services.clock.now()), UpdateRequested(), revision_id=str(uuid.uuid4())
    )
    try:
        await services.functions.replace(updating, expected_revision_id=latest.revision_id)
    except ConflictError:
        current = await services.functions.get(latest.key)
        if current is None:
            raise not_found(latest.key.arn()) from None
        raise ResourceConflictException(
            f"{CANNOT_NOW} An update is in progress for resource: {latest.key.arn()}"
        ) from None
    return updating
