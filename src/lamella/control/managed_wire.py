"""Customer-managed runtimes as the API shows them.

The model calls their times strings, and says no more: they are written as Lambda writes those of functions.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, TypeVar, cast

from lamella.awsapi import _core_types as shapes
from lamella.control.wire import timestamp
from lamella.domain.managed_runtime import ManagedRuntime, RuntimeAlias, RuntimeVersion
from lamella.domain.release import Release

_S = TypeVar("_S")


def members_of(shape: type[_S], shown: Mapping[str, Any]) -> _S:  # Any: members of a shape that has more
    """The members that an answer of another operation has as well."""
    return cast("_S", {name: shown[name] for name in shape.__annotations__ if name in shown})


def runtime_info(runtime: ManagedRuntime, today: date) -> shapes.RuntimeInfo:
    """One item of a listing; GetRuntime has the same and the id."""
    return {
        "Arn": runtime.key.arn,
        "Name": runtime.key.name,
        "Description": runtime.description,
        "LicenseInfo": runtime.license_info,
        "ReleaseLifecycle": _lifecycle(runtime.release, today),
        "State": runtime.state.value,
        "PendingDeletionAt": _moment(runtime.delete_at),
        "Created": timestamp(runtime.created),
        "LastModified": timestamp(runtime.modified),
    }


def version_info(runtime: ManagedRuntime, version: RuntimeVersion) -> shapes.RuntimeVersionInfo:
    """One item of a listing; GetRuntimeVersion has the same and the platforms."""
    return {
        "Name": version.name,
        "Arn": runtime.key.version_arn(version.name),
        "ResolvedUri": version.resolved_uri,
        "State": version.state.value,
        "PendingDeletionAt": _moment(version.delete_at),
        "ReleaseNotes": version.release_notes,
        "Compatibility": compatibility(version),
        "Created": timestamp(version.created),
        "LastModified": timestamp(version.modified),
    }


def version_details(runtime: ManagedRuntime, version: RuntimeVersion) -> shapes.GetRuntimeVersionResponse:
    """A version by itself."""
    platforms: list[shapes.Platform] = [
        {"Architecture": content.architecture.value, "Os": "linux", "Digest": f"sha256:{content.digest}"}
        for content in version.contents
    ]
    return shapes.GetRuntimeVersionResponse(**version_info(runtime, version), Platforms=platforms)


def alias_info(runtime: ManagedRuntime, alias: RuntimeAlias, today: date) -> shapes.RuntimeAliasInfo:
    """One item of a listing, and GetRuntimeAlias."""
    version = runtime.versions.get(alias.version)
    return {
        "Name": alias.name,
        "Arn": runtime.key.alias_arn(alias.name),
        "RuntimeVersion": alias.version,
        "RuntimeVersionArn": runtime.key.version_arn(alias.version),
        "State": alias.state.value,
        "PendingDeletionAt": _moment(alias.delete_at),
        "Description": alias.description,
        "Compatibility": None if version is None else compatibility(version),
        "ReleaseLifecycle": _lifecycle(runtime.release_of(alias), today),
        "Created": timestamp(alias.created),
        "LastModified": timestamp(alias.modified),
    }


def compatibility(version: RuntimeVersion) -> shapes.Compatibility:
    """What a version can be used for."""
    return {
        "IntegrationModels": ["RuntimeAPI"],
        "Architectures": [content.architecture.value for content in version.contents],
        "ManagedInstances": "NotSupported",
    }


def _lifecycle(release: Release | None, today: date) -> shapes.RuntimeReleaseLifecycle | None:
    return None if release is None else shapes.RuntimeReleaseLifecycle(**release.members(today))  # type: ignore[typeddict-item]  # by the model's names


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else timestamp(moment)
