"""Layers that are checked when they are published, and on demand, by a real server."""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError
from tests.support.functions import archive, create
from tests.support.hostile_zips import HOSTILE
from tests.support.server import LamellaServer
from tests.support.workshop import ask, wait_checked

pytestmark = pytest.mark.sandbox

RUNTIME = f"python3.{sys.version_info.minor}"
SOUND = archive({"python/sound.py": "import json"})
BROKEN = archive({"python/broken.py": "import nowhere", "python/sound.py": ""})


def publish(server: LamellaServer, content: bytes, *, runtimes: tuple[str, ...] = (RUNTIME,), name: str = "l") -> str:
    answer = server.boto3().publish_layer_version(
        LayerName=name, Content={"ZipFile": content}, CompatibleRuntimes=list(runtimes)
    )
    return str(answer["LayerVersionArn"])


@pytest.fixture(scope="module")
def gated() -> Iterator[LamellaServer]:
    with LamellaServer(state_delay_s="0") as running:
        yield running


def test_warn_publishes_at_once_and_tells_the_log(gated: LamellaServer) -> None:
    arn = publish(gated, BROKEN)
    known = wait_checked(gated, arn)
    assert known["state"] == "checked"
    assert [(one["runtime"], one["imports"], one["failed"]) for one in known["proved"]] == [(RUNTIME, 2, 1)]
    errors = [finding for finding in known["findings"] if finding["severity"] == "error"]
    assert [(finding["code"], finding["place"]) for finding in errors] == [("import-failed", "python/broken.py")]
    assert f"layer {arn}: import-failed python/broken.py: import broken fails in {RUNTIME}" in gated.log
    assert f"to see all: lamella layer check {arn}" in gated.log


def test_the_same_layer_is_not_checked_again(gated: LamellaServer) -> None:
    first = wait_checked(gated, publish(gated, BROKEN))
    again = publish(gated, BROKEN, name="another")
    assert wait_checked(gated, again, within_s=0.5)["checked_at"] == first["checked_at"]


def test_a_layer_that_declares_nothing_is_not_checked(gated: LamellaServer) -> None:
    status, known = ask(gated, f"layers/findings?arn={publish(gated, SOUND, runtimes=())}")
    assert (status, known["state"]) == (200, "not-checked")
    assert "no compatible runtimes" in known["reason"]


def test_a_check_that_was_not_made_is_made_by_the_next_server(gated: LamellaServer) -> None:
    arn = publish(gated, archive({"python/late.py": "raise ValueError('late')"}))
    gated.kill()
    gated.start()
    known = wait_checked(gated, arn)
    assert "ValueError: late" in known["findings"][0]["reason"]


def test_invocations_go_on_while_a_layer_is_proved(gated: LamellaServer) -> None:
    busy = create(
        gated.boto3(), {"f.py": "def handler(event, context): return 1"}, runtime=RUNTIME, handler="f.handler"
    )
    slow = archive({"python/slow.py": "import time\nend = time.time() + 1.5\nwhile time.time() < end: pass"})
    answers: list[Any] = []
    proof = threading.Thread(target=lambda: answers.append(ask(gated, f"layers/prove?runtime={RUNTIME}", slow)))
    proof.start()
    count = 0
    while proof.is_alive():
        assert busy.invoke(tail=False).document == 1
        count += 1
    proof.join()
    assert answers[0][0] == 200
    assert answers[0][1]["findings"] == []
    assert count > 20


def test_a_proof_on_demand(gated: LamellaServer) -> None:
    arn = publish(gated, BROKEN)
    runtimes = f"runtime={RUNTIME},provided.al2023&runtime=ruby3.3"
    for path, body in ((f"layers/prove?{runtimes}", BROKEN), (f"layers/prove?{runtimes}&arn={arn}", b"")):
        status, document = ask(gated, path, body)
        assert status == 200
        assert [(finding["code"], finding["layer"]) for finding in document["findings"]] == [("import-failed", "")]
        assert [one["runtime"] for one in document["proved"]] == [RUNTIME, "provided.al2023"]
        assert "ruby3.3 is not installed" in document["not_proved"][0]["reason"]
    status, document = ask(gated, f"layers/prove?runtime={RUNTIME}&architecture=arm64", SOUND)
    assert "which the layer is not for" in document["not_proved"][0]["reason"]


@pytest.mark.parametrize(
    ("query", "body", "status", "words"),
    [
        ("", SOUND, 400, "Say in which runtimes"),
        ("runtime=", SOUND, 400, "Say in which runtimes"),
        ("runtime=python9.9", SOUND, 400, "no runtime 'python9.9'"),
        ("runtime=" + ",".join(f"a{number}" for number in range(99)), SOUND, 400, "1 to 15"),
        (f"runtime={RUNTIME}&architecture=sparc", SOUND, 400, "An architecture is one of"),
        (f"runtime={RUNTIME}", b"", 400, "Send either"),
        (f"runtime={RUNTIME}&arn=arn:aws:lambda:us-east-1:000000000000:layer:l:1", SOUND, 400, "Send either"),
        (f"runtime={RUNTIME}&arn=arn:aws:lambda:us-east-1:000000000000:layer:none:7", b"", 404, "no layer version"),
        (f"runtime={RUNTIME}&arn=nonsense", b"", 400, "ValidationException"),
        (f"runtime={RUNTIME}", b"no zip", 400, "unzip"),
    ],
)
def test_what_the_page_refuses(gated: LamellaServer, query: str, body: bytes, status: int, words: str) -> None:
    answer = ask(gated, f"layers/prove?{query}", body)
    assert (answer[0], words in answer[1]["error"]) == (status, True), answer


