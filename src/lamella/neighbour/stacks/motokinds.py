"""Types that moto's own models make: all that nobody else here answers for.

moto's models are written for moto's stacks. What they cannot do is said, and not passed over.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.cloudformation.parsing import get_model_map, resource_name_property_from_type

from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.template import Json

Model = Any  # moto's classes are not typed for what is asked of them here


def models() -> Mapping[str, Model]:
    """By type, as moto has them."""
    return {kind: model for kind, model in get_model_map().items() if kind.startswith("AWS::")}


class MotoKind:
    """One type of moto's."""

    def __init__(self, kind: str, model: Model) -> None:
        self._kind = kind
        self._model = model

    def create(self, task: Task, properties: Properties) -> Made:
        """Let moto make it."""
        resource = self._model.create_from_cloudformation_json(
            self._name(task, properties),
            self._json(properties),
            task.account,
            task.region,
            LogicalId=task.logical_id,
            StackId=task.stack_id,
            ResourceType=self._kind,
        )
        return _made(resource, task)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Let moto change it, where it knows how to."""
        if not _has(self._model, "update_from_cloudformation_json"):
            changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            if changed == ["Tags"]:
                return made
            raise ResourceError(
                f"moto does not change resources of the type {self._kind} ({', '.join(changed)}). "
                "Give the resource another logical id to have a new one."
            )
        name = self._name(task, new)
        if name == task.name:
            name = made.physical_id
        resource = self._model.update_from_cloudformation_json(
            original_resource=made.handle,
            new_resource_name=name,
            cloudformation_json=self._json(new),
            account_id=task.account,
            region_name=task.region,
        )
        return _made(resource, task)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Let moto remove it, by whichever of its two ways there is."""
        if hasattr(made.handle, "delete"):
            try:
                made.handle.delete(task.account, task.region)
            except TypeError:  # another method of that name
                pass
            else:
                return
        if not _has(self._model, "delete_from_cloudformation_json"):
            raise ResourceError(f"moto does not remove resources of the type {self._kind}")
        self._model.delete_from_cloudformation_json(made.physical_id, self._json(properties), task.account, task.region)

    def _json(self, properties: Properties) -> dict[str, Json]:
        # moto changes what it is given.
        return {"Type": self._kind, "Properties": copy.deepcopy(dict(properties))}

    def _name(self, task: Task, properties: Properties) -> str:
        named = resource_name_property_from_type(self._kind)
        return str(properties.get(named, task.name)) if named else task.name


class Attributes(Mapping[str, Json]):
    """What moto's resource says of itself, when it is asked."""

    def __init__(self, resource: Model) -> None:
        self._resource = resource

    def __getitem__(self, name: str) -> Json:
        try:
            found = self._resource.get_cfn_attribute(name)
        except (UnformattedGetAttTemplateException, NotImplementedError, AttributeError):
            raise KeyError(name) from None
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(())  # moto does not list them

    def __len__(self) -> int:
        return 0


def _made(resource: Model, task: Task) -> Made:
    if resource is None:
        raise ResourceError(f"moto has not made the resource {task.logical_id}")
    return Made(str(resource.physical_resource_id), Attributes(resource), resource)


def _has(model: Model, name: str) -> bool:
    return not hasattr(getattr(model, name), "__isabstractmethod__")
