"""Stacks, events, resources and change sets as the API tells of them."""

import json
from collections.abc import Mapping
from typing import Any

from lamella.neighbour.stacks.model import Change, ChangeSet, Event, Output, Resource, Stack
from lamella.neighbour.stacks.parameters import HIDDEN, Parameter

Document = dict[str, Any]  # Any: as the model has it


def stack_document(stack: Stack) -> Document:
    """`Stack`."""
    design = stack.design
    return {
        **stack_times(stack),
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": stack.change_set or None,
        "Description": design.template.get("Description"),
        "Parameters": [_parameter(*one) for one in design.parameters.items()] or None,
        "RollbackConfiguration": {},
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason or None,
        "DisableRollback": stack.disable_rollback,
        "NotificationARNs": list(design.notifications),
        "TimeoutInMinutes": stack.timeout_minutes,
        "Capabilities": list(design.capabilities) or None,
        "Outputs": [_output(one) for one in stack.outputs] or None,
        "RoleARN": design.role or None,
        "Tags": _tags(design.tags),
        "EnableTerminationProtection": stack.protected,
        "ParentId": stack.parent or None,
        "RootId": stack.root or None,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def stack_summary(stack: Stack) -> Document:
    """`StackSummary`."""
    return {
        **stack_times(stack),
        "StackId": stack.id,
        "StackName": stack.name,
        "TemplateDescription": stack.design.template.get("Description"),
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason or None,
        "ParentId": stack.parent or None,
        "RootId": stack.root or None,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def stack_times(stack: Stack) -> Document:
    """When it was made, changed and removed, as far as its own events tell."""
    own = [event for event in [*stack.events] if event.logical_id == stack.name]
    changed = [event.at for event in own if event.status == "UPDATE_IN_PROGRESS"]
    gone = [event.at for event in own if event.status == "DELETE_COMPLETE"]
    return {
        "CreationTime": stack.created_at,
        "LastUpdatedTime": changed[-1] if changed else None,
        "DeletionTime": gone[-1] if gone else None,
    }


def event_document(stack: Stack, event: Event) -> Document:
    """`StackEvent`."""
    return {
        "StackId": stack.id,
        "EventId": event.id,
        "StackName": stack.name,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.kind,
        "Timestamp": event.at,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason or None,
        "ResourceProperties": event.properties or None,
        "ClientRequestToken": event.token or None,
    }


def resource_document(stack: Stack, resource: Resource) -> Document:
    """`StackResource`."""
    return {
        "StackName": stack.name,
        "StackId": stack.id,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": resource.kind,
        "Timestamp": resource.at,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason or None,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def resource_detail(stack: Stack, resource: Resource) -> Document:
    """`StackResourceDetail`."""
    document = resource_document(stack, resource)
    document["LastUpdatedTimestamp"] = document.pop("Timestamp")
    document["Metadata"] = json.dumps(resource.metadata) if resource.metadata is not None else None
    return document


def resource_summary(resource: Resource) -> Document:
    """`StackResourceSummary`."""
    return {
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": resource.kind,
        "LastUpdatedTimestamp": resource.at,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason or None,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def change_set_document(change_set: ChangeSet) -> Document:
    """The answer of `DescribeChangeSet`."""
    design = change_set.design
    return {
        **change_set_summary(change_set),
        "Parameters": [_parameter(*one) for one in design.parameters.items()] or None,
        "NotificationARNs": list(design.notifications),
        "RollbackConfiguration": {},
        "Capabilities": list(design.capabilities) or None,
        "Tags": _tags(design.tags) or None,
        "Changes": [{"Type": "Resource", "ResourceChange": _change(one)} for one in change_set.changes],
        "OnStackFailure": change_set.on_failure or None,
    }


def change_set_summary(change_set: ChangeSet) -> Document:
    """`ChangeSetSummary`."""
    return {
        "ChangeSetName": change_set.name,
        "ChangeSetId": change_set.id,
        "StackId": change_set.stack.id,
        "StackName": change_set.stack.name,
        "Description": change_set.description or None,
        "CreationTime": change_set.created_at,
        "ExecutionStatus": change_set.execution,
        "Status": change_set.status,
        "StatusReason": change_set.reason or None,
        "IncludeNestedStacks": change_set.nested,
    }


def parameter_declaration(name: str, definition: Mapping[str, Any]) -> Document:
    """`ParameterDeclaration`."""
    default = definition.get("Default")
    constraints = {}
    if "AllowedValues" in definition:
        constraints["AllowedValues"] = [str(value) for value in definition["AllowedValues"]]
    return {
        "ParameterKey": name,
        "DefaultValue": None
        if default is None
        else str(default).lower()
        if isinstance(default, bool)
        else str(default),
        "ParameterType": definition.get("Type", "String"),
        "NoEcho": str(definition.get("NoEcho", False)).lower() == "true",
        "Description": definition.get("Description"),
        "ParameterConstraints": constraints,
    }


def _parameter(name: str, parameter: Parameter) -> Document:
    return {
        "ParameterKey": name,
        "ParameterValue": parameter.shown,
        "ResolvedValue": (HIDDEN if parameter.hidden else parameter.resolved) if parameter.resolved else None,
    }


def _output(output: Output) -> Document:
    return {
        "OutputKey": output.key,
        "OutputValue": output.value,
        "Description": output.description or None,
        "ExportName": output.export or None,
    }


def _tags(tags: Mapping[str, str]) -> list[Document]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _change(change: Change) -> Document:
    return {
        "Action": change.action,
        "LogicalResourceId": change.logical_id,
        "PhysicalResourceId": change.physical_id or None,
        "ResourceType": change.kind,
        "Replacement": change.replacement or None,
        "Scope": list(change.scope),
        "Details": list(change.details),
    }
