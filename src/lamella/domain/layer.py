"""Layers and their versions."""

from dataclasses import dataclass
from datetime import datetime

from lamella.domain.function import Artifact


@dataclass(frozen=True, slots=True, order=True)
class LayerKey:
    """What identifies a layer on this installation."""

    account: str
    region: str
    name: str

    def arn(self, version: int | None = None) -> str:
        """The layer's ARN, or that of one of its versions."""
        tail = "" if version is None else f":{version}"
        return f"arn:aws:lambda:{self.region}:{self.account}:layer:{self.name}{tail}"


@dataclass(frozen=True, slots=True)
class LayerVersion:
    """One immutable version of a layer.

    Attributes:
        version: Counts from 1; a deleted version's number is never given again.
        created_at: Aware UTC.
        runtimes, architectures: As declared by the publisher; empty means undeclared.
    """

    key: LayerKey
    version: int
    artifact: Artifact
    created_at: datetime
    description: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    license_info: str = ""

    @property
    def arn(self) -> str:
        """ARN of this version."""
        return self.key.arn(self.version)
