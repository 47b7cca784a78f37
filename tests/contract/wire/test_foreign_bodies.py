"""Bodies for S3 that are not what was signed, in front of moto."""

import hashlib
import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.contract.wire.foreign_server import bucket, in_front_of, send, stored
from tests.contract.wire.front_server import REGION, FrontServer
from tests.support.moto import serving_moto

from lamella.domain.signature import ChunkSigner, signing_key
from lamella.ports.credentials import AccessKey

CRC = b"x-amz-checksum-crc32:AAAA\r\n\r\n"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serving_moto() as url:
        yield url


@pytest.fixture
def server(moto: str) -> Iterator[FrontServer]:
    with in_front_of(moto) as server:
        yield server


class TestBodies:
    """What was signed is not what comes: nothing is stored."""

    @pytest.fixture
    def place(
        self, server: FrontServer, request: pytest.FixtureRequest
    ) -> Iterator[tuple[FrontServer, Any, AccessKey, str]]:
        key = server.key()
        name = f"bodies-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
        s3 = bucket(server, key, name)
        yield server, s3, key, name
        assert stored(s3, name) == {}

    @staticmethod
    def put(place: Any, signed: bytes, sent: bytes, *, chunked: bool = False) -> tuple[int, bytes]:
        server, _, key, name = place
        request = AWSRequest("PUT", f"{server.url}/{name}/k", data=signed)
        S3SigV4Auth(Credentials(key.id, key.secret), "s3", REGION).add_auth(request)
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        body = (sent[at : at + 50_000] for at in range(0, len(sent), 50_000)) if chunked else sent
        connection.request("PUT", f"/{name}/k", body, dict(request.headers.items()), encode_chunked=chunked)
        try:
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @pytest.mark.parametrize("chunked", [False, True])
    @pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
    def test_one_byte_is_another(self, place: Any, size: int, chunked: bool) -> None:
        signed = b"x" * size
        status, text = self.put(place, signed, signed[:-1] + b"y", chunked=chunked)
        assert (status, b"<Code>XAmzContentSHA256Mismatch</Code>" in text) == (400, True)
        assert hashlib.sha256(signed).hexdigest().encode() in text

    def test_nothing_comes(self, place: Any) -> None:
        assert self.put(place, b"x", b"")[0] == 400

    def test_something_comes(self, place: Any) -> None:
        assert self.put(place, b"", b"x")[0] == 400

    @pytest.mark.parametrize(
        ("kind", "body", "status", "code"),
        [
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", b"5\r\nhello\r\n0\r\n\r\n", 400, "MalformedTrailerError"),
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", b"4\r\nhell\r\n0\r\n" + CRC, 400, "IncompleteBody"),
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", b"5\r\nhello\r\n", 400, "IncompleteBody"),
            ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", b"hello", 400, "IncompleteBody"),
            ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", b"5\r\nhello\r\n0\r\n" + CRC, 400, "IncompleteBody"),
            (
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                b"5;chunk-signature=%b\r\nhello\r\n0\r\n" % (b"0" * 64) + CRC,
                403,
                "SignatureDoesNotMatch",
            ),
        ],
    )
    def test_chunks_that_are_not_what_was_announced(
        self, place: Any, kind: str, body: bytes, status: int, code: str
    ) -> None:
        _, url, headers = chunked(place, kind, 5, x_amz_trailer="x-amz-checksum-crc32")
        answered, text = send("PUT", url, body, **headers)
        assert (answered, f"<Code>{code}</Code>".encode() in text) == (status, True)

    @pytest.mark.parametrize("altered", [0, 1, 2, 3])
    def test_one_signature_of_many_is_another(self, place: Any, altered: int) -> None:
        signer, url, headers = chunked(place, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 3 * 70_000)
        body = b""
        for number, data in enumerate((b"a" * 70_000, b"b" * 70_000, b"c" * 70_000, b"")):
            signature = signer.chunk(hashlib.sha256(data).hexdigest())
            shown = "0" * 64 if number == altered else signature
            body += f"{len(data):x};chunk-signature={shown}\r\n".encode() + data + b"\r\n"
        status, text = send("PUT", url, body, **headers)
        assert (status, b"<Code>SignatureDoesNotMatch</Code>" in text) == (403, True)


class _Declares(S3SigV4Auth):
    """Signs what a header says of the body, as signers of chunks do."""

    def payload(self, request: Any) -> str:
        return str(request.headers["X-Amz-Content-SHA256"])

    def _modify_request_before_signing(self, request: Any) -> None:
        kept = request.headers["X-Amz-Content-SHA256"]
        super()._modify_request_before_signing(request)
        request.headers.replace_header("X-Amz-Content-SHA256", kept)


def chunked(place: Any, kind: str, length: int, **more: str) -> tuple[ChunkSigner, str, dict[str, str]]:
    """The signed head of a request whose body comes in chunks: what signs them, its address, its headers."""
    server, _, key, name = place
    url = f"{server.url}/{name}/k"
    headers = {"X-Amz-Content-SHA256": kind, "X-Amz-Decoded-Content-Length": str(length)}
    request = AWSRequest("PUT", url, {**headers, **{key.replace("_", "-"): value for key, value in more.items()}})
    _Declares(Credentials(key.id, key.secret), "s3", REGION).add_auth(request)
    date = request.headers["X-Amz-Date"]
    seed = request.headers["Authorization"].rpartition("=")[2]
    secret = signing_key(key.secret, date[:8], REGION, "s3")
    signer = ChunkSigner(secret, timestamp=date, region=REGION, service="s3", seed=seed)
    return signer, url, {**dict(request.headers.items()), "Content-Type": "text/plain"}


def test_the_same_signature_again_another_day(server: FrontServer) -> None:
    key = server.key()
    bucket(server, key, "again")
    url = f"{server.url}/again/k"
    request = AWSRequest("PUT", url, data=b"x")
    S3SigV4Auth(Credentials(key.id, key.secret), "s3", REGION).add_auth(request)
    headers = dict(request.headers.items())
    assert send("PUT", url, b"x", **headers)[0] == 200
    server.clock.advance(86_400)
    status, text = send("PUT", url, b"x", **headers)
    assert (status, b"<Code>RequestTimeTooSkewed</Code>" in text) == (403, True)
    moved = {**headers, "X-Amz-Date": f"{server.clock.now():%Y%m%dT%H%M%SZ}"}
    status, text = send("PUT", url, b"x", **moved)
    assert (status, b"<Code>AuthorizationHeaderMalformed</Code>" in text) == (400, True)
