from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lamella.domain._api_errors import (
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
)
from lamella.domain.function import Architecture
from lamella.domain.managed_runtime import (
    Content,
    ManagedRuntime,
    ResourceState,
    RuntimeAlias,
    RuntimeKey,
    RuntimeVersion,
)
from lamella.domain.quotas import RUNTIME_ALIASES, RUNTIME_VERSIONS
from lamella.lifecycle import managed_runtime as rules

NOW = datetime(2026, 11, 20, tzinfo=UTC)
LATER = NOW + timedelta(days=8)
KEY = RuntimeKey("123456789012", "eu-central-1", "php")
ACTIVE, PENDING = ResourceState.ACTIVE, ResourceState.PENDING_DELETION


def version(name: str, state: ResourceState = ACTIVE) -> RuntimeVersion:
    return RuntimeVersion(name, "i", "i@1", (Content(Architecture.X86_64, "0" * 64),), state, NOW, NOW)


def alias(name: str, to: str) -> RuntimeAlias:
    return RuntimeAlias(name, to, ACTIVE, NOW, NOW)


RUNTIME = ManagedRuntime(
    key=KEY,
    id="i",
    created=NOW,
    modified=NOW,
    versions={"v1": version("v1"), "v2": version("v2"), "new": version("new", ResourceState.CREATING)},
    aliases={"prod": alias("prod", "v1")},
)
DELETED = replace(RUNTIME, versions={}, aliases={}, state=PENDING, delete_at=LATER)


def refused(call: Callable[[], object], kind: type[Exception] = ResourceConflictException) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_an_alias_moves_and_moves_back() -> None:
    moved = rules.with_changed_alias(RUNTIME, alias("prod", "v2"))
    assert moved.aliases["prod"].version == "v2"
    assert rules.with_changed_alias(moved, alias("prod", "v1")).aliases == RUNTIME.aliases


@pytest.mark.parametrize(("to", "kind"), [("new", ResourceConflictException), ("v9", ResourceNotFoundException)])
def test_an_alias_points_to_what_can_be_used(to: str, kind: type[Exception]) -> None:
    refused(lambda: rules.with_changed_alias(RUNTIME, alias("prod", to)), kind)
    refused(lambda: rules.with_alias(RUNTIME, alias("test", to)), kind)


def test_names_are_taken() -> None:
    assert "already exists" in refused(lambda: rules.check_new_version(RUNTIME, "v1"))
    assert "already exists" in refused(lambda: rules.with_alias(RUNTIME, alias("prod", "v2")))


def test_the_name_of_what_is_deleted_stays_taken_until_it_is_gone() -> None:
    pending = rules.without_version(RUNTIME, "v2", 7, NOW)
    assert "until 2026-11-27 00:00 UTC" in refused(lambda: rules.check_new_version(pending, "v2"))
    left = rules.alive(pending, NOW + timedelta(days=7))
    assert left is not None
    rules.check_new_version(left, "v2")


def test_a_version_that_an_alias_points_to_is_not_deleted() -> None:
    assert "[prod]" in refused(lambda: rules.without_version(RUNTIME, "v1", 30, NOW))
    freed = rules.without_alias(RUNTIME, "prod", 30, NOW)
    assert rules.without_version(freed, "v1", 30, NOW).versions["v1"].state is PENDING
    refused(lambda: rules.without_version(RUNTIME, "new", 30, NOW))


def test_deleting_twice_keeps_the_first_date() -> None:
    once = rules.without_version(RUNTIME, "v2", 7, NOW)
    again = rules.without_version(once, "v2", 30, LATER)
    assert again == once
    assert once.versions["v2"].delete_at == NOW + timedelta(days=7)
    aliased = rules.without_alias(RUNTIME, "prod", 7, NOW)
    assert rules.without_alias(aliased, "prod", 30, LATER) == aliased


