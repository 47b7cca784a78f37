"""Domain values as the API shows them: every member that AWS gives, and none that it leaves out.

Source: answers of AWS recorded in LocalStack's `test_lambda_api.snapshot.json` (2022 to 2025), and the model.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from lamella.awsapi import _types as shapes
from lamella.domain.alias import Alias
from lamella.domain.function import LATEST, FunctionConfig, FunctionVersion, State
from lamella.domain.image import IMAGE, IMAGE_CONFIG
from lamella.domain.layer import LayerVersion
from lamella.domain.managed_runtime import RUNTIME_CONFIG, RUNTIME_ERROR
from lamella.domain.tenancy import TENANCY

PUBLISHED_FROM: Final = "_PublishedFrom"
"""Member of a published version's `FunctionConfig.other`: the description `$LATEST` had, if the version got another."""

_LAST_UPDATE: Final = frozenset({"LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"})
_TRANSIENT: Final = _LAST_UPDATE | {"State", "StateReason", "StateReasonCode", "RuntimeVersionConfig"}


def timestamp(moment: datetime) -> str:
    """ISO 8601 as Lambda writes it: `2026-11-20T20:01:02.123+0000`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def log_group(name: str, config: FunctionConfig) -> str:
    """Where a function's log goes."""
    group: str = config.other.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{name}")
    return group


def function_configuration(version: FunctionVersion, *, qualifier: str | None = None) -> shapes.FunctionConfiguration:
    """A version's configuration.

    Args:
        version: What to show.
        qualifier: What the ARN ends in; AWS repeats the one the caller used, and gives none if he used none.
    """
    config = version.config
    shown = shapes.FunctionConfiguration(
        FunctionName=version.key.name,
        FunctionArn=version.key.arn(qualifier),
        Role=config.role,
        CodeSize=version.artifact.size_bytes,
        Description=config.description,
        Timeout=config.timeout_s,
        MemorySize=config.memory_mib,
        LastModified=timestamp(version.modified_at),
        Version=version.version,
        TracingConfig={"Mode": config.other.get("TracingConfig", {}).get("Mode", "PassThrough")},
        RevisionId=version.revision_id,
        State=version.state.value,
        LastUpdateStatus=version.update_status.value,
        PackageType=config.package_type,
        Architectures=[config.architecture.value],
        EphemeralStorage={"Size": config.tmp_mib},
        SnapStart={
            "ApplyOn": config.other.get("SnapStart", {}).get("ApplyOn", "None"),
            # Snapshots are never taken here: it only makes a cold start quicker, and theirs are quick.
            "OptimizationStatus": "Off",
        },
        LoggingConfig=_logging(version),
    )
    if version.artifact.code_sha256:  # else an image that is named by a tag
        shown["CodeSha256"] = version.artifact.code_sha256
    if config.package_type == IMAGE:
        # Empty if nothing is overridden. Source: answer of AWS, 2024, quoted in a public repository.
        shown["ImageConfigResponse"] = (
            {"ImageConfig": config.other[IMAGE_CONFIG]} if IMAGE_CONFIG in config.other else {}
        )
    if config.runtime is not None:
        shown["Runtime"] = config.runtime
    if config.handler is not None:
        shown["Handler"] = config.handler
    if config.environment is not None:
        shown["Environment"] = {"Variables": dict(config.environment)}
    if config.layers:
        shown["Layers"] = [{"Arn": layer.arn, "CodeSize": layer.artifact.size_bytes} for layer in config.layers]
    _show_kept(config.other, shown)
    _show_reasons(version, shown)
    if version.state is State.PENDING and version.version != LATEST:
        # Source: LocalStack's `test_publish_with_update`, recorded in 2023.
        return _without(shown, _LAST_UPDATE)
    return shown


def new_function(version: FunctionVersion) -> shapes.FunctionConfiguration:
    """The answer to CreateFunction: not qualified even if a version was published, and without the last update."""
    return _without(function_configuration(version), _LAST_UPDATE)


def listed_function(version: FunctionVersion, *, qualified: bool) -> shapes.FunctionConfiguration:
    """One item of a listing: without state, last update and runtime version."""
    shown = function_configuration(version, qualifier=version.version if qualified else None)
    return _without(shown, _TRANSIENT)


