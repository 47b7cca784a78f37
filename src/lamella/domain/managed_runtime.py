"""Customer-managed runtimes: a runtime with its versions, which never change, and its aliases, which point to one each.

A runtime is one value with all that belongs to it, and is stored as one document: what an alias points to is there, and
what is deleted is pointed to by nobody, whoever else is at work at the same time.

Source: developer guide, "Customer-managed runtimes" and its pages, and botocore's model `lambda-core`, 2026.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from lamella.domain.function import Architecture, FunctionConfig
from lamella.domain.release import Release
from lamella.domain.runtimes import RUNTIME_VERSION, UPDATE_RUNTIME_ON

CUSTOM: Final = "custom"
"""The `Runtime` of functions that use one."""
RUNTIME_CONFIG: Final = "RuntimeConfig"
"""Member of `FunctionConfig.other`: which runtime and which alias a function uses."""
RUNTIME_ERROR: Final = "_RuntimeVersionError"
"""Member of `FunctionConfig.other` of a version that is shown: why its runtime cannot be used. Never stored."""
RUNTIME_RECORD: Final = "managed-runtime"
"""Kind of the records that hold runtimes; their id is the name."""
RUNTIME_POLICY: Final = "managed-runtime-policy"
"""Kind of the records that hold their policies."""

_NAME: Final = r"[a-z0-9][a-z0-9_.-]{0,126}[a-z0-9]"
_ARN: Final = re.compile(
    rf"arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{{12}}):runtime/(?P<name>{_NAME})"
    r"(?:/(?P<kind>version|alias)/(?P<part>[A-Za-z0-9_.-]{1,128}))?"
)

Document = Mapping[str, Any]  # Any: JSON


class ResourceState(StrEnum):
    """Of a runtime, a version or an alias. The model has more, which nothing stays in here."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"
    PENDING_DELETION = "PENDING_DELETION"


@dataclass(frozen=True, slots=True, order=True)
class RuntimeKey:
    """What identifies a runtime on this installation."""

    account: str
    region: str
    name: str

    @classmethod
    def of_arn(cls, arn: str) -> Self | None:
        """The runtime of an ARN; `None` if it is no runtime's, or names a version or an alias."""
        match = _ARN.fullmatch(arn)
        return None if match is None or match["kind"] else cls(match["account"], match["region"], match["name"])

    @property
    def arn(self) -> str:
        """Of the runtime."""
        return f"arn:aws:lambda:{self.region}:{self.account}:runtime/{self.name}"

    def version_arn(self, name: str) -> str:
        """Of a version."""
        return f"{self.arn}/version/{name}"

    def alias_arn(self, name: str) -> str:
        """Of an alias."""
        return f"{self.arn}/alias/{name}"


def version_of_arn(arn: str) -> tuple[RuntimeKey, str] | None:
    """The runtime and the name of the version that an ARN names; `None` if it names none."""
    match = _ARN.fullmatch(arn)
    if match is None or match["kind"] != "version":
        return None
    return RuntimeKey(match["account"], match["region"], match["name"]), match["part"]


@dataclass(frozen=True, slots=True)
class Content:
    """What a version holds for one architecture.

    Attributes:
        digest: SHA-256 of an image's manifest, or of a tree that this server keeps; 64 hex digits.
    """

    architecture: Architecture
    digest: str


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    """One version; only its state and its release notes ever change.

    Attributes:
        image_uri: As its publisher named it.
        resolved_uri: The same by digest.
        created, modified: Aware UTC.
        delete_at: When it is gone for good, while it is pending deletion.
        failure: Why it could not be made. The API has no place for it; the command line shows it.
    """

    name: str
    image_uri: str
    resolved_uri: str
    contents: tuple[Content, ...]
    state: ResourceState
    created: datetime
    modified: datetime
    release_notes: str | None = None
    delete_at: datetime | None = None
    failure: str = ""

    def content(self, architecture: Architecture) -> Content | None:
        """For an architecture; `None` if it does not run there."""
        return next((content for content in self.contents if content.architecture is architecture), None)


