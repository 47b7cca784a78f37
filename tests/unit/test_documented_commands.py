"""Commands of the AWS CLI in the documents: operations, options and documents in JSON that AWS's models know.

They are for version 1; a line for version 2 alone says so with `# 2`. Its models are its own, and older than boto3's.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from awscli.botocore import xform_name
from awscli.botocore.session import Session
from awscli.botocore.validate import validate_parameters

_ROOT: Final = Path(__file__).parents[2]
_BEGIN: Final = re.compile(r"^(?:\$ |.*=\$\()?(aws [a-z0-9-]+ [a-z0-9-]+.*)")
_CUSTOM: Final = {("cloudformation", "deploy")}
"""Commands that the CLI has and no model; all of `s3` as well, and `wait`."""
_OF_THE_CLI: Final = {"lambda": {"zip-file"}}
"""Options that the CLI adds to those of the model. Source: `awscli/customizations`."""
_GLOBAL: Final = frozenset({"endpoint-url", "no-cli-pager", "output", "profile", "query", "region"})


def commands(text: str) -> Iterator[list[str]]:
    """Each command as the shell would split it."""
    lines = iter(text.splitlines())
    for line in lines:
        if (found := _BEGIN.match(line)) is None or line.endswith("# 2"):
            continue
        command = found[1]
        while (words := _split(command)) is None:
            command += "\n" + next(lines)
        yield words


def _split(command: str) -> list[str] | None:
    """`None` while something is open."""
    if command.endswith("\\"):
        return None
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return None


def documented() -> list[Any]:
    texts = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md")), *sorted((_ROOT / "examples").rglob("*.md"))]
    return [
        pytest.param(words, id=f"{path.stem}-{words[1]}-{words[2]}")
        for path in texts
        for words in commands(path.read_text())
        if words[1] != "s3" and words[2] != "wait" and tuple(words[1:3]) not in _CUSTOM
    ]


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


@pytest.mark.parametrize("words", documented())
def test_a_command_is_one_of_aws(session: Session, words: list[str]) -> None:
    service, name, *rest = words[1:]
    model = session.get_service_model({"s3api": "s3"}.get(service, service))
    operations = {xform_name(one, "-"): model.operation_model(one) for one in model.operation_names}
    shape = operations[name].input_shape
    members = {} if shape is None else {xform_name(key, "-"): member for key, member in shape.members.items()}
    for number, word in enumerate(rest):
        option = word.removeprefix("--").removeprefix("no-")
        if not word.startswith("--") or option in _GLOBAL | _OF_THE_CLI.get(service, set()):
            continue
        assert option in members, f"{service} {name} has no {word}"
        value = rest[number + 1] if number + 1 < len(rest) else ""
        member = members[option]
        if value.startswith(("{", "[")) and member.type_name in ("structure", "list", "map"):
            validate_parameters(json.loads(value), member)
