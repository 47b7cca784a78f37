"""Whether a function follows updates of its runtime.

It is a part of the version it belongs to, so that whoever invokes the version sees it: see
`lamella.domain.runtimes.kept_runtime`. A runtime is updated when this node builds another pack of it at its start, and
a customer-managed one when the alias that the function follows is moved.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.managed_configuration import managed_version
from lamella.control.resolution import CANNOT_NOW, check_settled, existing_version
from lamella.control.services import services_of
from lamella.domain._api_errors import InvalidParameterValueException, ResourceConflictException
from lamella.domain.function import FunctionConfig, FunctionVersion
from lamella.domain.image import IMAGE
from lamella.domain.managed_runtime import CUSTOM
from lamella.domain.runtimes import (
    RUNTIME_VERSION,
    UPDATE_RUNTIME_ON,
    kept_runtime,
    runtime_digest,
    runtime_version_arn,
)
from lamella.ports.errors import ConflictError
from lamella.ports.runtimes import RuntimeNotInstalledError


@operation("GetRuntimeManagementConfig")
async def get_runtime_management_config(
    ctx: Context, req: shapes.GetRuntimeManagementConfigRequest
) -> shapes.GetRuntimeManagementConfigResponse:
    """When the runtime of a version is updated, and which one it keeps if never."""
    reference, version = await existing_version(
        ctx, req["FunctionName"], req.get("Qualifier"), "GetRuntimeManagementConfig"
    )
    _check_runtime(version.config)
    return shapes.GetRuntimeManagementConfigResponse(**_shown(reference.arn, version.config.other))


@operation("PutRuntimeManagementConfig")
async def put_runtime_management_config(
    ctx: Context, req: shapes.PutRuntimeManagementConfigRequest
) -> shapes.PutRuntimeManagementConfigResponse:
    """Decide it for a version; in force for every environment that is made after."""
    services = services_of(ctx)
    reference, version = await existing_version(
        ctx, req["FunctionName"], req.get("Qualifier"), "PutRuntimeManagementConfig"
    )
    _check_runtime(version.config)
    check_settled(version)
    kept = await _version(ctx, version.config, req["UpdateRuntimeOn"], req.get("RuntimeVersionArn"))
    other = {**version.config.other, RUNTIME_VERSION: kept}
    if req["UpdateRuntimeOn"] == "Auto":
        other.pop(UPDATE_RUNTIME_ON, None)
    else:
        other[UPDATE_RUNTIME_ON] = req["UpdateRuntimeOn"]
    changed = replace(version, config=replace(version.config, other=other), revision_id=str(uuid.uuid4()))
    try:
        await services.functions.replace(changed, expected_revision_id=version.revision_id)
    except ConflictError:
        raise ResourceConflictException(f"{CANNOT_NOW} Another change came first: {reference.arn}") from None
    services.observer.function_settled(changed)
    return _shown(reference.arn, other)


def as_it_runs(ctx: Context, version: FunctionVersion) -> FunctionVersion:
    """A function version with the runtime version that its next environment has, for those who ask.

    One that follows updates remembers only what was the newest when it was changed. If the runtime is gone from this
    node, that is what is shown.
    """
    config = version.config
    if RUNTIME_VERSION not in config.other:
        return version
    try:
        pack = services_of(ctx).runtimes.find(config.runtime or "", config.architecture, kept_runtime(config))
    except RuntimeNotInstalledError:
        return version
    other = {**config.other, RUNTIME_VERSION: runtime_version_arn(ctx.region, pack.digest)}
    return replace(version, config=replace(config, other=other))


def _check_runtime(config: FunctionConfig) -> None:
    """Refuse images, which bring their runtime; AWS does as well (go-to-k/cdkd pull request 1890, 2026).

    Raises:
        InvalidParameterValueException: The function is one. The text is ours.
    """
    if config.package_type == IMAGE:
        raise InvalidParameterValueException(
            "Runtime management is not supported for functions created with container images."
        )


async def _version(ctx: Context, config: FunctionConfig, update_on: str, arn: str | None) -> str:
    """ARN of the version of the runtime that the function has from now on.

    Raises:
        InvalidParameterValueException: It cannot have it, or an ARN is missing or superfluous. Texts are ours.
    """
    if update_on == "Manual" and arn is None:
        raise InvalidParameterValueException("RuntimeVersionArn is required when UpdateRuntimeOn is Manual.")
    if update_on != "Manual" and arn is not None:
        raise InvalidParameterValueException(f"RuntimeVersionArn cannot be given when UpdateRuntimeOn is {update_on}.")
    if config.runtime == CUSTOM:
        return await managed_version(ctx, config, update_on, arn)
    digest = None
    if arn is not None:
        digest = runtime_digest(arn, ctx.region)
        if digest is None:
            raise InvalidParameterValueException(f"Runtime version {arn} does not exist.")
    elif update_on == "FunctionUpdate":
        digest = kept_runtime(config)  # what it has stays until the function is updated
    try:
        pack = services_of(ctx).runtimes.find(config.runtime or "", config.architecture, digest)
    except RuntimeNotInstalledError as error:
        raise InvalidParameterValueException(str(error)) from error
    return runtime_version_arn(ctx.region, pack.digest)


def _shown(arn: str, other: Mapping[str, Any]) -> shapes.PutRuntimeManagementConfigResponse:  # Any: see FunctionConfig
    update_on = other.get(UPDATE_RUNTIME_ON, "Auto")
    shown = shapes.PutRuntimeManagementConfigResponse(UpdateRuntimeOn=update_on, FunctionArn=arn)
    if update_on == "Manual":
        shown["RuntimeVersionArn"] = other[RUNTIME_VERSION]
    return shown
