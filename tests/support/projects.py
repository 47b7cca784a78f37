"""Projects as `lamella init` writes them: built by their Makefile, deployed as their SAM template says."""

import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse
from tests.support.functions import ROLE, Function, wait_active
from tests.support.server import LamellaServer

from lamella.scaffold import languages


def begin(server: LamellaServer, runtime: str, directory: Path) -> Path:
    """A new project of a name that nobody else has; returns its directory."""
    project = directory / f"greet-{uuid.uuid4().hex[:8]}"
    server.lamella("init", "--runtime", runtime, project)
    return project


def make(server: LamellaServer, project: Path, *targets: str) -> str:
    """Run `make` as the README says; returns what it prints."""
    # What is downloaded and compiled is kept where it always is; the user's files of AWS's are not read.
    caches = {"XDG_CACHE_HOME": str(Path.home() / ".cache"), "GOPATH": str(Path.home() / "go")}
    environment = server.environment(**{name: os.environ.get(name, path) for name, path in caches.items()})
    done = subprocess.run(
        ["make", *targets], cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def deploy(client: Any, project: Path) -> Function:
    """Deploy a project that is built: the layer and the function of its template.

    Args:
        client: Of boto3, which has no types.
        project: Its directory.
    """
    resources = yaml_parse((project / "template.yaml").read_text())["Resources"]
    layer, function = (resources[name]["Properties"] for name in ("Layer", "Function"))
    assert function["Layers"] == [{"Ref": "Layer"}]
    # SAM packs a directory and sends a file as it is; the Makefile has packed the same directory.
    assert (project / function["CodeUri"]).is_dir()
    arn = client.publish_layer_version(
        LayerName=layer["LayerName"],
        Content={"ZipFile": (project / layer["ContentUri"]).read_bytes()},
        CompatibleRuntimes=layer["CompatibleRuntimes"],
    )["LayerVersionArn"]
    client.create_function(
        FunctionName=function["FunctionName"],
        Runtime=function["Runtime"],
        Handler=function["Handler"],
        Role=ROLE,
        Code={"ZipFile": (project / "build" / "function.zip").read_bytes()},
        MemorySize=function["MemorySize"],
        Timeout=function["Timeout"],
        Layers=[arn],
    )
    wait_active(client, function["FunctionName"])
    return Function(client, function["FunctionName"])


def check_greetings(function: Function, language: str) -> None:
    """Whether a project's function does what its README says: greets, with what the layer brings, and fails rightly."""
    answer = function.invoke({"name": "Ada", "language": "fr"})
    assert answer.error is None, answer.payload
    assert answer.document == {"greeting": "Bonjour, Ada!", "layer": languages()[language].layer}
    refused = function.invoke({"name": "Ada", "language": "xx"})
    assert refused.error == "Unhandled"
    assert "there is no greeting in xx" in refused.payload.decode() + refused.tail
    # Afterwards the same environment goes on, with texts that JSON escapes.
    again = function.invoke({"name": 'Ada "Æ" \\', "language": "de"})
    assert again.document["greeting"] == 'Hallo, Ada "Æ" \\!'
    assert "Init Duration" not in again.tail
