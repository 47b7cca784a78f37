"""`AWS::Lambda::EventSourceMapping` and `AWS::Lambda::EventInvokeConfig`."""

from collections.abc import Mapping
from dataclasses import replace
from threading import Event
from typing import Any, Final

from lamella.neighbour.stacks.coercion import arguments, named
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.template import Json
from lamella.neighbour.stacks.waiting import wait_for

_UNDER_WAY: Final = ("Creating", "Updating", "Enabling", "Disabling")
_DEFAULTS: Final[Mapping[str, Json]] = {
    "DestinationConfig": {"OnFailure": {}},
    "FilterCriteria": {},
    "FunctionResponseTypes": [],
    "ScalingConfig": {},
}
"""What a property that a template has no more goes back to; others keep their value, as they do on AWS."""


class EventSourceMapping:
    """A mapping, once it polls or is told not to."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("lambda")
        wanted = arguments(client, "CreateEventSourceMapping", _renamed(properties))
        made = client.create_event_source_mapping(**wanted)
        try:
            _wait(client, made["UUID"], task)
        except BaseException:
            _settle(client, made["UUID"], task)  # nobody would know of it
            client.delete_event_source_mapping(UUID=made["UUID"])
            raise
        return Made(made["UUID"], {"Id": made["UUID"], "EventSourceMappingArn": made["EventSourceMappingArn"]})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change it."""
        client = task.client("lambda")
        gone = {name: _DEFAULTS[name] for name in old if name not in new and name in _DEFAULTS}
        wanted = {**gone, **_renamed(new), "UUID": made.physical_id}
        _settle(client, made.physical_id, task)
        client.update_event_source_mapping(**arguments(client, "UpdateEventSourceMapping", wanted))
        _wait(client, made.physical_id, task)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away; what it has received it still hands on."""
        client = task.client("lambda")
        _settle(client, made.physical_id, task)
        client.delete_event_source_mapping(UUID=made.physical_id)


class EventInvokeConfig:
    """What becomes of asynchronous events."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Put it."""
        client = task.client("lambda")
        client.put_function_event_invoke_config(**arguments(client, "PutFunctionEventInvokeConfig", properties))
        return Made(task.name)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        self.create(task, new)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        task.client("lambda").delete_function_event_invoke_config(**named(properties, ("FunctionName", "Qualifier")))


def _settle(client: Any, identity: str, task: Task) -> None:  # Any: botocore
    """Until it can be changed or deleted, also if its stack is to end: the stack that ends has to undo what it did."""
    _wait(client, identity, replace(task, stop=Event()))


def _renamed(properties: Properties) -> dict[str, Json]:
    """By the API's names: one differs. Mappings have no tags here: those of a stack would make it fail."""
    renamed = {name: value for name, value in properties.items() if name not in ("KmsKeyArn", "Tags")}
    return renamed | ({"KMSKeyArn": properties["KmsKeyArn"]} if "KmsKeyArn" in properties else {})


def _wait(client: Any, identity: str, task: Task) -> None:  # Any: botocore
    wait_for(lambda: client.get_event_source_mapping(UUID=identity)["State"] not in _UNDER_WAY, task)
