"""Copies of other installations' layer versions, as a real client sees them."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.wire.control_server import ACCOUNT, NOW, REGION, ControlServer, zipped
from tests.contract.wire.test_control_functions import create
from tests.contract.wire.test_control_layers import publish, refused

from lamella.awsapi.context import Services
from lamella.control.channel_updates import ChannelUpdates
from lamella.control.channels import Channels
from lamella.control.mirroring import (
    MirrorError,
    NotMirroredError,
    Original,
    PinnedError,
    every,
    mirror,
    parse_mirrored,
    remove,
    verify,
)
from lamella.control.retention import DEFAULT, Retention, RetentionError, held, policies, remove_policy, set_policy
from lamella.control.services import ControlServices, ControlSettings
from lamella.domain.channel import Mover
from lamella.domain.errors import ApiError
from lamella.ports.gate import LayerRefusedError, OpenGate
from lamella.ports.records import Records

THEIRS = "017000801446"
ARN = f"arn:aws:lambda:{REGION}:{THEIRS}:layer:powertools:7"
ZIP, OTHER = zipped(python="1"), zipped(python="2")
ORIGINAL = Original(NOW, "d", ("python3.11", "python9.9"), ("x86_64",), "MIT", "aws")


class Mirror:
    def __init__(self, server: ControlServer) -> None:
        self.server = server
        self.ctx = ChannelUpdates(server.services()).context(THEIRS, REGION)

    def add(self, arn: str = ARN, archive: bytes = ZIP, original: Original = ORIGINAL, *, private: bool = False) -> Any:
        key, number = parse_mirrored(arn)
        with tempfile.NamedTemporaryFile(suffix=".zip") as file:
            file.write(archive)
            file.flush()
            path = Path(file.name)
            return self.server.run(mirror(self.ctx, key, number, path, original, private=private))

    def remove(self, arn: str = ARN, *, forget: bool = False) -> None:
        self.server.run(remove(self.ctx, *parse_mirrored(arn), forget=forget))

    def every(self) -> list[dict[str, Any]]:
        return self.server.run(every(self.ctx))


@pytest.fixture
def copies(server: ControlServer) -> Mirror:
    return Mirror(server)


def test_a_copy_is_what_it_is_where_it_comes_from(copies: Mirror, client: Any) -> None:
    assert copies.add()["new"]
    found = client.get_layer_version_by_arn(Arn=ARN)
    shown = {name: found[name] for name in ("LayerVersionArn", "Version", "Description", "LicenseInfo", "CreatedDate")}
    assert shown == {
        "LayerVersionArn": ARN,
        "Version": 7,
        "Description": "d",
        "LicenseInfo": "MIT",
        "CreatedDate": "2026-11-20T20:01:02.123+0000",
    }
    assert found["CompatibleRuntimes"] == ["python3.11", "python9.9"]
    created = create(client, Layers=[ARN])
    assert [layer["Arn"] for layer in created["Layers"]] == [ARN]


def test_the_gate_is_asked_about_a_copy_as_about_what_is_published(copies: Mirror) -> None:
    class Closed(OpenGate):
        async def admit(self, *args: object, **options: object) -> None:
            raise LayerRefusedError("The check found 1 error.")

    services = copies.server.services()
    closed = replace(services[ControlServices], gate=Closed())
    copies.ctx = replace(copies.ctx, services=Services(closed, services[Records]))
    with pytest.raises(MirrorError, match="found 1 error"):
        copies.add()
    assert copies.every() == []


def test_other_bytes_are_refused_also_after_it_was_removed(copies: Mirror, client: Any) -> None:
    copies.add()
    assert not copies.add()["new"]
    with pytest.raises(PinnedError, match="a layer version never changes"):
        copies.add(archive=OTHER)
    copies.remove()
    assert refused(client.get_layer_version_by_arn, Arn=ARN)[0] == "AccessDeniedException"
    (shown,) = copies.every()
    assert (shown["present"], bool(shown["removed_at"])) == (False, True)
    with pytest.raises(PinnedError):
        copies.add(archive=OTHER)
    assert copies.add()["new"]
    copies.remove(forget=True)
    assert copies.every() == []
    assert copies.add(archive=OTHER)["new"]
    with pytest.raises(NotMirroredError):
        copies.remove(f"{ARN}1")


def test_a_hash_that_was_told_is_held_to(copies: Mirror) -> None:
    with pytest.raises(MirrorError, match="nothing was kept"):
        copies.add(original=replace(ORIGINAL, code_sha256="kXxtPnGx6mZaRAH/YT31pnGGhcprlwhH7HJqWyjsKSQ="))
    assert copies.every() == []


def test_a_private_copy_is_its_accounts_alone(server: ControlServer, copies: Mirror, client: Any) -> None:
    copies.add(private=True)
    assert refused(client.get_layer_version_by_arn, Arn=ARN)[0] == "AccessDeniedException"
    theirs = server.client(account=THEIRS)
    assert theirs.get_layer_version_by_arn(Arn=ARN)["Version"] == 7
    theirs.add_layer_version_permission(
        LayerName="powertools",
        VersionNumber=7,
        StatementId="mine",
        Action="lambda:GetLayerVersion",
        Principal="111122223333",
    )
    copies.add()
    assert client.get_layer_version_by_arn(Arn=ARN)["Version"] == 7
    copies.add(private=True)
    assert refused(client.get_layer_version_by_arn, Arn=ARN)[0] == "AccessDeniedException"
    assert '"Sid":"mine"' in theirs.get_layer_version_policy(LayerName="powertools", VersionNumber=7)["Policy"]


def test_what_was_published_here_stays_as_it_is(server: ControlServer, copies: Mirror, client: Any) -> None:
    publish(client, Content={"ZipFile": ZIP})
    own = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"
    answer = copies.add(own)
    assert (answer["new"], answer["published_here"]) == (False, True)
    assert refused(client.get_layer_version_policy, LayerName="l", VersionNumber=1)[0] == "ResourceNotFoundException"
    assert copies.every() == []
    with pytest.raises(PinnedError):
        copies.add(own, OTHER)
    copies.add(f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:40", OTHER)
    assert publish(client)["Version"] == 41
    server.run(server.layers.delete(parse_mirrored(own)[0], 40))
    assert publish(client)["Version"] == 42


def test_a_hostile_zip_leaves_nothing(copies: Mirror) -> None:
    for archive in (b"", b"no zip", ZIP[:-10]):
        with pytest.raises(ApiError):
            copies.add(archive=archive)
    assert copies.every() == []


def test_the_accounts_quota_holds(server: ControlServer) -> None:
    server.settings = ControlSettings(code_storage_bytes=10)
    with pytest.raises(ApiError, match="Code storage limit exceeded"):
        Mirror(server).add()


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "arn:aws:lambda:us-east-1:017000801446:layer:x", "arn:aws:lambda:us-east-1:017000801446:layer:x:0",
        "arn:aws:lambda:us-east-1:017000801446:layer:x:1000000001", f"arn:aws:lambda:us-east-1:1:layer:x:{'9' * 5000}",
        f"arn:aws:lambda:us-east-1:017000801446:layer:x:{'9' * 5000}", "arn:aws:lambda:::awslayer:AmazonLinux1803",
        f"arn:aws:lambda:us-east-1:017000801446:layer:{'x' * 141}:1",
        "arn:aws:lambda:us-east-1:017000801446:layer:x:1\n",
        "arn:aws-cn:lambda:cn-north-1:017000801446:layer:x:1", "arn:aws:lambda:us-east-1:017000801446:layer:x:\u0661",
    ],
)  # fmt: skip
def test_what_cannot_be_mirrored(text: str) -> None:
    with pytest.raises(MirrorError):
        parse_mirrored(text)


def test_verification_says_what_is_wrong(server: ControlServer, copies: Mirror, tmp_path: Any) -> None:
    server.artifacts.root = tmp_path
    for number in (1, 2, 3, 4):
        copies.add(f"{ARN}{number}", zipped(python=str(number)))
    key, _ = parse_mirrored(ARN)
    versions = {number: server.run(server.layers.get(key, 70 + number)) for number in (2, 3)}
    assert versions[2] is not None
    assert versions[3] is not None
    server.artifacts.archive(versions[2].artifact.digest).write_bytes(b"rot")
    server.artifacts.archive(versions[3].artifact.digest).unlink()
    server.run(server.layers.delete(key, 74))
    problems = [one["problem"] for one in server.run(verify(copies.ctx))]
    assert problems[0] == ""
    assert problems[1].startswith("its archive has been damaged")
    assert problems[2:] == ["its archive is missing", "the layer version has been deleted"]


class TestRetention:
    def test_policies(self, server: ControlServer) -> None:
        ctx = ChannelUpdates(server.services()).context(ACCOUNT, REGION)
        abroad = ChannelUpdates(server.services()).context(ACCOUNT, "eu-west-3")
        policy = Retention.parse({"keep_last": 3, "keep_days": 9})
        server.run(set_policy(ctx, DEFAULT, policy))
        server.run(set_policy(ctx, "default", Retention()))  # a layer's name
        assert server.run(policies(ctx)) == {
            DEFAULT: {"keep_last": 3, "keep_used": True, "keep_days": 9},
            "default": {"keep_last": 1, "keep_used": True, "keep_days": None},
        }
        assert server.run(policies(abroad)) == {}
        assert server.run(remove_policy(ctx, DEFAULT))
        assert not server.run(remove_policy(ctx, DEFAULT))

    @pytest.mark.parametrize(
        "document",
        [
            {"keep_last": -1}, {"keep_last": True}, {"keep_last": "3"}, {"keep_last": 10**9}, {"keep_days": 1.5},
            {"keep_used": "yes"}, {"keep": 1}, {"keep_last": None},
        ],
    )  # fmt: skip
    def test_what_is_no_policy(self, document: dict[str, Any]) -> None:
        with pytest.raises(RetentionError):
            Retention.parse(document)

    def test_channels_and_copies_hold_versions(self, server: ControlServer, client: Any) -> None:
        updates = ChannelUpdates(server.services())
        channels = Channels(updates.context(ACCOUNT, REGION), updates)
        for _ in range(3):
            publish(client)
        for version in (1, 2, 3):
            server.run(channels.move(channels.name("l:stable"), version, Mover("")))
        own = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l"
        Mirror(server).add(f"{own}:9")
        assert server.run(held(channels.ctx)) == {
            f"{own}:3": ["channel l:stable"],
            f"{own}:2": ["the way back of channel l:stable"],
            f"{own}:9": ["mirrored"],
        }
        assert server.run(held(updates.context(THEIRS, REGION))) == {}
        server.run(updates.wait_done())
