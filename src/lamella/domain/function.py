"""Functions and their versions, as Lambda's API shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

LATEST: Final = "$LATEST"
NO_ARCHIVE: Final = ""
"""Digest of the artifact of a function whose code is a container image."""


class State(StrEnum):
    """Whether a function version can be invoked. Source: model, shape `State`."""

    PENDING = "Pending"
    ACTIVE = "Active"
    INACTIVE = "Inactive"
    FAILED = "Failed"


class LastUpdateStatus(StrEnum):
    """How far the last change of code or configuration has got. Source: model, shape `LastUpdateStatus`."""

    IN_PROGRESS = "InProgress"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"


class Architecture(StrEnum):
    """Instruction set of a function. Source: model, shape `Architecture`."""

    X86_64 = "x86_64"
    ARM64 = "arm64"


@dataclass(frozen=True, slots=True, order=True)
class FunctionKey:
    """What identifies a function on this installation."""

    account: str
    region: str
    name: str

    def arn(self, qualifier: str | None = None) -> str:
        """The function's ARN, with a version or alias at its end if one is given."""
        tail = "" if qualifier is None else f":{qualifier}"
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}{tail}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A zip archive that was checked, stored and extracted; immutable.

    Attributes:
        digest: SHA-256 of the zip, 64 hex digits; its name in the artifact store. `NO_ARCHIVE` for images.
        code_sha256: The same in base64, as `CodeSha256` shows it; of an image in hex, and empty if it is not known.
        size_bytes: Size of the zip.
        unzipped_bytes: Sum of the extracted files' sizes.
    """

    digest: str
    code_sha256: str
    size_bytes: int
    unzipped_bytes: int


@dataclass(frozen=True, slots=True)
class LayerReference:
    """A layer version as a function holds it: it stays usable when the layer version is deleted.

    Source: API reference, DeleteLayerVersion: "a copy of the version remains in Lambda until no functions refer to it".
    """

    arn: str
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """What the caller decides about a function.

    Attributes:
        timeout_s: 1 to 900.
        memory_mib: 128 to 10240.
        tmp_mib: 512 to 10240; `EphemeralStorage.Size`.
        layers: In the caller's order: a later layer's file replaces an earlier one's.
        environment: Names and values; `None` if never given, which the API shows differently from empty.
        other: Members of the model that are kept and shown, but have no effect on how the function runs
            (`TracingConfig`, `VpcConfig`, `DeadLetterConfig`, `LoggingConfig` ...), as the API spells them.
    """

    role: str
    runtime: str | None
    handler: str | None
    description: str = ""
    timeout_s: int = 3
    memory_mib: int = 128
    tmp_mib: int = 512
    architecture: Architecture = Architecture.X86_64
    package_type: str = "Zip"
    layers: tuple[LayerReference, ...] = ()
    environment: Mapping[str, str] | None = None
    other: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON of shapes we pass through unread


@dataclass(frozen=True, slots=True)
class FunctionVersion:
    """One version of a function: `$LATEST`, or a published number whose code and configuration never change.

    Attributes:
        revision_id: UUID; new with every change.
        modified_at: Aware UTC.
        state_reason, state_reason_code, update_reason, update_reason_code: Empty when there is nothing to say.
    """

    key: FunctionKey
    version: str
    artifact: Artifact
    config: FunctionConfig
    revision_id: str
    modified_at: datetime
    state: State = State.PENDING
    state_reason: str = ""
    state_reason_code: str = ""
    update_status: LastUpdateStatus = LastUpdateStatus.SUCCESSFUL
    update_reason: str = ""
    update_reason_code: str = ""
