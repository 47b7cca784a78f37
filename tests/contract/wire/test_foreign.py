"""Signed requests for other services: boto3 on one side, moto on the other, the front door between them."""

import hashlib
import http.client
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends
from tests.contract.wire.front_server import ACCOUNT, OTHER, REGION, FrontServer
from tests.support.moto import serving_moto

from lamella.domain.signature import ChunkSigner, signing_key
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import Neighbours
from lamella.ports.credentials import AccessKey

MIB = 1024 * 1024
CRC = b"x-amz-checksum-crc32:AAAA\r\n\r\n"


class Moto:
    """One that counts as our own child."""

    def __init__(self, url: str) -> None:
        self._endpoint = Endpoint.parse(url)

    async def wait_ready(self) -> Endpoint:
        return self._endpoint


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serving_moto() as url:
        yield url


@pytest.fixture
def server(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontServer]:
    monkeypatch.setenv("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "false")
    server = FrontServer(neighbours=Neighbours({}, Moto(moto)))
    yield server
    server.close()


def client(server: FrontServer, service: str, key: AccessKey, **options: Any) -> Any:  # Any: boto3 has no types
    return _session().client(
        service,
        region_name=REGION,
        endpoint_url=server.url,
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        aws_session_token=key.session_token or None,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **options),
    )


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()  # reads each model once


def bucket(server: FrontServer, key: AccessKey, name: str, **options: Any) -> Any:
    s3 = client(server, "s3", key, **options)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return s3


def stored(s3: Any, name: str) -> dict[str, bytes]:
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=name).get("Contents", ())]
    return {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}


def failure(caught: pytest.ExceptionInfo[ClientError]) -> tuple[int, str, str]:
    answer: Any = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


