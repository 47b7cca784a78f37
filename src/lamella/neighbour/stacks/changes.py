"""Designs from what clients wish, and change sets from designs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from lamella.neighbour.stacks.intrinsics import resolve, text
from lamella.neighbour.stacks.kinds import Clients
from lamella.neighbour.stacks.model import Change, ChangeSet, Design, Stack, Wish
from lamella.neighbour.stacks.parameters import settle
from lamella.neighbour.stacks.plan import Forecast, changes
from lamella.neighbour.stacks.runner import World
from lamella.neighbour.stacks.scope import StackScope, lookup
from lamella.neighbour.stacks.template import check, parse, refusing_shapes, transforms_of
from lamella.neighbour.stacks.transforms import transform

_NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


@refusing_shapes()
def design_of(clients: Clients, stack: Stack, wish: Wish, previous: Design | None) -> Design:
    """What a stack is to be.

    Raises:
        StackError: The template or the parameters cannot be used.
        TransformError: A transform fails.
    """

    def client(service: str) -> Any:  # Any: botocore
        return clients(service, stack.account, stack.region)

    sent = wish.text or (previous.text if previous is not None else "")
    template = parse(sent)
    known = previous.parameters if previous is not None else {}
    parameters = settle(template, wish.parameters, known, lookup(client))
    tags = wish.tags if wish.tags is not None else previous.tags if previous is not None else {}
    design = Design(
        sent,
        template,
        parameters,
        tags,
        wish.capabilities,
        wish.role,
        wish.notifications,
        bool(transforms_of(template)),
    )
    scope = StackScope(stack, design, dict, client)
    processed = transform(template, parameters, account=stack.account, region=stack.region, scope=scope)
    check(processed)
    return replace(design, template=processed)


@refusing_shapes()
def new_change_set(world: World, stack: Stack, design: Design, kind: str, name: str) -> ChangeSet:
    """A change set; a failed one if it would change nothing.

    Raises:
        StackError: The template does not hold together.
    """
    live = StackScope(
        stack,
        design,
        lambda: world.exports(stack.account, stack.region),
        lambda service: world.clients(service, stack.account, stack.region),
    )
    forecast = Forecast(live)
    found = changes(stack, design, forecast, live.condition)
    if kind == "UPDATE" and _unchanged(stack, design, forecast, found):
        return failed_change_set(stack, design, kind, name, _NO_CHANGES)
    return ChangeSet(_identity(stack, name), name, stack, kind, design, changes=found)


def failed_change_set(stack: Stack, design: Design, kind: str, name: str, reason: str) -> ChangeSet:
    """A change set that cannot be carried out, and why."""
    change_set = ChangeSet(_identity(stack, name), name, stack, kind, design)
    change_set.status, change_set.execution, change_set.reason = "FAILED", "UNAVAILABLE", reason
    return change_set


def _unchanged(stack: Stack, design: Design, scope: Forecast, found: tuple[Change, ...]) -> bool:
    if found or dict(stack.design.tags) != dict(design.tags):
        return False
    outputs: Mapping[str, Any] = design.template.get("Outputs", {})
    shown = {key: one for key, one in outputs.items() if "Condition" not in one or scope.condition(one["Condition"])}
    exports = {key: text(resolve(one.get("Export", {}).get("Name", ""), scope)) for key, one in shown.items()}
    values = {key: text(resolve(one["Value"], scope)) for key, one in shown.items()}
    return values == {one.key: one.value for one in stack.outputs} and exports == {
        one.key: one.export for one in stack.outputs
    }


def _identity(stack: Stack, name: str) -> str:
    return f"arn:aws:cloudformation:{stack.region}:{stack.account}:changeSet/{name}/{uuid4()}"
