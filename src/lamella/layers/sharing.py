"""Who may use a layer version, read off its policy, and the statements that let them.

The names of statements say whom they are for, so that sharing twice adds nothing. Statements that others have made are
understood as well.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

ACTION: Final = "lambda:GetLayerVersion"
"""The one action that a layer version's policy can allow. Source: model, shape `LayerPermissionAllowedAction`."""

_ROOT: Final = re.compile(r"arn:aws[a-zA-Z-]*:iam::([0-9]{12}):root")
_ORGANIZATION: Final = "aws:principalorgid"


class SharingError(Exception):
    """Nobody is named by that; the text is for the person who wrote it."""


@dataclass(frozen=True, slots=True, order=True)
class Grantee:
    """An account, an organisation, or everybody.

    Attributes:
        kind: `account`, `organization`, `public`; `other` for what a statement says beyond these.
        id: Twelve digits, `o-…`, empty, or the statement's own words.
    """

    kind: str
    id: str = ""

    @classmethod
    def account(cls, number: str) -> "Grantee":
        """An account.

        Raises:
            SharingError: The number has not 12 digits.
        """
        if not re.fullmatch(r"[0-9]{12}", number):
            raise SharingError(f"{number[:80]!r} is not the number of an account, which has 12 digits")
        return cls("account", number)

    @classmethod
    def organization(cls, name: str) -> "Grantee":
        """An organisation. Source of the pattern: model, shape `OrganizationId`.

        Raises:
            SharingError: It is not the id of one.
        """
        if not re.fullmatch(r"o-[a-z0-9]{10,32}", name):
            raise SharingError(f"{name[:80]!r} is not the id of an organization, such as o-a1b2c3d4e5")
        return cls("organization", name)

    @property
    def statement_id(self) -> str:
        """Of the statement that lets it."""
        return "-".join(word for word in ("lamella", self.kind, self.id) if word)

    def request(self) -> dict[str, str]:
        """Members of AddLayerVersionPermission."""
        members = {"StatementId": self.statement_id, "Action": ACTION, "Principal": self.id or "*"}
        if self.kind == "organization":
            members |= {"Principal": "*", "OrganizationId": self.id}
        return members

    def __str__(self) -> str:
        """For people."""
        return {"public": "everybody", "other": self.id}.get(self.kind, f"{self.kind} {self.id}")


PUBLIC: Final = Grantee("public")


@dataclass(frozen=True, slots=True)
class Grant:
    """One statement, for one grantee."""

    grantee: Grantee
    statement_id: str


def grants(policy: Mapping[str, Any] | None) -> list[Grant]:  # Any: JSON of a policy
    """Whom a policy lets in, statement by statement. What it denies is told as `other`."""
    found: list[Grant] = []
    statements = [] if policy is None else policy.get("Statement", [])
    for statement in [statements] if isinstance(statements, Mapping) else statements:
        sid = str(statement.get("Sid", ""))
        found += [Grant(grantee, sid) for grantee in _grantees(statement)]
    return found


def _grantees(statement: Mapping[str, Any]) -> Iterable[Grantee]:
    condition = statement.get("Condition") or {}
    principal = statement.get("Principal")
    named = principal.get("AWS", principal) if isinstance(principal, Mapping) else principal
    principals = [str(one) for one in named] if isinstance(named, list) else [str(named)]
    if statement.get("Effect") != "Allow":
        return [Grantee("other", f"{statement.get('Effect')} {', '.join(principals)}")]
    organizations = _organizations(condition)
    if condition and organizations is None:
        return [Grantee("other", f"{', '.join(principals)} under conditions")]
    if organizations is not None:
        return [Grantee("organization", one) for one in organizations]
    return [_principal(one) for one in principals]


def _organizations(condition: Mapping[str, Any]) -> list[str] | None:
    """Ids, if that is all that the condition asks for."""
    if list(condition) != ["StringEquals"] or len(condition["StringEquals"]) != 1:
        return None
    ((key, value),) = condition["StringEquals"].items()
    if key.lower() != _ORGANIZATION:
        return None
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _principal(text: str) -> Grantee:
    if text == "*":
        return PUBLIC
    if match := _ROOT.fullmatch(text):
        return Grantee("account", match[1])
    return Grantee("account", text) if re.fullmatch(r"[0-9]{12}", text) else Grantee("other", text)