class TestClients:
    @pytest.mark.parametrize("checksums", ["when_supported", "when_required"])
    def test_objects(self, server: FrontServer, checksums: str) -> None:
        name = f"objects-{checksums.replace('_', '-')}"
        s3 = bucket(server, server.key(), name, request_checksum_calculation=checksums)
        large = bytes(range(256)) * 4 * 9000
        s3.put_object(Bucket=name, Key="a b/ü+%", Body=b"small")
        s3.put_object(Bucket=name, Key="stream", Body=io.BytesIO(large))
        s3.put_object(Bucket=name, Key="sha256", Body=io.BytesIO(large), ChecksumAlgorithm="SHA256")
        s3.put_object(Bucket=name, Key="empty", Body=b"")
        s3.upload_fileobj(io.BytesIO(large), name, "parts")
        s3.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": "a b/ü+%"})
        assert stored(s3, name) == {
            "a b/ü+%": b"small",
            "stream": large,
            "sha256": large,
            "empty": b"",
            "parts": large,
            "copy": b"small",
        }
        s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "stream"}, {"Key": "a b/ü+%"}]})
        assert sorted(stored(s3, name)) == ["copy", "empty", "parts", "sha256"]

    def test_other_protocols(self, server: FrontServer) -> None:
        key = server.key()
        sqs = client(server, "sqs", key)
        url = sqs.create_queue(QueueName="signed")["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="x" * 200_000)
        assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
        assert f"/{ACCOUNT}/signed" in url
        ssm = client(server, "ssm", key)
        ssm.put_parameter(Name="/signed/ü", Value="v", Type="String")
        assert ssm.get_parameter(Name="/signed/ü")["Parameter"]["ARN"].split(":")[4] == ACCOUNT
        assert client(server, "sts", key).get_caller_identity()["Account"] == ACCOUNT
        assert client(server, "apigateway", key).get_rest_apis()["items"] == []
        assert client(server, "dynamodb", key).list_tables()["TableNames"] == []

    def test_an_account_sees_its_own(self, server: FrontServer) -> None:
        mine, others = server.key(), server.key(OTHER)
        s3 = bucket(server, mine, "mine")
        s3.put_object(Bucket="mine", Key="k", Body=b"secret")
        stranger = client(server, "s3", others)
        for call in (
            lambda: stranger.get_object(Bucket="mine", Key="k"),
            lambda: stranger.put_object(Bucket="mine", Key="k", Body=b"changed"),
            lambda: stranger.list_objects_v2(Bucket="mine"),
            lambda: stranger.delete_object(Bucket="mine", Key="k"),
        ):
            with pytest.raises(ClientError) as caught:
                call()
            assert failure(caught)[0] == 403
        assert stored(s3, "mine") == {"k": b"secret"}
        assert stranger.list_buckets()["Buckets"] == []
        client(server, "ssm", mine).put_parameter(Name="own", Value="v", Type="String")
        with pytest.raises(ClientError, match="ParameterNotFound"):
            client(server, "ssm", others).get_parameter(Name="own")

    def test_topics_of_another_account_are_out_of_reach(self, server: FrontServer) -> None:
        """moto by itself finds them by their ARN."""
        mine, others = (client(server, "sns", server.key(account)) for account in (ACCOUNT, OTHER))
        topic = mine.create_topic(Name="apart")["TopicArn"]
        assert mine.publish(TopicArn=topic, Message=f"about arn:aws:sns:{REGION}:{OTHER}:t")["MessageId"]
        for call, options in (
            ("publish", {"TopicArn": topic, "Message": "m"}),
            ("publish", {"TargetArn": topic, "Message": "m"}),
            ("get_topic_attributes", {"TopicArn": topic}),
            ("delete_topic", {"TopicArn": topic}),
            ("list_tags_for_resource", {"ResourceArn": topic}),
        ):
            with pytest.raises(ClientError) as caught:
                getattr(others, call)(**options)
            assert failure(caught)[:2] == (403, "AuthorizationError")
        assert mine.get_topic_attributes(TopicArn=topic)["Attributes"]["Owner"] == ACCOUNT

    def test_the_account_cannot_be_chosen(self, server: FrontServer) -> None:
        sts = client(server, "sts", server.key())

        def choose(request: Any, **_: object) -> None:
            for name in ("x-moto-account-id", "X_Moto_Account_Id"):
                request.headers[name] = OTHER

        sts.meta.events.register("before-sign.sts", choose)
        assert sts.get_caller_identity()["Account"] == ACCOUNT

    def test_urls(self, server: FrontServer) -> None:
        s3 = bucket(server, server.key(), "urls", signature_version="s3v4")
        put = s3.generate_presigned_url("put_object", {"Bucket": "urls", "Key": "a b"}, ExpiresIn=60)
        assert send("PUT", put, b"by url", content_type="text/plain") == (200, b"")
        get = s3.generate_presigned_url("get_object", {"Bucket": "urls", "Key": "a b"}, ExpiresIn=60)
        assert send("GET", get) == (200, b"by url")
        status, text = send("PUT", get, b"changed", content_type="text/plain")
        assert (status, b"<Code>SignatureDoesNotMatch</Code>" in text) == (403, True)
        assert send("GET", get.replace("urls/a%20b", "urls/other"))[0] == 403
        server.clock.advance(62)
        status, text = send("GET", get)
        assert (status, b"<Message>Request has expired</Message><X-Amz-Expires>60<" in text) == (403, True)

    def test_a_url_of_another_service(self, server: FrontServer) -> None:
        url = client(server, "sts", server.key()).generate_presigned_url(
            "get_caller_identity", ExpiresIn=60, HttpMethod="GET"
        )
        assert send("GET", url)[0] == 200  # of whatever: moto takes all presigned URLs for S3's
        assert send("GET", url.replace("GetCallerIdentity", "GetSessionToken"))[0] == 403
        server.clock.advance(62)
        status, text = send("GET", url)
        assert (status, b"<Code>SignatureDoesNotMatch</Code><Message>Signature expired" in text) == (403, True)


def send(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Ask as a program does that knows nothing of AWS."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, names, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class TestRefusals:
    CALLS = (
        ("s3", "list_buckets", 403, "SignatureDoesNotMatch", "InvalidAccessKeyId", 403),
        ("sqs", "list_queues", 400, "InvalidSignatureException", "UnrecognizedClientException", 400),
        ("ssm", "describe_parameters", 400, "InvalidSignatureException", "UnrecognizedClientException", 400),
        ("sts", "get_caller_identity", 403, "SignatureDoesNotMatch", "InvalidClientTokenId", 403),
        ("apigateway", "get_rest_apis", 403, "InvalidSignatureException", "UnrecognizedClientException", 403),
        ("route53", "list_hosted_zones", 403, "SignatureDoesNotMatch", "InvalidClientTokenId", 403),
    )

    @pytest.mark.parametrize(("service", "call", "status", "code"), [row[:4] for row in CALLS])
    def test_a_wrong_secret(self, server: FrontServer, service: str, call: str, status: int, code: str) -> None:
        key = server.key()
        with pytest.raises(ClientError) as caught:
            getattr(client(server, service, AccessKey(key.id, "guessed", ACCOUNT, key.created_at)), call)()
        assert failure(caught)[:2] == (status, code)

    @pytest.mark.parametrize(("service", "call", "status", "code"), [(*row[:2], row[5], row[4]) for row in CALLS])
    def test_an_unknown_key(self, server: FrontServer, service: str, call: str, status: int, code: str) -> None:
        for name in ("AKIANOBODYNOBODYNOBO", ACCOUNT):
            with pytest.raises(ClientError) as caught:
                getattr(client(server, service, AccessKey(name, "x", ACCOUNT, server.clock.now())), call)()
            assert failure(caught)[:2] == (status, code)

    def test_the_operators_key_is_no_accounts(self, server: FrontServer) -> None:
        operator = server.keyring.find("lamella-operator")
        assert operator is not None
        for service, call, _, _, code, status in self.CALLS:
            with pytest.raises(ClientError) as caught:
                getattr(client(server, service, operator), call)()
            assert failure(caught)[:2] == (status, code)

    def test_another_session_token(self, server: FrontServer) -> None:
        key = server.key(duration_s=60)
        other = replace(key, session_token="other")
        calls = (
            ("s3", "list_buckets", 400, "InvalidToken"),
            ("sts", "get_caller_identity", 403, "InvalidClientTokenId"),
        )
        for service, call, status, code in calls:
            getattr(client(server, service, key), call)()
            with pytest.raises(ClientError) as caught:
                getattr(client(server, service, other), call)()
            assert failure(caught)[:2] == (status, code)
        server.clock.advance(61)
        for service, call, status, _ in calls:
            with pytest.raises(ClientError) as caught:
                getattr(client(server, service, key), call)()
            assert failure(caught)[:2] == (status, "ExpiredToken")

    def test_a_clock_that_is_off(self, server: FrontServer) -> None:
        calls = (
            ("s3", "list_buckets", "RequestTimeTooSkewed"),
            ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
            ("ssm", "describe_parameters", "InvalidSignatureException"),
        )
        made = [(getattr(client(server, service, server.key()), call), code) for service, call, code in calls]
        server.clock.advance(870)
        for call, _ in made:
            call()
        server.clock.advance(60)
        for call, code in made:
            with pytest.raises(ClientError) as caught:
                call()
            assert failure(caught)[1] == code

    def test_who_does_not_sign(self, server: FrontServer) -> None:
        status, text = send("GET", f"{server.url}/bucket/key")
        assert (status, b"<Code>AccessDenied</Code>" in text) == (403, True)
        status, text = send("PUT", f"{server.url}/bucket/key", b"x" * (2 * MIB))
        assert (status, b"<Code>AccessDenied</Code>" in text) == (403, True)
        status, text = send("POST", server.url, b"Action=GetCallerIdentity&Version=2011-06-15")
        assert (status, b"<Code>MissingAuthenticationToken</Code>" in text) == (403, True)
        status, text = send("POST", server.url, b"{}", x_amz_target="AmazonSSM.DescribeParameters")
        assert (status, json.loads(text)["__type"]) == (400, "MissingAuthenticationTokenException")
        status, text = send("GET", f"{server.url}/bucket/key", authorization="AWS AKID:c2ln")
        assert (status, b"Please use AWS4-HMAC-SHA256." in text) == (400, True)
        status, text = send("POST", f"{server.url}/bucket", b"--x--", content_type="multipart/form-data; boundary=x")
        assert (status, b"presigned" in text) == (501, True)
        assert send("POST", f"{server.url}/moto-api/reset")[0] == 403

    def test_a_large_body_by_nobody(self, server: FrontServer) -> None:
        """It is read to its end, for clients that look for an answer only then, and nothing of it is kept."""
        stranger = AccessKey("AKIANOBODYNOBODYNOBO", "x", ACCOUNT, server.clock.now())
        with pytest.raises(ClientError) as caught:
            client(server, "s3", stranger).put_object(Bucket="b", Key="k", Body=b"x" * (5 * MIB))
        assert failure(caught)[1] == "InvalidAccessKeyId"
        with pytest.raises(ClientError) as caught:
            client(server, "sqs", stranger).send_message(QueueUrl=f"{server.url}/1/q", MessageBody="x" * (5 * MIB))
        assert failure(caught)[1] == "UnrecognizedClientException"

    def test_a_body_that_is_too_large_to_be_verified(self, server: FrontServer) -> None:
        with pytest.raises(ClientError) as caught:
            client(server, "kinesis", server.key()).put_record(StreamName="s", Data=b"x" * (25 * MIB), PartitionKey="k")
        assert failure(caught)[0] == 413


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


class TestLentKeys:
    """Keys that STS gives, which moto makes and Lamella makes anew."""

    @staticmethod
    def taken(answer: Any) -> AccessKey:
        given = answer["Credentials"]
        return AccessKey(
            given["AccessKeyId"],
            given["SecretAccessKey"],
            "",
            given["Expiration"],
            session_token=given["SessionToken"],
            expires_at=given["Expiration"],
        )

    def assume(self, server: FrontServer, key: AccessKey, account: str = ACCOUNT) -> AccessKey:
        role = f"arn:aws:iam::{account}:role/deploy"
        return self.taken(client(server, "sts", key).assume_role(RoleArn=role, RoleSessionName="session"))

    def test_they_open_all_services_for_the_account(self, server: FrontServer) -> None:
        lent = self.assume(server, server.key())
        assert server.client(lent).list_functions()["Functions"] == []
        identity = client(server, "sts", lent).get_caller_identity()
        assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/session"
        s3 = bucket(server, lent, "lent")
        s3.put_object(Bucket="lent", Key="k", Body=b"x")
        assert stored(client(server, "s3", server.key()), "lent") == {"k": b"x"}
        again = self.assume(server, lent)
        assert client(server, "sts", again).get_caller_identity()["Account"] == ACCOUNT

    def test_those_of_get_session_token_are_not_those_of_the_examples(self, server: FrontServer) -> None:
        sts = client(server, "sts", server.key())
        first, second = self.taken(sts.get_session_token()), self.taken(sts.get_federation_token(Name="name"))
        assert len({first.id, second.id, "AKIAIOSFODNN7EXAMPLE"}) == 3
        for lent in (first, second):
            assert client(server, "sts", lent).get_caller_identity()["Account"] == ACCOUNT
        example = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY", "", first.created_at)
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            client(server, "sts", example).get_caller_identity()

    def test_their_secret_is_not_what_moto_made(self, server: FrontServer, moto: str) -> None:
        lent = self.assume(server, server.key())
        found = boto3.client(
            "sts", "us-east-1", endpoint_url=moto, aws_access_key_id=lent.id, aws_secret_access_key="x"
        ).get_caller_identity()
        assert found["Account"] == ACCOUNT  # moto knows the key by its name
        known = iam_backends[ACCOUNT]["aws"].access_keys[lent.id]
        assert known.secret_access_key != lent.secret

    def test_the_token_belongs_to_the_key(self, server: FrontServer) -> None:
        first, second = (self.assume(server, server.key()) for _ in range(2))
        for token in (None, second.session_token):
            wrong = AccessKey(first.id, first.secret, "", first.created_at, session_token=token or "")
            with pytest.raises(ClientError, match="InvalidClientTokenId"):
                client(server, "sts", wrong).get_caller_identity()

    def test_roles_of_another_account_are_out_of_reach(self, server: FrontServer) -> None:
        with pytest.raises(ClientError) as caught:
            self.assume(server, server.key(), OTHER)
        assert failure(caught)[:2] == (403, "AccessDenied")
        assert f"{ACCOUNT}:root is not authorized to perform: sts:AssumeRole" in failure(caught)[2]
        assert failure(caught)[2].endswith(f"on resource: arn:aws:iam::{OTHER}:role/deploy")

    def test_a_role_that_is_named_twice(self, server: FrontServer) -> None:
        """Whichever of them moto reads."""
        key = server.key()
        own, other = (f"RoleArn=arn%3Aaws%3Aiam%3A%3A{account}%3Arole%2Fr" for account in (ACCOUNT, OTHER))
        for query, body in ((own, other), (other, own), (f"{own}&{other}", ""), ("", f"{own}&{other}")):
            url = f"{server.url}/?{query}"
            text = f"Action=AssumeRole&Version=2011-06-15&RoleSessionName=session&{body}".encode()
            request = AWSRequest("POST", url, {"Content-Type": "application/x-www-form-urlencoded"}, text)
            SigV4Auth(Credentials(key.id, key.secret), "sts", REGION).add_auth(request)
            status, answer = send("POST", url, text, **dict(request.headers.items()))
            assert (status, b"<Code>AccessDenied</Code>" in answer) == (403, True)
        assert not server.keyring._lent

    def test_they_end(self, server: FrontServer) -> None:
        key = server.key()
        lent = self.assume(server, key)
        again = self.assume(server, lent)
        server.run(server.keyring.delete_key(key.id))
        for ended in (lent, again):
            with pytest.raises(ClientError, match="InvalidClientTokenId"):
                client(server, "sts", ended).get_caller_identity()
        last = self.assume(server, server.key())
        server.clock.advance(3599)
        assert not server.keyring.has_expired(server.keyring.find(last.id) or key)
        server.clock.advance(2)
        found = server.keyring.find(last.id)
        assert found is not None
        assert server.keyring.has_expired(found)
