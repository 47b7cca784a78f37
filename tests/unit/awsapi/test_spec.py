import pytest
from botocore.loaders import Loader

from lamella.awsapi.spec import ServiceSpec, _without_documentation


def test_the_pinned_model_is_lambdas(spec: ServiceSpec) -> None:
    assert spec.model.service_id == "Lambda"
    assert {"Invoke", "CreateFunction", "PublishLayerVersion"} <= set(spec.operations)


@pytest.mark.parametrize("service", ["lambda", "lambda-core"])
def test_the_model_is_what_botocore_itself_would_load(service: str) -> None:
    """Which looks for extras as well, of which the two have none."""
    whole = Loader(include_default_search_paths=True).load_service_model(service, "service-2")
    assert ServiceSpec.load(service)._definition == _without_documentation(whole)


def test_the_prose_is_dropped_and_members_named_like_it_are_kept() -> None:
    structure = {"type": "structure", "documentation": "prose", "members": {"documentation": {"shape": "S"}}}
    definition = {
        "metadata": {"protocol": "rest-json"},
        "operations": {},
        "shapes": {"S": {"type": "string"}, "X": structure},
    }
    spec = ServiceSpec(_without_documentation(definition), "made")
    shape = spec.model.shape_for("X")
    assert list(shape.members) == ["documentation"]
    assert shape.documentation == ""


def test_the_digest_changes_with_the_model() -> None:
    def digest(kind: str) -> str:
        shapes = {"S": {"type": kind}}
        return ServiceSpec({"metadata": {"protocol": "rest-json"}, "operations": {}, "shapes": shapes}, "made").digest

    assert digest("string") == digest("string")
    assert digest("string") != digest("integer")


def test_declared_errors(spec: ServiceSpec) -> None:
    declared = spec.declared_errors("GetFunction")
    assert "ResourceNotFoundException" in declared
    assert "InvalidZipFileException" not in declared
