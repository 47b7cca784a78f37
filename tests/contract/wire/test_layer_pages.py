"""The pages of channels, mirrored layers and retention, signed by those they are for and by those they are not for."""

import json
import os
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from tests.contract.wire.control_server import zipped
from tests.contract.wire.front_server import ACCOUNT, OTHER, REGION, FrontServer
from tests.support.functions import archive

from lamella import frontdoor, spool
from lamella.cli.client import Client
from lamella.cli.endpoint import Endpoint, Key
from lamella.cli.failure import CommandError

ARN = f"arn:aws:lambda:{REGION}:017000801446:layer:powertools:7"
MIRROR = f"mirror/{quote(ARN, safe='')}"
CHANNEL = "channels/l%3Astable"


@pytest.fixture(scope="module")
def server() -> Iterator[FrontServer]:
    server = FrontServer()
    yield server
    server.close()


def pages(server: FrontServer, account: str) -> Client:
    key = server.key(account)
    return Client(Endpoint(server.url, REGION, key=Key(key.id, key.secret)))


def publish(server: FrontServer, account: str) -> None:
    client = server.client(server.key(account))
    client.publish_layer_version(LayerName="l", Content={"ZipFile": zipped(a="1")})


def test_an_account_has_its_own_channels_and_no_others(server: FrontServer) -> None:
    publish(server, ACCOUNT)
    publish(server, OTHER)
    key, mine = server.key(OTHER), pages(server, ACCOUNT)
    theirs = Client(Endpoint(server.url, REGION, key=Key(key.id, key.secret)))
    moved = theirs.page("PUT", CHANNEL, document={"version": 1, "by": "eve@x"})
    assert (moved["version"], moved["history"][0]["by"]) == (1, "eve@x")
    assert moved["history"][0]["key"] == key.id
    assert mine.page("GET", "channels") == {"channels": []}
    for method, path, document in (
        ("GET", "channels", None),
        ("PUT", CHANNEL, {"version": 1}),
        ("DELETE", CHANNEL, None),
        ("GET", "subscriptions/f", None),
        ("PUT", "subscriptions/f", {"channel": "l:stable"}),
        ("GET", "retention", None),
        ("PUT", "retention/default", {"keep_last": 0}),
    ):
        with pytest.raises(CommandError, match="another account's"):
            theirs.page(method, path, query={"account": ACCOUNT}, document=document)
    theirs.page("PUT", "retention/layers/l", document={"keep_last": 2})
    assert mine.page("GET", "retention")["layers"] == {}
    assert theirs.page("GET", "retention")["layers"]["l"]["keep_last"] == 2


def test_only_the_operator_mirrors(server: FrontServer) -> None:
    theirs = pages(server, OTHER)
    for method in ("GET", "PUT", "DELETE"):
        with pytest.raises(CommandError, match="for the operator"):
            theirs.page(method, "mirror" if method == "GET" else MIRROR, body=b"zip", scoped=False)
    answer = server.operator().page("PUT", MIRROR, body=archive({"x": os.urandom(3_000_000)}), scoped=False)
    assert (answer["new"], answer["size_bytes"] > 3_000_000) == (True, True)
    assert server.client(server.key(OTHER)).get_layer_version_by_arn(Arn=ARN)["Version"] == 7


def test_who_may_not_mirror_cannot_make_the_server_hold_a_zip(server: FrontServer) -> None:
    """The head alone tells that the request is not signed: the answer comes, and the body is not kept."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(
            f"PUT /_lamella/{MIRROR} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000000\r\n\r\n".encode()
        )
        connection.sendall(b"x" * 2_000_000)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"LAMELLA_OPERATOR_KEY" in answer


@pytest.mark.parametrize("size_bytes", [3, 3_000_000])
def test_nothing_is_written_for_an_account_that_could_not_have_the_page(
    server: FrontServer, monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    """An image may have 10 GB, and the id of an account's key is no secret."""
    monkeypatch.setattr(frontdoor, "received", None)
    with pytest.raises(CommandError, match="for the operator"):
        pages(server, OTHER).page("PUT", MIRROR, body=b"x" * size_bytes, scoped=False)


def test_a_zip_beyond_the_limit_is_refused(server: FrontServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(
            f"PUT /_lamella/{MIRROR} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000000\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(65536).startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 413 "))


def test_who_sends_without_haste_loses_the_turn(server: FrontServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of a key is no secret, so whoever knows it can begin uploads: some slow ones must not stop all others."""
    monkeypatch.setattr(spool, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(spool, "_LEAST_BYTES_PER_S", 10**12)
    with pytest.raises(CommandError, match="timeout"):
        server.operator().page("PUT", MIRROR, body=archive({"x": os.urandom(3_000_000)}), scoped=False)
    assert not list(server.directory.iterdir())


def test_times_at_the_ends_of_the_calendar_are_refused(server: FrontServer) -> None:
    query = {"created": "0001-01-01T00:00:00+23:59"}
    with pytest.raises(CommandError, match="created is a time"):
        server.operator().page("PUT", MIRROR, query=query, body=archive({"x": "1"}), scoped=False)


@pytest.mark.parametrize(
    ("path", "document", "text"),
    [
        (CHANNEL, {}, "version is the number of a layer version"),
        (CHANNEL, {"version": True}, "version is the number"),
        (CHANNEL, {"version": 0}, "version is the number"),
        (CHANNEL, {"version": 2**60}, "version is the number"),
        (CHANNEL, {"version": 10**6}, "There is no layer version"),
        (CHANNEL, {"rollback": True}, "There is no channel"),
        (CHANNEL, {"rollback": True, "to": "x"}, "to is the number"),
        (CHANNEL, {"version": 1, "message": "a\nb"}, "on one line"),
        (CHANNEL, {"version": 1, "message": "x" * 1001}, "at most 1000"),
        (CHANNEL, {"version": 1, "by": ["x"]}, "by is a text"),
        ("channels/l", {"version": 1}, "names no channel"),
        ("channels/..%2F..%3Ax", {"version": 1}, "neither the name nor the ARN"),
        ("subscriptions/f", {"channel": "l:stable", "update": "Sometimes"}, "update is one of"),
        ("subscriptions/f", {}, "Say which channel"),
        ("subscriptions/", {"channel": "l:stable"}, "Say which function"),
        ("retention/l", {"keep_last": 1}, "Say for which layer"),
        ("retention/layers/a%2Fb", {"keep_last": 1}, "Say for which layer"),
        ("retention/default", {"keep_last": -1}, "whole numbers"),
        (f"{MIRROR}?created=yesterday", {}, "created is a time"),
        (f"{MIRROR}?runtimes=a%20b", {}, "runtimes are at most"),
        (f"{MIRROR}?architectures=mips", {}, "architectures are at most"),
        (f"{MIRROR}?description=a%1B%5B2J", {}, "description is a text"),
        (f"{MIRROR}?runtimes={','.join(f'r{number}' for number in range(16))}", {}, "runtimes are at most"),
        ("mirror/x", {}, "is not the ARN of a layer version"),
    ],
)
def test_what_is_refused(server: FrontServer, path: str, document: Any, text: str) -> None:
    publish(server, ACCOUNT)
    with pytest.raises(CommandError) as refusal:
        server.operator()._ours("PUT", path, document)
    assert text in str(refusal.value)
    assert "\x1b" not in str(refusal.value)


def test_a_body_that_is_no_object(server: FrontServer) -> None:
    publish(server, ACCOUNT)
    with pytest.raises(CommandError, match="must be a JSON object"):
        server.operator().page("PUT", CHANNEL, body=json.dumps([1]).encode(), scoped=False)
