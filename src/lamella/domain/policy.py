"""Resource policies: what their statements let whom do, decided without asking anybody.

A policy belongs to a function, a version, an alias or a layer version. It decides about callers of other accounts, who
have no other way in; and what it denies, it denies to the owner's account as well. What a policy asks for that cannot
be evaluated here is refused when it is put, never passed over.

Source: IAM user guide, "IAM JSON policy elements reference", "Policy evaluation logic"; Lambda developer guide,
"Working with resource-based policies in Lambda".
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

Document: TypeAlias = Mapping[str, Any]  # Any: JSON

_Test: TypeAlias = Callable[["Access"], bool]

KEYS: Final = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalisawsservice",
        "aws:principalorgid",
        "aws:principalservicename",
        "aws:sourceaccount",
        "aws:sourcearn",
        "lambda:eventsourcetoken",
        "lambda:functionurlauthtype",
        "lambda:invokedviafunctionurl",
    }
)
"""Condition keys that can be evaluated, in lower case, as they are compared. Every other is refused."""

FUNCTION_POLICY: Final = "policy"
"""Kind of the records that hold the policies of functions, versions and aliases: each the document as it is."""
LAYER_POLICY: Final = "layer-policy"
"""Kind of the records that hold those of layer versions: the document, and its revision."""

_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_PRINCIPALS: Final = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})
_ELEMENTS: Final = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_ACCOUNT: Final = re.compile(r"([0-9]{12})|arn:aws[a-zA-Z-]*:iam::([0-9]{12}):root")
IDENTITY: Final = re.compile(r"arn:aws[a-zA-Z-]*:(?:iam|sts)::[0-9]{12}:[^*?\s]+")
"""ARNs of accounts, users and roles."""
_ARN_PARTS: Final = 6


class PolicyError(ValueError):
    """A document is no policy, or asks for what cannot be evaluated; the text is for whoever sent it."""


class Decision(Enum):
    """What a policy says of an access."""

    ALLOWED = auto()
    DENIED = auto()
    SILENT = auto()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who wants something: an account, a service, or with neither somebody who is not known.

    Attributes:
        account: Twelve digits.
        organization: Identifier of the organisation that the account is in, such as `o-a1b2c3d4e5`.
        service: Such as `s3.amazonaws.com`.
        arn: Of a user or role; the account's own if it is not known who within it calls.
    """

    account: str | None = None
    organization: str | None = None
    service: str | None = None
    arn: str = ""

    @property
    def principal(self) -> str:
        """The ARN it is known by; empty if it has none."""
        return self.arn or (f"arn:aws:iam::{self.account}:root" if self.account else "")


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody wants to do.

    Attributes:
        action: Such as `lambda:InvokeFunction`.
        resource: The ARN that the caller named, with any qualifier.
        context: Further condition keys of `KEYS`, in lower case; what is absent here is absent from the request.
    """

    caller: Caller
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def value(self, key: str) -> str | None:
        """The value of a condition key, or `None` if the request has none."""
        caller = self.caller
        match key:
            case "aws:principalaccount":
                return caller.account
            case "aws:principalarn":
                return caller.principal or None
            case "aws:principalorgid":
                return caller.organization
            case "aws:principalisawsservice":
                return "true" if caller.service else "false"
            case "aws:principalservicename":
                return caller.service
            case _:
                return self.context.get(key)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a policy says of some accesses.

    Attributes:
        allows: Whether it allows or denies them.
        tests: All of them hold for these accesses.
    """

    allows: bool
    tests: tuple[_Test, ...]

    def applies(self, access: Access) -> bool:
        """Whether it says anything of an access."""
        return all(test(access) for test in self.tests)


@dataclass(frozen=True, slots=True)
class Policy:
    """A document, read once."""

    statements: tuple[Statement, ...]

    @classmethod
    def parse(cls, document: Document) -> "Policy":
        """Read a document.

        Raises:
            PolicyError: It is no policy, or asks for what cannot be evaluated here.
        """
        unknown = document.keys() - {"Version", "Id", "Statement"}
        if unknown:
            raise PolicyError(f"a policy has no element {min(unknown)}")
        if document.get("Version", "2012-10-17") not in _VERSIONS:
            raise PolicyError(f"Version must be {_VERSIONS[0]}")
        if not isinstance(document.get("Id", ""), str):
            raise PolicyError("Id must be a text")
        statements = document.get("Statement")
        if isinstance(statements, Mapping):
            statements = [statements]
        if not isinstance(statements, list) or not statements:
            raise PolicyError("a policy needs statements")
        seen: set[str] = set()
        for statement in statements:
            if isinstance(statement, Mapping) and (sid := statement.get("Sid")) is not None:
                if not isinstance(sid, str) or sid in seen:
                    raise PolicyError("each Sid must be a text that no other statement has")
                seen.add(sid)
        return cls(tuple(_statement(statement) for statement in statements))

    def decide(self, access: Access) -> Decision:
        """What the policy says; a denial wins."""
        return decide((self,), access)


