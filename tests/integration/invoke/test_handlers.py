"""Handlers and wrappers (rules EN-23 and EN-24), with real sandboxes."""

from typing import Any

import pytest
from tests.support.extensions import PYTHON
from tests.support.functions import PRELUDE, bash, create

pytestmark = pytest.mark.sandbox


def test_the_handler_of_an_os_only_runtime_is_any_text(client: Any) -> None:
    """EN-23."""
    script = 'while true; do next; respond "$(printf %s "$_HANDLER" | json)" >/dev/null; done\n'
    function = create(client, {"bootstrap": PRELUDE + script}, handler="what/ever:I-like.no.dots..", MemorySize=1769)
    assert function.invoke().document == "what/ever:I-like.no.dots.."


def test_a_managed_runtime_splits_the_handler_at_the_last_dot(client: Any) -> None:
    """EN-23."""
    files = {"folder/deep/module.py": "def handler(event, context):\n    return event\n"}
    assert create(client, files, runtime=PYTHON, handler="folder/deep.module.handler").invoke(7).document == 7


WRAPPER = """#!/bin/bash
echo "wrapped $# $1 $2"
export WRAPPED=yes
exec "$@"
"""


def test_a_wrapper_gets_the_interpreter_and_its_arguments(client: Any) -> None:
    """EN-24."""
    files = {
        "function.py": "import os\n\ndef handler(event, context):\n    return os.environ['WRAPPED']\n",
        "wrapper": WRAPPER,
    }
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}}
    function = create(client, files, runtime=PYTHON, Environment=variables)
    assert function.invoke().document == "yes"


def test_a_wrapper_that_is_missing(client: Any) -> None:
    """EN-24: the exit status of a shell that does not find a program."""
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/none"}}
    function = create(client, {"function.py": ""}, runtime=PYTHON, Environment=variables)
    answer = function.invoke()
    assert answer.document["errorType"] == "Runtime.ExitError"
    assert answer.document["errorMessage"].endswith(" Error: Runtime exited with error: exit status 127")


def test_an_os_only_runtime_knows_no_wrapper(client: Any) -> None:
    """EN-24."""
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/none"}}
    function = bash(client, 'while true; do next; respond "$BODY" >/dev/null; done\n', Environment=variables)
    assert function.invoke(1).document == 1
