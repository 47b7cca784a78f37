import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from lamella.domain.function import Architecture, FunctionConfig
from lamella.domain.managed_runtime import (
    Content,
    ManagedRuntime,
    ResourceState,
    RuntimeAlias,
    RuntimeChoice,
    RuntimeKey,
    RuntimeVersion,
    version_of_arn,
)
from lamella.domain.release import Release

KEY = RuntimeKey("123456789012", "eu-central-1", "companyphp8")
ARN = "arn:aws:lambda:eu-central-1:123456789012:runtime/companyphp8"
NOW = datetime(2026, 11, 20, 20, 1, 2, 123456, tzinfo=UTC)


def test_arns() -> None:
    assert KEY.arn == ARN
    assert KEY.version_arn("v8.3.1") == f"{ARN}/version/v8.3.1"
    assert KEY.alias_arn("prod") == f"{ARN}/alias/prod"
    assert RuntimeKey.of_arn(ARN) == KEY
    assert version_of_arn(f"{ARN}/version/v8.3.1") == (KEY, "v8.3.1")


@pytest.mark.parametrize(
    "text",
    [
        "companyphp8",
        f"{ARN}/version/1",
        f"{ARN}/",
        f"{ARN}/../x",
        ARN.replace("companyphp8", "c"),
        ARN.replace("companyphp8", "Company"),
        "arn:aws:lambda:eu-central-1::runtime:" + "0" * 64,
        f"{ARN}\n",
    ],
)
def test_what_is_no_runtime(text: str) -> None:
    assert RuntimeKey.of_arn(text) is None


@pytest.mark.parametrize("text", [ARN, f"{ARN}/alias/prod", f"{ARN}/version/a/b", "arn:aws:lambda:x::runtime:00"])
def test_what_is_no_version(text: str) -> None:
    assert version_of_arn(text) is None


def test_a_runtime_comes_back_from_its_document() -> None:
    version = RuntimeVersion(
        name="v1",
        image_uri="registry.example.com/php:8",
        resolved_uri="registry.example.com/php@sha256:00",
        contents=(Content(Architecture.X86_64, "0" * 64), Content(Architecture.ARM64, "1" * 64)),
        state=ResourceState.FAILED,
        created=NOW,
        modified=NOW,
        release_notes="first",
        delete_at=NOW,
        failure="no bootstrap",
    )
    alias = RuntimeAlias(
        name="prod",
        version="v1",
        state=ResourceState.ACTIVE,
        created=NOW,
        modified=NOW,
        description="",
        release=Release("GA", deprecated_on=date(2027, 1, 1)),
    )
    runtime = ManagedRuntime(
        key=KEY,
        id="i",
        created=NOW,
        modified=NOW,
        state=ResourceState.PENDING_DELETION,
        description="PHP",
        license_info=None,
        release=Release("PREVIEW"),
        tags={"team": "web"},
        delete_at=NOW,
        generation=7,
        versions={"v1": version},
        aliases={"prod": alias},
    )
    stored = json.loads(json.dumps(runtime.to_document()))
    assert ManagedRuntime.of_document(KEY, stored) == runtime


def test_the_lifecycle_of_an_alias_is_its_own_or_the_runtimes() -> None:
    runtime = ManagedRuntime(key=KEY, id="i", created=NOW, modified=NOW, release=Release("GA"))
    alias = RuntimeAlias("prod", "v1", ResourceState.ACTIVE, NOW, NOW)
    assert runtime.release_of(alias) == Release("GA")
    assert runtime.release_of(replace(alias, release=Release("PREVIEW"))) == Release("PREVIEW")


def config(**other: object) -> FunctionConfig:
    return FunctionConfig(role="r", runtime="custom", handler="h", other=other)


def test_what_a_function_chose() -> None:
    chosen = {"RuntimeArn": ARN, "RuntimeAlias": "prod"}
    version = f"{ARN}/version/v1"
    assert RuntimeChoice.of(config(RuntimeConfig=chosen)) == RuntimeChoice(KEY, "prod")
    # The version at the last change says nothing unless it is kept.
    assert RuntimeChoice.of(config(RuntimeConfig=chosen, RuntimeVersionArn=version)) == RuntimeChoice(KEY, "prod")
    kept = config(RuntimeConfig=chosen, RuntimeVersionArn=version, UpdateRuntimeOn="Manual")
    assert RuntimeChoice.of(kept) == RuntimeChoice(KEY, "prod", version)
    assert RuntimeChoice.of(config()) is None
    assert RuntimeChoice.of(replace(config(RuntimeConfig=chosen), runtime="python3.11")) is None
