"""AWS's and others' programs, as they are, deploy functions here: what they say, and what the functions answer.

Each program has one flow, as starting them takes most of the time. What they deploy is what the guides show.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import directory_of
from tests.support.server import ROOT, LamellaServer

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

PYTHON = f"python3.{sys.version_info.minor}"
_LIMIT_S = 180.0
_WITHIN_S = 30.0
_ASSEMBLY = ROOT / "tests" / "assembly"
"""What `cdk synth` (aws-cdk-lib 2.276.0) makes of `examples/cdk-app`, without the library's own notes."""


class Deployer:
    """A program, with credentials of an account that nobody else has, in a directory of its own.

    Attributes:
        place: The directory.
    """

    def __init__(self, server: LamellaServer, account: str, place: Path, command: list[str], **more: str) -> None:
        self.place = place
        self._command = command
        self._variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_COLOR": "1",
            **more,
        }

    def run(self, *arguments: str, fails: bool = False, **variables: str) -> str:
        """What it says; `fails` if it has to."""
        result = subprocess.run(
            [*self._command, *arguments],
            cwd=self.place,
            env={**self._variables, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        assert (result.returncode != 0) is fails, result.stdout
        return result.stdout


def copied(source: Path, target: Path, replaced: Mapping[str, str]) -> None:
    """A directory with other texts in its files."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    rewrite(target, replaced)


def rewrite(directory: Path, replaced: Mapping[str, str]) -> None:
    """Put other texts into the files of a directory."""
    for path in directory.rglob("*"):
        if path.suffix in (".json", ".py", ".yaml", ".yml"):
            text = path.read_text()
            for old, new in replaced.items():
                text = text.replace(old, new)
            path.write_text(text)


def outputs(cloudformation: Any, stack: str) -> dict[str, str]:
    found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in found}


def answer(client: Any, function: str, event: object) -> Any:
    return json.load(client.invoke(FunctionName=function, Payload=json.dumps(event).encode())["Payload"])


def messages(sqs: Any, queue: str, count: int) -> set[str]:
    """As many as there have to be."""
    found = set[str]()
    until = time.monotonic() + _WITHIN_S
    while len(found) < count and time.monotonic() < until:
        received = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5, MaxNumberOfMessages=10).get("Messages", [])
        found |= {message["Body"] for message in received}
    return found


def test_sam(server: LamellaServer, tmp_path: Path) -> None:
    account = "210000000001"
    clients = {
        name: server.boto3(name, aws_access_key_id=account, aws_secret_access_key="x")
        for name in ("cloudformation", "lambda", "s3", "sqs")
    }
    packages = directory_of("sam") / "packages"
    command = [sys.executable, "-m", "samcli"]
    quick = {"PYTHONPATH": str(packages), "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"}
    sam = Deployer(server, account, tmp_path, command, **quick)
    copied(ROOT / "examples" / "sam-app", tmp_path, {"python3.11": PYTHON})
    deploy = ("deploy", "--stack-name", "greeter", "--resolve-s3", "--capabilities", "CAPABILITY_IAM")

    said = sam.run(*deploy)
    assert "Successfully created/updated stack - greeter in us-east-1" in said
    made = outputs(clients["cloudformation"], "greeter")
    assert answer(clients["lambda"], made["Alias"], {"name": "Ada"}) == {"greetings": ["Hello, Ada!"]}
    clients["sqs"].send_message(QueueUrl=made["Names"], MessageBody="Grace")
    clients["s3"].put_object(Bucket=made["Files"], Key="Alan", Body=b"")
    assert messages(clients["sqs"], made["Greeted"], 2) == {"Hello, Grace!", "Hello, Alan!"}
    assert '{"greetings": ["Hello, Ada!"]}' in sam.run(
        "remote", "invoke", "Greeter", "--stack-name", "greeter", "--event", '{"name": "Ada"}'
    )
    assert "No changes to deploy. Stack greeter is up to date" in sam.run(*deploy, fails=True)

    # A new version is for SAM to make: it does so for new code.
    rewrite(tmp_path / "words", {'!"': '?"'})
    rewrite(tmp_path / "greeter", {'"greetings"': '"said"'})
    sam.run(*deploy, "--parameter-overrides", "Greeting=Bye")
    assert answer(clients["lambda"], made["Alias"], {"name": "Ada"}) == {"said": ["Bye, Ada?"]}

    rewrite(tmp_path, {"Timeout: 10": "Timeout: 10000", "CodeUri: greeter/": "CodeUri: words/"})
    failed = sam.run(*deploy, fails=True)
    assert "UPDATE_ROLLBACK_COMPLETE" in failed
    assert "10000" in failed
    assert answer(clients["lambda"], made["Alias"], {"name": "Ada"}) == {"said": ["Bye, Ada?"]}

    clients["s3"].delete_object(Bucket=made["Files"], Key="Alan")
    assert "Deleted successfully" in sam.run("delete", "--stack-name", "greeter", "--no-prompts")
    assert clients["lambda"].list_functions()["Functions"] == []


def test_cdk(server: LamellaServer, tmp_path: Path) -> None:
    account = "210000000002"
    place = directory_of("cdk")
    command = [str(place / "bin" / "node"), str(place / "node_modules" / "aws-cdk" / "bin" / "cdk"), "--no-notices"]
    quick = {"CDK_DISABLE_VERSION_CHECK": "1", "DISABLE_TELEMETRY": "1", "CI": "1"}
    cdk = Deployer(server, account, tmp_path, [*command, "--app", "cdk.out"], **quick)
    copied(_ASSEMBLY, tmp_path / "cdk.out", {"python3.11": PYTHON})
    deploy = ("deploy", "--require-approval", "never", "--progress", "events")

    assert f"Environment aws://{account}/us-east-1 bootstrapped" in cdk.run("bootstrap", f"aws://{account}/us-east-1")
    said = cdk.run(*deploy)
    assert "CREATE_COMPLETE         | AWS::Lambda::Function " in said
    client = server.boto3(aws_access_key_id=account, aws_secret_access_key="x")
    cloudformation = server.boto3("cloudformation", aws_access_key_id=account, aws_secret_access_key="x")
    alias = outputs(cloudformation, "Greeting")["Alias"]
    assert answer(client, alias, {"name": "Ada"}) == ["HELLO, Ada!"]
    assert "no changes" in cdk.run(*deploy)

    digest = json.loads((_ASSEMBLY / "manifest.json").read_text())["artifacts"]["Greeting"]["properties"]
    named = digest["stackTemplateAssetObjectUrl"].rpartition("/")[2].removesuffix(".json")
    # As `cdk synth` would name it, so that it is uploaded: by its content.
    rewrite(tmp_path / "cdk.out", {'"Word": "Hello"': '"Word": "Bye"', named: "0" * 64})
    cdk.run(*deploy)
    # CDK publishes a version when the template of the function is another one, which it is not.
    assert answer(client, alias.removesuffix(":live"), {"name": "Ada"}) == ["BYE, Ada!"]
    assert answer(client, alias, {"name": "Ada"}) == ["HELLO, Ada!"]

    assert "Greeting: destroyed" in cdk.run("destroy", "--force")
    assert client.list_functions()["Functions"] == []


def test_serverless(server: LamellaServer, tmp_path: Path) -> None:
    account = "210000000003"
    place = directory_of("serverless")
    command = [str(place / "bin" / "node"), str(place / "node_modules" / "serverless" / "bin" / "serverless.js")]
    quick = {
        "CI": "1",
        "SLS_AWS_MONITORING_FREQUENCY": "200",
        "SLS_NOTIFICATIONS_MODE": "off",
        "SLS_TELEMETRY_DISABLED": "1",
    }
    serverless = Deployer(server, account, tmp_path, command, **quick)
    copied(ROOT / "examples" / "serverless-app", tmp_path, {"python3.11": PYTHON})

    assert "Service deployed to stack greeting-dev" in serverless.run("deploy")
    invoke = ("invoke", "--function", "greet", "--data", '{"name": "Ada"}')
    assert json.loads(serverless.run(*invoke)) == ["Hello, Ada!"]
    serverless.run("deploy", GREETING="Bye")
    assert json.loads(serverless.run(*invoke)) == ["Bye, Ada!"]
    assert "has been successfully removed" in serverless.run("remove")
    client = server.boto3(aws_access_key_id=account, aws_secret_access_key="x")
    assert client.list_functions()["Functions"] == []
