"""A fleet as the API shows it: functions, their versions and aliases, and the versions of layers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

LATEST: Final = "$LATEST"


@dataclass(frozen=True, slots=True)
class Version:
    """`$LATEST` or a published version.

    Attributes:
        document: The answer of the API, as it is.
    """

    document: Mapping[str, Any]  # Any: JSON

    @property
    def number(self) -> str:
        """`$LATEST`, or digits."""
        return str(self.document["Version"])

    @property
    def layers(self) -> tuple[str, ...]:
        """ARNs of layer versions, in the order of merging."""
        return tuple(str(layer["Arn"]) for layer in self.document.get("Layers") or ())

    @property
    def runtime(self) -> str:
        """Empty for images."""
        return str(self.document.get("Runtime") or "")

    @property
    def architecture(self) -> str:
        """`x86_64` or `arm64`; the former if the answer does not say."""
        return str((self.document.get("Architectures") or ["x86_64"])[0])

    @property
    def is_image(self) -> bool:
        """Whether it is a container image, which can have no layers."""
        return self.document.get("PackageType") == "Image"


@dataclass(frozen=True, slots=True)
class Route:
    """Where an alias sends invocations.

    Attributes:
        version: Its own version, which gets what the others leave.
        weights: Share of each additional version, from 0 to 1; AWS allows one.
    """

    version: str
    weights: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, alias: Mapping[str, Any]) -> "Route":  # Any: JSON
        """The route that an answer of the API shows."""
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        # A share of nothing is as good as none, and AWS shows it or not.
        shares = {str(version): round(float(weight), 6) for version, weight in weights.items()}
        return cls(str(alias["FunctionVersion"]), {version: share for version, share in shares.items() if share > 0})

    @property
    def versions(self) -> tuple[str, ...]:
        """All that may get an invocation."""
        return (self.version, *sorted(self.weights))

    def __str__(self) -> str:
        if not self.weights:
            return self.version
        rest = 1 - sum(self.weights.values())
        return f"{self.version} ({rest:.0%}) + " + " + ".join(f"{v} ({w:.0%})" for v, w in sorted(self.weights.items()))


@dataclass(frozen=True, slots=True)
class AliasView:
    """An alias."""

    name: str
    route: Route
    revision_id: str = ""


@dataclass(frozen=True, slots=True)
class FunctionView:
    """A function with all its versions.

    Attributes:
        versions: Published ones, by number, in ascending order.
    """

    name: str
    arn: str
    latest: Version
    versions: Mapping[str, Version]
    aliases: Sequence[AliasView] = ()

    def all_versions(self) -> Iterator[Version]:
        """`$LATEST` first, then the published ones."""
        yield self.latest
        yield from self.versions.values()

    def version(self, number: str) -> Version | None:
        """One of them; `None` if it is gone."""
        return self.latest if number == LATEST else self.versions.get(number)


@dataclass(frozen=True, slots=True)
class LayerVersionView:
    """A version of a layer.

    Attributes:
        created_at: As the API writes it; empty if it cannot be known.
        runtimes, architectures: As the publisher declared; empty if he did not.
    """

    number: int
    created_at: str = ""
    description: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "LayerVersionView":  # Any: JSON
        """What an answer of the API shows."""
        return cls(
            int(document["Version"]),
            str(document.get("CreatedDate", "")),
            str(document.get("Description", "")),
            tuple(document.get("CompatibleRuntimes") or ()),
            tuple(document.get("CompatibleArchitectures") or ()),
        )


@dataclass(frozen=True, slots=True)
class LayerView:
    """A layer.

    Attributes:
        arn: Without a version.
        versions: Those that exist, by number.
        complete: Whether `versions` are all; of another account's layer only those are known that functions have.
        hidden: Versions that functions have and whose owner does not let us see whether they exist.
    """

    arn: str
    versions: Mapping[int, LayerVersionView]
    complete: bool = True
    hidden: frozenset[int] = frozenset()

    @property
    def newest(self) -> int | None:
        """Number of the newest version; `None` if that cannot be known."""
        return max(self.versions, default=None) if self.complete else None


@dataclass(frozen=True, slots=True)
class FleetView:
    """All of it, at one moment or nearly so.

    Attributes:
        functions: By name, in the order of names.
        layers: By ARN without version.
    """

    functions: Mapping[str, FunctionView]
    layers: Mapping[str, LayerView]
