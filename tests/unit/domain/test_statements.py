import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.domain._api_errors import (
    InvalidParameterValueException,
    PolicyLengthExceededException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamella.domain.policy import Policy
from lamella.domain.statements import dump, function_statement, layer_statement, with_statement, without_statement

ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
LAYER = "arn:aws:lambda:us-east-1:123456789012:layer:l:1"
GIVEN = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"}
START = f'{{"Sid":"s","Effect":"Allow","Principal":%s,"Action":"%s","Resource":"{ARN}"'


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"Principal": "s3.amazonaws.com"}, START % ('{"Service":"s3.amazonaws.com"}', GIVEN["Action"]) + "}"),
        (
            {"Principal": "210987654321"},
            START % ('{"AWS":"arn:aws:iam::210987654321:root"}', GIVEN["Action"]) + "}",
        ),
        (
            {"Principal": "arn:aws:iam::210987654321:user/u"},
            START % ('{"AWS":"arn:aws:iam::210987654321:user/u"}', GIVEN["Action"]) + "}",
        ),
        (
            {"Principal": "alexa-connectedhome.amazon.com", "EventSourceToken": "t"},
            START % ('{"Service":"alexa-connectedhome.amazon.com"}', GIVEN["Action"])
            + ',"Condition":{"StringEquals":{"lambda:EventSourceToken":"t"}}}',
        ),
        (
            {
                "Action": "lambda:InvokeFunctionUrl",
                "PrincipalOrgID": "o-1234567890",
                "SourceArn": "arn:aws:s3:::b",
                "SourceAccount": "123456789012",
                "FunctionUrlAuthType": "NONE",
            },
            START
            % ('"*"', "lambda:InvokeFunctionUrl")
            + ',"Condition":{"StringEquals":{"AWS:SourceAccount":"123456789012","lambda:FunctionUrlAuthType":"NONE",'
            '"aws:PrincipalOrgID":"o-1234567890"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::b"}}}',
        ),
        (
            {"InvokedViaFunctionUrl": True},
            START % ('"*"', GIVEN["Action"]) + ',"Condition":{"Bool":{"lambda:InvokedViaFunctionUrl":"true"}}}',
        ),
        ({"InvokedViaFunctionUrl": False}, START % ('"*"', GIVEN["Action"]) + "}"),
    ],
)
def test_statements_are_written_as_by_aws(given_: dict[str, Any], expected: str) -> None:
    """LocalStack's recordings of AWS, 2024: TestLambdaPermissions::test_add_lambda_permission_fields."""
    assert dump(function_statement(ARN, {**GIVEN, **given_})) == expected


@pytest.mark.parametrize(
    ("members", "principal", "condition"),
    [
        ({"Principal": "*"}, '"*"', ""),
        ({"Principal": "210987654321"}, '{"AWS":"arn:aws:iam::210987654321:root"}', ""),
        (
            {"Principal": "*", "OrganizationId": "o-t194hfs8cz"},
            '"*"',
            ',"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-t194hfs8cz"}}',
        ),
    ],
)
def test_statements_of_layers(members: dict[str, Any], principal: str, condition: str) -> None:
    """Lambda developer guide, "Granting layer access to other accounts"."""
    written = dump(layer_statement(LAYER, {"StatementId": "s", "Action": "lambda:GetLayerVersion", **members}))
    assert written == (
        f'{{"Sid":"s","Effect":"Allow","Principal":{principal},"Action":"lambda:GetLayerVersion",'
        f'"Resource":"{LAYER}"{condition}}}'
    )


@pytest.mark.parametrize(
    "principal", ["nobody", "1234", "invalid.nonaws.com", "arn:aws:s3:::b", "arn:aws:iam::1:root", "o-1234567890", ""]
)
def test_what_is_no_principal(principal: str) -> None:
    with pytest.raises(InvalidParameterValueException) as caught:
        function_statement(ARN, {**GIVEN, "Principal": principal})
    assert caught.value.message == "The provided principal was invalid. Please check the principal and try again."