def test_a_runtime_goes_last_and_comes_back_first() -> None:
    assert "[v1, v2, new, prod]" in refused(lambda: rules.deleted(RUNTIME, 30, NOW))
    runtime = rules.without_alias(replace(RUNTIME, versions={"v1": version("v1")}), "prod", 30, NOW)
    runtime = rules.without_version(runtime, "v1", 30, NOW)
    runtime = rules.deleted(runtime, 30, NOW)
    assert runtime.state is PENDING
    refused(lambda: rules.with_restored_version(runtime, "v1", NOW))
    back = rules.restored(runtime, NOW)
    refused(lambda: rules.with_restored_alias(back, "prod", NOW))  # its version is not there
    back = rules.with_restored_alias(rules.with_restored_version(back, "v1", NOW), "prod", NOW)
    assert (back.state, back.versions["v1"].state, back.aliases["prod"].state) == (ACTIVE, ACTIVE, ACTIVE)
    assert back.aliases["prod"].delete_at is None


def test_restoring_what_is_active_changes_nothing() -> None:
    assert rules.restored(RUNTIME, LATER) == RUNTIME
    assert rules.with_restored_version(RUNTIME, "v1", LATER) == RUNTIME
    assert rules.with_restored_alias(RUNTIME, "prod", LATER) == RUNTIME


def test_what_never_worked_does_not_come_back_as_something_that_works() -> None:
    failed = rules.fetched(RUNTIME, "new", "no bootstrap", NOW)
    refused(lambda: rules.with_restored_version(failed, "new", NOW))
    pending = rules.without_version(failed, "new", 7, NOW)
    assert rules.with_restored_version(pending, "new", NOW).versions["new"].state is ResourceState.FAILED


@pytest.mark.parametrize(
    "change",
    [
        lambda runtime: rules.check_new_version(runtime, "v3"),
        lambda runtime: rules.with_alias(runtime, alias("a", "v1")),
        lambda runtime: rules.with_changed_alias(runtime, alias("prod", "v1")),
        lambda runtime: rules.with_notes(runtime, "v1", "n", NOW),
        lambda runtime: rules.with_restored_alias(runtime, "prod", NOW),
    ],
)
def test_nothing_is_changed_in_what_is_being_deleted(change: Callable[[ManagedRuntime], object]) -> None:
    assert "Restore it first" in refused(lambda: change(DELETED))


def test_an_alias_that_is_being_deleted_does_not_move() -> None:
    pending = rules.without_alias(RUNTIME, "prod", 30, NOW)
    assert "Restore it first" in refused(lambda: rules.with_changed_alias(pending, alias("prod", "v2")))


def test_time_takes_away_what_was_deleted() -> None:
    runtime = rules.without_alias(RUNTIME, "prod", 7, NOW)
    just_before, then = NOW + timedelta(days=7, microseconds=-1), NOW + timedelta(days=7)
    assert rules.alive(runtime, just_before) == runtime
    left = rules.alive(runtime, then)
    assert left is not None
    assert left.aliases == {}
    assert rules.alive(DELETED, LATER) is None


def test_notes() -> None:
    assert rules.with_notes(RUNTIME, "v1", "n", LATER).versions["v1"].release_notes == "n"
    refused(lambda: rules.with_notes(RUNTIME, "new", "n", NOW))
    refused(lambda: rules.with_notes(RUNTIME, "v9", "n", NOW), ResourceNotFoundException)


def test_what_was_deleted_while_it_was_fetched_stays_deleted() -> None:
    assert rules.fetched(RUNTIME, "new", "", LATER).versions["new"].state is ACTIVE
    assert rules.fetched(RUNTIME, "v1", "late", LATER) == RUNTIME
    assert rules.fetched(RUNTIME, "v9", "", LATER) == RUNTIME


def test_quotas() -> None:
    many = {f"v{number}": version(f"v{number}") for number in range(RUNTIME_VERSIONS.limit)}
    refused(lambda: rules.check_new_version(replace(RUNTIME, versions=many), "x"), ServiceQuotaExceededException)
    aliases = {f"a{number}": alias(f"a{number}", "v1") for number in range(RUNTIME_ALIASES.limit)}
    refused(
        lambda: rules.with_alias(replace(RUNTIME, aliases=aliases), alias("x", "v1")), ServiceQuotaExceededException
    )
