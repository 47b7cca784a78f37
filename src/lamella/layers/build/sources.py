"""What a layer is made from, kind by kind: each kind is a `Source` that fills a directory standing for `/opt`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from lamella.domain.function import Architecture
from lamella.layers.facts import FACTS, RuntimeFacts
from lamella.layers.packages import Package

Progress: TypeAlias = Callable[[str], None]
"""Told what is being done, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one zip archive is built for.

    Attributes:
        runtimes: Names as Lambda has them; empty for a layer that any runtime may use.
    """

    runtimes: tuple[str, ...]
    architecture: Architecture

    @property
    def facts(self) -> tuple[RuntimeFacts, ...]:
        """What is known of the runtimes."""
        return tuple(FACTS[name] for name in self.runtimes)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a source put into the layer.

    Attributes:
        packages: With licences, for the SBOM.
        warnings: In words for the operator.
    """

    packages: tuple[Package, ...] = ()
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """Something a layer is made from."""

    def collect(self, target: Target, into: Path, progress: Progress) -> Collected:
        """Put files for the target into a directory that stands for `/opt`. Blocking; may use the network.

        Nothing of this machine may get in but what was asked for: the same input gives the same names, modes and
        contents anywhere. Times and order do not matter, they are fixed when the archive is written.

        Raises:
            LayerBuildError: It cannot be done; the text says what to do about it.
        """
