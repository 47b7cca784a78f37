"""Signed requests for other services: boto3 on one side, moto on the other, the front door between them."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.foreign_server import bucket, client, failure, in_front_of, send, stored
from tests.contract.wire.front_server import ACCOUNT, OTHER, REGION, FrontServer
from tests.support.moto import serving_moto

from lamella.ports.credentials import AccessKey

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serving_moto() as url:
        yield url


@pytest.fixture
def server(moto: str) -> Iterator[FrontServer]:
    with in_front_of(moto) as server:
        yield server


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
