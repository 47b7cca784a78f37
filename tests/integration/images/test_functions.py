"""Functions of images as people build them, from a registry: Debian with AWS's client, and AWS's base images' way."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.debian_images import base_image, python_image
from tests.support.functions import ROLE, Function, wait_active
from tests.support.images import Made, files, image
from tests.support.registry import Registry
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

ACCOUNT = "000000000000"
ECR = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
APP = """
import getpass, os, sys

NAME = "first"

def handler(event, context):
    return {
        "name": NAME,
        "event": event,
        "cwd": os.getcwd(),
        "user": [os.getuid(), os.getgid(), getpass.getuser(), os.path.expanduser("~")],
        "environment": dict(os.environ),
        "root": sorted(os.listdir("/")),
        "odd": [path for path in event.get("look", []) if os.lstat(path).st_mode & 0o7000],
        "writable": [path for path in ("/", "/var/task", "/opt", "/tmp", "/etc", "/usr") if os.access(path, os.W_OK)],
        "python": sys.version.split()[0],
        "handler": os.environ["_HANDLER"],
    }

def other(event, context):
    return "other"
"""


@pytest.fixture(scope="module")
def server(registry: Registry) -> Iterator[LamellaServer]:
    """A server for which the registry stands for ECR."""
    with LamellaServer(state_delay_s="0", image_registries=f"ecr=http://{registry.name},{registry.name}") as running:
        yield running


@pytest.fixture
def client(server: LamellaServer) -> Any:
    return server.boto3()  # the address is another one after a restart


def create(client: Any, uri: str, **options: Any) -> Function:
    name = f"image-{uuid.uuid4().hex[:8]}"
    options = {"Role": ROLE, "PackageType": "Image", "Timeout": 20, "MemorySize": 1769, **options}
    client.create_function(FunctionName=name, Code={"ImageUri": uri}, **options)
    wait_active(client, name)
    return Function(client, name)


@pytest.fixture(scope="module")
def debian(registry: Registry) -> Made:
    """The image `team/debian`, with tag `v1`."""
    made = python_image({"app.py": APP})
    registry.push("team/debian", "v1", made)
    return made


def test_debian_with_the_client_of_aws(server: LamellaServer, client: Any, debian: Made) -> None:
    """And with AWS's own names, pinned by digest, kept through a restart."""
    uri = f"{ECR}/team/debian:v1"
    shown = server.aws(
        "lambda", "create-function", "--function-name", "debian", "--role", ROLE, "--package-type", "Image",
        "--code", f"ImageUri={uri}", "--memory-size", "1769", "--timeout", "20",
    )  # fmt: skip
    assert json.loads(shown.stdout)["CodeSha256"] == debian.digest
    wait_active(client, "debian")
    function = Function(client, "debian")
    answer = function.invoke({"look": ["/usr/bin/python3", "/bin/dash"]}).document
    assert (answer["name"], answer["cwd"], answer["handler"]) == ("first", "/function", "app.handler")
    assert answer["user"] == [993, 990, "sbx_user1051", "/home/sbx_user1051"]
    assert answer["writable"] == ["/tmp"]
    assert answer["odd"] == []
    environment = answer["environment"]
    assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_Image"
    assert environment["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert not {"TZ", "LD_LIBRARY_PATH"} & set(environment)
    code = client.get_function(FunctionName="debian")["Code"]
    assert code == {
        "RepositoryType": "ECR",
        "ImageUri": uri,
        "ResolvedImageUri": f"{ECR}/team/debian@sha256:{debian.digest}",
    }
    server.restart()
    assert Function(server.boto3(), "debian").invoke().document["name"] == "first"


def test_the_way_of_the_base_images_of_aws(registry: Registry, client: Any) -> None:
    """EN-25."""
    made = base_image({"app.py": APP})
    registry.push("team/base", "v1", made)
    function = create(client, f"{ECR}/team/base:v1")
    answer = function.invoke().document
    assert (answer["cwd"], answer["handler"], answer["name"]) == ("/var/task", "app.handler", "first")
    assert answer["environment"]["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3"  # by the image's own bootstrap
    assert answer["environment"]["LANG"] == "C.UTF-8"
    assert {"lambda-entrypoint.sh", "function", "var"} <= set(answer["root"])
    client.update_function_configuration(FunctionName=function.name, ImageConfig={"Command": ["app.other"]})
    wait_active(client, function.name)
    assert function.invoke().document == "other"
    client.update_function_configuration(FunctionName=function.name, ImageConfig={"Command": ["app.other", "x"]})
    wait_active(client, function.name)
    answer = function.invoke()
    assert answer.document["errorMessage"].endswith("Error: Runtime exited with error: exit status 142")
    assert "entrypoint requires the handler name to be the first argument" in answer.tail


def test_a_new_tag_a_version_and_an_alias(registry: Registry, client: Any, debian: Made) -> None:
    function = create(client, f"{registry.name}/team/debian:v1", Publish=True)
    client.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    second = python_image({"app.py": APP.replace('"first"', '"second"')})
    registry.push("team/debian", "v2", second)
    shown = client.update_function_code(FunctionName=function.name, ImageUri=f"{registry.name}/team/debian:v2")
    assert (shown["CodeSha256"], shown["LastUpdateStatus"]) == (second.digest, "InProgress")
    wait_active(client, function.name)
    assert function.invoke().document["name"] == "second"
    assert function.invoke(Qualifier="live").document["name"] == "first"
    with pytest.raises(client.exceptions.InvalidParameterValueException) as refused:
        client.update_function_code(FunctionName=function.name, ImageUri=f"{registry.name}/team/debian:v3")
    text = f"Source image {registry.name}/team/debian:v3 does not exist. Provide a valid source image."
    assert refused.value.response["Error"]["Message"].startswith(text)
    assert (
        client.get_function(FunctionName=function.name, Qualifier="live")["Configuration"]["CodeSha256"]
        == debian.digest
    )


def test_a_layer_that_is_gone_when_it_is_fetched(registry: Registry, client: Any) -> None:
    made = image(files({"bootstrap": "#!/bin/sh\n"}), config={"Cmd": ["/bootstrap"]})
    registry.push("team/gone", "v1", made)
    registry.delete_blob(next(name for name, blob in made.blobs.items() if blob != made.config))
    client.create_function(
        FunctionName="gone", Role=ROLE, PackageType="Image", Code={"ImageUri": f"{registry.name}/team/gone:v1"}
    )
    with pytest.raises(AssertionError, match="Failed"):
        wait_active(client, "gone")
    shown = client.get_function_configuration(FunctionName="gone")
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "ImageDeleted")
    assert shown["StateReason"].startswith("The function is trying to use a deleted image.")
    with pytest.raises(client.exceptions.ResourceConflictException, match="Failed"):
        client.invoke(FunctionName="gone")


def test_registries_that_nobody_has_allowed(client: Any) -> None:
    with pytest.raises(client.exceptions.ClientError, match="image_registries") as refused:
        create(client, "registry.example.com/a:v1")
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
