import pytest

from lamella.domain import quotas
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.errors import ValidationException
from lamella.domain.quotas import (
    QUOTAS,
    TIMEOUT,
    UPLOAD_REQUEST,
    ZIP_UPLOAD,
    LimitProfile,
    Quota,
    beyond_aws,
    check_combined_size,
    check_range,
)


def test_the_table_holds_every_quota_once_and_each_has_its_source() -> None:
    declared = [value for value in vars(quotas).values() if isinstance(value, Quota)]
    assert list(QUOTAS) == declared
    assert len({quota.name for quota in QUOTAS}) == len(QUOTAS)
    assert all(quota.source and quota.least <= quota.limit for quota in QUOTAS)


@pytest.mark.parametrize("value", [1, 900])
def test_limits_are_allowed(value: int) -> None:
    check_range(value, TIMEOUT, "timeout")


@pytest.mark.parametrize(("value", "bound"), [(0, "greater than or equal to 1"), (901, "less than or equal to 900")])
def test_outside_of_the_range(value: int, bound: str) -> None:
    with pytest.raises(ValidationException) as caught:
        check_range(value, TIMEOUT, "timeout")
    assert caught.value.message == (
        f"1 validation error detected: Value '{value}' at 'timeout' failed to satisfy constraint: "
        f"Member must have value {bound}"
    )


def test_combined_size() -> None:
    check_combined_size(262_144_000)
    with pytest.raises(InvalidParameterValueException, match="The actual size is 262144001 bytes"):
        check_combined_size(262_144_001)


def test_relaxed_limits_are_larger_and_the_others_stay() -> None:
    for quota in QUOTAS:
        assert LimitProfile.AWS.limit(quota) == quota.limit
        assert LimitProfile.RELAXED.limit(quota) == (quota.relaxed or quota.limit) >= quota.limit


def test_what_goes_beyond_aws_is_named() -> None:
    assert beyond_aws(TIMEOUT, 900) is None
    assert beyond_aws(TIMEOUT, 901) == "on AWS this would fail: function timeout: 901 s, where AWS allows 900 s"
    check_range(901, TIMEOUT, "timeout", LimitProfile.RELAXED)
    check_combined_size(262_144_001, LimitProfile.RELAXED)


def test_an_encoded_archive_of_the_relaxed_size_fits_into_a_request() -> None:
    assert ZIP_UPLOAD.relaxed is not None
    assert UPLOAD_REQUEST.relaxed is not None
    assert UPLOAD_REQUEST.relaxed > ZIP_UPLOAD.relaxed * 4 / 3
