"""CloudFormation's operations as clients call them; moto's classes read the requests and write the answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from lamella.neighbour.stacks import capabilities
from lamella.neighbour.stacks.errors import ChangeSetNotFoundError, NotImplementedHereError, StackError
from lamella.neighbour.stacks.model import Stack, Wish
from lamella.neighbour.stacks.plan import check_references
from lamella.neighbour.stacks.rendering import (
    change_set_document,
    change_set_summary,
    event_document,
    parameter_declaration,
    resource_detail,
    resource_document,
    resource_summary,
    stack_document,
    stack_summary,
)
from lamella.neighbour.stacks.service import Stacks
from lamella.neighbour.stacks.template import Template, check, parse, refusing_shapes, transforms_of

_PAGE: Final = 100
_MOMENT_S: Final = 3.0
"""What is done within it is done when the answer comes: clients that ask only every half a minute are spared that."""
_BODY_BYTES: Final = 51_200
"""Source: CloudFormation user guide, "Quotas"; larger ones have to be in S3."""
_TOO_LONG: Final = (
    "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less "
    "than or equal to 51200"
)
_NO_TEMPLATE: Final = "Either Template URL or Template Body must be specified."
Templates = Callable[[str, str, str], str]
"""Fetches a template by URL, for an account and a region."""


class Responses(BaseResponse):
    """One object for each request.

    Attributes:
        stacks: Set once, before the first request.
        template_at: See `Templates`.
    """

    stacks: ClassVar[Stacks]
    template_at: ClassVar[Templates]

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    def call_action(self) -> TYPE_RESPONSE:
        """Answer an operation that is not here as AWS would one that it does not have, and not as a fault."""
        if not hasattr(type(self), _method(self._get_action())):
            error = NotImplementedHereError(
                f"Lamella does not answer the operation {self._get_action()} of CloudFormation."
            )
            status, headers, body = self.serialized(ActionResult(error))
            return status, {**headers, "status": str(status)}, body
        return super().call_action()

    # Making, changing, removing

    def create_stack(self) -> ActionResult:
        """See the API."""
        on_failure = str(self._get_param("OnFailure") or "ROLLBACK")
        disable_rollback = bool(self._get_param("DisableRollback"))
        stack = self.stacks.create(
            self.current_account,
            self.region,
            str(self._get_param("StackName") or ""),
            self._wish(),
            on_failure="DO_NOTHING" if disable_rollback else on_failure,
            disable_rollback=disable_rollback,
            protected=bool(self._get_param("EnableTerminationProtection")),
            timeout_minutes=self._get_param("TimeoutInMinutes"),
            policy=self._get_param("StackPolicyBody") or "",
        )
        stack.settled.wait(_MOMENT_S)
        return ActionResult({"StackId": stack.id})

    def update_stack(self) -> ActionResult:
        """See the API."""
        stack = self._stack()
        self.stacks.update(stack, self._wish(stack), disable_rollback=bool(self._get_param("DisableRollback")))
        stack.settled.wait(_MOMENT_S)
        return ActionResult({"StackId": stack.id})

    def delete_stack(self) -> ActionResult:
        """See the API; a stack that is not there is deleted."""
        try:
            stack = self._stack()
        except StackError:
            return EmptyResult()
        retained = frozenset(self._get_param("RetainResources") or ())
        self.stacks.delete(stack, self._token(), retained).wait(_MOMENT_S)
        return EmptyResult()

    def create_change_set(self) -> ActionResult:
        """See the API."""
        kind = str(self._get_param("ChangeSetType") or "UPDATE")
        name = str(self._get_param("StackName") or "")
        if kind == "IMPORT" or self._get_param("ResourcesToImport"):
            raise NotImplementedHereError("Lamella does not import resources into stacks.")
        stack = self._stack() if kind == "UPDATE" else None
        change_set = self.stacks.add_change_set(
            self.current_account,
            self.region,
            name,
            str(self._get_param("ChangeSetName") or ""),
            self._wish(stack),
            kind=kind,
            description=self._get_param("Description") or "",
            on_failure=self._get_param("OnStackFailure") or "",
            nested=bool(self._get_param("IncludeNestedStacks")),
        )
        return ActionResult({"Id": change_set.id, "StackId": change_set.stack.id})

    def describe_change_set(self) -> ActionResult:
        """See the API."""
        return ActionResult(change_set_document(self._change_set()))

    def execute_change_set(self) -> ActionResult:
        """See the API."""
        disable_rollback = bool(self._get_param("DisableRollback"))
        change_set = self._change_set()
        self.stacks.execute(change_set, self._token(), disable_rollback=disable_rollback)
        change_set.stack.settled.wait(_MOMENT_S)
        return EmptyResult()

    def delete_change_set(self) -> ActionResult:
        """See the API; one that is not there is deleted: `cdk deploy` deletes before it creates."""
        with suppress(ChangeSetNotFoundError):
            self.stacks.remove_change_set(self._change_set())
        return EmptyResult()

    def list_change_sets(self) -> ActionResult:
        """See the API."""
        return ActionResult({"Summaries": [change_set_summary(one) for one in self.stacks.change_sets(self._stack())]})

    def update_termination_protection(self) -> ActionResult:
        """See the API."""
        stack = self._stack()
        stack.protected = bool(self._get_param("EnableTerminationProtection"))
        return ActionResult({"StackId": stack.id})

    def cancel_update_stack(self) -> ActionResult:
        """See the API."""
        stack = self._stack()
        if stack.status != "UPDATE_IN_PROGRESS":
            raise StackError("CancelUpdateStack cannot be called from current stack status")
        stack.stop.set()
        return EmptyResult()

    # Looking

    def describe_stacks(self) -> ActionResult:
        """See the API."""
        found = (
            [self._stack()] if self._get_param("StackName") else self.stacks.every(self.current_account, self.region)
        )
        return self._page("Stacks", found, stack_document)

    def list_stacks(self) -> ActionResult:
        """See the API."""
        wanted = self._get_param("StackStatusFilter") or ()
        every = self.stacks.every(self.current_account, self.region, gone=True)
        return self._page("StackSummaries", [one for one in every if not wanted or one.status in wanted], stack_summary)

    def describe_stack_events(self) -> ActionResult:
        """See the API."""
        stack = self._stack()
        return self._page("StackEvents", stack.events[::-1], lambda event: event_document(stack, event))

    def describe_stack_resources(self) -> ActionResult:
        """See the API."""
        wanted, physical = self._get_param("LogicalResourceId"), self._get_param("PhysicalResourceId")
        if self._get_param("StackName"):
            stack = self._stack()
        else:
            every = self.stacks.every(self.current_account, self.region)
            having = [one for one in every if any(r.physical_id == physical for r in [*one.resources.values()])]
            if not having:
                raise StackError(f"Stack for {physical} does not exist")
            stack = having[0]
        found = [one for one in [*stack.resources.values()] if not wanted or one.logical_id == wanted]
        return ActionResult({"StackResources": [resource_document(stack, one) for one in found]})

    def describe_stack_resource(self) -> ActionResult:
        """See the API."""
        stack, name = self._stack(), self._get_param("LogicalResourceId")
        if (found := stack.resources.get(name)) is None:
            raise StackError(f"Resource {name} does not exist for stack {stack.name}")
        return ActionResult({"StackResourceDetail": resource_detail(stack, found)})

    def list_stack_resources(self) -> ActionResult:
        """See the API."""
        return self._page("StackResourceSummaries", [*self._stack().resources.values()], resource_summary)

    def list_exports(self) -> ActionResult:
        """See the API."""
        every = [
            {"ExportingStackId": stack.id, "Name": name, "Value": value}
            for stack in self.stacks.every(self.current_account, self.region)
            for name, value in stack.exports.items()
        ]
        return self._page("Exports", sorted(every, key=lambda one: one["Name"]), lambda one: one)

    def list_imports(self) -> ActionResult:
        """See the API."""
        name = self._get_param("ExportName")
        found = [one.name for one in self.stacks.every(self.current_account, self.region) if name in one.imports]
        if not found:
            raise StackError(f"Export '{name}' is not imported by any stack.")
        return ActionResult({"Imports": found})

    # Templates

    def get_template(self) -> ActionResult:
        """See the API."""
        design = self._change_set().design if self._get_param("ChangeSetName") else self._stack().design
        processed = self._get_param("TemplateStage") == "Processed" and design.transformed
        body = json.dumps(design.template) if processed else design.text
        return ActionResult({"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]})

    @refusing_shapes()
    def get_template_summary(self) -> ActionResult:
        """See the API."""
        stack = self._stack() if self._get_param("StackName") else None
        template = parse(stack.design.text if stack is not None else self._template() or "")
        resources = template.get("Resources", {})
        kinds = [one["Type"] for one in resources.values() if isinstance(one, Mapping) and "Type" in one]
        found = {
            **self._declared(template),
            "ResourceTypes": list(dict.fromkeys(kinds)),
            "Version": str(template.get("AWSTemplateFormatVersion", "2010-09-09")),
            "Metadata": json.dumps(template["Metadata"]) if "Metadata" in template else None,
        }
        return ActionResult(found)

    @refusing_shapes()
    def validate_template(self) -> ActionResult:
        """See the API."""
        template = parse(self._template() or "")
        if not isinstance(template.get("Resources"), Mapping):
            raise StackError("Template format error: At least one Resources member must be defined.")
        if not transforms_of(template):  # a transform may add what is referred to
            check(template)
            check_references(template)
        return ActionResult(self._declared(template))

    def get_stack_policy(self) -> ActionResult:
        """See the API."""
        return ActionResult({"StackPolicyBody": self._stack().policy or None})

    def set_stack_policy(self) -> ActionResult:
        """See the API; it is kept, and nothing looks at it."""
        self._stack().policy = self._get_param("StackPolicyBody") or ""
        return EmptyResult()

    # Underneath

    def _declared(self, template: Template) -> dict[str, Any]:
        transforms = transforms_of(template)
        needed = [] if transforms else capabilities.needed(template)
        return {
            "Parameters": [parameter_declaration(*one) for one in template.get("Parameters", {}).items()],
            "Description": template.get("Description"),
            "Capabilities": needed or (["CAPABILITY_AUTO_EXPAND"] if transforms else []),
            "CapabilitiesReason": None if transforms else capabilities.reason(template) or None,
            "DeclaredTransforms": transforms,
        }

    def _wish(self, stack: Stack | None = None) -> Wish:
        text = self._template()
        if text is None and not (stack is not None and self._get_param("UsePreviousTemplate")):
            raise StackError(_NO_TEMPLATE)
        given = self._get_param("Parameters") or []
        parameters = {_member(one, "ParameterKey"): _value(one) for one in given}
        return Wish(
            text or "",
            parameters,
            self._tags(),
            tuple(self._get_param("Capabilities") or ()),
            self._get_param("RoleARN") or "",
            tuple(self._get_param("NotificationARNs") or ()),
            f"http://{self.headers.get('host', '127.0.0.1')}",
            self._token(),
        )

    def _tags(self) -> dict[str, str] | None:
        """Source of the text: AWS's answer, as quoted in aws-quickstart/quickstart-examples, issue 39."""
        if (tags := self._get_param("Tags")) is None:
            return None
        found = {_member(one, "Key"): _member(one, "Value") for one in tags}
        if any(key.lower().startswith("aws:") for key in found):
            raise StackError("aws: prefixed tag key names are not allowed for external use.")
        return found

    def _template(self) -> str | None:
        if body := self._get_param("TemplateBody"):
            if len(body.encode()) > _BODY_BYTES:
                raise StackError(_TOO_LONG)
            return str(body)
        if url := self._get_param("TemplateURL"):
            return type(self).template_at(str(url), self.current_account, self.region)
        return None

    def _stack(self) -> Stack:
        return self.stacks.find(self.current_account, self.region, str(self._get_param("StackName")))

    def _change_set(self) -> Any:
        name, stack = str(self._get_param("ChangeSetName")), self._get_param("StackName")
        return self.stacks.change_set(self.current_account, self.region, name, stack)

    def _token(self) -> str:
        return str(self._get_param("ClientRequestToken") or "")

    def _page(self, key: str, items: Sequence[Any], render: Callable[[Any], Any]) -> ActionResult:
        token = self._get_param("NextToken") or "0"
        if not (token.isascii() and token.isdigit() and len(token) < 9):
            raise StackError("Invalid NextToken")
        start = int(token)
        after = str(start + _PAGE) if start + _PAGE < len(items) else None
        return ActionResult({key: [render(one) for one in items[start : start + _PAGE]], "NextToken": after})


def _value(parameter: Mapping[str, Any]) -> str | None:
    if parameter.get("UsePreviousValue"):
        return None
    return str(parameter.get("ParameterValue", ""))


def _member(given: Mapping[str, Any], name: str) -> str:
    if given.get(name) is None:
        raise StackError(f"1 validation error detected: {name} failed to satisfy constraint: Member must not be null")
    return str(given[name])


def _method(action: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action).lstrip("_")
