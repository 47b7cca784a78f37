import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lamella.domain.policy import KEYS, Access, Caller, Decision, Policy, PolicyError, _glob, decide, read

OWNER, OTHER, THIRD = "123456789012", "210987654321", "333333333333"
ARN = f"arn:aws:lambda:eu-central-1:{OWNER}:function:f"
ORGANIZATION = "o-a1b2c3d4e5"
SOURCE = f"arn:aws:s3:::bucket-{OWNER}"


def statement(**members: Any) -> dict[str, Any]:
    """Lets everybody invoke the function; `None` takes an element away."""
    start = {"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": ARN}
    return {name: value for name, value in {**start, **members}.items() if value is not None}


def policy(*statements: dict[str, Any]) -> Policy:
    return Policy.parse({"Version": "2012-10-17", "Id": "default", "Statement": list(statements)})


def access(
    caller: Caller | None = None, *, action: str = "lambda:InvokeFunction", resource: str = ARN, **context: str
) -> Access:
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    return Access(caller or Caller(OTHER), action, resource, keys)


def allows(asked: Access, **members: Any) -> bool:
    return policy(statement(**members)).decide(asked) is Decision.ALLOWED


USER = f"arn:aws:iam::{OTHER}:user/u"
ANYBODY = Caller()
ACCOUNT, ACCOUNT_USER, ELSEWHERE = Caller(OTHER), Caller(OTHER, arn=USER), Caller(THIRD)
S3 = Caller(service="s3.amazonaws.com")


@pytest.mark.parametrize(
    ("principal", "in_", "out"),
    [
        ("*", [ANYBODY, ACCOUNT, ACCOUNT_USER, ELSEWHERE, S3], []),
        ({"AWS": "*"}, [ANYBODY, ACCOUNT, S3], []),
        ({"AWS": ["*"]}, [ANYBODY, ACCOUNT, S3], []),
        ({"AWS": OTHER}, [ACCOUNT, ACCOUNT_USER], [ANYBODY, ELSEWHERE, S3]),
        ({"AWS": f"arn:aws:iam::{OTHER}:root"}, [ACCOUNT, ACCOUNT_USER], [ANYBODY, ELSEWHERE, S3]),
        ({"AWS": f"arn:aws-cn:iam::{OTHER}:root"}, [ACCOUNT], [ANYBODY, ELSEWHERE]),
        ({"AWS": [THIRD, OTHER]}, [ACCOUNT, ELSEWHERE], [ANYBODY, S3]),
        # Somebody of the account who is not known is not that user.
        ({"AWS": USER}, [ACCOUNT_USER], [ANYBODY, ACCOUNT, ELSEWHERE, S3]),
        ({"AWS": [USER, THIRD]}, [ACCOUNT_USER, ELSEWHERE], [ACCOUNT]),
        ({"Service": "s3.amazonaws.com"}, [S3], [ANYBODY, ACCOUNT, Caller(service="sns.amazonaws.com")]),
        ({"Service": ["sns.amazonaws.com", "s3.amazonaws.com"], "AWS": OTHER}, [S3, ACCOUNT], [ELSEWHERE, ANYBODY]),
        ({"Federated": "cognito-identity.amazonaws.com"}, [], [ANYBODY, ACCOUNT, S3]),
        ({"CanonicalUser": "79a59df900b949e5"}, [], [ANYBODY, ACCOUNT, S3]),
    ],
)
def test_principals(principal: Any, in_: list[Caller], out: list[Caller]) -> None:
    for caller in in_:
        assert allows(access(caller), Principal=principal), caller
    for caller in out:
        assert not allows(access(caller), Principal=principal), caller


@pytest.mark.parametrize(
    ("elements", "action", "matches"),
    [
        ({"Action": "lambda:InvokeFunction"}, "lambda:InvokeFunction", True),
        ({"Action": "LAMBDA:invokefunction"}, "lambda:InvokeFunction", True),
        ({"Action": "lambda:InvokeFunction"}, "lambda:InvokeFunctionUrl", False),
        ({"Action": "lambda:Invoke*"}, "lambda:InvokeFunctionUrl", True),
        ({"Action": "lambda:*"}, "lambda:GetFunction", True),
        ({"Action": "*"}, "lambda:GetFunction", True),
        ({"Action": ["lambda:GetPolicy", "lambda:GetFunction"]}, "lambda:GetFunction", True),
        ({"Action": "lambda:Get?unction"}, "lambda:GetFunction", True),
        ({"Action": "s3:*"}, "lambda:GetFunction", False),
        ({"Action": None, "NotAction": "lambda:Get*"}, "lambda:GetFunction", False),
        ({"Action": None, "NotAction": "lambda:Get*"}, "lambda:ListTags", True),
    ],
)
def test_actions(elements: dict[str, Any], action: str, matches: bool) -> None:
    assert allows(access(action=action), **elements) is matches