@dataclass(frozen=True, slots=True)
class RuntimeAlias:
    """A name that points to a version.

    Attributes:
        release: In place of the runtime's, if it is not `None`.
    """

    name: str
    version: str
    state: ResourceState
    created: datetime
    modified: datetime
    description: str | None = None
    release: Release | None = None
    delete_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ManagedRuntime:
    """A runtime with all that belongs to it.

    Attributes:
        id: Tells it from one of the same name that was there before.
        generation: Counts changes: of two values with one id the one with the higher number is newer.
        versions, aliases: By name, in the order in which they were made.
    """

    key: RuntimeKey
    id: str
    created: datetime
    modified: datetime
    state: ResourceState = ResourceState.ACTIVE
    description: str | None = None
    license_info: str | None = None
    release: Release | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    delete_at: datetime | None = None
    generation: int = 1
    versions: Mapping[str, RuntimeVersion] = field(default_factory=dict)
    aliases: Mapping[str, RuntimeAlias] = field(default_factory=dict)

    def release_of(self, alias: RuntimeAlias) -> Release | None:
        """What holds for an alias: its own, else the runtime's."""
        return alias.release or self.release

    def to_document(self) -> dict[str, Any]:  # Any: JSON
        """As stored, without what identifies it."""
        return {
            "id": self.id,
            **_life(self),
            "description": self.description,
            "license_info": self.license_info,
            "release": _release(self.release),
            "tags": dict(self.tags),
            "generation": self.generation,
            "versions": [
                {
                    "name": version.name,
                    **_life(version),
                    "image_uri": version.image_uri,
                    "resolved_uri": version.resolved_uri,
                    "contents": [[one.architecture.value, one.digest] for one in version.contents],
                    "release_notes": version.release_notes,
                    "failure": version.failure,
                }
                for version in self.versions.values()
            ],
            "aliases": [
                {
                    "name": alias.name,
                    **_life(alias),
                    "version": alias.version,
                    "description": alias.description,
                    "release": _release(alias.release),
                }
                for alias in self.aliases.values()
            ],
        }

    @classmethod
    def of_document(cls, key: RuntimeKey, document: Document) -> Self:
        """The value again."""
        versions = [
            RuntimeVersion(
                name=stored["name"],
                image_uri=stored["image_uri"],
                resolved_uri=stored["resolved_uri"],
                contents=tuple(Content(Architecture(name), digest) for name, digest in stored["contents"]),
                release_notes=stored["release_notes"],
                failure=stored["failure"],
                **_read_life(stored),
            )
            for stored in document["versions"]
        ]
        aliases = [
            RuntimeAlias(
                name=stored["name"],
                version=stored["version"],
                description=stored["description"],
                release=Release.of_members(stored["release"]),
                **_read_life(stored),
            )
            for stored in document["aliases"]
        ]
        return cls(
            key=key,
            id=document["id"],
            description=document["description"],
            license_info=document["license_info"],
            release=Release.of_members(document["release"]),
            tags=document["tags"],
            generation=document["generation"],
            versions={version.name: version for version in versions},
            aliases={alias.name: alias for alias in aliases},
            **_read_life(document),
        )


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """The runtime and the alias that a function uses, and the version that it keeps.

    Attributes:
        kept: ARN of the version; `None` if the function follows the alias.
    """

    key: RuntimeKey
    alias: str
    kept: str | None = None

    @classmethod
    def of(cls, config: FunctionConfig) -> Self | None:
        """What a function's configuration says; `None` if it uses no customer-managed runtime."""
        chosen = config.other.get(RUNTIME_CONFIG)
        if config.runtime != CUSTOM or chosen is None:
            return None
        key = RuntimeKey.of_arn(chosen["RuntimeArn"])
        if key is None:
            return None
        kept = config.other.get(RUNTIME_VERSION) if UPDATE_RUNTIME_ON in config.other else None
        return cls(key, chosen["RuntimeAlias"], kept)


def _life(resource: ManagedRuntime | RuntimeVersion | RuntimeAlias) -> dict[str, Any]:  # Any: JSON
    return {
        "state": resource.state.value,
        "created": resource.created.isoformat(),
        "modified": resource.modified.isoformat(),
        "delete_at": None if resource.delete_at is None else resource.delete_at.isoformat(),
    }


def _read_life(document: Document) -> dict[str, Any]:  # Any: arguments of three classes
    delete_at = document["delete_at"]
    return {
        "state": ResourceState(document["state"]),
        "created": datetime.fromisoformat(document["created"]),
        "modified": datetime.fromisoformat(document["modified"]),
        "delete_at": None if delete_at is None else datetime.fromisoformat(delete_at),
    }


def _release(release: Release | None) -> dict[str, str]:
    return {} if release is None else release.members()
