"""Make functions for tests: zips in memory, created and awaited through the real API."""

import base64
import io
import json
import time
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROLE = "arn:aws:iam::000000000000:role/lambda-role"

PRELUDE = r"""#!/bin/bash
API="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
# Waits for an event: $ID, $BODY, and the headers in /tmp/head.
next() {
    BODY=$(curl -sS -D /tmp/head "$API/invocation/next") || exit 90
    ID=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: \(.*\)\r$/\1/ip' /tmp/head)
}
# call METHOD PATH [curl options...]: prints "<status> <body>".
call() {
    local method=$1 path=$2; shift 2
    curl -sS -X "$method" -o /tmp/out -w '%{http_code} ' "$@" "$API$path"; tr -d '\n' < /tmp/out
}
# respond BODY: hands in the result of $ID.
respond() { call POST "/invocation/$ID/response" -H 'Expect:' --data-binary "$1"; }
json() { sed 's/\\/\\\\/g; s/"/\\"/g' | tr -d '\n\r' | sed 's/.*/"&"/'; }
"""
"""Start of a `bootstrap` in bash: the Runtime API by hand, so that a test can break its rules."""


def archive(files: Mapping[str, str | bytes], *, mode: int = 0o755) -> bytes:
    """A zip of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100000 | mode) << 16
            zipped.writestr(info, content)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller of a function got."""

    payload: bytes
    error: str | None
    tail: str
    status: int
    request_id: str

    @property
    def document(self) -> Any:  # Any: JSON
        return json.loads(self.payload)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a test."""

    client: Any  # boto3's clients have no type
    name: str

    def invoke(self, event: Any = None, *, raw: bytes | None = None, tail: bool = True, **options: Any) -> Answer:
        if tail:
            options["LogType"] = "Tail"
        payload = json.dumps(event if event is not None else {}).encode() if raw is None else raw
        response = self.client.invoke(FunctionName=self.name, Payload=payload, **options)
        return Answer(
            response["Payload"].read(),
            response.get("FunctionError"),
            base64.b64decode(response.get("LogResult", "")).decode(),
            response["StatusCode"],
            response["ResponseMetadata"]["RequestId"],
        )


def wait_active(client: Any, name: str) -> None:
    """Poll as a waiter does, without its seconds in between."""
    deadline = time.monotonic() + 30
    while True:
        found = client.get_function_configuration(FunctionName=name)
        if found["State"] == "Active" and found["LastUpdateStatus"] == "Successful":
            return
        if found["State"] == "Failed" or time.monotonic() > deadline:
            raise AssertionError(found)


def create(
    client: Any,
    files: Mapping[str, str | bytes] | bytes,
    *,
    runtime: str = "provided.al2023",
    handler: str = "function.handler",
    mode: int = 0o755,
    **options: Any,
) -> Function:
    """Create a function, of files or of a ready archive, with a fresh name, and wait until it can be invoked."""
    name = f"f-{uuid.uuid4().hex[:12]}"
    client.create_function(
        FunctionName=name,
        Runtime=runtime,
        Handler=handler,
        Role=ROLE,
        Code={"ZipFile": files if isinstance(files, bytes) else archive(files, mode=mode)},
        **{"Timeout": 10, **options},
    )
    wait_active(client, name)
    return Function(client, name)


def bash(client: Any, script: str, **options: Any) -> Function:
    """A function whose runtime is a bash script that drives the Runtime API by hand.

    With one processor: bash starts a program for every call, which a fourteenth of one makes slow.
    """
    return create(client, {"bootstrap": PRELUDE + script}, **{"MemorySize": 1769, **options})
