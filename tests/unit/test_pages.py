"""What the pages below `/_lamella/` refuse before they touch anything."""

from collections.abc import Mapping
from typing import cast
from urllib.parse import quote

import pytest

from lamella.frontdoor import PageError, body_object
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import Request
from lamella.pages import Logs
from lamella.ports.logs import LogStore


class Asked:
    """An exchange that was only asked."""

    def __init__(self, path: str, body: bytes = b"") -> None:
        self.request = Request("GET", path.encode(), path, "", [])
        self.request.body = body


@pytest.fixture
async def logs() -> Logs:
    return Logs(cast("LogStore", None), account="000000000000", region="us-east-1")


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("", {}),
        ("..", {}),
        ("../f", {}),
        ("a\0b", {}),
        ("f" * 300, {}),
        ("f", {"account": ""}),
        ("f", {"account": "/etc"}),
        ("f", {"region": "."}),
        ("f", {"region": ".."}),
        ("f", {"region": "a\0"}),
        ("f", {"limit": "-1"}),
        ("f", {"limit": "x"}),
        ("f", {"since_ms": "x"}),
    ],
)
async def test_logs_of_what_cannot_be_a_function(logs: Logs, name: str, query: Mapping[str, str]) -> None:
    asked = cast("Exchange", Asked(f"/_lamella/logs/{quote(name, safe='')}"))
    with pytest.raises(PageError) as refusal:
        await logs.page(asked, query)
    assert refusal.value.status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object(body: bytes) -> None:
    with pytest.raises(PageError):
        body_object(cast("Exchange", Asked("/_lamella/runtimes", body)))
