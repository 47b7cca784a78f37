"""What can be done to a customer-managed runtime: the rules, on values, without a clock.

Nothing is deleted at once. A runtime, a version or an alias that is deleted cannot be used from that moment on, is kept
for a waiting period, and can be restored as long; its name stays taken. When the period is over it is gone, which shows
the next time somebody looks: `alive` leaves out what is gone.

What would leave something inconsistent is refused: a version that an alias points to is not deleted, an alias is not
restored without its version, and a runtime goes last and comes back first. That a version may go whose aliases are
pending deletion is taken from the words about runtimes ("deleted or scheduled for deletion").

Source: developer guide, "Deleting and restoring runtimes", and the operations' documentation in the model
`lambda-core`, 2026. The texts of the errors are ours.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from lamella.domain._api_errors import (
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
)
from lamella.domain.managed_runtime import ManagedRuntime, ResourceState, RuntimeAlias, RuntimeVersion
from lamella.domain.quotas import RUNTIME_ALIASES, RUNTIME_VERSIONS

RECOVERY_WINDOW_DAYS: Final = 30
"""How long what is deleted can be restored, if nobody says otherwise."""

_Part = TypeVar("_Part", RuntimeVersion, RuntimeAlias)
_Any = TypeVar("_Any", ManagedRuntime, RuntimeVersion, RuntimeAlias)


def alive(runtime: ManagedRuntime, now: datetime) -> ManagedRuntime | None:
    """The runtime without what is gone by now; `None` if it is gone itself."""
    if _gone(runtime, now):
        return None
    return replace(runtime, versions=_alive(runtime.versions, now), aliases=_alive(runtime.aliases, now))


def version_of(runtime: ManagedRuntime, name: str) -> RuntimeVersion:
    """A version.

    Raises:
        ResourceNotFoundException: There is none of this name.
    """
    version = runtime.versions.get(name)
    if version is None:
        raise ResourceNotFoundException(f"Runtime version not found: {runtime.key.version_arn(name)}")
    return version


def alias_of(runtime: ManagedRuntime, name: str) -> RuntimeAlias:
    """An alias.

    Raises:
        ResourceNotFoundException: There is none of this name.
    """
    alias = runtime.aliases.get(name)
    if alias is None:
        raise ResourceNotFoundException(f"Runtime alias not found: {runtime.key.alias_arn(name)}")
    return alias


def check_active(runtime: ManagedRuntime) -> None:
    """Refuse a change of what is being deleted.

    Raises:
        ResourceConflictException: The runtime is pending deletion.
    """
    if runtime.state is not ResourceState.ACTIVE:
        raise ResourceConflictException(
            f"The runtime is in the following state: {runtime.state}. Restore it first: {runtime.key.arn}"
        )


def check_new_version(runtime: ManagedRuntime, name: str) -> None:
    """Refuse a version that cannot be added.

    Raises:
        ResourceConflictException: The name is taken, or the runtime is pending deletion.
        ServiceQuotaExceededException: The runtime has as many as it may.
    """
    check_active(runtime)
    known = runtime.versions.get(name)
    if known is not None:
        raise ResourceConflictException(
            f"Runtime version already exists{_until(known)}: {runtime.key.version_arn(name)}"
        )
    if len(runtime.versions) >= RUNTIME_VERSIONS.limit:
        raise ServiceQuotaExceededException(f"A runtime has at most {RUNTIME_VERSIONS.limit} versions.")


def with_version(runtime: ManagedRuntime, version: RuntimeVersion) -> ManagedRuntime:
    """The runtime with one version more, or with another state of one."""
    return replace(runtime, versions={**runtime.versions, version.name: version})


def fetched(runtime: ManagedRuntime, name: str, failure: str, now: datetime) -> ManagedRuntime:
    """What a version was made of is here, or cannot be had; a version that was deleted meanwhile stays so."""
    version = runtime.versions.get(name)
    if version is None or version.state is not ResourceState.CREATING:
        return runtime
    state = ResourceState.FAILED if failure else ResourceState.ACTIVE
    return with_version(runtime, replace(version, state=state, failure=failure, modified=now))


def with_notes(runtime: ManagedRuntime, name: str, notes: str, now: datetime) -> ManagedRuntime:
    """Other release notes for a version.

    Raises:
        ResourceConflictException: It is not active, or the runtime is not.
        ResourceNotFoundException: There is none.
    """
    check_active(runtime)
    version = version_of(runtime, name)
    if version.state is not ResourceState.ACTIVE:
        raise ResourceConflictException(_unusable(runtime, version))
    return with_version(runtime, replace(version, release_notes=notes, modified=now))


def with_alias(runtime: ManagedRuntime, alias: RuntimeAlias) -> ManagedRuntime:
    """The runtime with a new alias.

    Raises:
        ResourceConflictException: The name is taken, or the version cannot be used.
        ResourceNotFoundException: There is no such version.
        ServiceQuotaExceededException: The runtime has as many as it may.
    """
    check_active(runtime)
    known = runtime.aliases.get(alias.name)
    if known is not None:
        raise ResourceConflictException(
            f"Runtime alias already exists{_until(known)}: {runtime.key.alias_arn(alias.name)}"
        )
    if len(runtime.aliases) >= RUNTIME_ALIASES.limit:
        raise ServiceQuotaExceededException(f"A runtime has at most {RUNTIME_ALIASES.limit} aliases.")
    _check_target(runtime, alias.version)
    return replace(runtime, aliases={**runtime.aliases, alias.name: alias})


def with_changed_alias(runtime: ManagedRuntime, changed: RuntimeAlias) -> ManagedRuntime:
    """An alias moved to another version, or changed otherwise.

    Raises:
        ResourceConflictException: It is pending deletion, or the version cannot be used.
        ResourceNotFoundException: There is no such alias or version.
    """
    check_active(runtime)
    if alias_of(runtime, changed.name).state is not ResourceState.ACTIVE:
        raise ResourceConflictException(
            f"The runtime alias is pending deletion. Restore it first: {runtime.key.alias_arn(changed.name)}"
        )
    _check_target(runtime, changed.version)
    return replace(runtime, aliases={**runtime.aliases, changed.name: changed})


def without_version(runtime: ManagedRuntime, name: str, days: int, now: datetime) -> ManagedRuntime:
    """A version pending deletion; one that is already stays as it is.

    Raises:
        ResourceConflictException: Aliases point to it, or it is still being made.
        ResourceNotFoundException: There is none.
    """
    version = version_of(runtime, name)
    if version.state is ResourceState.CREATING:
        raise ResourceConflictException(f"The runtime version is still being created: {runtime.key.version_arn(name)}")
    pointing = [
        alias.name
        for alias in runtime.aliases.values()
        if alias.version == name and alias.state is ResourceState.ACTIVE
    ]
    if pointing:
        raise ResourceConflictException(
            f"Unable to delete the runtime version because the following aliases point to it: [{', '.join(pointing)}]. "
            "Point them to another version, or delete them first."
        )
    return with_version(runtime, _pending(version, days, now))


def without_alias(runtime: ManagedRuntime, name: str, days: int, now: datetime) -> ManagedRuntime:
    """An alias pending deletion; one that is already stays as it is.

    Raises:
        ResourceNotFoundException: There is none.
    """
    alias = _pending(alias_of(runtime, name), days, now)
    return replace(runtime, aliases={**runtime.aliases, name: alias})


def deleted(runtime: ManagedRuntime, days: int, now: datetime) -> ManagedRuntime:
    """The runtime pending deletion; if it is already it stays as it is.

    Raises:
        ResourceConflictException: It has versions or aliases that are not.
    """
    parts: list[RuntimeVersion | RuntimeAlias] = [*runtime.versions.values(), *runtime.aliases.values()]
    left = [part.name for part in parts if part.state is not ResourceState.PENDING_DELETION]
    if left:
        raise ResourceConflictException(
            "Unable to delete the runtime because it has versions or aliases that are not deleted: "
            f"[{', '.join(left[:10])}{', ...' if len(left) > 10 else ''}]"
        )
    return _pending(runtime, days, now)


def restored(runtime: ManagedRuntime, now: datetime) -> ManagedRuntime:
    """The runtime as it was; its versions and aliases stay pending deletion. If it is active nothing changes."""
    return _restored(runtime, now)


def with_restored_version(runtime: ManagedRuntime, name: str, now: datetime) -> ManagedRuntime:
    """A version as it was; if it is active nothing changes.

    Raises:
        ResourceConflictException: The runtime is pending deletion, or the version never could be used.
        ResourceNotFoundException: There is none.
    """
    check_active(runtime)
    version = version_of(runtime, name)
    if version.state in {ResourceState.CREATING, ResourceState.FAILED}:
        raise ResourceConflictException(_unusable(runtime, version))
    return with_version(runtime, _restored(version, now))


def with_restored_alias(runtime: ManagedRuntime, name: str, now: datetime) -> ManagedRuntime:
    """An alias as it was; if it is active nothing changes.

    Raises:
        ResourceConflictException: The runtime or the version it points to is pending deletion.
        ResourceNotFoundException: There is none, or the version is gone.
    """
    check_active(runtime)
    alias = alias_of(runtime, name)
    _check_target(runtime, alias.version)
    return replace(runtime, aliases={**runtime.aliases, name: _restored(alias, now)})


def _check_target(runtime: ManagedRuntime, name: str) -> None:
    version = version_of(runtime, name)
    if version.state is not ResourceState.ACTIVE:
        raise ResourceConflictException(_unusable(runtime, version))


def _unusable(runtime: ManagedRuntime, version: RuntimeVersion) -> str:
    return f"The runtime version is in the following state: {version.state}: {runtime.key.version_arn(version.name)}"


def _pending(resource: _Any, days: int, now: datetime) -> _Any:
    if resource.state is ResourceState.PENDING_DELETION:
        return resource
    return replace(resource, state=ResourceState.PENDING_DELETION, delete_at=now + timedelta(days=days), modified=now)


def _restored(resource: _Any, now: datetime) -> _Any:
    if resource.state is not ResourceState.PENDING_DELETION:
        return resource
    # What never worked comes back as what it was.
    failed = getattr(resource, "failure", "")
    state = ResourceState.FAILED if failed else ResourceState.ACTIVE
    return replace(resource, state=state, delete_at=None, modified=now)


def _gone(resource: ManagedRuntime | RuntimeVersion | RuntimeAlias, now: datetime) -> bool:
    return resource.delete_at is not None and resource.delete_at <= now


def _alive(parts: Mapping[str, _Part], now: datetime) -> Mapping[str, _Part]:
    return {name: part for name, part in parts.items() if not _gone(part, now)}


def _until(resource: ManagedRuntime | RuntimeVersion | RuntimeAlias) -> str:
    """Why a name is taken by what seems to be deleted."""
    if resource.delete_at is None:
        return ""
    return f" and is pending deletion until {resource.delete_at:%Y-%m-%d %H:%M} UTC: restore it, or use another name"
