"""Functions whose code is a container image, run for real; the smallest ones: `scratch` and static programs of C."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from bench.programs import MissingToolError, build
from tests.support.functions import ROLE, Function, archive, wait_active
from tests.support.images import Made, image, member, write_layout
from tests.support.images import archive as layer
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox


def program(source: str) -> bytes:
    try:
        return build(source).read_bytes()
    except MissingToolError as error:
        pytest.skip(str(error))


def executables(files: Mapping[str, bytes]) -> bytes:
    """A layer of programs."""
    return layer((member(name, mode=0o755), content) for name, content in files.items())


class Images:
    """Makes images, and functions of them."""

    def __init__(self, folder: Path, client: Any) -> None:
        self._folder, self._client = folder, client
        self.echo = executables({"echo": program("runtimes/echo.c")})
        self.extended = executables({"opt/extensions/ext": program("runtimes/extension.c")})

    def write(self, made: Made) -> str:
        """Put an image where the server may read it; returns its name."""
        layout = self._folder / uuid.uuid4().hex
        write_layout(layout, {"v1": made})
        return f"oci:{layout}:v1"

    def function(self, *layers: bytes, config: Mapping[str, Any] | None = None, **options: Any) -> Function:
        """A function of an image with these layers, by default with the program `/echo`."""
        made = image(*(layers or (self.echo,)), config={"Entrypoint": ["/echo"]} if config is None else config)
        name = f"image-{uuid.uuid4().hex[:8]}"
        code = {"ImageUri": self.write(made)}
        options = {"Role": ROLE, "PackageType": "Image", "Timeout": 10, **options}
        self._client.create_function(FunctionName=name, Code=code, **options)
        wait_active(self._client, name)
        return Function(self._client, name)


@pytest.fixture(scope="session")
def images(image_folder: Path, client: Any) -> Images:
    return Images(image_folder, client)


def test_a_static_program_and_nothing_else(images: Images, logs: Callable[..., list[str]]) -> None:
    function = images.function(config={"Cmd": ["/echo"]})
    answer = function.invoke({"a": 1})
    assert (answer.document, answer.error) == ({"a": 1}, None)
    assert logs(function.name, until="REPORT", whole=True)[0].startswith("START")  # INIT_START is for runtimes


def test_extensions_of_the_image(images: Images, logs: Callable[..., list[str]]) -> None:
    function = images.function(images.echo, images.extended)
    assert function.invoke({"a": 1}).document == {"a": 1}
    assert logs(function.name, until="EXTENSION") == ["EXTENSION\tName: ext\tState: Ready\tEvents: [INVOKE, SHUTDOWN]"]


@pytest.mark.parametrize(
    ("config", "kind", "text"),
    [
        ({}, "Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s): []"),
        ({"Cmd": ["echo"]}, "Runtime.InvalidEntrypoint", 'exec: "echo": executable file not found in $PATH'),
        (
            {"Cmd": ["/echo"], "WorkingDir": "/app"},
            "Runtime.InvalidWorkingDir",
            "the working directory doesn't exist: /app",
        ),
        (
            {"Entrypoint": ["/plain"], "Cmd": ["a b"]},
            "Runtime.InvalidEntrypoint",
            "fork/exec /plain: permission denied",
        ),
        ({"Cmd": ["/foreign"]}, "Runtime.InvalidEntrypoint", "fork/exec /foreign: exec format error"),
        ({"Cmd": ["/root/echo"]}, "Runtime.InvalidEntrypoint", "fork/exec /root/echo: permission denied"),
    ],
)
def test_an_image_that_cannot_be_started(images: Images, config: dict[str, Any], kind: str, text: str) -> None:
    """EN-25."""
    foreign = bytearray(program("runtimes/echo.c")[:4096])
    foreign[18] = 183  # arm64
    odd = layer(
        [
            (member("plain"), b"#!/echo\n"),
            (member("foreign", mode=0o755), bytes(foreign)),
            (member("root", b"5", mode=0o700), b""),
            (member("root/echo", mode=0o755), b"#!/echo\n"),
        ]
    )
    answer = images.function(images.echo, odd, config=config).invoke()
    assert answer.error == "Unhandled"
    assert answer.document == {"errorType": kind, "errorMessage": f"RequestId: {answer.request_id} Error: {text}"}
    entrypoint, command = (" ".join(config.get(name, ())) for name in ("Entrypoint", "Cmd"))
    directory = config.get("WorkingDir", "/")
    line = f"IMAGE\tLaunch error: {text}\tEntrypoint: [{entrypoint}]\tCmd: [{command}]\tWorkingDir: [{directory}]\n"
    assert line in answer.tail


def test_the_root_is_read_only_and_has_what_every_sandbox_has(images: Images, server: LamellaServer) -> None:
    """By the eyes of the host, as there is nothing in the image to look with."""
    function = images.function(Environment={"Variables": {"MODE": "x"}})
    function.invoke()
    (echo,) = [
        pid for pid in _processes() if Path(f"/proc/{pid}/exe").readlink().name == "echo" and _is_of(pid, function)
    ]
    mounts = Path(f"/proc/{echo}/mountinfo").read_text().splitlines()
    root = next(line.split() for line in mounts if line.split()[4] == "/")
    assert root[5].startswith("ro,")
    assert {"/proc", "/dev", "/tmp", "/etc/hosts"} <= {line.split()[4] for line in mounts}
    assert "/var/task" not in {line.split()[4] for line in mounts}
    variables = dict(
        pair.split("=", 1) for pair in Path(f"/proc/{echo}/environ").read_text().split("\0") if "=" in pair
    )
    assert (variables["AWS_EXECUTION_ENV"], variables["_HANDLER"], variables["MODE"]) == ("AWS_Lambda_Image", "", "x")
    assert not {"LANG", "TZ", "LD_LIBRARY_PATH"} & set(variables)
    assert server.data not in variables.values()


def _processes() -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            (folder / "exe").readlink()
        except OSError:
            continue
        found.append(folder.name)
    return found


def _is_of(pid: str, function: Function) -> bool:
    try:
        return f"AWS_LAMBDA_FUNCTION_NAME={function.name}\0" in Path(f"/proc/{pid}/environ").read_text()
    except OSError:
        return False


def test_another_image_takes_over_when_it_is_here(images: Images, client: Any) -> None:
    function = images.function()
    assert function.invoke({"a": 1}).document == {"a": 1}
    client.publish_version(FunctionName=function.name)
    broken = images.write(image(images.echo, config={"Cmd": ["/none"]}))
    client.update_function_code(FunctionName=function.name, ImageUri=broken)
    wait_active(client, function.name)
    assert function.invoke().document["errorType"] == "Runtime.InvalidEntrypoint"
    assert function.invoke({"a": 2}, Qualifier="1").document == {"a": 2}
    client.update_function_configuration(FunctionName=function.name, ImageConfig={"Command": ["/echo"]})
    wait_active(client, function.name)
    assert function.invoke({"a": 3}).document == {"a": 3}


def test_an_image_that_cannot_be_unpacked(images: Images, client: Any) -> None:
    function = images.function()
    uri = images.write(image(b"no archive at all", config={"Cmd": ["/echo"]}))
    client.update_function_code(FunctionName=function.name, ImageUri=uri)
    deadline_s = time.monotonic() + 30
    while (shown := client.get_function(FunctionName=function.name))["Configuration"][
        "LastUpdateStatus"
    ] == "InProgress":
        assert time.monotonic() < deadline_s
    configuration = shown["Configuration"]
    assert (configuration["State"], configuration["LastUpdateStatus"]) == ("Active", "Failed")
    assert configuration["LastUpdateStatusReasonCode"] == "InvalidImage"
    assert shown["Code"]["ImageUri"] != uri
    assert function.invoke({"a": 1}).document == {"a": 1}


def test_provisioned_and_asynchronous(images: Images, client: Any) -> None:
    function = images.function(Publish=True)
    client.put_provisioned_concurrency_config(
        FunctionName=function.name, Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    deadline_s = time.monotonic() + 30
    while True:
        kept = client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier="1")
        if kept["Status"] == "READY":
            break
        assert kept["Status"] == "IN_PROGRESS"
        assert time.monotonic() < deadline_s
    assert function.invoke({"a": 1}, Qualifier="1").document == {"a": 1}
    assert client.invoke(FunctionName=function.name, InvocationType="Event")["StatusCode"] == 202


def test_only_what_the_operator_allows_can_be_named(images: Images, client: Any, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    write_layout(outside, {"v1": image(images.echo)})
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.create_function(
            FunctionName="outside", Role=ROLE, PackageType="Image", Code={"ImageUri": f"oci:{outside}:v1"}
        )
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 403}
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="ImageUri"):
        client.create_function(
            FunctionName="zip", Role=ROLE, PackageType="Image", Code={"ZipFile": archive({"bootstrap": ""})}
        )


def test_an_image_is_verified_as_it_is(images: Images, server: LamellaServer) -> None:
    """The program has no handler that could fail, and takes every event for its result."""
    named = images.write(image(images.echo, config={"Entrypoint": ["/echo"]}))
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{images.function().name}"
    for subject in (named, arn):
        only = "start-ready,event-intact,null-result,large-event"
        done = server.lamella("runtime", "verify", subject, "--json", "--only", only)
        assert {check["verdict"] for check in json.loads(done.stdout)["checks"]} == {"pass"}


@pytest.mark.parametrize(
    ("config", "arguments", "status", "told"),
    [
        ({"Entrypoint": ["/nowhere"]}, [], 1, "start-program"),
        ({"Cmd": ["/echo"], "WorkingDir": "/nowhere"}, [], 1, "start-program"),
        ({"Entrypoint": ["/echo"]}, ["--function", "."], 3, "takes no layers and no other code"),
    ],
)
def test_an_image_that_cannot_be_verified(
    images: Images,
    server: LamellaServer,
    tmp_path: Path,
    config: Mapping[str, Any],
    arguments: list[str],
    status: int,
    told: str,
) -> None:
    named = images.write(image(images.echo, config=config))
    done = server.lamella("runtime", "verify", named, *arguments, check=False, cwd=tmp_path)
    assert (done.returncode, told in done.stderr) == (status, True), done.stderr