def test_conditions_that_do_not_go_with_the_rest() -> None:
    with pytest.raises(InvalidParameterValueException) as caught:
        function_statement(ARN, {**GIVEN, "FunctionUrlAuthType": "NONE"})
    assert caught.value.message == "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
    with pytest.raises(InvalidParameterValueException):
        layer_statement(LAYER, {**GIVEN, "Principal": "210987654321", "OrganizationId": "o-1234567890"})


def test_statements_come_and_go() -> None:
    first, second = (function_statement(ARN, {**GIVEN, "StatementId": sid}) for sid in ("a", "b"))
    one = with_statement(None, first)
    assert one == {"Version": "2012-10-17", "Id": "default", "Statement": [first]}
    both = with_statement(one, second)
    assert both["Statement"] == [first, second]
    with pytest.raises(ResourceConflictException) as conflict:
        with_statement(both, second)
    assert conflict.value.message == (
        "The statement id (b) provided already exists. "
        "Please provide a new statement id, or remove the existing statement."
    )
    rest = without_statement(both, "a")
    assert rest is not None
    assert rest["Statement"] == [second]
    with pytest.raises(ResourceNotFoundException, match=r"^Statement a is not found in resource policy\.$"):
        without_statement(rest, "a")
    assert without_statement(rest, "b") is None
    with pytest.raises(ResourceNotFoundException, match=r"^No policy is associated with the given resource\.$"):
        without_statement(None, "b")


def test_a_document_of_a_single_statement_can_be_added_to() -> None:
    bare = {"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}}
    both = with_statement(bare, function_statement(ARN, GIVEN))
    assert [statement["Effect"] for statement in both["Statement"]] == ["Deny", "Allow"]
    assert without_statement(both, "s") == {"Statement": [bare["Statement"]]}


def test_a_policy_has_20_kilobytes() -> None:
    document: dict[str, Any] | None = None
    refusal = ""
    number = 0
    while not refusal:
        number += 1
        try:
            document = with_statement(document, function_statement(ARN, {**GIVEN, "StatementId": f"s{number}"}))
        except PolicyLengthExceededException as error:
            refusal = error.message
    kept = len(dump(document or {}))
    more = len(dump(function_statement(ARN, {**GIVEN, "StatementId": f"s{number}"}))) + 1
    assert kept <= 20_480 < kept + more
    assert refusal == f"The final policy size ({kept + more}) is bigger than the limit (20480)."


_ALNUM = string.ascii_letters + string.digits
_REQUESTS = st.fixed_dictionaries(
    {
        "StatementId": st.text(_ALNUM + "-_", min_size=1, max_size=20),
        "Action": st.from_regex(r"lambda:[*]|lambda:[a-zA-Z]+|[*]", fullmatch=True),
        "Principal": st.from_regex(r"[^\s]{1,30}", fullmatch=True)
        | st.sampled_from(["*", "210987654321", "s3.amazonaws.com"])
        | st.from_regex(r"arn:aws:(iam|sts)::[0-9]{12}:[^\s]{1,10}", fullmatch=True),
    },
    optional={
        "SourceArn": st.from_regex(r"arn:(aws[a-z]*):([a-zA-Z0-9\-])+::(\d{12})?:(.{0,20})", fullmatch=True),
        "SourceAccount": st.from_regex(r"[0-9]{12}", fullmatch=True),
        "EventSourceToken": st.from_regex(r"[a-zA-Z0-9._\-]+", fullmatch=True),
        "PrincipalOrgID": st.from_regex(r"o-[a-z0-9]{10,32}", fullmatch=True),
        "InvokedViaFunctionUrl": st.booleans(),
    },
)


@given(_REQUESTS)
def test_what_is_kept_can_always_be_read(request: dict[str, Any]) -> None:
    """A policy that was accepted and could not be evaluated would keep the server from starting."""
    try:
        document = with_statement(None, function_statement(ARN, request))
    except InvalidParameterValueException:
        return
    Policy.parse(json.loads(dump(document)))
