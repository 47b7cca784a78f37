"""What the host of an environment reads and words by itself; how it works is tested with real sandboxes."""

from typing import cast

import pytest

from lamella.httpserver.message import Request
from lamella.httpserver.server import Exchange
from lamella.invoke.host import _release_of


class Poll:
    """A `next`, as far as the name of the runtime client is concerned."""

    def __init__(self, headers: dict[str, str]) -> None:
        path = "/2018-06-01/runtime/invocation/next"
        self.request = Request("GET", path.encode(), path, "", list(headers.items()))


@pytest.mark.parametrize(
    ("headers", "release"),
    [
        ({"user-agent": "aws-lambda-python/3.11.2-4.2.2"}, "aws-lambda-python/3.11.2-4.2.2"),
        ({"user-agent": "AWS_Lambda_Cpp/0.2.7 (linux; x86)"}, "AWS_Lambda_Cpp/0.2.7"),
        ({"user-agent": "rust/1.80", "lambda-runtime-features": "(streaming)"}, "rust/1.80 (streaming)"),
        ({"lambda-runtime-features": "(streaming)"}, "(streaming)"),
        ({"user-agent": "x" * 200}, "x" * 128),
        ({"user-agent": "x" * 127, "lambda-runtime-features": "yz"}, "x" * 127 + " "),
        ({"user-agent": "  "}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_name_of_the_runtime_client(headers: dict[str, str], release: str) -> None:
    # rule RT-11: first word of User-Agent, then Lambda-Runtime-Features; 128 characters at most
    assert _release_of(cast("Exchange", Poll(headers))) == release