@pytest.mark.parametrize(
    ("elements", "resource", "matches"),
    [
        ({}, ARN, True),
        # Who names a qualifier needs a statement about it, and the other way round.
        ({}, f"{ARN}:live", False),
        ({"Resource": f"{ARN}:live"}, ARN, False),
        ({"Resource": f"{ARN}:live"}, f"{ARN}:live", True),
        ({"Resource": f"{ARN}:*"}, f"{ARN}:7", True),
        ({"Resource": f"{ARN}:*"}, ARN, False),
        ({"Resource": [ARN, f"{ARN}:*"]}, ARN, True),
        ({"Resource": "*"}, ARN, True),
        ({"Resource": ARN}, ARN.replace(":f", ":F"), False),
        ({"Resource": None, "NotResource": f"{ARN}:*"}, ARN, True),
        ({"Resource": None, "NotResource": f"{ARN}:*"}, f"{ARN}:1", False),
    ],
)
def test_resources(elements: dict[str, Any], resource: str, matches: bool) -> None:
    assert allows(access(resource=resource), **elements) is matches


MEMBER = Caller(OTHER, ORGANIZATION)


@pytest.mark.parametrize(
    ("condition", "asked", "matches"),
    [
        ({"StringEquals": {"aws:PrincipalOrgID": ORGANIZATION}}, access(MEMBER), True),
        ({"StringEquals": {"AWS:principalORGid": ORGANIZATION}}, access(MEMBER), True),
        ({"StringEquals": {"aws:PrincipalOrgID": ORGANIZATION}}, access(Caller(OTHER, "o-zzzzzzzzzz")), False),
        ({"StringEquals": {"aws:PrincipalOrgID": ORGANIZATION}}, access(Caller(OTHER)), False),
        ({"StringEquals": {"aws:PrincipalOrgID": ["o-zzzzzzzzzz", ORGANIZATION]}}, access(MEMBER), True),
        ({"StringEqualsIfExists": {"aws:PrincipalOrgID": ORGANIZATION}}, access(Caller(OTHER)), True),
        ({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-zzzzzzzzzz"}}, access(MEMBER), False),
        ({"StringNotEquals": {"aws:PrincipalOrgID": ORGANIZATION}}, access(MEMBER), False),
        ({"StringNotEquals": {"aws:PrincipalOrgID": ["o-zzzzzzzzzz", ORGANIZATION]}}, access(MEMBER), False),
        ({"StringNotEquals": {"aws:PrincipalOrgID": ORGANIZATION}}, access(Caller(OTHER)), True),
        ({"StringEquals": {"aws:PrincipalAccount": OTHER}}, access(), True),
        ({"StringLike": {"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:*"}}, access(), True),
        ({"StringNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{OTHER}:*"}}, access(), False),
        ({"StringEqualsIgnoreCase": {"aws:PrincipalOrgID": ORGANIZATION.upper()}}, access(MEMBER), True),
        ({"StringNotEqualsIgnoreCase": {"aws:PrincipalOrgID": ORGANIZATION.upper()}}, access(MEMBER), False),
        ({"ArnLike": {"AWS:SourceArn": SOURCE}}, access(S3, aws__sourcearn=SOURCE), True),
        ({"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket-*"}}, access(S3, aws__sourcearn=SOURCE), True),
        ({"ArnEquals": {"AWS:SourceArn": "arn:aws:s3:::bucket-*"}}, access(S3, aws__sourcearn=SOURCE), True),
        ({"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::x"}}, access(S3, aws__sourcearn=SOURCE), False),
        ({"ArnLike": {"AWS:SourceArn": SOURCE}}, access(), False),
        # A wildcard does not reach over the colon between two parts.
        ({"ArnLike": {"AWS:SourceArn": "arn:aws:*:::x"}}, access(S3, aws__sourcearn="arn:aws:s3:a:b:x"), False),
        ({"ArnLike": {"AWS:SourceArn": "arn:*:*:*:*:a*z"}}, access(aws__sourcearn="arn:aws:s3:::a:b:z"), True),
        ({"ArnLike": {"AWS:SourceArn": "*"}}, access(aws__sourcearn="no arn"), True),
        ({"ArnLike": {"AWS:SourceArn": "arn:*:*:*:*:*"}}, access(aws__sourcearn="no arn"), False),
        ({"ArnNotLike": {"AWS:SourceArn": SOURCE}}, access(S3, aws__sourcearn=SOURCE), False),
        ({"ArnNotEquals": {"AWS:SourceArn": SOURCE}}, access(), True),
        ({"StringEquals": {"AWS:SourceAccount": OWNER}}, access(S3, aws__sourceaccount=OWNER), True),
        ({"StringEquals": {"AWS:SourceAccount": OWNER}}, access(S3, aws__sourceaccount=OTHER), False),
        # Both have to hold.
        (
            {"StringEquals": {"AWS:SourceAccount": OWNER}, "ArnLike": {"AWS:SourceArn": SOURCE}},
            access(S3, aws__sourceaccount=OWNER),
            False,
        ),
        (
            {"StringEquals": {"AWS:SourceAccount": OWNER, "aws:PrincipalServiceName": "s3.amazonaws.com"}},
            access(S3, aws__sourceaccount=OWNER),
            True,
        ),
        ({"StringEquals": {"lambda:EventSourceToken": "t"}}, access(lambda__eventsourcetoken="t"), True),
        ({"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}, access(lambda__functionurlauthtype="NONE"), True),
        ({"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}, access(), False),
        ({"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}, access(lambda__invokedviafunctionurl="true"), True),
        ({"Bool": {"lambda:InvokedViaFunctionUrl": True}}, access(lambda__invokedviafunctionurl="True"), True),
        ({"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}, access(), False),
        ({"Bool": {"aws:PrincipalIsAWSService": "false"}}, access(), True),
        ({"Bool": {"aws:PrincipalIsAWSService": "true"}}, access(S3), True),
        ({"Null": {"aws:PrincipalOrgID": "true"}}, access(Caller(OTHER)), True),
        ({"Null": {"aws:PrincipalOrgID": "true"}}, access(MEMBER), False),
        ({"Null": {"aws:PrincipalOrgID": ["false"]}}, access(MEMBER), True),
        ({"Null": {"aws:PrincipalArn": "true"}}, access(ANYBODY), True),
        ({}, access(), True),
    ],
)
def test_conditions(condition: dict[str, Any], asked: Access, matches: bool) -> None:
    assert allows(asked, Condition=condition) is matches


class TestDecisions:
    def test_nobody_is_let_in_without_a_statement(self) -> None:
        assert policy(statement(Principal={"AWS": THIRD})).decide(access()) is Decision.SILENT
        assert decide((), access()) is Decision.SILENT

    @pytest.mark.parametrize("denial_first", [True, False])
    def test_a_denial_wins_wherever_it_stands(self, denial_first: bool) -> None:
        pair = [statement(), statement(Effect="Deny", Principal={"AWS": OTHER})]
        ordered = pair[::-1] if denial_first else pair
        assert policy(*ordered).decide(access()) is Decision.DENIED
        assert decide([policy(one) for one in ordered], access()) is Decision.DENIED
        assert policy(*ordered).decide(access(ELSEWHERE)) is Decision.ALLOWED

    def test_a_denial_of_all_but_some(self) -> None:
        denial = statement(Effect="Deny", Principal=None, NotPrincipal={"AWS": [OWNER, OTHER]})
        decisions = [policy(statement(), denial).decide(access(Caller(account))) for account in (OWNER, OTHER, THIRD)]
        assert decisions == [Decision.ALLOWED, Decision.ALLOWED, Decision.DENIED]

    def test_a_single_statement_needs_no_list(self) -> None:
        assert Policy.parse({"Statement": statement()}).decide(access()) is Decision.ALLOWED


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"Statement": []},
        {"Statement": "x"},
        {"Statement": ["x"]},
        {"Statement": [statement()], "Extra": 1},
        {"Statement": [statement()], "Id": ["i"]},
        {"Statement": [statement()], "Version": "2012-10-18"},
        {"Statement": [statement()], "Version": ["2012-10-17"]},
        {"Statement": [statement(Sid="a"), statement(Sid="a")]},
        {"Statement": [statement(Sid=1)]},
        *(
            {"Statement": [one]}
            for one in (
                statement(Effect="allow"),
                statement(Effect=None),
                statement(Effect=["Allow"]),
                statement(Extra="x"),
                statement(Principal=None),
                statement(Principal="everybody"),
                statement(Principal={}),
                statement(Principal={"Aws": OTHER}),
                statement(Principal={"AWS": []}),
                statement(Principal={"AWS": ""}),
                statement(Principal={"AWS": "12345678901"}),
                statement(Principal={"AWS": f"arn:aws:iam::{OTHER}:user/*"}),
                statement(Principal={"AWS": f"arn:aws:iam::{OTHER}:role/r?"}),
                statement(Principal={"AWS": 123456789012}),
                statement(NotPrincipal={"AWS": OTHER}),
                statement(Principal=None, NotPrincipal={"AWS": OTHER}),
                statement(Action=None),
                statement(Action=[]),
                statement(Action=7),
                statement(NotAction="lambda:*"),
                statement(Resource=None),
                statement(Resource={}),
                statement(NotResource="*"),
                statement(Condition=[]),
                statement(Condition={"StringEquals": "x"}),
                statement(Condition={"StringEquals": {"aws:PrincipalOrgID": 7}}),
                statement(Condition={"StringEquals": {"aws:PrincipalOrgID": []}}),
                statement(Condition={"StringEquals": {"aws:PrincipalOrgID": "${aws:PrincipalOrgID}"}}),
                statement(Condition={"StringEquals": {"aws:SourceVpce": "vpce-1"}}),
                statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
                statement(Condition={"NumericEquals": {"aws:PrincipalAccount": "1"}}),
                statement(Condition={"ForAnyValue:StringEquals": {"aws:PrincipalOrgID": "x"}}),
                statement(Condition={"NullIfExists": {"aws:PrincipalOrgID": "true"}}),
                statement(Condition={"Null": {"aws:PrincipalOrgID": "x"}}),
                statement(Condition={"Bool": {"lambda:InvokedViaFunctionUrl": "1"}}),
                statement(Condition={"ArnLike": {"AWS:SourceArn": "arn:aws:s3"}}),
            )
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        Policy.parse(document)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[]", '"x"', "null", '{"Id": NaN}', "[" * 20_000, "1" * 5000),
        '{"Statement": [], "Statement": []}',
        '{"a": {"b": 1, "b": 2}}',
    ],
)
def test_what_is_no_document(text: str) -> None:
    with pytest.raises(PolicyError):
        read(text)


def test_a_document_keeps_its_order() -> None:
    assert list(read('{"Version": "v", "Id": "i", "Statement": []}')) == ["Version", "Id", "Statement"]


class TestWildcards:
    @given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
    @example("a*a", "a")
    @example("ab*b*b", "abb")
    @example("*", "")
    @example("a*", "ba")
    def test_they_mean_what_they_mean_in_a_regular_expression(self, pattern: str, text: str) -> None:
        characters = {"*": ".*", "?": "."}
        expected = re.fullmatch("".join(characters.get(one, re.escape(one)) for one in pattern), text)
        assert _glob(pattern)(text) is (expected is not None)

    @given(st.text(max_size=20))
    def test_a_text_without_them_matches_itself_alone(self, text: str) -> None:
        pattern = text.replace("*", "x").replace("?", "x")
        assert _glob(pattern)(pattern)
        assert not _glob(pattern)(f"{pattern}x")

    def test_a_hostile_pattern_takes_no_time(self) -> None:
        """A regular expression of that kind would not end within the age of the universe."""
        assert not _glob("*a" * 2000 + "b")("a" * 1500)


# Elements as a hostile or careless author might write them.
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["*", OTHER, ARN, "Allow", "Deny"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_STATEMENTS = st.builds(
    lambda sound, odd: {**sound, **odd},
    st.just(statement()),
    st.dictionaries(
        st.sampled_from(["Sid", "Effect", "Principal", "NotPrincipal", "Action", "Resource", "Condition"]), _JSON
    ),
)
_CALLERS = st.sampled_from([ANYBODY, ACCOUNT, ACCOUNT_USER, ELSEWHERE, MEMBER, S3])


@given(st.lists(_STATEMENTS | _JSON, max_size=3), _CALLERS)
def test_whatever_is_given_is_refused_or_decides(statements: list[Any], caller: Caller) -> None:
    try:
        parsed = Policy.parse({"Statement": statements})
    except PolicyError:
        return
    assert parsed.decide(access(caller)) in Decision


_SOUND = st.builds(
    statement,
    Effect=st.sampled_from(["Allow", "Deny"]),
    Principal=st.sampled_from(["*", {"AWS": OTHER}, {"AWS": THIRD}, {"Service": "s3.amazonaws.com"}]),
    Action=st.sampled_from(["lambda:InvokeFunction", "lambda:GetFunction", "lambda:*"]),
    Resource=st.sampled_from([ARN, f"{ARN}:*", "*"]),
    Condition=st.dictionaries(
        st.sampled_from(["StringEquals", "StringNotEquals", "StringLike", "StringEqualsIfExists"]),
        st.dictionaries(st.sampled_from(sorted(KEYS)), st.sampled_from([ORGANIZATION, OTHER, "*"]), max_size=2),
        max_size=2,
    ),
)


@given(st.lists(_SOUND, min_size=1, max_size=5), _SOUND, _CALLERS)
def test_adding_statements_keeps_the_order_of_decisions(
    statements: list[dict[str, Any]], more: dict[str, Any], caller: Caller
) -> None:
    """A permission more never takes away, a denial more never gives; in whatever order they stand."""
    rank = [Decision.DENIED, Decision.SILENT, Decision.ALLOWED]
    before = policy(*statements).decide(access(caller))
    after = policy(*statements, more).decide(access(caller))
    assert policy(more, *reversed(statements)).decide(access(caller)) is after
    if more["Effect"] == "Allow":
        assert rank.index(after) >= rank.index(before)
    else:
        assert rank.index(after) <= rank.index(before)
