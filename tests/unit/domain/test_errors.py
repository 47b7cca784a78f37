import pytest

from lamella.domain import errors
from lamella.domain._api_errors import TooManyRequestsException


def test_members_that_are_not_given_are_not_sent() -> None:
    error = TooManyRequestsException("slow down", reason="CallerRateLimitExceeded")
    assert error.members == {"Reason": "CallerRateLimitExceeded"}
    assert str(error) == error.message == "slow down"


def test_the_common_errors_are_told_apart_by_their_code() -> None:
    codes = [error.code for error in errors.COMMON_ERRORS]
    assert len(set(codes)) == len(codes)


def test_every_common_error_is_listed() -> None:
    declared = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.ApiError) and value is not errors.ApiError
    }
    assert declared == errors.COMMON_ERRORS


def test_an_operation_that_is_not_implemented_names_its_reason() -> None:
    error = errors.OperationNotImplementedError("GetAlias", "no aliases")
    assert (error.operation, error.reason) == ("GetAlias", "no aliases")
    assert error.message == "Lamella does not implement GetAlias yet: no aliases. See docs/reference/operations.md."


@pytest.mark.parametrize("member", list(errors.FunctionErrorType))
def test_function_error_types_say_who_failed(member: errors.FunctionErrorType) -> None:
    who, _, what = member.value.partition(".")
    assert who in {"Runtime", "Function", "Sandbox", "Extension"}
    assert what.isalpha()
