"""Sections 2.7 and 2.9: functions that AWS would start from a snapshot. Here the restore follows the init at once."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import PRELUDE, Function, create
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

RUNTIME = "java21"  # AWS takes snapshots of managed runtimes only, and not of Python 3.11
ECHO = 'while true; do next; respond "$BODY" >/dev/null; done\n'


@pytest.fixture(scope="module")
def server() -> Iterator[LamellaServer]:
    """A server with a runtime of that name, which starts the function's own bootstrap."""
    one = LamellaServer(state_delay_s="0")
    add_pack(one.data / "runtimes")
    with one:
        yield one


@pytest.fixture(scope="module")
def client(server: LamellaServer) -> Any:
    return server.boto3()


def add_pack(root: Path) -> None:
    """Give the OS-only runtime another name."""
    source = (root / "provided.al2023" / "current").resolve()
    home = root / RUNTIME
    home.mkdir()
    subprocess.run(["cp", "--archive", "--link", source, home / source.name], check=True)
    manifest = home / source.name / "pack.json"
    document = json.loads(manifest.read_text())
    manifest.unlink()  # a link to the other pack's
    manifest.write_text(json.dumps(document | {"name": RUNTIME, "entrypoints": ["/var/task/bootstrap"]}))
    (home / "current").symlink_to(source.name)


def made(client: Any, script: str, **options: Any) -> Function:
    return create(client, {"bootstrap": PRELUDE + script}, runtime=RUNTIME, MemorySize=1769, **options)


def published(client: Any, script: str) -> Function:
    """Version 1 of a function with snapshots, whose runtime is a script."""
    function = made(client, script, SnapStart={"ApplyOn": "PublishedVersions"})
    version = client.publish_version(FunctionName=function.name)["Version"]
    client.get_waiter("published_version_active").wait(FunctionName=function.name, Qualifier=version)
    return Function(client, f"{function.name}:{version}")


def test_a_restore_follows_the_init(client: Any) -> None:
    """RT-70, LG-06, and the part of LG-01 about restores."""
    function = published(
        client,
        """
curl -sS -o /tmp/restored -w '%{http_code} %{size_download}' "$API/restore/next" > /tmp/told
while true; do next; respond "\\"$(cat /tmp/told) $AWS_LAMBDA_INITIALIZATION_TYPE\\"" >/dev/null; done
""",
    )
    answer = function.invoke()
    assert answer.document == "200 0 snap-start"
    report = answer.tail.splitlines()[-1]
    assert "\tRestore Duration: " in report
    assert "\tBilled Restore Duration: " in report
    assert "Init Duration" not in report


def test_the_lines_of_a_restore(client: Any, logs: Callable[..., list[str]]) -> None:
    """LG-06."""
    function = published(client, 'curl -sS "$API/restore/next"\n' + ECHO)
    function.invoke()
    lines = logs(function.name.partition(":")[0], until="RESTORE_REPORT", whole=True)
    assert [line.split(" ")[0] for line in lines] == ["INIT_START", "RESTORE_START", "RESTORE_REPORT"]
    assert lines[1].startswith("RESTORE_START Runtime Version: provided:")
    assert lines[2].startswith("RESTORE_REPORT Restore Duration: ")


def test_hooks_that_fail_are_the_callers_error_at_last(client: Any) -> None:
    """RT-70: `restore/error` counts like `init/error`."""
    function = published(
        client,
        """
curl -sS "$API/restore/next"
call POST /restore/error -H 'Lambda-Runtime-Function-Error-Type: Runtime.HookFailed' \\
    -d '{"errorMessage":"no hook","errorType":"Hook"}' > /tmp/answer
cat /tmp/answer; echo
exit 1
""",
    )
    answer = function.invoke()
    assert answer.document == {"errorMessage": "no hook", "errorType": "Hook"}
    assert '202 {"status":"OK"}' in answer.tail
    assert answer.tail.endswith("\tStatus: error\tError Type: Runtime.HookFailed\n")


def test_the_routes_exist_for_such_functions_alone(client: Any) -> None:
    """RT-70: 404 for the latest version, and without `SnapStart`."""
    script = """
STATUS=$(curl -sS -o /dev/null -w '%{http_code}' "$API/restore/next")
CREDENTIALS=$(curl -sS -o /dev/null -w '%{http_code}' "http://$AWS_LAMBDA_RUNTIME_API/2021-04-23/credentials")
while true; do next; respond "\\"$STATUS $CREDENTIALS\\"" >/dev/null; done
"""
    latest = made(client, script, SnapStart={"ApplyOn": "PublishedVersions"})
    assert latest.invoke().document == "404 404"
    assert made(client, script).invoke().document == "404 404"


def test_credentials_come_from_an_endpoint(client: Any) -> None:
    """EN-06, 2.9: variables, the answer to the right token, and to another one."""
    function = published(
        client,
        """
curl -sS "$API/restore/next"
RIGHT=$(curl -sS -H "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" "$AWS_CONTAINER_CREDENTIALS_FULL_URI")
WRONG=$(curl -sS -w ' %{http_code}' -H "Authorization: other" "$AWS_CONTAINER_CREDENTIALS_FULL_URI")
NAMES=$(env | grep -o '^AWS_[A-Z_]*' | sort | tr '\\n' ' ')
RESULT="{\\"right\\": $RIGHT, \\"wrong\\": \\"$WRONG\\", \\"names\\": \\"$NAMES\\"}"
while true; do next; respond "$RESULT" >/dev/null; done
""",
    )
    told = function.invoke().document
    assert list(told["right"]) == ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"]
    assert told["right"]["AccessKeyId"] == "000000000000"
    assert told["wrong"] == "cannot get credentials for the provided token 404"
    names = told["names"].split()
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in names
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert name not in names
    for name in ("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"):
        assert name not in names
