"""Runtimes that were not built but taken: from an image like AWS's base images, and from a directory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import create
from tests.support.images import files, image, write_layout
from tests.support.layers import publish
from tests.support.server import LamellaServer

from lamella.runtimes import host_architecture

pytestmark = pytest.mark.sandbox

# The Runtime API in bash alone, so that the image needs nothing else.
BOOTSTRAP = r"""#!/bin/bash
LC_ALL=C
read -r NOTE < /opt/note
read -r CODE < "$LAMBDA_TASK_ROOT/code"
exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API##*:}"
BASE=/2018-06-01/runtime/invocation
while :; do
    printf 'GET %s/next HTTP/1.1\r\nHost: runtime\r\n\r\n' "$BASE" >&3
    while IFS=$' :\r' read -r NAME VALUE <&3 && [ -n "$NAME" ]; do
        case "${NAME,,}" in
            lambda-runtime-aws-request-id) ID=$VALUE ;;
            content-length) LENGTH=$VALUE ;;
        esac
    done
    read -r -N "$LENGTH" EVENT <&3
    BODY="{\"event\": $EVENT, \"note\": \"$NOTE\", \"code\": \"$CODE\", \"handler\": \"$_HANDLER\"
        , \"env\": \"$AWS_EXECUTION_ENV\", \"of the image\": \"$OF_THE_IMAGE\", \"path\": \"$PATH\"}"
    printf 'POST %s/%s/response HTTP/1.1\r\nHost: runtime\r\nContent-Length: %d\r\n\r\n%s' \
        "$BASE" "$ID" "${#BODY}" "$BODY" >&3
    LENGTH=0
    while IFS=$' :\r' read -r NAME VALUE <&3 && [ -n "$NAME" ]; do
        case "${NAME,,}" in content-length) LENGTH=$VALUE ;; esac
    done
    read -r -N "$LENGTH" REST <&3
done
"""
PATH = "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"


def bash(server: LamellaServer) -> dict[str, bytes]:
    """bash with its loader and libraries, out of a runtime of the server's."""
    (provided,) = server.data.glob("runtimes/provided.al2023/current")
    rootfs = provided.resolve() / "rootfs"
    found = {f"usr/lib64/{path.name}": path for path in (rootfs / "usr/lib64").glob("lib[ct]*.so.6")}
    found |= {f"usr/lib64/{path.name}": path for path in (rootfs / "usr/lib64").glob("ld-linux*")}
    found |= {f"lib64/{path.name}": path for path in (rootfs / "lib64").glob("ld-linux*")}
    found |= {f"lib/{path.name}": path for path in (rootfs / "lib").glob("ld-linux*")}
    return {
        "bin/bash": (rootfs / "usr/bin/bash").read_bytes(),
        **{name: one.read_bytes() for name, one in found.items()},
    }


@pytest.fixture
def answer(client: Any) -> Callable[[str], dict[str, Any]]:
    """What a function of this runtime answers, with a layer; and its version as the API tells it."""

    def ask(runtime: str) -> dict[str, Any]:
        layer = publish(client, {"note": "from a layer\n"})
        function = create(client, {"code": "its own\n"}, runtime=runtime, Layers=[layer])
        told = function.invoke({"say": "ä"})
        again = function.invoke([1])
        assert again.document["event"] == [1]
        shown = client.get_function_configuration(FunctionName=function.name)["RuntimeVersionConfig"]
        return {**told.document, "arn": shown["RuntimeVersionArn"], "name": function.name}

    return ask


def test_a_runtime_of_an_image(
    server: LamellaServer, client: Any, layouts: Path, answer: Callable[[str], dict[str, Any]]
) -> None:
    base = files(bash(server), mode=0o755)
    top = files({"var/runtime/bootstrap": BOOTSTRAP, "var/task/": ""})
    environment = [f"PATH={PATH}:/wrong", "LAMBDA_TASK_ROOT=/wrong", "OF_THE_IMAGE=yes"]
    architecture = "arm64" if host_architecture() == "arm64" else "amd64"
    made = image(
        base, top, architecture=architecture, config={"Env": environment, "Entrypoint": ["/lambda-entrypoint.sh"]}
    )
    write_layout(layouts / "dotnet", {"10": made})
    place = f"oci:{layouts}/dotnet:10"
    added = json.loads(server.lamella("runtime", "add", "dotnet10", "--image", place, "--json").stdout)
    assert (added["from"], added["image"]) == (place, f"sha256:{made.digest}")

    told = answer("dotnet10")
    assert {name: told[name] for name in ("event", "note", "code", "handler", "env", "of the image", "path")} == {
        "event": {"say": "ä"},
        "note": "from a layer",
        "code": "its own",
        "handler": "function.handler",
        "env": "AWS_Lambda_dotnet10",
        "of the image": "yes",
        "path": PATH,
    }
    assert told["arn"] == f"arn:aws:lambda:us-east-1::runtime:{made.digest}"
    assert added["version"] == f"dotnet:10.v{made.digest[:8]}"

    refused = server.lamella("runtime", "remove", "dotnet10", check=False)
    assert refused.returncode == 3
    assert (
        f"is in use, so it stays: arn:aws:lambda:us-east-1:000000000000:function:{told['name']}:$LATEST"
        in refused.stderr
    )
    client.delete_function(FunctionName=told["name"])
    server.lamella("runtime", "remove", "dotnet10")
    assert "dotnet10" not in server.lamella("runtime", "list").stdout


def test_a_runtime_of_a_directory(
    server: LamellaServer, tmp_path: Path, answer: Callable[[str], dict[str, Any]]
) -> None:
    pack = tmp_path / "pack"
    for name, content in {**bash(server), "var/runtime/bootstrap": BOOTSTRAP.encode()}.items():
        path = pack / "rootfs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755)
    says = {"format": 1, "name": "dotnet8", "architecture": host_architecture(), "env": {"OF_THE_IMAGE": "no"}}
    (pack / "pack.json").write_text(json.dumps({**says, "remarks": ["written by a test"]}))
    added = server.lamella("runtime", "add", "dotnet8", "--from", pack)
    assert "Remark: written by a test" in added.stderr
    told = answer("dotnet8")
    assert (told["note"], told["code"], told["env"]) == ("from a layer", "its own", "AWS_Lambda_dotnet8")
    assert told["of the image"] == "no"

    elsewhere = tmp_path / "exported"
    server.lamella("runtime", "export", "dotnet8", elsewhere)
    shown = json.loads(server.lamella("runtime", "show", "dotnet8", "--json").stdout)["runtimes"][0]
    assert told["arn"].endswith(f":{shown['digest']}")
    server.lamella("runtime", "add", "dotnet8", "--from", elsewhere)  # the same, as its digest is checked
