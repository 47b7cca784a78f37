import pytest

from lamella.domain._api_errors import InvalidParameterValueException, ResourceNotFoundException
from lamella.domain.errors import AccessDeniedException, ValidationException
from lamella.domain.function import FunctionKey
from lamella.domain.layer import LayerKey
from lamella.domain.names import FunctionReference, parse_layer, parse_layer_version

ACCOUNT, REGION = "123456789012", "eu-central-1"
KEY = FunctionKey(ACCOUNT, REGION, "my-f_1")
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:my-f_1"


def parse(text: str, qualifier: str | None = None) -> FunctionReference:
    return FunctionReference.parse(text, account=ACCOUNT, region=REGION, qualifier=qualifier)


@pytest.mark.parametrize("qualifier", [None, "$LATEST", "7", "live", "$LATEST.PUBLISHED"])
@pytest.mark.parametrize(
    "name",
    ["my-f_1", "function:my-f_1", f"{ACCOUNT}:function:my-f_1", f"{ACCOUNT}:my-f_1", f"{REGION}:my-f_1", ARN],
)
def test_every_form_means_the_same(name: str, qualifier: str | None) -> None:
    expected = FunctionReference(KEY, qualifier)
    assert parse(name, qualifier) == expected
    if qualifier is not None:
        assert parse(f"{name}:{qualifier}") == expected
        assert parse(f"{name}:{qualifier}", qualifier) == expected
        with pytest.raises(
            InvalidParameterValueException, match=r"^The derived qualifier from the function name does not "
        ):
            parse(f"{name}:{qualifier}", "8")


@pytest.mark.parametrize(
    ("qualifier", "version"), [(None, "$LATEST"), ("$LATEST", "$LATEST"), ("7", "7"), ("live", None), ("7a", None)]
)
def test_a_qualifier_is_a_version_or_can_only_be_an_alias(qualifier: str | None, version: str | None) -> None:
    assert FunctionReference(KEY, qualifier).version == version


def test_the_arn_ends_in_what_the_caller_gave() -> None:
    assert parse("my-f_1").arn == ARN
    assert parse("my-f_1:live").arn == f"{ARN}:live"


@pytest.mark.parametrize("text", ["", "a b", "a:b:c:d", f"{ARN}:1:2", ARN.replace("lambda", "s3"), "f:", "f:$OTHER"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValidationException, match=r"^1 validation error detected: Value '.*' at 'functionName'"):
        parse(text)


def test_regions_and_accounts_are_kept_apart() -> None:
    with pytest.raises(ResourceNotFoundException) as region:
        parse(ARN.replace(REGION, "us-gov-west-1"))
    text = f"Functions from 'us-gov-west-1' are not reachable in this region ('{REGION}')"
    assert region.value.message == text
    with pytest.raises(
        AccessDeniedException, match=r"lambda:InvokeFunction on resource: .*:999999999999:function:my-f_1 "
    ):
        parse(ARN.replace(ACCOUNT, "999999999999"))
    foreign = FunctionReference.parse(
        ARN.replace(ACCOUNT, "999999999999"), account=ACCOUNT, region=REGION, qualifier="live", foreign=True
    )
    assert foreign == FunctionReference(FunctionKey("999999999999", REGION, "my-f_1"), "live")


def test_layers() -> None:
    own = LayerKey(ACCOUNT, REGION, "l_1")
    assert parse_layer("l_1", account=ACCOUNT, region=REGION) == own
    assert parse_layer(own.arn(), account="999999999999", region="us-east-1") == own
    assert parse_layer_version(own.arn(12)) == (own, 12)


@pytest.mark.parametrize("text", ["", "l:1", "arn:aws:lambda:eu-central-1:123456789012:layer:l:1", "l.1"])
def test_what_is_no_layer(text: str) -> None:
    with pytest.raises(ValidationException, match="at 'layerName' failed"):
        parse_layer(text, account=ACCOUNT, region=REGION)


@pytest.mark.parametrize("text", ["l:1", "l", "arn:aws:lambda:eu-central-1:123456789012:layer:l", ARN])
def test_what_is_no_layer_version(text: str) -> None:
    with pytest.raises(ValidationException, match="at 'arn' failed"):
        parse_layer_version(text)
