"""The pinned model of the service, as botocore ships it.

Loaded without `botocore.session`, which would cost a second of start-up and tens of megabytes.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Self

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

_MODEL: Final = "service-2"


class ServiceSpec:
    """Operations and shapes of one service.

    Attributes:
        model: botocore's view of it. Its classes carry no types: what comes out of them is `Any`.
        operations: Every operation by name, in the model's order.
    """

    def __init__(self, definition: Mapping[str, Any], service: str) -> None:
        self._definition = definition
        self.model = ServiceModel(definition, service)
        self.operations: Mapping[str, OperationModel] = MappingProxyType(
            {name: self.model.operation_model(name) for name in self.model.operation_names}
        )

    @classmethod
    def load(cls, service: str = "lambda") -> Self:
        """Read the newest API version of `service` from the installed botocore."""
        # `load_service_model` would look through the directories of all services, for 35 ms of each start.
        loader = Loader(include_default_search_paths=True)
        version = loader.determine_latest_version(service, _MODEL)
        return cls(_without_documentation(loader.load_data(f"{service}/{version}/{_MODEL}")), service)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the model without its prose: changes exactly when the wire may have changed."""
        text = json.dumps(self._definition, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def declared_errors(self, operation: str) -> frozenset[str]:
        """Names of the errors that `operation` declares."""
        return frozenset(shape.name for shape in self.operations[operation].error_shapes)


def _without_documentation(node: Any) -> Any:  # JSON of any shape
    """The same tree without its prose, which is most of the model's memory."""
    if isinstance(node, dict):
        # A structure may have a member called "documentation": only the prose, a string, is left out.
        return {
            key: _without_documentation(value)
            for key, value in node.items()
            if not (key == "documentation" and isinstance(value, str))
        }
    if isinstance(node, list):
        return [_without_documentation(value) for value in node]
    return node
