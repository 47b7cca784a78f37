from collections.abc import Callable
from typing import Any

import pytest

from lamella.awsapi.spec import ServiceSpec


@pytest.fixture(scope="session")
def spec() -> ServiceSpec:
    return ServiceSpec.load()


@pytest.fixture(scope="session")
def made_spec() -> Callable[..., ServiceSpec]:
    """Makes a spec of one operation `Do`, `POST /do/{Name}`, for what Lambda's model has no example of."""

    def make(
        *,
        shapes: dict[str, Any] | None = None,
        take: dict[str, Any] | None = None,
        give: dict[str, Any] | None = None,
        uri: str = "/do/{Name}",
        status: int = 200,
    ) -> ServiceSpec:
        operation: dict[str, Any] = {
            "name": "Do",
            "http": {"method": "POST", "requestUri": uri, "responseCode": status},
        }
        all_shapes = {"S": {"type": "string"}, **(shapes or {})}
        if take is not None:
            all_shapes["In"] = {"type": "structure", **take}
            operation["input"] = {"shape": "In"}
        if give is not None:
            all_shapes["Out"] = {"type": "structure", **give}
            operation["output"] = {"shape": "Out"}
        definition = {
            "metadata": {"protocol": "rest-json", "endpointPrefix": "made", "serviceId": "made"},
            "operations": {"Do": operation},
            "shapes": all_shapes,
        }
        return ServiceSpec(definition, "made")

    return make
