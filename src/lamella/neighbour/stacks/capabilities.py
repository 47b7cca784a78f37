"""What the sender of a template has to acknowledge. Pure.

Source: CloudFormation API reference, `CreateStack`, "Capabilities".
"""

from collections.abc import Iterator
from typing import Final

from lamella.neighbour.stacks.model import STACK
from lamella.neighbour.stacks.template import Template

_IAM: Final = frozenset(
    f"AWS::IAM::{name}"
    for name in (
        "AccessKey",
        "Group",
        "GroupPolicy",
        "InstanceProfile",
        "ManagedPolicy",
        "Policy",
        "Role",
        "RolePolicy",
        "User",
        "UserPolicy",
        "UserToGroupAddition",
    )
)
_NAMES: Final = ("GroupName", "InstanceProfileName", "ManagedPolicyName", "RoleName", "UserName")
_NAMED_KINDS: Final = frozenset(
    f"AWS::IAM::{name}" for name in ("Group", "InstanceProfile", "ManagedPolicy", "Role", "User")
)


def needed(template: Template) -> list[str]:
    """The least capability that covers what the template has."""
    found = set(_needed(template))
    return ["CAPABILITY_NAMED_IAM"] if "CAPABILITY_NAMED_IAM" in found else sorted(found)


def missing_capabilities(template: Template, given: tuple[str, ...]) -> list[str]:
    """Those that the template needs and that were not given."""
    wide = {"CAPABILITY_IAM"} if "CAPABILITY_NAMED_IAM" in given else set()
    return [capability for capability in needed(template) if capability not in {*given, *wide}]


def _needed(template: Template) -> Iterator[str]:
    for definition in template.get("Resources", {}).values():
        kind = definition["Type"]
        if kind not in _IAM:
            continue
        properties = definition.get("Properties", {})
        named = kind in _NAMED_KINDS and any(name in properties for name in _NAMES)
        yield "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"


def reason(template: Template) -> str:
    """Why, for whoever asks before they deploy."""
    kinds = sorted({one["Type"] for one in template.get("Resources", {}).values() if one["Type"] in _IAM | {STACK}})
    return f"The following resource(s) require capabilities: [{', '.join(kinds)}]" if needed(template) else ""
