"""Every member of the model that says how a function is: kept and shown wherever functions are shown, or refused."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

HERE = f"arn:aws:lambda:{REGION}:{ACCOUNT}"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
GIVEN: Final[Mapping[str, Any]] = {  # Any: as the model's shapes
    "FunctionName": "f",
    "Role": ROLE,
    "Runtime": "python3.11",
    "Handler": "index.handler",
    "Code": {"ZipFile": zipped(index__py="1")},
}
LOGGING = {"LogFormat": "Text"}
JSON = {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
OFF = {"OptimizationStatus": "Off"}

# What each member may be given as, what is shown for it then, and what is shown if it is not given (`None`: nothing).
MEMBERS: Final[Mapping[str, tuple[Any, list[tuple[Any, Any]]]]] = {
    "Architectures": (["x86_64"], [(["x86_64"], ["x86_64"])]),
    "DeadLetterConfig": (None, [({"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"},) * 2]),
    "Description": ("", [("ünïcode", "ünïcode"), ("", "")]),
    "Environment": (None, [({"Variables": {"AB": "c"}},) * 2, ({"Variables": {}},) * 2]),
    "EphemeralStorage": ({"Size": 512}, [({"Size": 10240},) * 2]),
    "Handler": ("index.handler", [("other.name",) * 2]),
    "KMSKeyArn": (None, [(KEY, KEY)]),
    "Layers": (None, [([f"{HERE}:layer:l:1"], [{"Arn": f"{HERE}:layer:l:1", "CodeSize": len(zipped(l="1"))}])]),
    "LoggingConfig": (
        {**LOGGING, "LogGroup": "/aws/lambda/{name}"},
        [
            ({"LogGroup": "/mine"}, {**LOGGING, "LogGroup": "/mine"}),
            ({"LogFormat": "JSON", "LogGroup": "/mine"}, {**JSON, "LogGroup": "/mine"}),
            (
                {"LogFormat": "JSON", "SystemLogLevel": "DEBUG"},
                {**JSON, "SystemLogLevel": "DEBUG", "LogGroup": "/aws/lambda/{name}"},
            ),
        ],
    ),
    "MemorySize": (128, [(10240, 10240)]),
    "Role": (ROLE, [(f"{ROLE}2", f"{ROLE}2")]),
    "Runtime": ("python3.11", [("provided.al2023",) * 2]),
    "SnapStart": ({"ApplyOn": "None", **OFF}, [({"ApplyOn": "None"}, {"ApplyOn": "None", **OFF})]),
    "TenancyConfig": (None, [({"TenantIsolationMode": "PER_TENANT"},) * 2]),
    "Timeout": (3, [(900, 900)]),
    "TracingConfig": ({"Mode": "PassThrough"}, [({"Mode": "Active"},) * 2]),
    "VpcConfig": (
        None,
        [
            (
                {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "Ipv6AllowedForDualStack": True},
                {
                    "SubnetIds": ["subnet-1"],
                    "SecurityGroupIds": ["sg-1"],
                    "Ipv6AllowedForDualStack": True,
                    "VpcId": "",
                },
            )
        ],
    ),
}
REFUSED: Final[Mapping[str, Any]] = {
    "AcceleratorConfig": {"AcceleratorMemorySize": 1},
    "CapacityProviderConfig": {
        "LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": f"{HERE}:capacity-provider:c"}
    },
    "DurableConfig": {"ExecutionTimeout": 60},
    "FileSystemConfigs": [
        {
            "Arn": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0",
            "LocalMountPath": "/mnt/a",
        }
    ],
    "PublishTo": "LATEST_PUBLISHED",
}
ELSEWHERE: Final = {
    "FunctionName", "Code", "CodeSigningConfigArn", "ImageConfig", "PackageType", "Publish", "Tags", "RevisionId",
    "RuntimeConfig",
}  # fmt: skip
"""Members with tests of their own: they say something else, or belong to images or customer-managed runtimes."""


@pytest.fixture(scope="module")
def server() -> Iterator[ControlServer]:
    server = ControlServer()
    server.client().publish_layer_version(LayerName="l", Content={"ZipFile": zipped(l="1")})
    yield server
    server.close()


def model_members(shape: str) -> set[str]:
    model = Loader().load_service_model("lambda", "service-2")
    return set(model["shapes"][shape]["members"])


def test_no_member_of_the_model_is_overlooked() -> None:
    known = {*MEMBERS, *REFUSED, *ELSEWHERE}
    assert model_members("CreateFunctionRequest") <= known
    assert model_members("UpdateFunctionConfigurationRequest") <= known


def shown_everywhere(client: Any, name: str) -> list[dict[str, Any]]:
    version = client.publish_version(FunctionName=name)
    found = [
        client.get_function_configuration(FunctionName=name),
        client.get_function(FunctionName=name)["Configuration"],
        client.get_function(FunctionName=name, Qualifier="1")["Configuration"],
        version,
        *client.list_versions_by_function(FunctionName=name)["Versions"],
        *(one for one in client.list_functions()["Functions"] if one["FunctionName"] == name),
    ]
    assert len(found) == 7
    return found


def expected(name: str, chosen: Mapping[str, int]) -> dict[str, Any]:
    members = {}
    for member, (default, choices) in MEMBERS.items():
        value = choices[chosen[member]][1] if member in chosen else default
        if isinstance(value, dict):
            value = {inner: v.format(name=name) if isinstance(v, str) else v for inner, v in value.items()}
        members[member] = value
    return members


def members_of(shown: Mapping[str, Any]) -> dict[str, Any]:
    return {member: shown.get(member) for member in MEMBERS}


NAMES = count()
CHOICES = st.fixed_dictionaries(
    {}, optional={member: st.integers(0, len(choices) - 1) for member, (_, choices) in MEMBERS.items()}
)


def asked(chosen: Mapping[str, int]) -> dict[str, Any]:
    return {member: MEMBERS[member][1][choice][0] for member, choice in chosen.items()}


@settings(max_examples=25, deadline=None)
@given(created=CHOICES, updated=CHOICES)
def test_what_is_given_is_shown(server: ControlServer, created: dict[str, int], updated: dict[str, int]) -> None:
    client, name = server.client(), f"f{next(NAMES)}"
    answer = client.create_function(**{**GIVEN, "FunctionName": name, **asked(created)})
    server.release()
    assert members_of(answer) == expected(name, created)
    for shown in shown_everywhere(client, name):
        assert members_of(shown) == expected(name, created)
    for member in ("Architectures", "TenancyConfig"):
        updated.pop(member, None)  # UpdateFunctionConfiguration has none
    if "LoggingConfig" in created:
        updated.pop("LoggingConfig", None)  # changed member by member, which has a test of its own
    answer = client.update_function_configuration(FunctionName=name, **asked(updated))
    server.release()
    assert members_of(answer) == expected(name, {**created, **updated})
    assert members_of(client.get_function_configuration(FunctionName=name)) == expected(name, {**created, **updated})
    client.delete_function(FunctionName=name)


@pytest.mark.parametrize("member", REFUSED)
def test_what_would_have_no_effect_is_refused(server: ControlServer, member: str) -> None:
    client = server.client()
    with pytest.raises(ClientError, match=f"Lamella does not support these parameters yet: {member}."):
        client.create_function(**{**GIVEN, member: REFUSED[member]})
