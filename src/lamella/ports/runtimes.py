"""Runtime packs: what a `Runtime` name means on this node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lamella.domain.function import Architecture


@dataclass(frozen=True, slots=True)
class RuntimePack:
    """A runtime that is installed on this node; immutable, named by its digest.

    Attributes:
        name: `python3.11`, `provided.al2023` ...: the `Runtime` member of a function.
        rootfs: Read-only root tree, with `/var/lang`, `/var/runtime`, a synthetic `/etc`, and empty mount points.
        digest: SHA-256 over the tree, 64 hex digits.
        version: As INIT_START prints it, e.g. `python:3.11.v1a2b3c4d`; empty for an image, of which it prints nothing.
        entrypoints: Candidates for the first program, in order, as seen inside the sandbox (rule EN-20).
        env: Variables of this runtime family beyond those of every runtime (rule EN-01), e.g. `PYTHONPATH`.
        execution_env: Value of `AWS_EXECUTION_ENV`, or `None` if the variable is absent, as for `provided.*`.
        command: First program and arguments, of a container image (EN-25); `None` if it is one of `entrypoints`.
        working_directory: Where the first program starts.
        brings_code: Whether `/var/task` and `/opt` are part of the root, as in a function's image.
        layers: Trees of its own at `/opt`, below the function's layers.
        arn: Of the version of a customer-managed runtime; empty for every other pack, whose ARN its digest makes.
    """

    name: str
    architecture: Architecture
    rootfs: Path
    digest: str
    version: str
    entrypoints: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    execution_env: str | None = None
    command: tuple[str, ...] | None = None
    working_directory: str = "/var/task"
    brings_code: bool = False
    layers: tuple[Path, ...] = ()
    arn: str = ""

    @property
    def managed(self) -> bool:
        """Whether the runtime brings its own bootstrap, so that function and layers cannot replace it."""
        return self.entrypoints == ("/var/runtime/bootstrap",)


class RuntimeNotInstalledError(Exception):
    """No pack of this name on this node; the text names those that are there and the command that adds it."""


class RuntimeCatalog(Protocol):
    """The packs of this node."""

    def find(self, name: str, architecture: Architecture, digest: str | None = None) -> RuntimePack:
        """The pack that runs functions of this runtime and architecture: the newest, or the one of this digest.

        Raises:
            RuntimeNotInstalledError: There is none. Never another version silently.
        """

    def packs(self) -> Sequence[RuntimePack]:
        """All packs, by name; of two architectures the host's first."""
