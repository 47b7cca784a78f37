"""Resources before they are made, and what forbids to make them. Pure."""

from collections.abc import Mapping

from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.kinds import Made
from lamella.neighbour.stacks.model import Policy, Resource
from lamella.neighbour.stacks.schemas import schema_of
from lamella.neighbour.stacks.template import Json


def drafted(name: str, definition: Mapping[str, Json], depends_on: frozenset[str]) -> Resource:
    """A resource that has neither properties nor a physical id yet."""
    deletion = Policy(definition.get("DeletionPolicy", Policy.DELETE))
    replacement = Policy(definition.get("UpdateReplacePolicy", Policy.DELETE))
    return Resource(name, definition["Type"], "", {}, depends_on=depends_on, deletion=deletion, replacement=replacement)


def as_made(resource: Resource, named: Resource | None = None) -> Made:
    """What its kind knew of it; `named` has the physical id if the resource itself was never finished."""
    known = resource if resource.physical_id or named is None else named
    return Made(known.physical_id, known.attributes, known.handle, known.secret)


def check_properties(draft: Resource) -> None:
    """Refuse names of properties that the type does not have, and the lack of those that it needs.

    Raises:
        ResourceError: In AWS's words.
    """
    problems = [*schema_of(draft.kind).problems(draft.properties)]
    if problems:
        listed = "\n".join(problems)
        raise ResourceError(f"Properties validation failed for resource {draft.logical_id} with message:\n{listed}")


def refuse_same_name(old: Resource, draft: Resource) -> None:
    """Refuse to replace what would have the name of the old one.

    Source: what AWS answers, as its knowledge centre quotes it ("custom-named resource requires replacing").

    Raises:
        ResourceError: See there.
    """
    named = [
        name
        for name, value in draft.properties.items()
        if name.endswith("Name") and value == old.physical_id and old.properties.get(name) == value
    ]
    if named:
        raise ResourceError(
            "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
            f"Rename {old.physical_id} and update the stack again."
        )


def could_not(verb: str, names: list[str]) -> str:
    """Why a stack is not what it should be."""
    return f"The following resource(s) failed to {verb}: [{', '.join(names)}]. "