def alias_configuration(alias: Alias) -> shapes.AliasConfiguration:
    """An alias; without `RoutingConfig` if it has one version only, also if an empty one was given."""
    shown = shapes.AliasConfiguration(
        AliasArn=alias.arn,
        Name=alias.name,
        FunctionVersion=alias.version,
        Description=alias.description,
        RevisionId=alias.revision_id,
    )
    if alias.route is not None:
        shown["RoutingConfig"] = {"AdditionalVersionWeights": {alias.route.version: alias.route.weight}}
    return shown


def layer_version(version: LayerVersion, location: str) -> shapes.GetLayerVersionResponse:
    """A layer version with its content; `location` is where the archive can be downloaded."""
    shown = shapes.GetLayerVersionResponse(
        Content={
            "Location": location,
            "CodeSha256": version.artifact.code_sha256,
            "CodeSize": version.artifact.size_bytes,
        },
        LayerArn=version.key.arn(),
        LayerVersionArn=version.arn,
        Description=version.description,
        CreatedDate=timestamp(version.created_at),
        Version=version.version,
    )
    if version.architectures:
        shown["CompatibleArchitectures"] = list(version.architectures)
    if version.runtimes:
        shown["CompatibleRuntimes"] = list(version.runtimes)
    if version.license_info:
        shown["LicenseInfo"] = version.license_info
    return shown


def listed_layer_version(version: LayerVersion) -> shapes.LayerVersionsListItem:
    """One item of a listing: without ARN of the layer and without content."""
    shown = shapes.LayerVersionsListItem(
        LayerVersionArn=version.arn,
        Version=version.version,
        Description=version.description,
        CreatedDate=timestamp(version.created_at),
    )
    if version.architectures:
        shown["CompatibleArchitectures"] = list(version.architectures)
    if version.runtimes:
        shown["CompatibleRuntimes"] = list(version.runtimes)
    if version.license_info:
        shown["LicenseInfo"] = version.license_info
    return shown


def _logging(version: FunctionVersion) -> shapes.LoggingConfig:
    kept: shapes.LoggingConfig = version.config.other.get("LoggingConfig", {})
    return {"LogFormat": "Text", **kept, "LogGroup": log_group(version.key.name, version.config)}


def _without(shown: shapes.FunctionConfiguration, members: frozenset[str]) -> shapes.FunctionConfiguration:
    return cast("shapes.FunctionConfiguration", {name: value for name, value in shown.items() if name not in members})


# Any: members of the model that are kept as they came, see `FunctionConfig.other`.
def _show_kept(other: Mapping[str, Any], shown: shapes.FunctionConfiguration) -> None:
    if "VpcConfig" in other:
        given = other["VpcConfig"]
        shown["VpcConfig"] = {
            "SubnetIds": list(given.get("SubnetIds", ())),
            "SecurityGroupIds": list(given.get("SecurityGroupIds", ())),
            "VpcId": "",
            "Ipv6AllowedForDualStack": given.get("Ipv6AllowedForDualStack", False),
        }
    if "DeadLetterConfig" in other:
        shown["DeadLetterConfig"] = {"TargetArn": other["DeadLetterConfig"]["TargetArn"]}
    if TENANCY in other:
        shown["TenancyConfig"] = {"TenantIsolationMode": other[TENANCY]["TenantIsolationMode"]}
    if "KMSKeyArn" in other:
        shown["KMSKeyArn"] = other["KMSKeyArn"]
    if "RuntimeVersionArn" in other:
        shown["RuntimeVersionConfig"] = {"RuntimeVersionArn": other["RuntimeVersionArn"]}
    if RUNTIME_CONFIG in other:
        shown["RuntimeConfig"] = {
            "RuntimeArn": other[RUNTIME_CONFIG]["RuntimeArn"],
            "RuntimeAlias": other[RUNTIME_CONFIG]["RuntimeAlias"],
        }
    if RUNTIME_ERROR in other:
        shown["RuntimeVersionConfig"] = {"Error": other[RUNTIME_ERROR]}


def _show_reasons(version: FunctionVersion, shown: shapes.FunctionConfiguration) -> None:
    if version.state_reason:
        shown["StateReason"] = version.state_reason
    if version.state_reason_code:
        shown["StateReasonCode"] = version.state_reason_code
    if version.update_reason:
        shown["LastUpdateStatusReason"] = version.update_reason
    if version.update_reason_code:
        shown["LastUpdateStatusReasonCode"] = version.update_reason_code
