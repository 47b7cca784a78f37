"""Provisioned concurrency: what the control API asks of the data plane, and what it is told."""

from dataclasses import dataclass
from typing import Protocol

from lamella.domain.function import FunctionKey


@dataclass(frozen=True, slots=True)
class Provisioned:
    """How far the environments of a configuration have got.

    Attributes:
        allocated: Environments that are initialised, or were and are being replaced.
        available: Those of them that are initialised.
        failure: Why no more are made; empty if nothing is wrong.
    """

    allocated: int
    available: int
    failure: str = ""


class Provisioner(Protocol):
    """Keeps environments initialised ahead of invocations."""

    def provision(self, key: FunctionKey, qualifier: str, executions: int | None) -> None:
        """Keep so many for a published version or an alias from now on, `None`: none. What failed is tried again."""

    def provisioned(self, key: FunctionKey, qualifier: str) -> Provisioned:
        """How far that is."""
