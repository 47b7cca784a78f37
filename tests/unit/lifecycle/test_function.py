from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import get_args

import pytest

from lamella.domain.function import (
    Architecture,
    Artifact,
    FunctionConfig,
    FunctionKey,
    FunctionVersion,
    LastUpdateStatus,
    State,
)
from lamella.domain.image_code import as_invoked, image_code, images_of, updated_image
from lamella.lifecycle.function import (
    TRANSITIONS,
    CreationFailed,
    CreationSucceeded,
    FunctionEvent,
    FunctionTransitionError,
    Problem,
    UpdateFailed,
    UpdateRequested,
    UpdateSucceeded,
    advance,
    created,
    outcome,
    settled,
)

VERSION = FunctionVersion(
    key=FunctionKey("123456789012", "eu-central-1", "f"),
    version="$LATEST",
    artifact=Artifact("d", "c", 1, 1),
    config=FunctionConfig(role="r", runtime="python3.11", handler="h"),
    revision_id="r-0",
    modified_at=datetime(2026, 11, 20, tzinfo=UTC),
)
EVENTS: dict[type[FunctionEvent], FunctionEvent] = {
    type(event): event
    for event in (
        CreationSucceeded(),
        CreationFailed("why", "InternalError"),
        UpdateRequested(),
        UpdateSucceeded(),
        UpdateFailed("why", "InvalidRuntime"),
    )
}


def test_every_event_is_tried_here() -> None:
    assert set(EVENTS) == set(get_args(FunctionEvent))


@pytest.mark.parametrize(("state", "status", "kind"), list(product(State, LastUpdateStatus, EVENTS)))
def test_every_pair_is_in_the_table_or_refused(
    state: State, status: LastUpdateStatus, kind: type[FunctionEvent]
) -> None:
    before = replace(VERSION, state=state, update_status=status)
    expected = TRANSITIONS.get(((state, status), kind))
    if expected is None:
        with pytest.raises(FunctionTransitionError) as caught:
            advance(before, EVENTS[kind], revision_id="r-1")
        assert caught.value.version is before
    else:
        after = advance(before, EVENTS[kind], revision_id="r-1")
        assert (after.state, after.update_status) == expected
        assert after.revision_id == "r-1"
        assert (after.artifact, after.config, after.modified_at) == (
            before.artifact,
            before.config,
            before.modified_at,
        )


def test_a_life() -> None:
    version = created(VERSION)
    assert (version.state_reason, version.state_reason_code) == ("The function is being created.", "Creating")
    assert not settled(version)
    version = advance(version, CreationSucceeded(), revision_id="r-1")
    assert settled(version)
    assert (version.state_reason, version.state_reason_code, version.update_reason) == ("", "", "")
    version = advance(version, UpdateRequested(), revision_id="r-2")
    assert (version.state_reason, version.update_reason_code) == ("", "Creating")
    assert not settled(version)
    version = advance(version, UpdateFailed("no pack", "InvalidRuntime"), revision_id="r-3")
    assert settled(version)
    assert (version.state, version.update_reason, version.update_reason_code) == (
        State.ACTIVE,
        "no pack",
        "InvalidRuntime",
    )
    version = advance(version, UpdateRequested(), revision_id="r-4")
    version = advance(version, UpdateSucceeded(), revision_id="r-5")
    assert version == replace(VERSION, state=State.ACTIVE, update_status=LastUpdateStatus.SUCCESSFUL, revision_id="r-5")


def test_a_failed_creation_tells_why_in_both_places() -> None:
    version = advance(created(VERSION), CreationFailed("why", "InternalError"), revision_id="r-1")
    assert (version.state_reason, version.state_reason_code) == ("why", "InternalError")
    assert (version.update_reason, version.update_reason_code) == ("why", "InternalError")
    assert settled(version)


def test_a_failed_version_says_why_until_an_update_succeeds() -> None:
    version = advance(created(VERSION), CreationFailed("why", "InternalError"), revision_id="r-1")
    version = advance(version, UpdateRequested(), revision_id="r-2")
    assert (version.state, version.state_reason, version.update_reason_code) == (State.FAILED, "why", "Creating")
    assert not settled(version)
    failed = advance(version, UpdateFailed("still", "InvalidRuntime"), revision_id="r-3")
    assert (failed.state_reason, failed.update_reason) == ("why", "still")
    mended = advance(version, UpdateSucceeded(), revision_id="r-3")
    assert (mended.state, mended.state_reason, mended.state_reason_code) == (State.ACTIVE, "", "")


def test_what_is_under_way_ends_well_unless_there_is_a_problem() -> None:
    assert outcome(created(VERSION)) == CreationSucceeded()
    assert outcome(replace(VERSION, state=State.ACTIVE)) == UpdateSucceeded()
    problem = Problem("no such layer", "InvalidImage")
    assert outcome(created(VERSION), problem) == CreationFailed("no such layer", "InvalidImage")
    assert outcome(replace(VERSION, state=State.FAILED), problem) == UpdateFailed("no such layer", "InvalidImage")


def of_image(state: State = State.ACTIVE) -> FunctionVersion:
    """A version that is being updated from one image to another."""
    artifact, config = image_code(replace(VERSION.config, package_type="Image"), "r/a:1", "a" * 64)
    before = replace(VERSION, artifact=artifact, config=config, state=state)
    artifact, config = image_code(replace(config, architecture=Architecture.ARM64), "r/a:2", "b" * 64)
    after = replace(before, artifact=artifact, config=updated_image(before, config))
    if state is State.FAILED:
        after = replace(after, update_status=LastUpdateStatus.FAILED)
    return advance(after, UpdateRequested(), revision_id="r-1")


@pytest.mark.parametrize(
    ("state", "event", "digest", "uri", "architecture"),
    [
        (State.ACTIVE, UpdateSucceeded(), "b", "r/a:2", Architecture.ARM64),
        (State.ACTIVE, UpdateFailed("no", "InvalidImage"), "a", "r/a:1", Architecture.X86_64),
        (State.FAILED, UpdateSucceeded(), "b", "r/a:2", Architecture.ARM64),
        (State.FAILED, UpdateFailed("no", "InvalidImage"), "b", "r/a:2", Architecture.ARM64),
    ],
)
def test_the_image_that_ran_before_stays_if_the_other_cannot_be_had(
    state: State, event: FunctionEvent, digest: str, uri: str, architecture: Architecture
) -> None:
    updating = of_image(state)
    if state is State.ACTIVE:
        assert images_of(updating) == {"a" * 64: "r/a:1", "b" * 64: "r/a:2"}
        assert as_invoked(updating).artifact.code_sha256 == "a" * 64
        assert as_invoked(updating).config.architecture is Architecture.X86_64
    after = advance(updating, event, revision_id="r-2")
    assert (after.artifact.code_sha256, after.config.architecture) == (digest * 64, architecture)
    assert after.config.other == {"ImageUri": uri}
    assert as_invoked(after) == after
    assert images_of(after) == {digest * 64: uri}


def test_an_archive_is_no_image() -> None:
    assert images_of(VERSION) == {}
    assert as_invoked(advance(replace(VERSION, state=State.ACTIVE), UpdateRequested(), revision_id="r")).config == (
        VERSION.config
    )
