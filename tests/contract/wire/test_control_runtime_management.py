from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.function import Architecture, FunctionKey
from lamella.domain.runtimes import kept_runtime
from lamella.ports.runtimes import RuntimePack

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
F = FunctionKey(ACCOUNT, REGION, "f")


def runtime_arn(digest: str, region: str = REGION) -> str:
    return f"arn:aws:lambda:{region}::runtime:{digest}"


@pytest.fixture
def client(server: ControlServer) -> Any:
    client = server.client()
    client.create_function(
        FunctionName="f",
        Runtime="python3.11",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Handler="index.handler",
        Code={"ZipFile": zipped(index__py="1")},
    )
    server.release()
    return client


def first(server: ControlServer) -> str:
    return server.catalog.installed[0].digest


def supersede(server: ControlServer) -> str:
    """Another version of python3.11, which is found first; the digest of it."""
    old = server.catalog.find("python3.11", Architecture.X86_64)
    new = RuntimePack(old.name, old.architecture, old.rootfs, "f" * 64, "v2", old.entrypoints)
    server.catalog.installed.insert(0, new)
    return new.digest


def managed(client: Any, **members: Any) -> dict[str, Any]:
    answer = client.get_runtime_management_config(FunctionName="f", **members)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def refused(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def kept(server: ControlServer, version: str = "$LATEST") -> str | None:
    stored = server.run(server.functions.get(F, version))
    assert stored is not None
    return kept_runtime(stored.config)


def test_a_function_follows_updates_unless_it_says_otherwise(server: ControlServer, client: Any) -> None:
    assert managed(client) == {"UpdateRuntimeOn": "Auto", "FunctionArn": ARN}
    assert kept(server) is None


def test_what_is_shown_is_the_version_of_the_next_environment(server: ControlServer, client: Any) -> None:
    published = client.publish_version(FunctionName="f")["Version"]
    client.put_runtime_management_config(
        FunctionName="f", Qualifier=published, UpdateRuntimeOn="Manual", RuntimeVersionArn=runtime_arn(first(server))
    )
    old, new = first(server), supersede(server)
    expected = {"$LATEST": new, published: old}
    for qualifier, digest in expected.items():
        named = {"FunctionName": "f", "Qualifier": qualifier}
        for shown in (client.get_function_configuration(**named), client.get_function(**named)["Configuration"]):
            assert shown["RuntimeVersionConfig"] == {"RuntimeVersionArn": runtime_arn(digest)}


def test_manual_keeps_the_version_through_updates_of_both(server: ControlServer, client: Any) -> None:
    old = first(server)
    revision = client.get_function_configuration(FunctionName="f")["RevisionId"]
    answer = client.put_runtime_management_config(
        FunctionName="f", UpdateRuntimeOn="Manual", RuntimeVersionArn=runtime_arn(old)
    )
    expected = {"UpdateRuntimeOn": "Manual", "FunctionArn": ARN, "RuntimeVersionArn": runtime_arn(old)}
    assert {name: answer[name] for name in expected} == managed(client) == expected
    assert kept_runtime(server.observed.settled[-1].config) == old
    assert client.get_function_configuration(FunctionName="f")["RevisionId"] != revision
    new = supersede(server)
    client.update_function_code(FunctionName="f", ZipFile=zipped(index__py="2"))
    server.release()
    assert managed(client) == expected
    shown = client.get_function_configuration(FunctionName="f")
    assert shown["RuntimeVersionConfig"] == {"RuntimeVersionArn": runtime_arn(old)}
    assert "UpdateRuntimeOn" not in shown
    # Another runtime has no such version.
    code, _ = refused(client.update_function_configuration, FunctionName="f", Runtime="provided.al2023")
    assert code == "InvalidParameterValueException"
    client.put_runtime_management_config(FunctionName="f", UpdateRuntimeOn="Auto")
    assert managed(client) == {"UpdateRuntimeOn": "Auto", "FunctionArn": ARN}
    assert kept(server) is None
    shown = client.get_function_configuration(FunctionName="f")
    assert shown["RuntimeVersionConfig"] == {"RuntimeVersionArn": runtime_arn(new)}


def test_function_update_keeps_the_version_until_the_function_changes(server: ControlServer, client: Any) -> None:
    old = first(server)
    client.put_runtime_management_config(FunctionName="f", UpdateRuntimeOn="FunctionUpdate")
    new = supersede(server)
    client.put_runtime_management_config(FunctionName="f", UpdateRuntimeOn="FunctionUpdate")
    assert managed(client) == {"UpdateRuntimeOn": "FunctionUpdate", "FunctionArn": ARN}
    assert kept(server) == old
    client.update_function_configuration(FunctionName="f", Description="d")
    server.release()
    assert kept(server) == new


def test_each_version_decides_for_itself(server: ControlServer, client: Any) -> None:
    client.publish_version(FunctionName="f")
    server.release()
    members = {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime_arn(first(server))}
    client.put_runtime_management_config(FunctionName="f", Qualifier="1", **members)
    assert managed(client)["UpdateRuntimeOn"] == "Auto"
    assert managed(client, Qualifier="1") == {**members, "FunctionArn": f"{ARN}:1"}
    assert (kept(server), kept(server, "1")) == (None, first(server))
    answer = refused(client.get_runtime_management_config, FunctionName="f", Qualifier="2")
    assert answer == ("ResourceNotFoundException", f"Function not found: {ARN}:2")


def test_what_makes_no_sense_is_refused(server: ControlServer, client: Any) -> None:
    put = client.put_runtime_management_config
    for members in (
        {"UpdateRuntimeOn": "Manual"},
        {"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": runtime_arn(first(server))},
        {"UpdateRuntimeOn": "FunctionUpdate", "RuntimeVersionArn": runtime_arn(first(server))},
        {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime_arn("e" * 64)},
        {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime_arn(first(server), "us-east-1")},
        {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime_arn("x")},
    ):
        assert refused(put, FunctionName="f", **members)[0] == "InvalidParameterValueException"
    assert managed(client)["UpdateRuntimeOn"] == "Auto"


def test_not_while_another_change_is_under_way(server: ControlServer, client: Any) -> None:
    server.hold()
    client.update_function_configuration(FunctionName="f", Description="d")
    code, _ = refused(client.put_runtime_management_config, FunctionName="f", UpdateRuntimeOn="FunctionUpdate")
    assert code == "ResourceConflictException"
    server.release()
