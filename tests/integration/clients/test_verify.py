"""`lamella runtime verify` on a server: AWS's own clients pass, and whatever is named wrongly is told."""

import json
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import archive, create
from tests.support.languages import NODES, host_java
from tests.support.layers import publish
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

EXAMPLES = Path(__file__).parents[3] / "examples"
SHELL = EXAMPLES / "shell-runtime" / "layer"
FEW = "start-ready,event-intact,null-result,error-body"
QUICK = ("--only", FEW, "--idle", "0.2")
FIRST = "--only=start-ready,start-program"


def rows(printed: str) -> dict[str, str]:
    return {row["id"]: row["verdict"] for row in json.loads(printed)["checks"]}


@pytest.mark.network
@pytest.mark.parametrize("runtime", [NODES[-1], host_java()])
def test_runtimes_with_clients_of_aws_pass(
    server: LamellaServer, installed: Callable[[str], str], runtime: str
) -> None:
    """RT-21, RT-30, RT-50; of Node.js, which streams, RT-40 and RT-42.

    Not all of it: each start of a Java costs as much as the whole examination of a shell.
    """
    node = runtime.startswith("node")
    only = FEW + (",stream-mode,stream-error,header-trace,text-event" if node else "")
    done = server.lamella("runtime", "verify", installed(runtime), "--json", "--only", only)
    found = rows(done.stdout)
    assert found.pop("text-event", "fail") == "fail"  # AWS lets no such event through, so it is advice
    assert set(found.values()) == {"pass"}


def test_a_program_a_layer_and_a_function(server: LamellaServer, client: Any, tmp_path: Path) -> None:
    layer = publish(client, {"bootstrap": (SHELL / "bootstrap").read_bytes()})
    function = create(client, {"own.sh": 'handler() { printf %s "$1"; }\n'}, handler="own.handler", Layers=[layer])
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}"
    for subject in (SHELL / "bootstrap", SHELL, layer, arn):
        done = server.lamella("runtime", "verify", subject, *QUICK, "--json")
        found = rows(done.stdout)
        assert found["event-intact"] == found["start-ready"] == "pass"
        assert found["error-body"] == ("not-applicable" if subject == arn else "pass")


def test_a_function_of_a_customer_managed_runtime(server: LamellaServer, client: Any) -> None:
    server.lamella("runtime", "publish", "verified", "--from", SHELL, "--alias", "prod")
    runtime = "arn:aws:lambda:us-east-1:000000000000:runtime/verified"
    chosen = {"RuntimeArn": runtime, "RuntimeAlias": "prod"}
    code = {"own.sh": 'handler() { printf %s "$1"; }\n'}
    function = create(client, code, runtime="custom", handler="own.handler", RuntimeConfig=chosen)
    done = server.lamella(
        "runtime", "verify", f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}", FIRST, "--json"
    )
    assert set(rows(done.stdout).values()) == {"pass"}


def test_a_failure_is_shown_and_written_for_ci(server: LamellaServer, tmp_path: Path) -> None:
    program, written = tmp_path / "mine", tmp_path / "verify.xml"
    program.write_text("#!/usr/bin/env cobol\n")
    program.chmod(0o755)
    done = server.lamella("runtime", "verify", program, "--junit", written, check=False)
    assert done.returncode == 1
    assert "FAIL    EN-22  start-interpreter" in done.stdout, done.stdout
    assert "Playing: the first events" in done.stderr
    assert "lamella: failed: start-interpreter" in done.stderr
    suite = ET.parse(written).getroot()[0]
    assert (suite.get("failures"), int(suite.get("errors", "0")) > 30) == ("1", True)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["nothing-like-this"], 2, "is no file, no ARN"),
        (["python3.11", "--only", "no-such-check"], 3, "There is no check 'no-such-check'"),
        (["python3.11", "--variable", "1=2"], 3, "A variable is NAME=value"),
        (["python3.11", "--layer", "nowhere/"], 2, "nowhere is no directory and no zip archive"),
        (["arn:aws:lambda:us-east-1:000000000000:function:nowhere"], 3, "There is no function"),
        (["arn:aws:lambda:us-east-1:000000000000:layer:nowhere:1"], 3, "There is no layer version"),
        ([str(SHELL), "--runtime", "cobol68"], 3, "cobol68"),
        (["python3.11", "--architecture", "riscv64"], 2, "--architecture 'riscv64' is not known: x86_64 or arm64"),
        (["python3.11", "--junit", "nowhere/verify.xml"], 2, "there is no directory"),
        (["/dev/null"], 2, "neither a file nor a directory"),
    ],
)
def test_what_is_named_wrongly_is_told(server: LamellaServer, arguments: list[str], status: int, told: str) -> None:
    done = server.lamella("runtime", "verify", *arguments, check=False)
    assert (done.returncode, told in done.stderr) == (status, True), done.stderr


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("layer=part-0", b"", 400),
        ("layer=part-0", b"no zip", 400),
        ("layer=..", archive({"part-0/bootstrap": b""}), 400),
        ("layer=part-0/bootstrap", archive({"part-0/bootstrap": b""}), 400),
        ("layer=part-1", archive({"part-0/bootstrap": b""}), 400),
        ("code=part-0&layer=" + "&layer=".join(["part-0"] * 11), archive({"part-0/bootstrap": b""}), 400),
        ("pack=python3.11&function=f", b"", 400),
        ("layer=arn:aws:lambda:us-east-1:111111111111:layer:l:1&account=222222222222", b"", 404),
        ("function=arn:aws:lambda:us-east-1:111111111111:function:f&account=222222222222", b"", 404),
        ("idle_s=-1", b"", 400),
        ("idle_s=nan", b"", 400),
        ("layer=part-0", archive({"../part-0/bootstrap": b""}), 400),
    ],
)
def test_a_page_that_is_asked_for_nonsense(server: LamellaServer, query: str, body: bytes, status: int) -> None:
    request = urllib.request.Request(f"{server.url}/_lamella/conformance/runtime?{query}", body, method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value:
        assert caught.value.code == status
