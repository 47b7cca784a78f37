"""The stored form must not change by accident: these documents are in people's databases."""

from datetime import UTC, datetime

import pytest

from lamella.adapters.sql.documents import (
    dump_function_version,
    dump_layer_version,
    load_function_version,
    load_layer_version,
)
from lamella.domain.function import (
    Architecture,
    Artifact,
    FunctionConfig,
    FunctionKey,
    FunctionVersion,
    LayerReference,
    State,
)
from lamella.domain.layer import LayerKey, LayerVersion

ARTIFACT = Artifact("a" * 64, "qqo=", 10, 20)
ARTIFACT_DOCUMENT = {"digest": "a" * 64, "code_sha256": "qqo=", "size_bytes": 10, "unzipped_bytes": 20}
FUNCTION = FunctionVersion(
    key=FunctionKey("0", "r", "f"),
    version="7",
    artifact=ARTIFACT,
    config=FunctionConfig(
        role="role",
        runtime="python3.11",
        handler="m.h",
        architecture=Architecture.ARM64,
        layers=(LayerReference("arn:l:1", ARTIFACT),),
        environment={"A": "1"},
        other={"VpcConfig": {"SubnetIds": []}},
    ),
    revision_id="rev",
    modified_at=datetime(2026, 5, 17, 8, 30, 1, 123456, tzinfo=UTC),
    state=State.ACTIVE,
)
FUNCTION_DOCUMENT = {
    "artifact": ARTIFACT_DOCUMENT,
    "config": {
        "role": "role",
        "runtime": "python3.11",
        "handler": "m.h",
        "description": "",
        "timeout_s": 3,
        "memory_mib": 128,
        "tmp_mib": 512,
        "architecture": "arm64",
        "package_type": "Zip",
        "layers": [{"arn": "arn:l:1", "artifact": ARTIFACT_DOCUMENT}],
        "environment": {"A": "1"},
        "other": {"VpcConfig": {"SubnetIds": []}},
    },
    "modified_at": "2026-05-17T08:30:01.123456+00:00",
    "state": "Active",
    "state_reason": "",
    "state_reason_code": "",
    "update_status": "Successful",
    "update_reason": "",
    "update_reason_code": "",
}
LAYER = LayerVersion(
    LayerKey("0", "r", "l"), 3, ARTIFACT, datetime(2026, 5, 17, tzinfo=UTC), "d", ("python3.11",), ("arm64",), "MIT"
)
LAYER_DOCUMENT = {
    "artifact": ARTIFACT_DOCUMENT,
    "created_at": "2026-05-17T00:00:00+00:00",
    "description": "d",
    "runtimes": ["python3.11"],
    "architectures": ["arm64"],
    "license_info": "MIT",
}


def test_a_function_version_is_stored_as_ever() -> None:
    assert dump_function_version(FUNCTION) == FUNCTION_DOCUMENT
    assert load_function_version(FUNCTION.key, 7, "rev", FUNCTION_DOCUMENT) == FUNCTION


def test_a_layer_version_is_stored_as_ever() -> None:
    assert dump_layer_version(LAYER) == LAYER_DOCUMENT
    assert load_layer_version(LAYER.key, 3, LAYER_DOCUMENT) == LAYER


def test_a_time_without_a_zone_is_a_mistake() -> None:
    naive = LayerVersion(LAYER.key, 3, ARTIFACT, datetime(2026, 5, 17))
    with pytest.raises(ValueError, match="without a zone"):
        dump_layer_version(naive)
