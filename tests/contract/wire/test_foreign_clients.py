"""Signers that nobody here wrote: minio-go signs every chunk of a body, and curl a whole one."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.contract.wire.front_server import REGION, FrontServer
from tests.support.clients import archive_of
from tests.support.moto import serving_moto

from lamella.awsapi import sigv4_s3
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import Neighbours


@pytest.fixture
def server() -> Iterator[FrontServer]:
    with serving_moto() as url:
        server = FrontServer(neighbours=Neighbours({}, Endpoint.parse(url)))
        yield server
        server.close()


@pytest.fixture
def before_another(server: FrontServer) -> Iterator[FrontServer]:
    """A server whose neighbour verifies signatures as well: what it is handed must still be signed."""
    front = FrontServer(neighbours=Neighbours({}, Endpoint.parse(server.url)))
    front.keyring._keys = server.keyring._keys
    yield front
    front.close()


@pytest.mark.network
@pytest.mark.parametrize("duration_s", [None, 900])
def test_minio_go(
    server: FrontServer,
    before_another: FrontServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    duration_s: int | None,
) -> None:
    program = tmp_path / "objects"
    program.write_bytes(archive_of("minio-go", "objects"))
    program.chmod(0o700)
    key = server.key(duration_s=duration_s)
    session = boto3.Session(key.id, key.secret, key.session_token or None, REGION)
    place = {"LocationConstraint": REGION}
    session.client("s3", endpoint_url=server.url).create_bucket(Bucket="from-go", CreateBucketConfiguration=place)
    seen: set[str] = set()
    guard = sigv4_s3._guard

    def noting(claim: Any, secret: str, payload: str, headers: Any) -> Any:
        seen.add(payload if payload in sigv4_s3._CHUNKS else "other")
        return guard(claim, secret, payload, headers)

    monkeypatch.setattr(sigv4_s3, "_guard", noting)

    def run(port: int, secret: str = key.secret) -> subprocess.CompletedProcess[str]:
        arguments = [f"127.0.0.1:{port}", key.id, secret, key.session_token, REGION, "from-go"]
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)

    for port in (server.port, before_another.port):
        ran = run(port)
        assert ran.returncode == 0, ran.stderr
        assert len(ran.stdout.splitlines()) == 20
    assert {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"} <= seen
    ran = run(server.port, "x")
    assert ran.returncode == 1
    assert "signature" in ran.stderr


def test_curl(server: FrontServer, tmp_path: Path) -> None:
    key = server.key()

    def ask(service: str, path: str, *more: str, secret: str = key.secret) -> str:
        sign = ("--aws-sigv4", f"aws:amz:{REGION}:{service}", "-u", f"{key.id}:{secret}")
        command = ["curl", "-sS", *sign, *more, server.url + path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    file = tmp_path / "file"
    file.write_bytes(b"by curl")
    place = f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
    unsigned = ("-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD")
    assert "Error" not in ask("s3", "/curled", "-X", "PUT", "-d", place, "-H", "content-type: text/xml", *unsigned)
    assert "Error" not in ask("s3", "/curled/a%20b", "-T", str(file), *unsigned)
    assert ask("s3", "/curled/a%20b", *unsigned) == "by curl"
    assert "<Code>SignatureDoesNotMatch</Code>" in ask("s3", "/curled/a%20b", *unsigned, secret="x")
    body = ("-d", "Action=GetCallerIdentity&Version=2011-06-15")
    assert key.account in ask("sts", "/", *body)
    assert "<Code>SignatureDoesNotMatch</Code>" in ask("sts", "/", *body, secret="x")
    target = ("-H", "x-amz-target: AmazonSSM.DescribeParameters", "-H", "content-type: application/x-amz-json-1.1")
    assert json.loads(ask("ssm", "/", "-d", "{}", *target)) == {"Parameters": []}
    assert json.loads(ask("ssm", "/", "-d", "{}", *target, secret="x"))["__type"] == "InvalidSignatureException"
