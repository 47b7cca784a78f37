"""Sharing, mirroring and clearing away layer versions from the command line, against a real server."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import archive, create
from tests.support.layers import publish
from tests.support.server import LamellaServer

OWN = "arn:aws:lambda:us-east-1:000000000000:layer:"
THEIRS = "arn:aws:lambda:us-east-1:017000801446:layer:AWSLambdaPowertoolsPythonV3-python311-x86_64:7"
STAND_IN = {"python/aws_lambda_powertools/__init__.py": "def answer():\n    return 'from the copy'\n"}
HANDLER = "import aws_lambda_powertools\ndef handler(event, context):\n    return aws_lambda_powertools.answer()\n"


def test_sharing(client: Any, server: LamellaServer) -> None:
    for _ in range(2):
        publish(client, {"x": "1"}, name="shared")
    other = server.boto3(aws_access_key_id="111122223333", aws_secret_access_key="x")
    server.lamella("layer", "share", "shared:2", "--account", "111122223333")
    assert other.get_layer_version_by_arn(Arn=f"{OWN}shared:2")["Version"] == 2
    again = server.lamella("layer", "share", f"{OWN}shared:2", "--account", "111122223333", "--json")
    assert json.loads(again.stdout)["shared"] == [{"version": 2, "grantee": "account 111122223333", "new": False}]
    asked = server.lamella("layer", "share", "shared", "--all-versions", "--public", check=False)
    assert (asked.returncode, "wants --yes" in asked.stderr) == (2, True)
    server.lamella("layer", "share", "shared", "--all-versions", "--public", "--yes")
    server.lamella("layer", "share", "shared:1", "--organization", "o-a1b2c3d4e5")
    shown = json.loads(server.lamella("layer", "who", "shared", "--json").stdout)
    assert [(one["version"], [grant["kind"] for grant in one["grants"]]) for one in shown["versions"]] == [
        (2, ["account", "public"]),
        (1, ["public", "organization"]),
    ]
    server.lamella("layer", "unshare", "shared", "--all-versions", "--public")
    server.lamella("layer", "unshare", "shared:2", "--account", "111122223333")
    assert "nobody else" in server.lamella("layer", "who", "shared:2").stdout
    with pytest.raises(other.exceptions.ClientError):
        other.get_layer_version_by_arn(Arn=f"{OWN}shared:2")


@pytest.mark.sandbox
def test_a_copy_of_a_public_layer_is_imported_in_a_sandbox(server: LamellaServer, tmp_path: Path) -> None:
    """By a function of another account, whose template names AWS's ARN, on a server that cannot reach AWS."""
    (tmp_path / "powertools.zip").write_bytes(archive(STAND_IN))
    mirrored = server.lamella(
        "layer", "mirror", THEIRS, "--from", "powertools.zip", "--runtime", "python3.11", cwd=tmp_path
    )
    assert f"{THEIRS} is mirrored" in mirrored.stderr
    other = server.boto3(aws_access_key_id="222233334444", aws_secret_access_key="x")
    function = create(
        other, {"function.py": HANDLER}, runtime="python3.11", handler="function.handler", Layers=[THEIRS]
    )
    assert function.invoke().document == "from the copy"

    (tmp_path / "evil.zip").write_bytes(archive({"python/aws_lambda_powertools/__init__.py": "evil"}))
    refused = server.lamella("layer", "mirror", THEIRS, "--from", "evil.zip", cwd=tmp_path, check=False)
    assert (refused.returncode, "a layer version never changes" in refused.stderr) == (3, True), refused.stderr
    refused = server.lamella("layer", "mirror", f"{THEIRS}1", "--from", "/dev/null", check=False)
    assert (refused.returncode, "non-empty zip" in refused.stderr) == (3, True), refused.stderr
    assert "1 of 1 copies are as they were mirrored" in server.lamella("layer", "mirror", "--verify").stderr


def test_copies_travel_from_server_to_server_and_by_directory(
    client: Any, server: LamellaServer, tmp_path: Path
) -> None:
    arn = f"{OWN}travels:1"
    published = client.publish_layer_version(
        LayerName="travels",
        Content={"ZipFile": archive({"f": "1"})},
        Description="Grüße",
        CompatibleRuntimes=["python3.11", "nodejs22.x"],
        CompatibleArchitectures=["arm64"],
        LicenseInfo="MIT OR Apache-2.0",
    )
    (tmp_path / "template.yaml").write_text(
        "Layers:\n  - !Sub arn:aws:lambda:${AWS::Region}:000000000000:layer:travels:1\n"
    )
    with LamellaServer() as second:
        from_here = ("--from", server.url, "--region", "us-east-1")
        second.lamella("layer", "mirror", "--template", "template.yaml", *from_here, cwd=tmp_path)
        _check(second, published)
        second.lamella("layer", "mirror", "--export", tmp_path / "copies")
        second.lamella("layer", "mirror", arn, "--remove", "--forget")
        second.lamella("layer", "mirror", "--import", tmp_path / "copies")
        _check(second, published)
        second.lamella("layer", "mirror", arn, "--remove")
        listed = json.loads(second.lamella("layer", "mirror", "--list", "--json").stdout)["mirrored"]
        assert [(one["arn"], one["present"]) for one in listed] == [(arn, False)]


def _check(server: LamellaServer, published: dict[str, Any]) -> None:
    """Any account finds there what was published elsewhere."""
    anybody = server.boto3(aws_access_key_id="333344445555", aws_secret_access_key="x")
    found = anybody.get_layer_version_by_arn(Arn=published["LayerVersionArn"])
    for member in ("Description", "CreatedDate", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"):
        assert found[member] == published[member], member
    assert found["Content"]["CodeSha256"] == published["Content"]["CodeSha256"]


def test_retention_tells_before_it_deletes(client: Any, server: LamellaServer) -> None:
    for number in range(6):
        publish(client, {"x": str(number)}, name="kept")
    function = create(client, {"f": "x"}, Layers=[f"{OWN}kept:2"])
    client.publish_version(FunctionName=function.name)
    client.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    client.update_function_configuration(FunctionName=function.name, Layers=[])
    server.lamella("channel", "set", "kept:stable", "3")
    server.lamella("layer", "share", "kept:4", "--account", "111122223333")

    refused = server.lamella("layer", "prune", "kept", check=False)
    assert (refused.returncode, "nothing says which versions to keep of kept" in refused.stderr) == (2, True)
    server.lamella("layer", "retention", "set", "kept", "--keep-last", "1")
    told = json.loads(server.lamella("layer", "prune", "kept", "--json").stdout)
    assert {one["version"]: one["kept_because"] for one in told["versions"]} == {
        6: ["newest"],
        5: [],
        4: ["shared with account 111122223333"],
        3: ["channel kept:stable"],
        2: [f"used by {function.name}:1 (alias live)"],
        1: [],
    }
    assert len(client.list_layer_versions(LayerName="kept")["LayerVersions"]) == 6
    server.lamella("layer", "prune", "kept", "--apply")
    left = [one["Version"] for one in client.list_layer_versions(LayerName="kept")["LayerVersions"]]
    assert left == [6, 4, 3, 2]
    server.lamella("layer", "prune", "kept", "--apply", "--no-keep-used", "--no-keep-shared", "--keep-last", "0")
    left = [one["Version"] for one in client.list_layer_versions(LayerName="kept")["LayerVersions"]]
    assert left == [3]
    assert "kept" in server.lamella("layer", "retention", "show").stdout
    server.lamella("layer", "retention", "remove", "kept")
