from datetime import date

import pytest
from botocore.loaders import Loader

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.function import Architecture, FunctionConfig
from lamella.domain.runtimes import (
    RUNTIMES,
    SNAP_START,
    check_runtime,
    kept_runtime,
    runtime_digest,
    runtime_version_arn,
)

TODAY = date(2026, 11, 20)


def test_the_table_is_the_model_s() -> None:
    model = Loader().load_service_model("lambda", "service-2")
    assert list(RUNTIMES) == model["shapes"]["Runtime"]["enum"]
    assert RUNTIMES.keys() > SNAP_START


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=lambda runtime: runtime.name)
def test_blocks_come_in_order(runtime: object) -> None:
    one = RUNTIMES[runtime.name]  # type: ignore[attr-defined]  # a parameter of the test
    if one.create_blocked_on is not None:
        assert one.update_blocked_on is not None
        assert one.create_blocked_on <= one.update_blocked_on


def allowed(name: str, today: date = TODAY, *, creating: bool = True, architecture: str = "x86_64") -> bool:
    try:
        check_runtime(name, Architecture(architecture), today, creating=creating)
    except InvalidParameterValueException:
        return False
    return True


@pytest.mark.parametrize(
    "name", ["python3.11", "python3.14", "provided.al2", "provided.al2023", "nodejs24.x", "java25", "ruby4.0"]
)
def test_offered_in_november_2026(name: str) -> None:
    assert allowed(name)


@pytest.mark.parametrize("name", ["provided", "python2.7", "python3.7", "nodejs14.x", "go1.x", "java8", "ruby2.7"])
def test_blocked_in_november_2026(name: str) -> None:
    assert not allowed(name)


def test_provided_can_still_be_updated_until_its_second_date() -> None:
    assert allowed("provided", creating=False)
    assert allowed("provided", date(2027, 3, 2), creating=False)
    assert not allowed("provided", date(2027, 3, 3), creating=False)


def test_a_block_begins_on_its_day() -> None:
    assert allowed("provided.al2", date(2027, 1, 31))
    assert not allowed("provided.al2", date(2027, 2, 1))


def test_the_first_amazon_linux_is_x86_64_alone() -> None:
    with pytest.raises(InvalidParameterValueException, match=r"^Runtime provided does not support .* \[arm64\]"):
        check_runtime("provided", Architecture.ARM64, TODAY, creating=True, allow_deprecated=True)
    assert allowed("provided.al2", architecture="arm64")


def test_an_unknown_one_is_told_what_is_offered() -> None:
    with pytest.raises(InvalidParameterValueException) as caught:
        check_runtime("PYTHON3.11", Architecture.X86_64, TODAY, creating=True)
    assert caught.value.message.startswith("Value PYTHON3.11 at 'runtime' failed to satisfy constraint: ")
    assert "python3.11" in caught.value.message
    assert "python3.7" not in caught.value.message


def test_a_version_of_a_runtime_has_a_name_in_each_region() -> None:
    arn = runtime_version_arn("eu-west-1", "a" * 64)
    assert arn == f"arn:aws:lambda:eu-west-1::runtime:{'a' * 64}"
    assert runtime_digest(arn, "eu-west-1") == "a" * 64
    for other in (f"{arn}0", arn[:-1], arn.replace("a" * 64, "A" * 64), arn.replace("::", ":123456789012:"), ""):
        assert runtime_digest(other, "eu-west-1") is None
    assert runtime_digest(arn, "eu-west-2") is None


def test_a_function_keeps_its_runtime_only_if_it_says_so() -> None:
    def kept(**other: str) -> str | None:
        return kept_runtime(FunctionConfig("r", "python3.11", "m.h", other=other))

    arn = runtime_version_arn("eu-west-1", "a" * 64)
    assert kept() is None
    assert kept(RuntimeVersionArn=arn) is None
    assert kept(RuntimeVersionArn=arn, UpdateRuntimeOn="Manual") == "a" * 64
    assert kept(RuntimeVersionArn=arn, UpdateRuntimeOn="FunctionUpdate") == "a" * 64