def test_archives_are_as_strange_here_as_when_they_are_published(gated: LamellaServer) -> None:
    refused = [
        content for content, _ in HOSTILE.values() if ask(gated, f"layers/prove?runtime={RUNTIME}", content)[0] == 400
    ]
    assert len(refused) >= len(HOSTILE) - 3  # but for those that are only too large for a smaller limit
    assert not list((gated.data / "workshop").iterdir())


def test_a_body_that_is_too_long_or_breaks_off_leaves_nothing(gated: LamellaServer) -> None:
    host, port = gated.url.removeprefix("http://").split(":")
    for length, sent in ((10**12, b""), (1000, b"PK")):
        with socket.create_connection((host, int(port)), timeout=30) as peer:
            peer.sendall(
                f"POST /_lamella/layers/prove?runtime={RUNTIME} HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Length: {length}\r\n\r\n".encode()
                + sent
            )
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(100).startswith((b"HTTP/1.1 413", b"HTTP/1.1 400", b""))
            while peer.recv(65536):
                pass
    assert ask(gated, f"layers/prove?runtime={RUNTIME}", SOUND)[0] == 200
    end_s = time.monotonic() + 30
    while list((gated.data / "workshop").iterdir()):  # who has gone is noticed a moment later
        assert time.monotonic() < end_s
        time.sleep(0.01)


HANGS = archive({"python/hangs.py": "import time; time.sleep(1000)"})


def wait_proof(server: LamellaServer) -> None:
    """Until a proof is being made."""
    end_s = time.monotonic() + 30
    while not list((server.data / "workshop").glob("proof-*")):
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_who_leaves_ends_the_proof(gated: LamellaServer) -> None:
    host, port = gated.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as peer:
        peer.sendall(
            f"POST /_lamella/layers/prove?runtime={RUNTIME} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(HANGS)}\r\n\r\n".encode()
            + HANGS
        )
        wait_proof(gated)
    began_s = time.monotonic()
    assert ask(gated, f"layers/prove?runtime={RUNTIME}", SOUND)[0] == 200
    assert time.monotonic() - began_s < 15  # and not the 20 s after which it would have been ended


def test_contents_of_a_runtime(gated: LamellaServer) -> None:
    status, contents = ask(gated, f"runtimes/{RUNTIME}/contents")
    assert status == 200
    assert "boto3" in {package["name"] for package in contents["packages"]}
    assert contents["search"][0] == "/var/task"
    assert "libc.so.6" in contents["libraries"]
    assert contents["glibc"].startswith("2.")
    assert ask(gated, "runtimes/python9.9/contents")[0] == 404
    assert ask(gated, f"runtimes/{RUNTIME}/other")[0] == 404


def test_enforce_refuses_what_is_broken() -> None:
    with LamellaServer(layer_gate="enforce") as strict:
        with pytest.raises(ClientError) as refusal:
            publish(strict, BROKEN)
        error = refusal.value.response["Error"]
        assert error["Code"] == "InvalidParameterValueException"
        assert "[1] import-failed python/broken.py: import broken fails" in error["Message"]
        assert "lamella layer check" in error["Message"]
        assert strict.boto3().list_layer_versions(LayerName="l")["LayerVersions"] == []
        arn = publish(strict, SOUND)
        assert arn.endswith(":1")
        assert ask(strict, f"layers/findings?arn={arn}")[1]["state"] == "checked"


def test_proofs_are_for_who_signs_and_need_no_gate() -> None:
    with LamellaServer(auth="sigv4", layer_gate="off") as signed:
        operator = ("lamella-operator", (signed.data / "operator-key").read_text().strip())
        document = json.loads(signed.lamella("key", "create", "--json", LAMELLA_DATA=str(signed.data)).stdout)
        account = (document["access_key_id"], document["secret_access_key"])
        path = f"layers/prove?runtime={RUNTIME}"
        assert ask(signed, path, SOUND)[0] == 403
        assert ask(signed, path, SOUND, key=("lamella-operator", "wrong"))[0] == 403
        for key in (operator, account):
            status, answer = ask(signed, path, SOUND, key=key)
            assert (status, answer["findings"]) == (200, [])
        other = quote("arn:aws:lambda:us-east-1:111122223333:layer:l:1", safe="")
        assert ask(signed, f"{path}&arn={other}", b"", key=account)[0] == 404
        client = signed.boto3(aws_access_key_id=account[0], aws_secret_access_key=account[1])
        own = quote(
            client.publish_layer_version(LayerName="l", Content={"ZipFile": BROKEN}, CompatibleRuntimes=[RUNTIME])[
                "LayerVersionArn"
            ],
            safe="",
        )
        assert len(ask(signed, f"{path}&arn={own}", b"", key=account)[1]["findings"]) == 1
        status, answer = ask(signed, f"layers/findings?arn={own}", key=account)
        assert (status, "layer_gate = off" in answer["error"]) == (404, True)

        answers: list[Any] = []
        proof = threading.Thread(target=lambda: answers.append(ask(signed, path, HANGS, key=account)))
        proof.start()
        wait_proof(signed)
        signed.stop()
        proof.join()
        assert "The server is being stopped." in str(answers[0])  # with 503, or in an answer that had begun
        assert signed.leftovers() == []
