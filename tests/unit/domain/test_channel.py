import pytest

from lamella.domain.channel import (
    Channel,
    ChannelError,
    ChannelName,
    Mover,
    Result,
    Subscription,
    UpdateMode,
    layer_of_qualifier,
    layer_qualifier,
    moved,
    rolled_back,
)
from lamella.domain.layer import LayerKey

ACCOUNT, REGION = "000000000000", "us-east-1"
NAME = ChannelName(LayerKey(ACCOUNT, REGION, "imaging"), "stable")
MOVER = Mover("2026-11-26T20:00:00.000+00:00", "ann@desk", "AKIA", "why")


def parse(text: str) -> ChannelName:
    return ChannelName.parse(text, account=ACCOUNT, region=REGION)


def test_names() -> None:
    assert parse("imaging:stable") == NAME
    foreign = parse(f"arn:aws:lambda:{REGION}:111122223333:layer:imaging:stable")
    assert foreign.layer == LayerKey("111122223333", REGION, "imaging")
    for name in (NAME, foreign):
        assert ChannelName.of_record(name.record, REGION) == name
        assert parse(name.shown(ACCOUNT)) == name
        assert layer_of_qualifier(layer_qualifier(name.layer), REGION) == name.layer
        assert len(name.record) <= 256
    assert NAME.shown("111122223333") == f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:imaging:stable"


def test_the_longest_name_fits_into_a_record() -> None:
    assert len(parse(f"{'a' * 140}:{'b' * 64}").record) <= 256


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "imaging", "imaging:", ":stable", "imaging:8", "imaging:8th", "imaging:-x", f"imaging:{'a' * 65}",
        f"{'a' * 141}:stable", "a b:stable", "imaging:sta ble", "imaging:stable\n", "im\x1baging:stable", "é:stable",
        "a:b:stable", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:imaging:stable", "imaging:stáble", "../x:stable",
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:imaging:3:stable",
    ],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ChannelError):
        parse(text)


def trail(channel: Channel) -> tuple[int, ...]:
    return channel.trail


def test_moves_and_roll_backs() -> None:
    channel = moved(None, NAME, 7, MOVER)
    assert (channel.version, channel.generation, channel.moves[0].before) == (7, 1, None)
    assert moved(channel, NAME, 7, MOVER) is channel
    for version in (8, 9, 8):
        channel = moved(channel, NAME, version, MOVER)
    assert (channel.version, channel.generation, trail(channel)) == (8, 4, (7, 8, 9, 8))
    back = rolled_back(channel, None, MOVER)
    assert (back.version, back.generation, trail(back)) == (9, 5, (7, 8, 9))
    assert trail(rolled_back(channel, 8, MOVER)) == (7, 8)
    assert trail(rolled_back(channel, 7, MOVER)) == (7,)
    assert rolled_back(channel, 7, MOVER).moves[-1].kind == "rollback"
    for to in (10, None):
        with pytest.raises(ChannelError):
            rolled_back(rolled_back(channel, 7, MOVER), to, MOVER)


def test_a_long_history_is_cut_at_its_beginning() -> None:
    channel = moved(None, NAME, 1, MOVER)
    for version in range(2, 151):
        channel = moved(channel, NAME, version, MOVER)
    assert (len(channel.moves), channel.moves[0].number, channel.generation) == (100, 51, 150)
    assert (len(channel.trail), channel.trail[-1]) == (100, 150)
    assert rolled_back(channel, None, MOVER).version == 149


def test_a_new_move_forgets_who_was_gone_at_the_last_one() -> None:
    channel = Channel(NAME, 1, 1, (1,), (), gone=("f",))
    assert moved(channel, NAME, 2, MOVER).gone == ()


def test_documents_come_back() -> None:
    channel = rolled_back(moved(moved(None, NAME, 7, MOVER), NAME, 8, MOVER), None, MOVER)
    assert Channel.of_document(NAME, channel.to_document()) == channel
    subscription = Subscription(NAME.record, UpdateMode.ON_UPDATE, None).about_to(3).about_to(4).about_to(3)
    assert subscription.applying == (4, 3)
    for known in (
        subscription,
        subscription.updated(channel, at="t"),
        subscription.refused(channel, at="t", detail="no"),
        Subscription(NAME.record, UpdateMode.AUTO, 7, paused=True).already(channel, at="t"),
    ):
        assert Subscription.of_document(known.to_document()) == known


def test_what_was_dealt_with() -> None:
    channel = moved(moved(None, NAME, 7, MOVER), NAME, 8, MOVER)
    about = Subscription(NAME.record, UpdateMode.AUTO, 7, detail="old").about_to(8)
    done = about.updated(channel, at="t")
    assert (done.version, done.applying, done.generation, done.result, done.detail) == (8, (), 2, Result.UPDATED, "")
    refused = about.refused(channel, at="t", detail="no room")
    assert (refused.version, refused.applying, refused.result, refused.detail) == (7, (), Result.REFUSED, "no room")
