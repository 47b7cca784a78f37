"""What callers may configure about a function, and what of it is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.control.access import check_layer_version
from lamella.control.limits import limit_of, note, profile_of
from lamella.control.managed_configuration import keep_choice, with_managed_runtime
from lamella.control.reachable import check_dead_letter
from lamella.control.services import services_of
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.function import Architecture, Artifact, FunctionConfig, FunctionKey, LayerReference
from lamella.domain.image import IMAGE, IMAGE_CONFIG
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.domain.managed_runtime import CUSTOM
from lamella.domain.names import parse_layer_version
from lamella.domain.quotas import (
    ENVIRONMENT,
    LAYERS,
    MEMORY,
    TIMEOUT,
    TMP,
    UNZIPPED,
    check_combined_size,
    check_range,
)
from lamella.domain.runtimes import (
    RUNTIME_VERSION,
    SNAP_START,
    UPDATE_RUNTIME_ON,
    check_runtime,
    kept_runtime,
    runtime_version_arn,
)
from lamella.domain.tenancy import check_fits
from lamella.domain.variables import check_variables
from lamella.ports.runtimes import RuntimeNotInstalledError

ConfigurationRequest: TypeAlias = shapes.CreateFunctionRequest | shapes.UpdateFunctionConfigurationRequest

# Accepting these without effect would give another function than the one that was asked for.
_UNSUPPORTED: Final = (
    "AcceleratorConfig",
    "CapacityProviderConfig",
    "DurableConfig",
    "FileSystemConfigs",
    "PublishTo",
)


SOURCE_KEY: Final = "SourceKMSKeyArn"
"""Member of `FunctionConfig.other`: the key for the archive, which belongs to the code and not to the configuration."""


def check_supported(request: object) -> None:
    """Refuse what would silently have no effect.

    Raises:
        InvalidParameterValueException: Names the members. The text is ours.
    """
    assert isinstance(request, dict)
    given = [member for member in _UNSUPPORTED if request.get(member)]
    if given:
        raise InvalidParameterValueException(f"Lamella does not support these parameters yet: {', '.join(given)}.")


async def configured(
    ctx: Context, key: FunctionKey, before: FunctionConfig, request: ConfigurationRequest
) -> FunctionConfig:
    """The configuration after a request; what the request does not name stays as it was.

    Raises:
        InvalidParameterValueException: A rule of Lambda's is broken.
        ValidationException: A number is outside of its documented range.
        AccessDeniedException: A layer belongs to another account, which does not share it with this one.
    """
    check_supported(request)
    config = _with_numbers(ctx, before, request)
    environment = config.environment
    if "Environment" in request:
        environment = request["Environment"].get("Variables", {})
        note(ctx, ENVIRONMENT, check_variables(environment, limit_bytes=limit_of(ctx, ENVIRONMENT)))
    dead_letter = request.get("DeadLetterConfig", {}).get("TargetArn")
    if dead_letter:
        await check_dead_letter(ctx, key, dead_letter)
    layers = config.layers
    if "Layers" in request:
        layers = await attachable(ctx, request["Layers"])
    after = replace(
        config,
        role=request.get("Role", config.role),
        runtime=request.get("Runtime", config.runtime),
        handler=request.get("Handler", config.handler),
        description=request.get("Description", config.description),
        environment=environment,
        layers=layers,
        other=_with_kept(config.other, request, request.get("Runtime", config.runtime)),
    )
    if after.other.get("SnapStart", {}).get("ApplyOn", "None") != "None":
        check_fits(after, "SnapStart")
    return after


async def runnable(ctx: Context, config: FunctionConfig, *, creating: bool) -> FunctionConfig:
    """The configuration with the version of its runtime, if AWS and this node have the runtime.

    Raises:
        InvalidParameterValueException: Runtime or handler are missing, or the runtime cannot be used.
        AccessDeniedException: The runtime is another account's, which does not share it with this one.
    """
    services = services_of(ctx)
    if config.package_type == IMAGE:
        return config  # its runtime is in it
    if not config.runtime or not config.handler:
        raise InvalidParameterValueException(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
    if config.runtime == CUSTOM:
        return await with_managed_runtime(ctx, config, creating=creating)
    check_runtime(
        config.runtime,
        config.architecture,
        services.clock.now().date(),
        creating=creating,
        allow_deprecated=services.settings.allow_deprecated_runtimes,
    )
    try:
        kept = kept_runtime(config) if config.other.get(UPDATE_RUNTIME_ON) == "Manual" else None
        pack = services.runtimes.find(config.runtime, config.architecture, kept)
    except RuntimeNotInstalledError as error:
        raise InvalidParameterValueException(str(error)) from error
    return replace(config, other={**config.other, RUNTIME_VERSION: runtime_version_arn(ctx.region, pack.digest)})


def with_source_key(config: FunctionConfig, source: Mapping[str, Any]) -> FunctionConfig:  # Any: of several shapes
    """The configuration with the key that the request names for the archive; without one if it names none.

    It is shown with the code, and encrypts nothing.
    """
    other = {name: value for name, value in config.other.items() if name != SOURCE_KEY}
    if source.get(SOURCE_KEY):
        other[SOURCE_KEY] = source[SOURCE_KEY]
    return replace(config, other=other)


def check_size(ctx: Context, code: Artifact, layers: Sequence[LayerReference]) -> None:
    """Refuse code and layers that are too large together.

    Raises:
        InvalidParameterValueException: They are.
    """
    together_bytes = code.unzipped_bytes + sum(layer.artifact.unzipped_bytes for layer in layers)
    check_combined_size(together_bytes, profile_of(ctx))
    note(ctx, UNZIPPED, together_bytes)


async def attachable(ctx: Context, arns: Sequence[str]) -> tuple[LayerReference, ...]:
    """The layer versions of these ARNs, if a function can have them all.

    What a layer declares as compatible is not looked at: AWS lets a layer for one runtime or architecture be attached
    to a function of another. Source: aws/aws-cdk pull request 16719, 2021.

    Raises:
        InvalidParameterValueException: In AWS's words. Source: answers recorded in LocalStack's tests, 2022 to 2025.
        AccessDeniedException: A layer belongs to another account, which does not share it with this one.
    """
    limit = limit_of(ctx, LAYERS)
    if len(arns) > limit:
        raise InvalidParameterValueException(f"Cannot reference more than {limit} layers.")
    note(ctx, LAYERS, len(arns))
    seen: dict[LayerKey, str] = {}
    found: list[LayerReference] = []
    for arn in arns:
        version = await _layer_version(ctx, arn)
        if version.key in seen:
            raise InvalidParameterValueException(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{seen[version.key]} and {arn} are versions of the same layer."
            )
        seen[version.key] = arn
        found.append(LayerReference(arn, version.artifact))
    return tuple(found)


async def _layer_version(ctx: Context, arn: str) -> LayerVersion:
    missing = InvalidParameterValueException(f"Layer version {arn} does not exist.")
    if ":awslayer:" in arn:
        raise missing  # AWS's own, which only AWS has
    key, number = parse_layer_version(arn)
    await check_layer_version(ctx, key, number)
    if key.region != ctx.region:
        raise InvalidParameterValueException(
            f"Layers are not in the same region as the function. Layers are expected to be in region {ctx.region}."
        )
    version = await services_of(ctx).layers.get(key, number)
    if version is None:
        raise missing
    return version


def _with_numbers(ctx: Context, config: FunctionConfig, request: ConfigurationRequest) -> FunctionConfig:
    timeout_s = request.get("Timeout", config.timeout_s)
    memory_mib = request.get("MemorySize", config.memory_mib)
    tmp_mib = request["EphemeralStorage"]["Size"] if "EphemeralStorage" in request else config.tmp_mib
    profile = profile_of(ctx)
    for value, quota, parameter in (
        (timeout_s, TIMEOUT, "timeout"),
        (memory_mib, MEMORY, "memorySize"),
        (tmp_mib, TMP, "ephemeralStorage.size"),
    ):
        check_range(value, quota, parameter, profile)
        note(ctx, quota, value)
    return replace(config, timeout_s=timeout_s, memory_mib=memory_mib, tmp_mib=tmp_mib)


# Any: members of the model that are kept as they came, see `FunctionConfig.other`.
def _with_kept(before: Any, request: ConfigurationRequest, runtime: str | None) -> dict[str, Any]:
    kept: dict[str, Any] = dict(before)
    if request.get("TracingConfig", {}).get("Mode"):
        kept["TracingConfig"] = {"Mode": request["TracingConfig"]["Mode"]}
    if "VpcConfig" in request:
        kept["VpcConfig"] = dict(request["VpcConfig"])
    if "DeadLetterConfig" in request:
        _keep(kept, "DeadLetterConfig", request["DeadLetterConfig"].get("TargetArn"), dict(request["DeadLetterConfig"]))
    if "KMSKeyArn" in request:
        _keep(kept, "KMSKeyArn", request["KMSKeyArn"], request["KMSKeyArn"])
    if "SnapStart" in request:
        apply_on = request["SnapStart"].get("ApplyOn", "None")
        if apply_on != "None" and runtime not in SNAP_START:
            raise InvalidParameterValueException(f"{runtime} is not supported for SnapStart enabled functions.")
        kept["SnapStart"] = {"ApplyOn": apply_on}
    if "ImageConfig" in request:
        image_config = {member: value for member, value in request["ImageConfig"].items() if value}
        _keep(kept, IMAGE_CONFIG, image_config, image_config)
    keep_choice(kept, request, runtime)
    if "LoggingConfig" in request:
        kept["LoggingConfig"] = _logging(kept.get("LoggingConfig", {}), request["LoggingConfig"])
    return kept


def _keep(kept: dict[str, Any], member: str, given: object, value: object) -> None:
    """An empty value takes the member away."""
    if given:
        kept[member] = value
    else:
        kept.pop(member, None)


def _logging(before: dict[str, str], request: shapes.LoggingConfig) -> dict[str, str]:
    """Changed member by member. JSON brings levels with it, and text has none.

    Source: answers of AWS recorded in LocalStack's tests, 2024.
    """
    given = {name: str(value) for name, value in request.items()}
    levels = ("ApplicationLogLevel", "SystemLogLevel")
    if given.get("LogFormat", before.get("LogFormat", "Text")) == "JSON":
        return {**dict.fromkeys(levels, "INFO"), **before, **given}
    if any(level in given for level in levels):
        raise InvalidParameterValueException(
            'LogLevel is not supported when LogFormat is set to "Text". '
            'Remove LogLevel from your request or change the LogFormat to "JSON" and try again.'
        )
    return {name: value for name, value in {**before, **given}.items() if name not in levels}


def architecture_of(given: Sequence[str] | None, otherwise: Architecture) -> Architecture:
    """The one architecture of an `Architectures` list, which the model limits to one."""
    return Architecture(given[0]) if given else otherwise
