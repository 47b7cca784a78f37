"""Requests that AWS publishes as examples pass our constraints."""

from typing import Any

import pytest
from botocore.loaders import Loader

from lamella.awsapi.spec import ServiceSpec
from lamella.awsapi.validate import Validator
from lamella.domain.errors import ValidationException

VALIDATOR = Validator(ServiceSpec.load())
EXAMPLES = [
    pytest.param(operation, example["input"], id=f"{operation}-{example['title']}")
    for operation, examples in Loader().load_service_model("lambda", "examples-1")["examples"].items()
    for example in examples
]


@pytest.mark.parametrize(("operation", "params"), EXAMPLES)
def test_a_published_example_is_valid(operation: str, params: dict[str, Any]) -> None:
    if params.get("UUID") == "1234xCy789012":  # AWS's own example breaks AWS's own constraint
        with pytest.raises(ValidationException, match="uUID"):
            VALIDATOR.validate(operation, params)
        return
    VALIDATOR.validate(operation, params)
