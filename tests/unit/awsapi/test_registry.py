from collections.abc import Iterator

import pytest

from lamella.awsapi import registry
from lamella.awsapi.context import Context
from lamella.awsapi.spec import ServiceSpec

HANDLED = {
    "AddLayerVersionPermission",
    "AddPermission",
    "CreateAlias",
    "CreateCodeSigningConfig",
    "CreateEventSourceMapping",
    "CreateFunction",
    "CreateFunctionUrlConfig",
    "CreateRuntime",
    "CreateRuntimeAlias",
    "CreateRuntimeVersion",
    "DeleteAlias",
    "DeleteCodeSigningConfig",
    "DeleteEventSourceMapping",
    "DeleteFunction",
    "DeleteFunctionCodeSigningConfig",
    "DeleteFunctionConcurrency",
    "DeleteFunctionEventInvokeConfig",
    "DeleteFunctionUrlConfig",
    "DeleteLayerVersion",
    "DeleteProvisionedConcurrencyConfig",
    "DeleteResourcePolicy",
    "DeleteRuntime",
    "DeleteRuntimeAlias",
    "DeleteRuntimeVersion",
    "GetAccountSettings",
    "GetAlias",
    "GetCodeSigningConfig",
    "GetEventSourceMapping",
    "GetFunction",
    "GetFunctionCodeSigningConfig",
    "GetFunctionConcurrency",
    "GetFunctionConfiguration",
    "GetFunctionEventInvokeConfig",
    "GetFunctionRecursionConfig",
    "GetFunctionScalingConfig",
    "GetFunctionUrlConfig",
    "GetLayerVersion",
    "GetLayerVersionByArn",
    "GetLayerVersionPolicy",
    "GetPolicy",
    "GetProvisionedConcurrencyConfig",
    "GetResourcePolicy",
    "GetRuntime",
    "GetRuntimeAlias",
    "GetRuntimeManagementConfig",
    "GetRuntimeVersion",
    "Invoke",
    "InvokeAsync",
    "InvokeWithResponseStream",
    "ListAliases",
    "ListCodeSigningConfigs",
    "ListEventSourceMappings",
    "ListFunctionEventInvokeConfigs",
    "ListFunctionUrlConfigs",
    "ListFunctions",
    "ListFunctionsByCodeSigningConfig",
    "ListLayerVersions",
    "ListLayers",
    "ListProvisionedConcurrencyConfigs",
    "ListRuntimeAliases",
    "ListRuntimeVersions",
    "ListRuntimes",
    "ListTags",
    "ListVersionsByFunction",
    "PublishLayerVersion",
    "PublishVersion",
    "PutFunctionCodeSigningConfig",
    "PutFunctionConcurrency",
    "PutFunctionEventInvokeConfig",
    "PutFunctionRecursionConfig",
    "PutFunctionScalingConfig",
    "PutProvisionedConcurrencyConfig",
    "PutResourcePolicy",
    "PutRuntimeManagementConfig",
    "RemoveLayerVersionPermission",
    "RemovePermission",
    "RestoreRuntime",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateCodeSigningConfig",
    "UpdateEventSourceMapping",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
    "UpdateFunctionEventInvokeConfig",
    "UpdateFunctionUrlConfig",
    "UpdateRuntime",
    "UpdateRuntimeAlias",
    "UpdateRuntimeVersion",
}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, registry.Handler]]:
    fresh: dict[str, registry.Handler] = {}
    monkeypatch.setattr(registry, "OPERATIONS", fresh)
    return fresh


async def _handler(ctx: Context, req: object) -> dict[str, object]:
    return {}


def test_every_operation_is_handled_or_has_a_reason(spec: ServiceSpec) -> None:
    core = ServiceSpec.load("lambda-core")
    assert HANDLED | set(registry.NOT_IMPLEMENTED) == {*spec.operations, *core.operations}
    assert not HANDLED & set(registry.NOT_IMPLEMENTED)


def test_no_operation_is_listed_twice() -> None:
    assert sum(len(names) for names in registry._FAMILIES.values()) == len(registry.NOT_IMPLEMENTED)


def test_the_decorator_registers(table: dict[str, registry.Handler]) -> None:
    assert registry.operation("GetFunction")(_handler) is _handler
    assert table == {"GetFunction": _handler}


def test_a_second_handler_is_refused(table: dict[str, registry.Handler]) -> None:
    registry.operation("GetFunction")(_handler)
    with pytest.raises(ValueError, match="two handlers"):
        registry.operation("GetFunction")(_handler)


def test_a_handler_for_what_is_listed_as_not_implemented_is_refused(table: dict[str, registry.Handler]) -> None:
    with pytest.raises(ValueError, match="not implemented"):
        registry.operation("GetCapacityProvider")(_handler)
