"""Domain values to JSON documents and back.

Written out by hand: a stored format must not change because a class did. Whoever adds a member to a class adds it here,
and reads it with a default if there may be documents without it.
"""

from datetime import UTC, datetime
from typing import Any

from lamella.domain.alias import Alias, Route
from lamella.domain.function import (
    LATEST,
    Architecture,
    Artifact,
    FunctionConfig,
    FunctionKey,
    FunctionVersion,
    LastUpdateStatus,
    LayerReference,
    State,
)
from lamella.domain.layer import LayerKey, LayerVersion

Document = dict[str, Any]  # Any: JSON


def dump_function_version(version: FunctionVersion) -> Document:
    """All but what has columns of its own: key, number and revision."""
    return {
        "artifact": _dump_artifact(version.artifact),
        "config": _dump_config(version.config),
        "modified_at": _dump_time(version.modified_at),
        "state": version.state.value,
        "state_reason": version.state_reason,
        "state_reason_code": version.state_reason_code,
        "update_status": version.update_status.value,
        "update_reason": version.update_reason,
        "update_reason_code": version.update_reason_code,
    }


def load_function_version(key: FunctionKey, number: int, revision_id: str, document: Document) -> FunctionVersion:
    """The value again."""
    return FunctionVersion(
        key=key,
        version=str(number) if number else LATEST,
        artifact=_load_artifact(document["artifact"]),
        config=_load_config(document["config"]),
        revision_id=revision_id,
        modified_at=_load_time(document["modified_at"]),
        state=State(document["state"]),
        state_reason=document["state_reason"],
        state_reason_code=document["state_reason_code"],
        update_status=LastUpdateStatus(document["update_status"]),
        update_reason=document["update_reason"],
        update_reason_code=document["update_reason_code"],
    )


def dump_alias(alias: Alias) -> Document:
    """All but what has columns of its own: key, name, versions and revision."""
    return {"description": alias.description, "weight": None if alias.route is None else alias.route.weight}


def load_alias(
    key: FunctionKey, name: str, versions: tuple[int, int | None], revision_id: str, document: Document
) -> Alias:
    """The value again; `versions` are that of the alias and the additional one."""
    number, additional = versions
    return Alias(
        key=key,
        name=name,
        version=str(number) if number else LATEST,
        revision_id=revision_id,
        description=document["description"],
        route=None if additional is None else Route(str(additional), document["weight"]),
    )


def dump_layer_version(version: LayerVersion) -> Document:
    """All but what has columns of its own: key and number."""
    return {
        "artifact": _dump_artifact(version.artifact),
        "created_at": _dump_time(version.created_at),
        "description": version.description,
        "runtimes": list(version.runtimes),
        "architectures": list(version.architectures),
        "license_info": version.license_info,
    }


def load_layer_version(key: LayerKey, number: int, document: Document) -> LayerVersion:
    """The value again."""
    return LayerVersion(
        key=key,
        version=number,
        artifact=_load_artifact(document["artifact"]),
        created_at=_load_time(document["created_at"]),
        description=document["description"],
        runtimes=tuple(document["runtimes"]),
        architectures=tuple(document["architectures"]),
        license_info=document["license_info"],
    )


def _dump_config(config: FunctionConfig) -> Document:
    return {
        "role": config.role,
        "runtime": config.runtime,
        "handler": config.handler,
        "description": config.description,
        "timeout_s": config.timeout_s,
        "memory_mib": config.memory_mib,
        "tmp_mib": config.tmp_mib,
        "architecture": config.architecture.value,
        "package_type": config.package_type,
        "layers": [{"arn": layer.arn, "artifact": _dump_artifact(layer.artifact)} for layer in config.layers],
        "environment": None if config.environment is None else dict(config.environment),
        "other": dict(config.other),
    }


def _load_config(document: Document) -> FunctionConfig:
    return FunctionConfig(
        role=document["role"],
        runtime=document["runtime"],
        handler=document["handler"],
        description=document["description"],
        timeout_s=document["timeout_s"],
        memory_mib=document["memory_mib"],
        tmp_mib=document["tmp_mib"],
        architecture=Architecture(document["architecture"]),
        package_type=document["package_type"],
        layers=tuple(LayerReference(layer["arn"], _load_artifact(layer["artifact"])) for layer in document["layers"]),
        environment=document["environment"],
        other=document["other"],
    )


def _dump_artifact(artifact: Artifact) -> Document:
    return {
        "digest": artifact.digest,
        "code_sha256": artifact.code_sha256,
        "size_bytes": artifact.size_bytes,
        "unzipped_bytes": artifact.unzipped_bytes,
    }


def _load_artifact(document: Document) -> Artifact:
    return Artifact(**document)


def _dump_time(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone cannot be stored: {moment.isoformat()}")
    return moment.astimezone(UTC).isoformat()


def _load_time(text: str) -> datetime:
    return datetime.fromisoformat(text)
