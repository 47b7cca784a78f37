"""Whatever reads, reads nothing of another account or another region: each such operation there is, through boto3.

Operations that are added later are walked as well; what they need is made up from the model.
"""

import json
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import Shape
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.awsapi.registry import OPERATIONS
from lamella.awsapi.spec import ServiceSpec

SPECS = {name: ServiceSpec.load(name) for name in ("lambda", "lambda-core")}
SERVICE = {operation: name for name, spec in SPECS.items() for operation in spec.operations}
READS = sorted(name for name in OPERATIONS if name.startswith(("Get", "List")))
FUNCTION, LAYER, RUNTIME = "secret-function", "secret-layer", "secret-runtime"
MARK = "secret"
STRANGERS = {"another account": ("444455556666", REGION), "another region": (ACCOUNT, "us-west-2")}


def arn(kind: str, name: str, *, account: str = ACCOUNT, region: str = REGION) -> str:
    return f"arn:aws:lambda:{region}:{account}:{kind}:{name}"


FORMS: dict[str, dict[str, Any]] = {
    "by name": {"FunctionName": FUNCTION, "LayerName": LAYER, "RuntimeName": RUNTIME},
    "by ARN": {
        "FunctionName": arn("function", FUNCTION),
        "LayerName": arn("layer", LAYER),
        "RuntimeName": arn("runtime", RUNTIME).replace("runtime:", "runtime/"),
    },
}


def parameters(operation: str, names: dict[str, Any]) -> dict[str, Any]:
    """What an operation requires, aimed at what the server has."""
    shape = SPECS[SERVICE[operation]].operations[operation].input_shape
    known = {
        **names,
        "Arn": arn("layer", f"{LAYER}:1"),
        "Resource": arn("function", FUNCTION),
        "ResourceArn": arn("function", FUNCTION),
        "VersionNumber": 1,
        "Qualifier": "1",
        "Name": f"{MARK}-alias",
    }
    required = [] if shape is None else shape.required_members
    return {member: known[member] if member in known else made_up(shape.members[member]) for member in required}


def made_up(shape: Shape) -> Any:
    """A value that fits, but for patterns that the model does not spell out."""
    if shape.enum if shape.type_name == "string" else False:
        return shape.enum[0]
    simple = {"string": "x" * max(1, shape.metadata.get("min", 1)), "integer": 1, "long": 1, "boolean": True}
    return simple.get(shape.type_name, [] if shape.type_name == "list" else {})


@pytest.fixture
def inhabited(server: ControlServer) -> ControlServer:
    """A server where one account has something of everything in one region."""
    client = server.client()
    layer = client.publish_layer_version(LayerName=LAYER, Content={"ZipFile": zipped(a="1")})["LayerVersionArn"]
    client.create_function(
        FunctionName=FUNCTION,
        Role=f"arn:aws:iam::{ACCOUNT}:role/{MARK}",
        Runtime="python3.11",
        Handler="m.h",
        Code={"ZipFile": zipped(m__py="")},
        Environment={"Variables": {"MARK": MARK}},
        Tags={"mark": MARK},
        Layers=[layer],
    )
    server.release()
    core = server.client(service="lambda-core")
    core.create_runtime(Name=RUNTIME, Description=MARK)
    server.contents.offer(MARK)
    core.create_runtime_version(RuntimeName=RUNTIME, Name=f"{MARK}-alias", ImageUri=MARK, ReleaseNotes=MARK)
    server.run(server.fetches.wait_done())
    core.create_runtime_alias(RuntimeName=RUNTIME, Name=f"{MARK}-alias", RuntimeVersion=f"{MARK}-alias")
    client.publish_version(FunctionName=FUNCTION)
    client.put_function_concurrency(FunctionName=FUNCTION, ReservedConcurrentExecutions=5)
    server.release()
    return server


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_nothing_is_seen_across_a_border(inhabited: ControlServer, stranger: str, form: str) -> None:
    account, region = STRANGERS[stranger]
    clients = {name: inhabited.client(account=account, region=region, service=name) for name in SPECS}
    owners = {name: inhabited.client(service=name) for name in SPECS}
    seen_by_owner = 0
    for operation in READS:
        call, given = xform_name(operation), parameters(operation, FORMS[form])
        assert not _sees(clients[SERVICE[operation]], call, given), operation
        seen_by_owner += _sees(owners[SERVICE[operation]], call, given)
    # The questions were good ones: to the owner most of them tell something.
    assert seen_by_owner >= 15


def _sees(client: Any, call: str, given: dict[str, Any]) -> bool:
    """Whether an answer holds anything of the owner's. Texts of errors say what the caller has said: no more."""
    try:
        answer = getattr(client, call)(**given)
    except ClientError as error:
        answer = error.response
        if answer["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise
        return False
    del answer["ResponseMetadata"]
    return MARK in json.dumps(answer, default=str)


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_others_use_is_not_counted(inhabited: ControlServer, stranger: str) -> None:
    account, region = STRANGERS[stranger]
    settings = inhabited.client(account=account, region=region).get_account_settings()
    assert settings["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 0}
    assert settings["AccountLimit"]["UnreservedConcurrentExecutions"] == 1_000


def test_what_a_region_has_is_not_changed_from_another(inhabited: ControlServer) -> None:
    elsewhere, layer = inhabited.client(region="us-west-2"), FORMS["by ARN"]["LayerName"]
    elsewhere.delete_layer_version(LayerName=layer, VersionNumber=1)
    with pytest.raises(ClientError):
        elsewhere.publish_layer_version(LayerName=layer, Content={"ZipFile": zipped(a="2")})
    versions = inhabited.client().list_layer_versions(LayerName=LAYER)["LayerVersions"]
    assert [version["Version"] for version in versions] == [1]
