"""Customer-managed runtimes with real sandboxes: what a version is made of, and what becomes of functions."""

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
from bench.programs import MissingToolError, build
from botocore.exceptions import ClientError
from tests.support.functions import PRELUDE, Function, archive, create
from tests.support.images import archive as layer
from tests.support.images import image, member, write_layout
from tests.support.server import LamellaServer
from tests.support.zips import Entry, make_zip

pytestmark = pytest.mark.sandbox

BOOTSTRAP = """
while next; do
    mine=$(cat /opt/mine 2> /dev/null)
    respond "[\\"$(cat /opt/word)\\", \\"$(cat /var/task/word)\\", \\"$mine\\", \\"$0\\"]" > /dev/null
done
"""


@pytest.fixture(scope="module")
def core(server: LamellaServer) -> Any:  # Any: botocore makes its clients at run time
    return server.boto3("lambda-core")


@pytest.fixture(scope="module")
def arn(server: LamellaServer, core: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A runtime of two folders with a bootstrap, `v1` and `v2`, whose alias `prod` points to the first."""
    for word in ("one", "two"):
        folder = tmp_path_factory.mktemp(word)
        (folder / "bootstrap").write_text(PRELUDE + BOOTSTRAP)
        (folder / "bootstrap").chmod(0o755)
        (folder / "word").write_text(word)
        alias = ("--alias", "prod") if word == "one" else ()
        server.lamella("runtime", "publish", "shell", "--from", folder, *alias)
    found: str = core.get_runtime(RuntimeName="shell")["Arn"]
    return found


def using(client: Any, arn: str, files: Mapping[str, str] | None = None, **options: Any) -> Function:
    """A function of the runtime."""
    chosen = {"RuntimeArn": arn, "RuntimeAlias": "prod"}
    options = {"RuntimeConfig": chosen, "MemorySize": 1769, **options}
    return create(client, files or {"word": "task"}, runtime="custom", **options)


def point(core: Any, version: str, runtime: str = "shell") -> None:
    core.update_runtime_alias(RuntimeName=runtime, Name="prod", RuntimeVersion=version)


def test_the_runtimes_own_files_and_the_functions(
    client: Any, core: Any, arn: str, logs: Callable[..., list[str]]
) -> None:
    """A bootstrap of the function does not replace the runtime's, and its layer lies above what the runtime has."""
    point(core, "v1")
    made = client.publish_layer_version(
        LayerName=f"l{uuid.uuid4().hex[:8]}", Content={"ZipFile": archive({"mine": "layer", "bootstrap": "exit 1"})}
    )
    files = {"word": "task", "bootstrap": "exit 1"}
    function = using(client, arn, files, Layers=[made["LayerVersionArn"]])
    assert function.invoke().document == ["one", "task", "layer", "/var/runtime/bootstrap"]
    begun = logs(function.name, until="INIT_START")[0]
    assert begun.rstrip() == f"INIT_START Runtime Version: shell:v1\tRuntime Version ARN: {arn}/version/v1"


class Callers:
    """Threads that invoke a function again and again."""

    def __init__(self, server: LamellaServer, function: Function, count: int) -> None:
        self.seen: list[tuple[float, float, str]] = []
        self.failures: list[str] = []
        self._server, self._name = server, function.name
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        client = self._server.boto3()
        while not self._stop.is_set():
            began_s = time.monotonic()
            try:
                answer = Function(client, self._name).invoke(tail=False)
            except ClientError as error:
                self.failures.append(str(error))
                continue
            if answer.error is None:
                self.seen.append((began_s, time.monotonic(), answer.document[0]))
            else:
                self.failures.append(answer.payload.decode())

    def wait_seen(self, word: str, since_s: float, count: int = 5) -> None:
        """Wait until so many invocations that began since then have been answered; each must have said the word."""
        deadline_s = time.monotonic() + 30
        while True:
            after = [said for began_s, _, said in list(self.seen) if began_s > since_s]
            assert set(after) <= {word}, after
            assert not self.failures, self.failures
            if len(after) >= count:
                return
            assert time.monotonic() < deadline_s, "the callers are stuck"
            self._stop.wait(0.01)


def test_an_alias_moves_and_moves_back_without_a_failed_invocation(
    server: LamellaServer, client: Any, core: Any, arn: str
) -> None:
    """Whoever calls after the answer gets the version it names; whoever calls before it gets one or the other."""
    point(core, "v1")
    function = using(client, arn)
    with Callers(server, function, 3) as callers:
        callers.wait_seen("one", 0.0)
        for version, word in (("v2", "two"), ("v1", "one")):
            point(core, version)
            callers.wait_seen(word, time.monotonic())
    assert not callers.failures
    assert {word for _, _, word in callers.seen} == {"one", "two"}


def test_environments_that_are_kept_initialised_move_as_well(client: Any, core: Any, arn: str) -> None:
    point(core, "v1")
    function = using(client, arn, Publish=True)
    client.put_provisioned_concurrency_config(
        FunctionName=function.name, Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    wait_provisioned(client, function.name)
    assert function.invoke(Qualifier="1").document[0] == "one"
    point(core, "v2")
    assert function.invoke(Qualifier="1").document[0] == "two"
    wait_provisioned(client, function.name)
    core.delete_runtime_alias(RuntimeName="shell", Name="prod")
    wait_provisioned(client, function.name, "FAILED")
    core.restore_runtime(RuntimeName="shell", RuntimeAlias="prod")
    wait_provisioned(client, function.name)
    client.delete_provisioned_concurrency_config(FunctionName=function.name, Qualifier="1")


def wait_provisioned(client: Any, name: str, status: str = "READY") -> None:
    deadline_s = time.monotonic() + 30
    while True:
        found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
        if found["Status"] == status:
            return
        assert time.monotonic() < deadline_s, found
        time.sleep(0.02)


def test_a_function_that_keeps_its_version(client: Any, core: Any, arn: str) -> None:
    point(core, "v2")
    function = using(client, arn)
    client.put_runtime_management_config(
        FunctionName=function.name, UpdateRuntimeOn="Manual", RuntimeVersionArn=f"{arn}/version/v1"
    )
    assert function.invoke().document[0] == "one"
    point(core, "v1")
    core.delete_runtime_version(RuntimeName="shell", Name="v2")  # nobody points to it
    client.put_runtime_management_config(FunctionName=function.name, UpdateRuntimeOn="Auto")
    core.restore_runtime(RuntimeName="shell", RuntimeVersion="v2")
    assert function.invoke().document[0] == "one"


@pytest.fixture
def gone(core: Any, arn: str) -> Iterator[None]:
    point(core, "v1")
    yield
    core.restore_runtime(RuntimeName="shell", RuntimeAlias="prod")


@pytest.mark.usefixtures("gone")
def test_what_is_deleted_fails_until_it_is_restored(client: Any, core: Any, arn: str) -> None:
    function = using(client, arn)
    assert function.invoke().document[0] == "one"
    core.delete_runtime_alias(RuntimeName="shell", Name="prod")
    for call in (client.invoke, client.invoke_with_response_stream):
        with pytest.raises(ClientError) as caught:
            call(FunctionName=function.name)
        error = caught.value.response
        assert error["Error"]["Code"] == "RuntimeAliasDeletedException"
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 409
        assert f"{arn}/alias/prod" in error["message"]
    core.restore_runtime(RuntimeName="shell", RuntimeAlias="prod")
    assert function.invoke().document[0] == "one"


def test_versions_of_images(client: Any, core: Any, image_folder: Path, logs: Callable[..., list[str]]) -> None:
    """One with a bootstrap, as AWS's base images have it, and an extension; one whose entry point is all there is."""
    try:
        echo, extension = (build(f"runtimes/{name}.c").read_bytes() for name in ("echo", "extension"))
    except MissingToolError as error:
        pytest.skip(str(error))
    layout = image_folder / uuid.uuid4().hex
    programs = {"var/runtime/bootstrap": echo, "opt/extensions/ext": extension}
    base = image(
        layer([(member(name, mode=0o755), content) for name, content in programs.items()]),
        config={"Entrypoint": ["/none"]},
    )
    plain = image(layer([(member("echo", mode=0o755), echo)]), config={"Entrypoint": ["/echo"]})
    empty = image(layer([(member("file"), b"")]), config={})
    write_layout(layout, {"base": base, "plain": plain, "empty": empty})
    core.create_runtime(Name="images")
    for tag in ("base", "plain", "empty"):
        core.create_runtime_version(RuntimeName="images", Name=tag, ImageUri=f"oci:{layout}:{tag}")
    assert wait_made(core, "base")["ResolvedUri"].endswith(f"@sha256:{base.digest}")
    assert wait_made(core, "empty")["State"] == "FAILED"
    core.create_runtime_alias(RuntimeName="images", Name="prod", RuntimeVersion="base")
    above = client.publish_layer_version(LayerName="above", Content={"ZipFile": archive({"mine": "1"})})
    chosen = core.get_runtime(RuntimeName="images")["Arn"]
    function = using(client, chosen, Layers=[above["LayerVersionArn"]])
    assert function.invoke({"a": 1}).document == {"a": 1}
    assert logs(function.name, until="EXTENSION")[0].startswith("EXTENSION\tName: ext\tState: Ready")
    wait_made(core, "plain")
    point(core, "plain", "images")
    assert function.invoke({"a": 2}).document == {"a": 2}
    assert logs(function.name, until="INIT_START")[0].startswith("INIT_START Runtime Version: images:base\t")


def wait_made(core: Any, name: str) -> dict[str, Any]:
    deadline_s = time.monotonic() + 30
    while True:
        found: dict[str, Any] = core.get_runtime_version(RuntimeName="images", Name=name)
        if found["State"] != "CREATING":
            return found
        assert time.monotonic() < deadline_s, found
        time.sleep(0.02)


def test_an_installed_runtime_and_the_commands(server: LamellaServer, client: Any, core: Any) -> None:
    """What an operator does: publish, show, move, delete, restore."""
    said = server.lamella("runtime", "publish", "python", "--from", "python3.11", "--alias", "prod").stderr
    assert "Published version v1 of python." in said
    function = using(
        client,
        core.get_runtime(RuntimeName="python")["Arn"],
        {"index.py": "import sys\ndef handler(event, context): return sys.version_info[:2]"},
        handler="index.handler",
    )
    assert function.invoke().document == [3, 11]
    shown = json.loads(server.lamella("runtime", "versions", "python", "--json").stdout)
    assert [version["State"] for version in shown["Versions"]] == ["ACTIVE"]
    assert [(one["FunctionName"], one["RuntimeVersion"]) for one in shown["Functions"]] == [(function.name, "v1")]
    refused = server.lamella("runtime", "unpublish", "python", "--version", "v1", check=False)
    assert refused.returncode == 3
    assert "the following aliases point to it: [prod]" in refused.stderr
    server.lamella("runtime", "unpublish", "python", "--alias", "prod", "--days", "7")
    with pytest.raises(ClientError, match="RuntimeAliasDeleted"):
        client.invoke(FunctionName=function.name)
    assert "deleted" in server.lamella("runtime", "versions", "python").stdout
    server.lamella("runtime", "restore", "python", "--alias", "prod")
    assert function.invoke().document == [3, 11]


HOSTILE_RUNTIMES = {
    "a path that leads out": make_zip(Entry(b"bootstrap", b"#!/bin/sh", mode=0o100755), Entry(b"../x", b"x")),
    "a fifo": make_zip(Entry(b"bootstrap", mode=0o010755)),
    "no bootstrap": make_zip(Entry(b"dir/bootstrap", b"#!/bin/sh", mode=0o100755)),
    "a directory": make_zip(Entry(b"bootstrap/x", b"#!/bin/sh", mode=0o100755)),
    "no executable": make_zip(Entry(b"bootstrap", b"#!/bin/sh", mode=0o100644)),
    "no zip": b"#!/bin/sh",
    "nothing": b"",
}


@pytest.mark.parametrize("case", HOSTILE_RUNTIMES)
def test_what_is_sent_is_not_trusted(server: LamellaServer, case: str) -> None:
    before = set((server.data / "managed-runtimes").iterdir())
    request = urllib.request.Request(
        f"{server.url}/_lamella/runtime-contents", HOSTILE_RUNTIMES[case], {"Content-Type": "application/zip"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == 400
    assert json.loads(caught.value.read())["error"]
    assert set((server.data / "managed-runtimes").iterdir()) == before


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("nowhere", "'nowhere' is neither a folder or file nor a runtime of this server, which has: "),
        ("oci:/etc", "oci:/etc"),
    ],
)
def test_what_cannot_be_published(server: LamellaServer, source: str, text: str) -> None:
    refused = server.lamella("runtime", "publish", "never", "--from", source, check=False)
    assert refused.returncode in {2, 3}
    assert text in refused.stderr
    assert "Traceback" not in refused.stderr
