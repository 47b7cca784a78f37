"""What the checks look at: the layers as they were read, and what they are declared for."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias

from lamella.domain.function import Architecture
from lamella.layers.contents import ContentEntry, LayerContents
from lamella.layers.doctor.advisories import Advisories
from lamella.layers.doctor.chains import inherited_paths, own_paths
from lamella.layers.doctor.elf import ElfFacts
from lamella.layers.doctor.rules import RULES
from lamella.layers.doctor.survey import Survey
from lamella.layers.doctor.tree import MergedTree
from lamella.layers.facts import AL2023, Language, OperatingSystem, RuntimeFacts
from lamella.layers.findings import Finding, Severity

_NAMED_MOST: Final = 3
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class CheckedLayer:
    """One layer.

    Attributes:
        survey: What was read of its files; nothing if it is too large to be read.
        label: Empty if it is the only one, as in `Finding.layer`.
    """

    contents: LayerContents
    survey: Survey
    label: str = ""

    def finding(
        self, code: str, place: str, reason: str, remedy: str, *, runtime: str = "", severity: Severity | None = None
    ) -> Finding:
        """A finding about this layer; see `Rule.finding`."""
        return RULES[code].finding(place, reason, remedy, layer=self.label, runtime=runtime, severity=severity)

    def elves(self) -> Iterator[tuple[str, ElfFacts]]:
        """Its programs and libraries for Linux, by name."""
        return ((name, facts.elf) for name, facts in self.survey.files.items() if facts.elf is not None)


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
    advisories: Advisories = field(default_factory=Advisories)

    def of(self, language: Language) -> tuple[RuntimeFacts, ...]:
        """The declared runtimes of a language."""
        return tuple(runtime for runtime in self.runtimes if runtime.language is language)

    def may_run(self, language: Language) -> bool:
        """Whether a function in this language may have the layers."""
        return not self.runtimes or bool(self.of(language))

    @cached_property
    def systems(self) -> tuple[OperatingSystem, ...]:
        """Those of the declared runtimes; without any, that of the runtimes that new functions have."""
        return tuple(dict.fromkeys(runtime.system for runtime in self.runtimes)) or (AL2023,)

    @cached_property
    def tree(self) -> MergedTree:
        """All layers merged."""
        return MergedTree([layer.contents for layer in self.layers])

    @cached_property
    def inherited_paths(self) -> Mapping[str, tuple[str, ...]]:
        """Where files are searched for the libraries they need because of those that led to them; see `chains`."""
        return inherited_paths(self.tree, self._elves())

    @cached_property
    def program_paths(self) -> tuple[str, ...]:
        """Where programs of the layers have what they load later, and what that needs, searched for."""
        found = [place for name, elf in self._elves().items() if elf.interpreter for place in own_paths(name, elf)]
        return tuple(dict.fromkeys(found))

    def _elves(self) -> dict[str, ElfFacts]:
        """Those that are seen in `/opt`."""
        return {
            name: elf
            for layer in self.layers
            for name, elf in layer.elves()
            if self.layers[self.tree.owner[name]] is layer
        }

    def entry(self, name: str) -> ContentEntry:
        """A file that is seen in `/opt`."""
        return self.layers[self.tree.owner[name]].contents.entries[name]


Check: TypeAlias = Callable[[Subject], Iterable[Finding]]


def listed(names: Sequence[str]) -> str:
    """`a, b, c and 7 more`."""
    shown = ", ".join(names[:_NAMED_MOST])
    return shown if len(names) <= _NAMED_MOST else f"{shown} and {len(names) - _NAMED_MOST} more"


def others(names: Sequence[object]) -> str:
    """What to add to a sentence about the first of several: ` (and 7 more files)`."""
    more = len(names) - 1
    return "" if more < 1 else f" (and {more} more file{'s' if more > 1 else ''})"


def megabytes(size_bytes: int) -> str:
    """As Lambda counts them: of 1,048,576 bytes."""
    return f"{size_bytes / _MIB:.1f} MB" if size_bytes >= _MIB // 10 else f"{max(size_bytes / 1024, 0.1):.1f} KB"
