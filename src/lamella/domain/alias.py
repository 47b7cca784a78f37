"""Aliases: names of a function's versions, and how an alias shares its invocations between two of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.function import LATEST, FunctionKey


@dataclass(frozen=True, slots=True)
class Route:
    """The additional version of an alias.

    Attributes:
        version: Number of a published version.
        weight: Share of the invocations that it gets, 0.0 to 1.0.
    """

    version: str
    weight: float


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a version of a function.

    Attributes:
        version: `$LATEST` or a published number: what invocations get unless `route` takes them.
        route: The additional version, if there is one.
        revision_id: UUID; new with every change.
    """

    key: FunctionKey
    name: str
    version: str
    revision_id: str
    description: str = ""
    route: Route | None = None

    @property
    def arn(self) -> str:
        """The function's ARN with the alias at its end."""
        return self.key.arn(self.name)

    def refers_to(self, version: str) -> bool:
        """Whether any invocation of the alias may run this version."""
        return version == self.version or (self.route is not None and version == self.route.version)

    def choose(self, draw: float) -> str:
        """The version that an invocation runs.

        Args:
            draw: A random number, evenly distributed over 0.0 up to but not including 1.0.
        """
        route = self.route
        return self.version if route is None or draw >= route.weight else route.version


def routed(version: str, weights: Mapping[str, float]) -> Route | None:
    """The route of an alias of a version, from the weights of additional versions; `None` if there are none.

    That weights are 0.0 to 1.0 and versions numbers, the model demands already. Source of the rules and their texts:
    answers of AWS recorded in LocalStack's `test_lambda_api.snapshot.json`, 2023.

    Raises:
        InvalidParameterValueException: More than one, the version itself, or one beside `$LATEST`.
    """
    if len(weights) > 1:
        raise InvalidParameterValueException("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for additional, weight in weights.items():
        if version == LATEST:
            raise InvalidParameterValueException(
                "$LATEST is not supported for an alias pointing to more than 1 version"
            )
        if additional == version:
            raise InvalidParameterValueException(
                f"Invalid function version {version}. "
                f"Function version {version} is already included in routing configuration."
            )
        return Route(additional, float(weight))
    return None