def decide(policies: Iterable[Policy], access: Access) -> Decision:
    """What several policies say together of an access: a denial wins, whichever it is in."""
    decision = Decision.SILENT
    for policy in policies:
        for statement in policy.statements:
            if not (statement.allows and decision is Decision.ALLOWED) and statement.applies(access):
                if not statement.allows:
                    return Decision.DENIED
                decision = Decision.ALLOWED
    return decision


def read(text: str) -> dict[str, Any]:
    """The document in a text, not yet looked at.

    Raises:
        PolicyError: It is no JSON object, or says something twice, which readers would understand differently.
    """
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except PolicyError:
        raise
    except (ValueError, RecursionError):
        raise PolicyError("a policy must be JSON") from None
    if not isinstance(document, dict):
        raise PolicyError("a policy must be a JSON object")
    return document


def _no_number(name: str) -> None:
    raise PolicyError(f"{name} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise PolicyError("an element is given twice")
    return found


def _statement(statement: object) -> Statement:
    if not isinstance(statement, Mapping):
        raise PolicyError("a statement must be an object")
    unknown = statement.keys() - _ELEMENTS
    if unknown:
        raise PolicyError(f"a statement has no element {min(unknown)}")
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise PolicyError("Effect must be Allow or Deny")
    if "NotPrincipal" in statement and effect == "Allow":
        raise PolicyError("NotPrincipal must be used with Deny")
    tests = [
        _element(statement, "Principal", _principal),
        _element(statement, "Action", _action),
        _element(statement, "Resource", _resource),
    ]
    return Statement(effect == "Allow", (*tests, *_conditions(statement.get("Condition", {}))))


def _element(statement: Mapping[str, Any], name: str, parse: Callable[[Any], _Test]) -> _Test:
    """An element or its opposite, of which a statement has one."""
    negated = f"Not{name}"
    if (name in statement) == (negated in statement):
        raise PolicyError(f"a statement needs {name} or {negated}, and not both")
    if name in statement:
        return parse(statement[name])
    test = parse(statement[negated])
    return lambda access: not test(access)


def _principal(value: object) -> _Test:
    if value == "*":
        return lambda _: True
    if not isinstance(value, Mapping) or not value or not value.keys() <= _PRINCIPALS:
        raise PolicyError("Principal must be * or an object of AWS, Service, Federated or CanonicalUser")
    accounts: set[str] = set()
    arns: set[str] = set()
    services: set[str] = set()
    for kind, names in value.items():
        for name in _texts(names, "Principal"):
            if kind == "AWS" and name == "*":
                return lambda _: True
            if kind == "Service":
                services.add(name)
            elif kind == "AWS" and (account := _ACCOUNT.fullmatch(name)):
                accounts.add(account[1] or account[2])
            elif kind == "AWS" and IDENTITY.fullmatch(name):
                arns.add(name)
            elif kind == "AWS":
                raise PolicyError("Principal must be *, an account, or the ARN of an account, a user or a role")
            # Nobody signs in by a provider of identities here, and only S3 knows canonical users.
    return lambda access: (
        access.caller.account in accounts or access.caller.service in services or access.caller.principal in arns
    )


def _action(value: object) -> _Test:
    globs = [_glob(text.lower()) for text in _texts(value, "Action")]
    return lambda access: any(glob(access.action.lower()) for glob in globs)


def _resource(value: object) -> _Test:
    globs = [_glob(text) for text in _texts(value, "Resource")]
    return lambda access: any(glob(access.resource) for glob in globs)


def _conditions(value: object) -> list[_Test]:
    if not isinstance(value, Mapping):
        raise PolicyError("Condition must be an object")
    tests = []
    for operator, keys in value.items():
        if not isinstance(keys, Mapping):
            raise PolicyError("Condition must be an object of objects")
        tests += [_condition(operator, key, _texts(values, "Condition")) for key, values in keys.items()]
    return tests


def _condition(operator: str, key: str, values: Sequence[str]) -> _Test:
    """One key under one operator: any of the values has to match, or with a negated operator none."""
    name = key.lower()
    if name not in KEYS:
        raise PolicyError(f"the condition key {key} cannot be evaluated")
    if any("${" in value for value in values):
        raise PolicyError("policy variables cannot be evaluated")
    if operator == "Null":
        wanted = {_truth(value) == "true" for value in values}
        return lambda access: (access.value(name) is None) in wanted
    plain = operator.removesuffix("IfExists")
    make, negated = _OPERATORS.get(plain, (None, False))
    if make is None:
        raise PolicyError(f"the condition operator {operator} cannot be evaluated")
    matchers = [make(value) for value in values]
    # What is absent matches nothing; a negated operator asks for just that.
    absent = negated or operator != plain

    def test(access: Access) -> bool:
        given = access.value(name)
        return absent if given is None else any(matches(given) for matches in matchers) is not negated

    return test


_Matcher: TypeAlias = Callable[[str], bool]


def _equal(value: str) -> _Matcher:
    return value.__eq__


def _equal_ignoring_case(value: str) -> _Matcher:
    folded = value.casefold()
    return lambda given: given.casefold() == folded


def _bool(value: str) -> _Matcher:
    wanted = _truth(value)
    return lambda given: given.lower() == wanted


def _truth(value: str) -> str:
    if value.lower() not in ("true", "false"):
        raise PolicyError("Bool and Null take true or false")
    return value.lower()


def _arn(value: str) -> _Matcher:
    """Each of the six parts of an ARN on its own; the last may have colons in it."""
    if value == "*":
        return lambda _: True
    globs = [_glob(part) for part in value.split(":", _ARN_PARTS - 1)]
    if len(globs) != _ARN_PARTS:
        raise PolicyError("an ARN has six parts")

    def matches(given: str) -> bool:
        parts = given.split(":", _ARN_PARTS - 1)
        return len(parts) == _ARN_PARTS and all(glob(part) for glob, part in zip(globs, parts, strict=True))

    return matches


def _glob(pattern: str) -> _Matcher:
    """`*` stands for any text, `?` for any character.

    Piece by piece and never going back, so that no pattern takes longer than its length times that of the text: what a
    policy's owner writes is matched on the loop that serves everybody.
    """
    pieces = [
        re.compile("".join("." if character == "?" else re.escape(character) for character in piece), re.DOTALL)
        for piece in pattern.split("*")
    ]
    lengths = [len(piece) for piece in pattern.split("*")]
    first, last = pieces[0], pieces[-1]
    if len(pieces) == 1:
        return lambda given: first.fullmatch(given) is not None

    def matches(given: str) -> bool:
        position = lengths[0]
        if first.match(given) is None:
            return False
        for piece in pieces[1:-1]:
            found = piece.search(given, position)
            if found is None:
                return False
            position = found.end()
        start = len(given) - lengths[-1]
        return start >= position and last.match(given, start) is not None

    return matches


_OPERATORS: Final[Mapping[str, tuple[Callable[[str], _Matcher], bool]]] = MappingProxyType(
    {
        "StringEquals": (_equal, False),
        "StringNotEquals": (_equal, True),
        "StringEqualsIgnoreCase": (_equal_ignoring_case, False),
        "StringNotEqualsIgnoreCase": (_equal_ignoring_case, True),
        "StringLike": (_glob, False),
        "StringNotLike": (_glob, True),
        "ArnEquals": (_arn, False),
        "ArnLike": (_arn, False),
        "ArnNotEquals": (_arn, True),
        "ArnNotLike": (_arn, True),
        "Bool": (_bool, False),
    }
)
"""How each makes a matcher of a value, and whether it asks that nothing matches."""


def _texts(value: object, element: str) -> Sequence[str]:
    """One text or a list of them; a bare `true` or `false` is taken for its text, as IAM does."""
    values = value if isinstance(value, list) else [value]
    texts = [("true" if text else "false") if isinstance(text, bool) else text for text in values]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise PolicyError(f"{element} must be a text or a list of texts")
    return cast("Sequence[str]", texts)
