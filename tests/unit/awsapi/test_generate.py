from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lamella.awsapi import _core_types, _types, generate
from lamella.awsapi.registry import NOT_IMPLEMENTED
from lamella.awsapi.spec import ServiceSpec
from lamella.domain import _api_errors
from lamella.domain.errors import ApiError


def test_the_committed_modules_are_what_the_model_says(spec: ServiceSpec) -> None:
    for path, text in generate.generated(spec, ServiceSpec.load("lambda-core")).items():
        assert path.read_text() == text, f"run python -m lamella.awsapi.generate: {path.name} is stale"


def test_every_error_of_the_model_has_a_class(spec: ServiceSpec) -> None:
    for shape in spec.model.error_shapes:
        error = getattr(_api_errors, shape.name)
        assert issubclass(error, ApiError)
        assert (error.code, error.status) == (shape.error_code, shape.metadata["error"]["httpStatusCode"])
        assert error.fault == ("client" if error.status < 500 else "server")
        assert error.message_member in shape.members
        assert error("x").message == "x"


@pytest.mark.parametrize(("service", "types"), [("lambda", _types), ("lambda-core", _core_types)])
def test_every_implemented_operation_has_its_types(service: str, types: ModuleType) -> None:
    spec = ServiceSpec.load(service)
    for name in set(spec.operations) - set(NOT_IMPLEMENTED):
        operation = spec.operations[name]
        for shape in (operation.input_shape, operation.output_shape):
            if shape is not None:
                typed = getattr(types, shape.name)
                assert list(typed.__annotations__) == list(shape.members)
                assert typed.__required_keys__ == frozenset(shape.required_members)


def test_names_become_python_names() -> None:
    assert [generate._snake(name) for name in ("Reason", "retryAfterSeconds", "EC2ErrorCode")] == [
        "reason",
        "retry_after_seconds",
        "ec2_error_code",
    ]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "domain").mkdir()
    (tmp_path / "awsapi").mkdir()
    monkeypatch.setattr(generate, "_PACKAGE", tmp_path)
    return tmp_path


def test_check_writes_nothing_and_tells_what_is_stale(modules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 1
    assert not list(modules.rglob("*.py"))
    assert "_api_errors.py differs" in capsys.readouterr().err


def test_write_then_check(modules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (modules / "awsapi" / "_types.py").write_text("")
    assert generate.main(["--check"]) == 1
    assert "_types.py differs" in capsys.readouterr().err


def made_types(made_spec: Callable[..., ServiceSpec], shapes: dict[str, Any]) -> str:
    take = {"members": {"All": {"shape": "All"}}}
    return generate.types_module(made_spec(uri="/do", shapes=shapes, take=take))


def test_types_of_every_kind(made_spec: Callable[..., ServiceSpec]) -> None:
    text = made_types(
        made_spec,
        {
            "T": {"type": "timestamp"},
            "L": {"type": "list", "member": {"shape": "T"}},
            "M": {"type": "map", "key": {"shape": "S"}, "value": {"shape": "L"}},
            "Exception": {"type": "structure", "members": {}},
            "All": {
                "type": "structure",
                "required": ["M"],
                "members": {"M": {"shape": "M"}, "E": {"shape": "Exception"}},
            },
        },
    )
    assert "from datetime import datetime\n" in text
    assert "    M: Required[dict[str, list[datetime]]]\n    E: Exception\n" in text
    assert "class Exception(TypedDict, total=False):  # noqa: A001 - AWS's name\n    pass\n" in text


def test_structures_that_refer_to_themselves_are_refused_loudly(made_spec: Callable[..., ServiceSpec]) -> None:
    with pytest.raises(NotImplementedError, match="All refers to itself"):
        made_types(made_spec, {"All": {"type": "structure", "members": {"All": {"shape": "All"}}}})


def test_errors_with_further_members_that_are_no_text_are_refused_loudly(made_spec: Callable[..., ServiceSpec]) -> None:
    shapes = {
        "N": {"type": "integer"},
        "Bad": {
            "type": "structure",
            "exception": True,
            "error": {"httpStatusCode": 400},
            "members": {"message": {"shape": "S"}, "Count": {"shape": "N"}},
        },
    }
    with pytest.raises(NotImplementedError, match="as text only"):
        generate.errors_module(made_spec(shapes=shapes))
