"""What changes cost with functions in SQLite and in PostgreSQL, on the same disk in the same run."""

import base64
import contextlib
import json
import uuid
from collections.abc import Iterator

from tests.support.postgres import PostgresCluster, missing_for_postgres

from bench.node import Caller, Node, code_zip, publish_body
from bench.programs import MissingToolError
from bench.results import Row

_ROLE = "arn:aws:iam::000000000000:role/bench"
_FUNCTIONS = "/2015-03-31/functions"
_KINDS = ("sqlite", "postgres")


def measure(*, rounds: int) -> Iterator[Row]:
    """Both nodes at once, and one call of each in turn, so that whatever disturbs the machine disturbs both."""
    if reason := missing_for_postgres():
        raise MissingToolError(f"{reason}: scripts/setup.sh postgres")
    samples: dict[str, list[float]] = {}
    archive = code_zip({"bootstrap": b"#!/bin/sh\n"})
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(PostgresCluster(durable=True))
        database = stack.enter_context(cluster.database())
        callers = {
            kind: stack.enter_context(stack.enter_context(node).caller())
            for kind, node in (
                ("sqlite", Node(spare_sandboxes="0")),
                ("postgres", Node(spare_sandboxes="0", database=database.url)),
            )
        }
        for turn in range(rounds + 5):
            for kind in _KINDS if turn % 2 else reversed(_KINDS):
                for what, took_s in _changes(callers[kind], archive):
                    if turn >= 5:  # the first ones compile statements and open connections
                        samples.setdefault(f"{what}.{kind}", []).append(took_s * 1000)
    for what, title in _TITLES.items():
        for kind, name in (("sqlite", "SQLite"), ("postgres", "PostgreSQL")):
            yield Row(f"database.{what}.{kind}", f"{title}, {name}", "ms", samples[f"{what}.{kind}"])
        paired = [b / a for a, b in zip(samples[f"{what}.sqlite"], samples[f"{what}.postgres"], strict=True)]
        yield Row(f"database.{what}.ratio", "  PostgreSQL / SQLite", "x", paired)


_TITLES = {
    "create": "CreateFunction",
    "publish": "PublishVersion",
    "layer": "PublishLayerVersion, a small one",
    "get": "GetFunctionConfiguration",
}


def _changes(caller: Caller, archive: bytes) -> Iterator[tuple[str, float]]:
    name = f"f-{uuid.uuid4().hex}"
    function = {
        "FunctionName": name,
        "Role": _ROLE,
        "Runtime": "provided.al2023",
        "Handler": "h",
        "Code": {"ZipFile": base64.b64encode(archive).decode()},
    }
    yield "create", caller.call("POST", _FUNCTIONS, json.dumps(function).encode())[0]
    while True:  # settling takes a commit as well
        took_s, answer = caller.call("GET", f"{_FUNCTIONS}/{name}/configuration")
        if json.loads(answer)["State"] == "Active":
            break
    yield "get", took_s
    yield "publish", caller.call("POST", f"{_FUNCTIONS}/{name}/versions", b"{}")[0]
    yield "layer", caller.call("POST", "/2018-10-31/layers/bench/versions", publish_body(archive))[0]
