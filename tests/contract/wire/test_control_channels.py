"""Channels and functions that follow them, through a real client's eyes: it sees plain versions, and nothing else."""

import logging
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped
from tests.contract.wire.test_control_functions import create
from tests.contract.wire.test_control_layers import LAYER, publish

from lamella.adapters.sql.database import Database
from lamella.control.channel_updates import ChannelUpdates
from lamella.control.channels import Channels, InUseError, UnknownError
from lamella.domain.channel import ChannelError, Mover, UpdateMode
from lamella.domain.errors import ApiError
from lamella.domain.function import FunctionKey
from lamella.domain.quotas import UNZIPPED
from lamella.ports.errors import ConflictError

T = TypeVar("T")
OTHER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:other:1"
MOVER = Mover("", by="ann@desk", key="AKIA", reason="CVE-1")


class World:
    """Layer `l` with versions 1 to 3, layer `other` with version 1, and the channel `l:stable` at version 1."""

    def __init__(self, server: ControlServer, client: Any) -> None:
        self.server, self.client = server, client
        self.updates = ChannelUpdates(server.services(), sleep=self._sleep)
        self.channels = Channels(self.updates.context(ACCOUNT, REGION), self.updates)
        for _ in range(3):
            publish(client)
        publish(client, "other")
        self.move(1)
        self.slept = 0

    async def _sleep(self, _: float) -> None:
        """Busy functions are tried again when the test lets their transitions go on."""
        self.slept += 1
        await self.server._wait_released(0)
        await self.server.transitions.wait_settled()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.server.run(coroutine)

    def settle(self) -> None:
        self.run(self.updates.wait_done())
        self.run(self.server.transitions.wait_settled())

    def move(self, version: int, channel: str = "l:stable") -> None:
        self.run(self.channels.move(self.channels.name(channel), version, MOVER))
        self.settle()

    def subscribe(self, update: UpdateMode = UpdateMode.AUTO, name: str = "f", channel: str = "l:stable") -> Any:
        key = FunctionKey(ACCOUNT, REGION, name)
        answer = self.run(self.channels.subscribe(key, self.channels.name(channel), update))
        self.settle()
        return answer

    def show(self, channel: str = "l:stable") -> dict[str, Any]:
        return self.run(self.channels.show(self.channels.name(channel)))

    def follower(self, name: str = "f") -> dict[str, Any]:
        (found,) = [one for one in self.show()["functions"] if one["function"] == name]
        return dict(found)

    def layers(self, name: str = "f") -> list[str]:
        found = self.client.get_function_configuration(FunctionName=name)
        return [layer["Arn"] for layer in found.get("Layers", [])]

    def update(self, **members: Any) -> dict[str, Any]:
        answer = self.client.update_function_configuration(FunctionName="f", **members)
        self.settle()
        return dict(answer)


@pytest.fixture
def world(server: ControlServer, client: Any) -> Iterator[World]:
    made = World(server, client)
    yield made
    server.release()
    server.run(made.updates.close())


def arn(version: int) -> str:
    return f"{LAYER}:{version}"


def test_auto_moves_a_function_along_and_keeps_other_layers_and_their_order(world: World) -> None:
    create(world.client, Layers=[OTHER, arn(1)])
    create(world.client, "g", Layers=[arn(1), OTHER])
    world.settle()
    world.subscribe()
    world.subscribe(name="g")
    world.move(3)
    assert (world.layers(), world.layers("g")) == ([OTHER, arn(3)], [arn(3), OTHER])
    shown = world.show()
    assert shown["progress"] == {
        "functions": 2, "waiting": 0, "updated": 2, "already_there": 0, "refused": 0, "deleted": 0,
    }  # fmt: skip
    assert [(one["status"], one["behind"], one["version"]) for one in shown["functions"]] == [("updated", False, 3)] * 2
    settled = world.client.get_function_configuration(FunctionName="f")
    assert (settled["State"], settled["LastUpdateStatus"]) == ("Active", "Successful")


