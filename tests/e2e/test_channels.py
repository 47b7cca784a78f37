"""Channels: functions in sandboxes that follow a movable name of a layer version, also over the end of a server."""

import json
import time
import urllib.request
from typing import Any

import pytest
from tests.support.functions import ROLE, archive, create, wait_active
from tests.support.layers import publish
from tests.support.server import LamellaServer

READS_OPT = 'import pathlib\ndef handler(event, context):\n    return pathlib.Path("/opt/who").read_text()\n'


@pytest.mark.sandbox
def test_a_function_follows_at_once_and_back(client: Any, server: LamellaServer) -> None:
    first, _ = publish(client, {"who": "one"}, name="imaging"), publish(client, {"who": "two"}, name="imaging")
    other = publish(client, {"else": "x"})
    function = create(
        client, {"function.py": READS_OPT}, runtime="python3.11", handler="function.handler", Layers=[other, first]
    )
    assert function.invoke().document == "one"
    made = server.lamella("channel", "set", "imaging:stable", "1", "--message", "the first")
    assert "imaging:stable points to version 1." in made.stderr
    server.lamella("channel", "subscribe", function.name, "imaging:stable")

    moved = server.lamella("channel", "set", "imaging:stable", "2", "--message", "CVE-2026-1")
    assert "1 function: 1 updated." in moved.stderr
    wait_active(client, function.name)
    assert function.invoke().document == "two"
    layers = client.get_function_configuration(FunctionName=function.name)["Layers"]
    assert [layer["Arn"] for layer in layers] == [other, first.replace(":1", ":2")]

    shown = json.loads(server.lamella("channel", "show", "imaging:stable", "--json").stdout)
    assert [(move["before"], move["version"], move["reason"]) for move in shown["history"]] == [
        (1, 2, "CVE-2026-1"),
        (None, 1, "the first"),
    ]
    server.lamella("channel", "rollback", "imaging:stable")
    wait_active(client, function.name)
    assert function.invoke().document == "one"

    assert "imaging:stable" in server.lamella("channel", "list").stdout
    followed = json.loads(server.lamella("channel", "list", "--function", function.name, "--json").stdout)
    assert [(one["channel"], one["channel_version"]) for one in followed["subscriptions"]] == [("imaging:stable", 1)]
    server.lamella("channel", "unsubscribe", function.name, "imaging:stable")
    server.lamella("channel", "set", "imaging:stable", "2")
    assert function.invoke().document == "one"
    server.lamella("channel", "delete", "imaging:stable")
    refused = server.lamella("channel", "show", "imaging:stable", check=False)
    assert (refused.returncode, refused.stderr) == (
        3, "lamella: There is no channel imaging:stable in us-east-1.\n",
    )  # fmt: skip


def test_wrong_words_are_refused(client: Any, server: LamellaServer) -> None:
    publish(client, {"who": "one"}, name="words")
    for arguments, text in (
        (("set", "words:7", "1"), "names no channel"),
        (("set", "words", "1"), "names no channel"),
        (("set", "words:" + "a" * 65, "1"), "names no channel"),
        (("set", "arn:aws:lambda:eu-west-1:000000000000:layer:words:stable", "1"), "The layer is in eu-west-1"),
        (("set", "words:stable", "2"), "There is no layer version arn:aws:lambda:us-east-1:000000000000:layer:words:2"),
        (("set", "words:stable", "1", "--message", "a\x1b[2Jb"), "message is a text of at most 1000 characters"),
        (("rollback", "words:stable"), "There is no channel words:stable"),
        (("subscribe", "nobody", "words:stable"), "There is no channel words:stable"),
        (("subscribe", "no/body", "words:stable"), "Say which function"),
    ):
        refused = server.lamella("channel", *arguments, check=False)
        assert (refused.returncode, text in refused.stderr) == (3, True), refused.stderr
        assert "\x1b" not in refused.stderr


def test_a_move_outlives_the_server(tmp_path: object) -> None:
    """One function is in the middle of an update when the channel moves, and stays there until the server is killed."""
    with LamellaServer() as server:
        client = server.boto3()
        first, second = publish(client, {"who": "1"}, name="l"), publish(client, {"who": "2"}, name="l")
        names = [f"f{number}" for number in range(5)]
        for name in names:
            code = {"ZipFile": archive({"function.py": READS_OPT})}
            client.create_function(
                FunctionName=name, Runtime="python3.11", Handler="f.h", Role=ROLE, Code=code, Layers=[first]
            )
        for name in names:
            wait_active(client, name)
        server.lamella("channel", "set", "l:stable", "1")
        for name in names:
            _put(server, f"subscriptions/{name}", {"channel": "l:stable"})

        server.settings["state_delay_s"] = "60"
        server.restart()
        client = server.boto3()
        client.update_function_configuration(FunctionName="f2", Description="under way")
        _put(server, "channels/l:stable", {"version": 2})
        _wait(server, updated=4, waiting=1)
        server.kill()

        del server.settings["state_delay_s"]
        server.start()
        client = server.boto3()
        _wait(server, updated=5, waiting=0)
        for name in names:
            found = client.get_function_configuration(FunctionName=name)
            assert [layer["Arn"] for layer in found["Layers"]] == [second]
        assert client.get_function_configuration(FunctionName="f2")["Description"] == "under way"


def _put(server: LamellaServer, path: str, document: object) -> Any:
    request = urllib.request.Request(f"{server.url}/_lamella/{path}", json.dumps(document).encode(), method="PUT")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _wait(server: LamellaServer, **expected: int) -> None:
    deadline_s = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(f"{server.url}/_lamella/channels/l:stable", timeout=30) as answer:
            progress = json.load(answer)["progress"]
        if progress.items() >= expected.items():
            return
        assert time.monotonic() < deadline_s, progress
