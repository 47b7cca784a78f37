from dataclasses import replace

import pytest

from lamella.domain.channel import Channel, ChannelName, Progress, Result, Subscription, UpdateMode
from lamella.domain.layer import LayerKey
from lamella.lifecycle.channel import Standing, is_pending, named, progress, standing, swapped, takes_with_update

NAME = ChannelName(LayerKey("000000000000", "us-east-1", "l"), "stable")
CHANNEL = Channel(NAME, 8, 3, (7, 8), ())
BEHIND = Subscription(NAME.record, UpdateMode.AUTO, 7, generation=2)


@pytest.mark.parametrize(
    ("version", "applying", "paused", "has", "expected"),
    [
        (7, (), False, 7, Standing.FOLLOWS),
        (7, (8,), False, 8, Standing.FOLLOWS),
        (7, (8, 9), False, 9, Standing.FOLLOWS),
        (None, (), False, None, Standing.FOLLOWS),  # it gets the layer when it follows
        (None, (8,), False, None, Standing.FOLLOWS),
        (None, (8,), False, 8, Standing.FOLLOWS),
        (7, (), False, 6, Standing.PAUSED),
        (7, (8,), False, 9, Standing.PAUSED),
        (None, (), False, 6, Standing.PAUSED),
        (7, (), True, 7, Standing.PAUSED),
        (7, (), True, 6, Standing.PAUSED),
        (7, (), False, None, Standing.ENDED),
        (7, (8,), False, None, Standing.ENDED),
        (7, (), True, None, Standing.ENDED),
    ],
)
def test_standing(
    version: int | None, applying: tuple[int, ...], paused: bool, has: int | None, expected: Standing
) -> None:
    subscription = Subscription(NAME.record, UpdateMode.AUTO, version, applying, paused)
    assert standing(subscription, has) is expected


def test_what_an_owner_names_holds() -> None:
    assert named(BEHIND, CHANNEL, had=7, has=None, at="t") is None
    assert named(BEHIND, CHANNEL, had=7, has=7, at="t") == BEHIND
    other = named(BEHIND, CHANNEL, had=7, has=5, at="t")
    assert other is not None
    assert other.paused
    back = named(other, CHANNEL, had=5, has=8, at="t")
    assert back is not None
    assert (back.paused, back.version, back.generation, back.result) == (False, 8, 3, Result.ALREADY)
    still = named(other, CHANNEL, had=5, has=5, at="t")
    assert still == other


@pytest.mark.parametrize("update", UpdateMode)
@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("has", [7, 8, 5])
def test_what_comes_with_an_owners_update(update: UpdateMode, paused: bool, has: int) -> None:
    subscription = replace(BEHIND, update=update, paused=paused)
    expected = update is not UpdateMode.MANUAL and not paused and has == 7
    assert takes_with_update(subscription, CHANNEL, has) is expected


def test_what_is_pending() -> None:
    assert is_pending(BEHIND, CHANNEL)
    assert not is_pending(replace(BEHIND, generation=3), CHANNEL)
    assert not is_pending(replace(BEHIND, paused=True), CHANNEL)
    assert not is_pending(replace(BEHIND, update=UpdateMode.ON_UPDATE), CHANNEL)
    assert not is_pending(replace(BEHIND, update=UpdateMode.MANUAL), CHANNEL)


def test_the_other_layers_stay_in_order() -> None:
    assert swapped("abc", 0, "x") == ("x", "b", "c")
    assert swapped("abc", 1, "x") == ("a", "x", "c")
    assert swapped("abc", None, "x") == ("a", "b", "c", "x")
    assert swapped("", None, "x") == ("x",)


def test_progress() -> None:
    here = replace(BEHIND, generation=3)
    subscriptions = [
        BEHIND,
        replace(here, result=Result.UPDATED),
        replace(here, result=Result.UPDATED),
        replace(here, result=Result.ALREADY),
        replace(here, result=Result.REFUSED),
        replace(BEHIND, result=Result.REFUSED),  # of an earlier move
        replace(BEHIND, paused=True),
        replace(BEHIND, update=UpdateMode.MANUAL),
    ]
    found = progress(replace(CHANNEL, gone=("g",)), subscriptions)
    assert found == Progress(functions=7, waiting=2, updated=2, already_there=1, refused=1, deleted=1)
    assert progress(CHANNEL, []) == Progress()
