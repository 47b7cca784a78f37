"""What is taken as a layer, by how it is written."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from lamella.cli.failure import CommandError, Status
from lamella.cli.layer.comparing import two_sources
from lamella.cli.layer.explaining import shipped
from lamella.cli.layer.sources import cache_directory, find_arn, open_any
from lamella.cli.output import files, printable, size

LAYER = "arn:aws:lambda:eu-west-1:123456789012:layer:imaging"


class Lambda:
    """A client that knows three versions of a layer, in no order."""

    meta: "Meta"

    def list_layer_versions(self, LayerName: str) -> dict[str, Any]:  # noqa: N803  (as botocore has it)
        known = LayerName.endswith("imaging")
        versions = [{"Version": number, "LayerVersionArn": f"{LAYER}:{number}"} for number in (9, 10, 2)]
        return {"LayerVersions": versions if known else []}

    def get_layer_version(self, LayerName: str, VersionNumber: int) -> dict[str, Any]:  # noqa: N803
        return {"LayerVersionArn": f"{LAYER}:{VersionNumber}"}


@pytest.mark.parametrize(
    ("text", "arn"),
    [
        ("imaging", f"{LAYER}:10"),
        ("imaging:2", f"{LAYER}:2"),
        (LAYER, f"{LAYER}:10"),
        (f"{LAYER}:7", f"{LAYER}:7"),
        ("arn:aws-us-gov:lambda:us-gov-west-1:1:layer:x:3", "arn:aws-us-gov:lambda:us-gov-west-1:1:layer:x:3"),
    ],
)
def test_layer_versions(text: str, arn: str) -> None:
    assert find_arn(Lambda(), text) == arn


@pytest.mark.parametrize(
    "text",
    ["imaging:0", "imaging:-x", "imaging:1:2", "a/b.zip", "../x", "", "arn:aws:s3:::b", "n" * 5000, f"{LAYER}:-x"],
)
def test_what_is_no_layer(text: str) -> None:
    def no_client() -> Any:
        raise AssertionError("nothing is to be asked")

    with pytest.raises(CommandError) as caught, open_any(text, no_client):
        pass
    assert caught.value.status is Status.USAGE
    with pytest.raises(CommandError):
        find_arn(Lambda(), text)


class Meta:
    """What a client of botocore knows of its server."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.region_name = "eu-west-1"


@pytest.mark.parametrize("text", ["imaging:stable", f"{LAYER}:stable"])
def test_a_channel_is_asked_of_the_server(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    class Server:
        def page(self, method: str, path: str) -> dict[str, Any]:
            asked.append((method, path))
            return {"layer_version_arn": f"{LAYER}:8"}

    def server(url: str, region: str) -> Server:
        asked.append((url, region))
        return Server()

    monkeypatch.setattr("lamella.cli.client.client", server)
    client = Lambda()
    client.meta = Meta("http://127.0.0.1:4566")
    assert find_arn(client, text) == f"{LAYER}:8"
    assert asked == [("http://127.0.0.1:4566", "eu-west-1"), ("GET", f"channels/{quote(text, safe='')}")]


def test_aws_has_no_channels() -> None:
    client = Lambda()
    client.meta = Meta("https://lambda.eu-west-1.amazonaws.com")
    with pytest.raises(CommandError, match="AWS has none: give a version") as caught:
        find_arn(client, "imaging:stable")
    assert caught.value.status is Status.USAGE


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    class Empty(Lambda):
        def get_layer_version(self, LayerName: str, VersionNumber: int) -> dict[str, Any]:  # noqa: N803
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "GetLayerVersion")

    with (
        pytest.raises(CommandError, match="there is no layer version imaging:9, or it has been deleted"),
        open_any("imaging:9", Empty, cache=tmp_path),
    ):
        pass


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="there is no layer 'other'") as caught:
        find_arn(Lambda(), "other")
    assert caught.value.status is Status.API


def test_a_file_goes_before_a_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imaging").mkdir()
    (tmp_path / "imaging" / "a").write_text("1")
    with open_any("imaging", Lambda) as opened:
        assert list(opened.contents.entries) == ["a"]
        assert opened.version is None


def test_two_versions_of_one_layer() -> None:
    assert two_sources("imaging:7..8", None) == ("imaging:7", "imaging:8")
    assert two_sources(f"{LAYER}:7..10", None) == (f"{LAYER}:7", f"{LAYER}:10")
    assert two_sources("a:1..2", "b") == ("a:1..2", "b")
    for text in ("imaging", "imaging:7", "imaging:7..", "7..8"):
        with pytest.raises(CommandError, match="name two layers"):
            two_sources(text, None)


def test_where_archives_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_directory({"XDG_CACHE_HOME": "/var/cache"}) == Path("/var/cache/lamella/layers")
    for environ in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}):
        assert cache_directory(environ) == Path("/home/somebody/.cache/lamella/layers")


def test_what_a_server_says_of_a_runtime() -> None:
    assert shipped(None) is None
    packages = [{"name": "Boto3", "version": "1.34"}, {"name": "python_dateutil"}, "nonsense", {}]
    assert shipped({"packages": packages}) == {"boto3": "1.34", "python-dateutil": ""}


def test_words_for_people() -> None:
    assert [size(number) for number in (0, 1, 1023, 1024, 1024**2 - 1, 1024**2)] == [
        "0 bytes",
        "1 byte",
        "1023 bytes",
        "1 KiB",
        "1024 KiB",
        "1.0 MiB",
    ]
    assert [files(number) for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert printable("plain ünïcode") == "plain ünïcode"
    assert printable("a\x1b[m\n\u202e\udc80\u200b") == "a\\x1b[m\\n\\u202e\\udc80\\u200b"
