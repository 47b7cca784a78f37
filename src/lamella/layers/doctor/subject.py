"""What the checks look at: the layers as they were read, and what they are declared for."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from lamella.domain.function import Architecture
from lamella.layers.contents import LayerContents
from lamella.layers.doctor.rules import RULES
from lamella.layers.facts import Language, RuntimeFacts
from lamella.layers.findings import Finding, Severity

_NAMED_MOST: Final = 3


@dataclass(frozen=True, kw_only=True)
class CheckedLayer:
    """One layer.

    Attributes:
        label: Empty if it is the only one, as in `Finding.layer`.
    """

    contents: LayerContents
    label: str = ""

    def finding(
        self, code: str, place: str, reason: str, remedy: str, *, runtime: str = "", severity: Severity | None = None
    ) -> Finding:
        """A finding about this layer; see `Rule.finding`."""
        return RULES[code].finding(place, reason, remedy, layer=self.label, runtime=runtime, severity=severity)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The layers of a check, in the order in which a function has them.

    Attributes:
        runtimes: Those declared; empty if none are, then any may use them.
        architectures: Those declared; empty if none are.
        code_bytes: Unzipped, of the function that has them.
    """

    layers: tuple[CheckedLayer, ...]
    runtimes: tuple[RuntimeFacts, ...] = ()
    architectures: tuple[Architecture, ...] = ()
    code_bytes: int = 0

    def of(self, language: Language) -> tuple[RuntimeFacts, ...]:
        """The declared runtimes of a language."""
        return tuple(runtime for runtime in self.runtimes if runtime.language is language)

    def may_run(self, language: Language) -> bool:
        """Whether a function in this language may have the layers."""
        return not self.runtimes or bool(self.of(language))


Check: TypeAlias = Callable[[Subject], Iterable[Finding]]


def listed(names: Sequence[str]) -> str:
    """`a, b, c and 7 more`."""
    shown = ", ".join(names[:_NAMED_MOST])
    return shown if len(names) <= _NAMED_MOST else f"{shown} and {len(names) - _NAMED_MOST} more"
