"""What a function's configuration says of a customer-managed runtime, and what of it is refused.

Source: model, `FunctionRuntimeConfig`; developer guide, "Using a customer-managed runtime" and "Runtime lifecycle",
2026. The texts are ours.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lamella.awsapi.context import Context
from lamella.control.managed_access import USE, check_reading
from lamella.control.managed_services import find_runtime
from lamella.control.services import services_of
from lamella.domain._api_errors import (
    InvalidParameterValueException,
    RuntimeAliasDeletedException,
    RuntimeVersionDeletedException,
)
from lamella.domain.function import FunctionConfig, FunctionVersion
from lamella.domain.managed_runtime import (
    CUSTOM,
    RUNTIME_CONFIG,
    RUNTIME_ERROR,
    ManagedRuntime,
    ResourceState,
    RuntimeAlias,
    RuntimeChoice,
    RuntimeKey,
    RuntimeVersion,
    version_of_arn,
)
from lamella.domain.runtimes import RUNTIME_VERSION, UPDATE_RUNTIME_ON


async def with_managed_runtime(ctx: Context, config: FunctionConfig, *, creating: bool) -> FunctionConfig:
    """The configuration with the version of its runtime, if the function may use it now.

    Raises:
        AccessDeniedException: The runtime is another account's, whose policy does not let the caller use it.
        InvalidParameterValueException: There is no such runtime or alias, it does not run on the architecture, or its
            publisher has blocked it.
    """
    choice = RuntimeChoice.of(config)
    if choice is None:
        raise InvalidParameterValueException("RuntimeConfig is required for functions whose Runtime is custom.")
    if choice.key.region != ctx.region:
        raise InvalidParameterValueException(
            f"The runtime is not in the region of the function, which is {ctx.region}: {choice.key.arn}"
        )
    await check_reading(ctx, choice.key, USE, f"alias/{choice.alias}")
    runtime = await find_runtime(ctx, choice.key)
    alias = _usable_alias(runtime, choice)
    assert runtime is not None  # it has the alias
    services = services_of(ctx)
    release = runtime.release_of(alias)
    if (
        release is not None
        and release.blocks(services.clock.now().date(), creating=creating)
        and not services.settings.allow_deprecated_runtimes
    ):
        doing = "creating" if creating else "updating"
        raise InvalidParameterValueException(
            f"The publisher of the runtime does not let it be used for {doing} functions any more: "
            f"{choice.key.alias_arn(alias.name)}. Choose another runtime or alias."
        )
    manual = config.other.get(UPDATE_RUNTIME_ON) == "Manual"
    arn = choice.kept if manual and choice.kept else choice.key.version_arn(alias.version)
    usable_version(runtime, choice.key, arn, config)
    return replace(config, other={**config.other, RUNTIME_VERSION: arn})


async def managed_version(ctx: Context, config: FunctionConfig, update_on: str, arn: str | None) -> str:
    """ARN of the version that a function has from now on, if its update mode becomes this one.

    Args:
        ctx: Of the request.
        config: Of the function, which uses a customer-managed runtime.
        update_on: `Auto`, `FunctionUpdate` or `Manual`.
        arn: The version it is to keep, of the mode `Manual`.

    Raises:
        InvalidParameterValueException: It cannot have it.
    """
    choice = RuntimeChoice.of(config)
    assert choice is not None  # the caller has looked
    runtime = await find_runtime(ctx, choice.key)
    alias = _usable_alias(runtime, choice)
    assert runtime is not None  # it has the alias
    if arn is None:
        followed = choice.key.version_arn(alias.version)
        # What it has stays until the function is updated.
        arn = choice.kept or followed if update_on == "FunctionUpdate" else followed
    usable_version(runtime, choice.key, arn, config)
    return arn


def usable_version(runtime: ManagedRuntime, key: RuntimeKey, arn: str, config: FunctionConfig) -> RuntimeVersion:
    """The version of an ARN, if the function can run with it.

    Raises:
        InvalidParameterValueException: It cannot.
    """
    named = version_of_arn(arn)
    if named is None or named[0] != key:
        raise InvalidParameterValueException(
            f"Runtime version {arn} is not one of the runtime {key.arn}, which the function uses."
        )
    version = runtime.versions.get(named[1])
    if version is None or version.state is not ResourceState.ACTIVE:
        state = "does not exist" if version is None else f"is in the following state: {version.state}"
        raise InvalidParameterValueException(f"Runtime version {arn} {state}.")
    if version.content(config.architecture) is None:
        offered = ", ".join(content.architecture for content in version.contents)
        raise InvalidParameterValueException(
            f"Runtime version {arn} does not support the architecture {config.architecture}. It supports: [{offered}]"
        )
    return version


async def with_current_version(ctx: Context, version: FunctionVersion) -> FunctionVersion:
    """A function version as it is shown: with the version its alias points to now, or why it cannot be invoked."""
    choice = RuntimeChoice.of(version.config)
    if choice is None:
        return version
    runtime = await find_runtime(ctx, choice.key)
    alias = None if runtime is None else runtime.aliases.get(choice.alias)
    other = dict(version.config.other)
    if runtime is None or alias is None or alias.state is not ResourceState.ACTIVE:
        other[RUNTIME_ERROR] = {"ErrorCode": RuntimeAliasDeletedException.code, "Message": alias_deleted(choice)}
    elif choice.kept is None:
        other[RUNTIME_VERSION] = choice.key.version_arn(alias.version)
    else:
        named = version_of_arn(choice.kept)
        kept = runtime.versions.get(named[1]) if named is not None else None
        if kept is None or kept.state is not ResourceState.ACTIVE:
            message = f"The runtime version is deleted or pending deletion: {choice.kept}"
            other[RUNTIME_ERROR] = {"ErrorCode": RuntimeVersionDeletedException.code, "Message": message}
    return replace(version, config=replace(version.config, other=other))


def alias_deleted(choice: RuntimeChoice) -> str:
    """What is told of a function whose alias is gone."""
    return f"The runtime alias is deleted or pending deletion: {choice.key.alias_arn(choice.alias)}"


def keep_choice(other: dict[str, Any], request: Mapping[str, Any], runtime: str | None) -> None:  # Any: of the model
    """Bring the `RuntimeConfig` of a request into the members that are kept.

    Raises:
        InvalidParameterValueException: The function does not have the runtime `custom`, or that is no runtime's ARN.
    """
    given = request.get(RUNTIME_CONFIG)
    if runtime != CUSTOM:
        other.pop(RUNTIME_CONFIG, None)
        if given:
            raise InvalidParameterValueException("RuntimeConfig is for functions whose Runtime is custom.")
        return
    if given:
        if RuntimeKey.of_arn(given["RuntimeArn"]) is None:
            raise InvalidParameterValueException(
                f"{given['RuntimeArn']} is not the ARN of a runtime, such as "
                "arn:aws:lambda:us-east-1:123456789012:runtime/companyphp8"
            )
        other[RUNTIME_CONFIG] = {"RuntimeArn": given["RuntimeArn"], "RuntimeAlias": given["RuntimeAlias"]}


def _usable_alias(runtime: ManagedRuntime | None, choice: RuntimeChoice) -> RuntimeAlias:
    alias = None if runtime is None else runtime.aliases.get(choice.alias)
    if alias is None:
        raise InvalidParameterValueException(f"Runtime alias {choice.key.alias_arn(choice.alias)} does not exist.")
    if alias.state is not ResourceState.ACTIVE:
        raise InvalidParameterValueException(
            f"Runtime alias {choice.key.alias_arn(choice.alias)} is in the following state: {alias.state}."
        )
    return alias
