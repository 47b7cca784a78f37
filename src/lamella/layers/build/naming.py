"""Which archives a recipe makes, and what they are called."""

from collections.abc import Sequence
from pathlib import Path

from lamella.domain.function import Architecture
from lamella.layers.build.recipe import Recipe
from lamella.layers.build.sources import Target
from lamella.layers.errors import RecipeError


def targets_of(recipe: Recipe) -> tuple[Target, ...]:
    """What each archive is for.

    An archive is for one architecture, as native code is. All runtimes share it unless the recipe says otherwise: they
    find their packages in directories of their own, and a layer is one of five.
    """
    groups = [(runtime,) for runtime in recipe.runtimes] if recipe.separate_runtimes else [recipe.runtimes]
    return tuple(
        Target(runtimes, Architecture(architecture)) for runtimes in groups for architecture in recipe.architectures
    )


def output_paths(recipe: Recipe, targets: Sequence[Target], pattern: str, suffix: str) -> tuple[Path, ...]:
    """The path for each target.

    Args:
        recipe: Relative paths start at its directory.
        targets: All of its targets.
        pattern: With `{name}`, `{architecture}` and `{runtime}`; empty for one that tells all targets apart.
        suffix: Of that one.

    Raises:
        RecipeError: Two targets would have the same path.
    """
    if not pattern:
        parts = ["{name}"]
        parts += ["{runtime}"] if recipe.separate_runtimes and len(recipe.runtimes) > 1 else []
        parts += ["{architecture}"] if len(recipe.architectures) > 1 else []
        pattern = "-".join(parts) + suffix
    found = tuple(recipe.directory / _filled(pattern, recipe, target) for target in targets)
    if len(set(found)) < len(found):
        wanted = [
            f"{{{name}}}"
            for name, several in (
                ("architecture", len(recipe.architectures) > 1),
                ("runtime", recipe.separate_runtimes and len(recipe.runtimes) > 1),
            )
            if several and f"{{{name}}}" not in pattern
        ]
        raise RecipeError(
            f"{len(found)} archives cannot all be {pattern}: put {' and '.join(wanted)} into the name, such as "
            f"{Path(pattern).with_suffix('')}-{'-'.join(wanted)}{Path(pattern).suffix}"
        )
    return found


def _filled(pattern: str, recipe: Recipe, target: Target) -> str:
    values = {
        "{name}": recipe.name,
        "{architecture}": target.architecture.value,
        "{runtime}": "-".join(target.runtimes) or "any",
    }
    for placeholder, value in values.items():
        pattern = pattern.replace(placeholder, value)
    return pattern