def test_published_versions_and_aliases_stay(world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    assert world.client.publish_version(FunctionName="f")["Version"] == "1"
    world.client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    world.subscribe()
    world.move(2)
    found = world.client.get_function_configuration(FunctionName="f", Qualifier="live")
    assert [layer["Arn"] for layer in found["Layers"]] == [arn(1)]
    assert world.layers() == [arn(2)]


def test_on_update_waits_for_the_owner(world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe(UpdateMode.ON_UPDATE)
    world.move(2)
    assert world.layers() == [arn(1)]
    assert (world.follower()["status"], world.follower()["behind"]) == ("behind", True)
    answer = world.update(Description="mine")
    assert [layer["Arn"] for layer in answer["Layers"]] == [arn(2)]
    assert (world.follower()["status"], world.follower()["behind"]) == ("updated", False)
    world.move(3)
    answer = world.client.update_function_code(FunctionName="f", ZipFile=zipped(a="2"), Publish=True)
    assert ([layer["Arn"] for layer in answer["Layers"]], answer["Version"]) == ([arn(3)], "1")


def test_an_update_by_another_account_goes_by_the_functions_own_channels(server: ControlServer, world: World) -> None:
    """Which that account may have of the same name."""
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe(UpdateMode.ON_UPDATE)
    world.move(2)
    theirs = Channels(world.updates.context("111122223333", REGION), world.updates)
    for version in (1, 2, 3):
        world.client.add_layer_version_permission(
            LayerName="l", VersionNumber=version, StatementId="s", Action="lambda:GetLayerVersion", Principal="*"
        )
    world.run(theirs.move(theirs.name(f"{LAYER}:stable"), 3, MOVER))
    world.client.add_permission(
        FunctionName="f", StatementId="s", Action="lambda:UpdateFunctionCode", Principal="111122223333"
    )
    other = server.client(account="111122223333")
    other.update_function_code(FunctionName=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f", ZipFile=zipped(a="2"))
    assert world.layers() == [arn(2)]


def test_a_dry_run_brings_nothing_along(world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe(UpdateMode.ON_UPDATE)
    world.move(2)
    world.client.update_function_code(FunctionName="f", ZipFile=zipped(a="2"), DryRun=True)
    assert world.layers() == [arn(1)]


def test_manual_is_only_shown_as_behind(world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe(UpdateMode.MANUAL)
    world.move(2)
    world.update(Description="mine")
    assert world.layers() == [arn(1)]
    assert world.follower()["status"] == "behind"


def test_what_the_owner_names_holds(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """As Terraform does it, whose state still names the old version."""
    caplog.set_level(logging.INFO, "lamella.channels")
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    world.move(2)
    world.update(Layers=[arn(1)])
    assert world.follower()["status"] == "paused"
    assert "f follows l:stable no further: its owner named another version" in caplog.text
    world.move(3)
    assert world.layers() == [arn(1)]
    world.update(Layers=[arn(2)])
    world.move(2)  # that the channel comes by is not the owner's word
    world.move(3)
    assert world.layers() == [arn(2)]
    world.update(Layers=[OTHER, arn(3)])
    assert "follows l:stable again" in caplog.text
    world.move(1)
    assert world.layers() == [OTHER, arn(1)]


def test_naming_what_it_has_changes_nothing(world: World) -> None:
    """As Terraform does it with `ignore_changes`."""
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe(UpdateMode.ON_UPDATE)
    world.move(2)
    world.update(Layers=[arn(1), OTHER], Description="x")
    assert (world.layers(), world.follower()["status"]) == ([arn(1), OTHER], "behind")
    world.update(Description="y")
    assert world.layers() == [arn(2), OTHER]


def test_leaving_the_layer_out_ends_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lamella.channels")
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    world.update(Layers=[OTHER])
    assert world.show()["functions"] == []
    assert "does not follow l:stable any more: its owner left the layer out" in caplog.text
    world.move(2)
    assert world.layers() == [OTHER]


def test_subscribing_anew_ends_a_pause(world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    world.move(3)
    world.update(Layers=[arn(2)])
    assert world.follower()["status"] == "paused"
    world.subscribe()
    assert world.layers() == [arn(3)]


def test_a_function_without_the_layer_gets_it_as_its_last(world: World) -> None:
    create(world.client, Layers=[OTHER])
    world.settle()
    world.subscribe()
    assert world.layers() == [OTHER, arn(1)]


def test_a_sixth_layer_is_refused_and_tried_again_when_asked(world: World) -> None:
    five = [publish(world.client, f"n{number}")["LayerVersionArn"] for number in range(5)]
    create(world.client, Layers=five)
    world.settle()
    world.subscribe()
    assert world.layers() == five
    found = world.follower()
    assert (found["status"], found["detail"]) == ("refused", "Cannot reference more than 5 layers.")
    world.update(Layers=five[:4])  # by the rule, which is not of the numbers: it leaves the layer out
    assert world.show()["functions"] == []
    world.subscribe()
    assert world.layers() == [*five[:4], arn(1)]


def test_what_would_be_too_large_is_refused_and_the_owners_update_is_not(server: ControlServer, world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    stored = world.run(server.layers.get(world.channels.name("l:x").layer, 3))
    assert stored is not None
    large = replace(stored, version=9, artifact=replace(stored.artifact, unzipped_bytes=UNZIPPED.limit))
    world.run(server.layers.add(large))
    world.move(9)
    found = world.follower()
    assert (found["status"], found["version"]) == ("refused", 1)
    assert "exceeds the maximum allowed size" in found["detail"]
    world.update(Description="goes through")
    assert (world.layers(), world.follower()["status"]) == ([arn(1)], "refused")
    world.run(server.layers.delete(large.key, 9))
    world.run(server.layers.add(replace(stored, version=9)))
    world.move(9)  # where it is: asks again
    assert (world.layers(), world.follower()["status"]) == ([arn(9)], "updated")
    assert world.show()["moves"] == 2


def test_a_function_that_is_being_updated_is_waited_for(server: ControlServer, world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    server.hold()
    world.client.update_function_configuration(FunctionName="f", Description="under way")
    world.run(world.channels.move(world.channels.name("l:stable"), 2, MOVER))
    assert world.show()["progress"]["waiting"] == 1
    assert world.follower()["status"] == "waiting"
    server.release()
    world.settle()
    found = world.client.get_function_configuration(FunctionName="f")
    assert (found["Description"], world.layers()) == ("under way", [arn(2)])


def test_an_edit_that_comes_in_between_is_kept(
    server: ControlServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function changes after the channel has read it and before it writes."""
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    store, conflicts = server.functions.replace, []

    async def replace_later(changed: Any, *, expected_revision_id: str) -> None:
        if not conflicts:
            conflicts.append(True)
            current = await server.functions.get(changed.key)
            assert current is not None
            config = replace(current.config, description="theirs")
            theirs = replace(current, config=config, revision_id="theirs")
            await store(theirs, expected_revision_id=current.revision_id)
        await store(changed, expected_revision_id=expected_revision_id)

    monkeypatch.setattr(server.functions, "replace", replace_later)
    world.move(2)
    assert (conflicts, world.layers()) == ([True], [arn(2)])
    assert world.client.get_function_configuration(FunctionName="f")["Description"] == "theirs"


@pytest.mark.parametrize("killed_before", ["the function is changed", "it is written down"])
def test_a_process_that_dies_leaves_work_for_the_next(
    server: ControlServer, world: World, monkeypatch: pytest.MonkeyPatch, killed_before: str
) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    if killed_before == "the function is changed":
        monkeypatch.setattr(server.functions, "replace", _dies)
    else:
        change, calls = server.records.functions.change, []

        async def dies_after_intent(*arguments: Any, **more: Any) -> Any:
            calls.append(arguments)
            return await (change if len(calls) == 1 else _dies)(*arguments, **more)

        monkeypatch.setattr(server.records.functions, "change", dies_after_intent)
    world.move(2)
    monkeypatch.undo()
    server.run(server.transitions.resume())
    assert world.show()["progress"]["waiting"] == 1
    second = ChannelUpdates(server.services(), sleep=world._sleep)
    world.run(second.resume())
    if killed_before == "it is written down":
        assert world.follower()["status"] == "updated"  # before anybody could ask
    world.run(second.wait_done())
    world.settle()
    assert (world.layers(), world.follower()["status"]) == ([arn(2)], "updated")
    world.move(3)
    assert world.layers() == [arn(3)]


def test_a_life_in_a_database(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "lamella.db")
    server = ControlServer(database)
    try:
        world = World(server, server.client())
        create(world.client, Layers=[arn(1), OTHER])
        world.settle()
        world.subscribe()
        world.move(2)
        world.update(Layers=[arn(1)])
        assert world.follower()["status"] == "paused"
        world.subscribe(UpdateMode.ON_UPDATE)
        world.update(Description="mine")
        assert world.layers() == [arn(2)]
        assert (world.show()["progress"]["functions"], world.show()["subscribers"]) == (0, 1)
        world.run(world.channels.roll_back(world.channels.name("l:stable"), None, MOVER))
        assert (world.show()["version"], world.follower()["behind"]) == (1, True)
        assert world.run(world.channels.delete(world.channels.name("l:stable"), force=True)) == 1
        assert world.run(world.channels.all(None)) == []
    finally:
        server.close()
        database.close()


async def _dies(*_: Any, **__: Any) -> None:
    raise RuntimeError("killed")


def test_a_deleted_function_goes_with_its_subscription(world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    world.client.delete_function(FunctionName="f")
    assert world.show()["functions"] == []
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.move(2)
    assert world.layers() == [arn(1)]


def test_roll_back_goes_along_the_trail_and_not_to_and_fro(world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    stable = world.channels.name("l:stable")
    world.move(2)
    world.move(3)
    for expected in (2, 1):
        world.run(world.channels.roll_back(stable, None, MOVER))
        world.settle()
        assert world.layers() == [arn(expected)]
    with pytest.raises(ChannelError, match="there is none before"):
        world.run(world.channels.roll_back(stable, None, MOVER))
    world.move(3)
    with pytest.raises(ChannelError, match="has not pointed to version 2 on its way here; it can go back to: 1"):
        world.run(world.channels.roll_back(stable, 2, MOVER))
    moves = world.show()["history"]
    assert [(move["before"], move["version"], move["kind"]) for move in moves] == [
        (1, 3, "set"), (2, 1, "rollback"), (3, 2, "rollback"), (2, 3, "set"), (1, 2, "set"), (None, 1, "set"),
    ]  # fmt: skip
    assert {(move["by"], move["key"], move["reason"]) for move in moves} == {("ann@desk", "AKIA", "CVE-1")}


def test_a_version_that_is_deleted_leaves_the_channel_dangling(world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.move(2)
    world.client.delete_layer_version(LayerName="l", VersionNumber=2)
    assert world.show()["dangling"]
    world.subscribe()
    assert world.follower()["detail"] == f"Layer version {arn(2)} does not exist."
    with pytest.raises(UnknownError, match="no layer version"):
        world.move(2)


def test_a_channel_is_deleted_with_force_while_functions_follow_it(world: World) -> None:
    create(world.client, Layers=[arn(1)])
    world.settle()
    world.subscribe()
    stable = world.channels.name("l:stable")
    with pytest.raises(InUseError, match="l:stable is followed by f: unsubscribe"):
        world.run(world.channels.delete(stable, force=False))
    assert world.run(world.channels.delete(stable, force=True)) == 1
    assert world.run(world.channels.followed_by(FunctionKey(ACCOUNT, REGION, "f"))) == []
    with pytest.raises(UnknownError):
        world.show()


def test_a_layer_of_another_account_can_have_a_channel_where_it_is_shared(server: ControlServer, world: World) -> None:
    theirs = server.client(account="111122223333")
    for _ in range(2):
        publish(theirs, "shared")
    layer = f"arn:aws:lambda:{REGION}:111122223333:layer:shared"
    with pytest.raises(ApiError, match="not authorized"):
        world.move(1, f"{layer}:stable")
    for version in (1, 2):
        theirs.add_layer_version_permission(
            LayerName="shared",
            VersionNumber=version,
            StatementId="s",
            Action="lambda:GetLayerVersion",
            Principal=ACCOUNT,
        )
    world.move(1, f"{layer}:stable")
    create(world.client, Layers=[f"{layer}:1"])
    world.settle()
    world.subscribe(channel=f"{layer}:stable")
    world.move(2, f"{layer}:stable")
    assert world.layers() == [f"{layer}:2"]
    (followed,) = world.run(world.channels.followed_by(FunctionKey(ACCOUNT, REGION, "f")))
    assert followed["channel"] == f"{layer}:stable"


def test_what_cannot_follow(world: World) -> None:
    for name in ("nobody", "f:1"):
        with pytest.raises(UnknownError):
            world.subscribe(name=name)
    create(world.client)
    world.settle()
    with pytest.raises(UnknownError, match="There is no channel l:beta"):
        world.subscribe(channel="l:beta")


def test_a_subscription_of_a_function_that_goes_in_between(
    server: ControlServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(world.client)
    world.settle()

    async def gone(*_: Any) -> None:
        raise ConflictError

    monkeypatch.setattr(server.records.functions, "put", gone)
    with pytest.raises(UnknownError, match="any more"):
        world.subscribe()
