"""Signatures at the front door: AWS's own SDK with keys of the server, and those who have none."""

import json
import random
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import zipped
from tests.contract.wire.front_server import ACCOUNT, OTHER, REGION, SECRET_OF_OPERATOR, FrontServer, create

from lamella.access import OPERATOR
from lamella.cli.client import Client
from lamella.cli.endpoint import Endpoint, Key
from lamella.cli.failure import CommandError
from lamella.ports.credentials import AccessKey


@pytest.fixture
def server() -> Iterator[FrontServer]:
    server = FrontServer()
    yield server
    server.close()


@pytest.fixture
def open_server() -> Iterator[FrontServer]:
    """One that asks nobody for a signature."""
    server = FrontServer(required=False)
    yield server
    server.close()


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str, str]:
    answer: Any = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def test_a_key_acts_for_its_account_in_the_region_it_signs_for(server: FrontServer) -> None:
    arn = create(server.client(server.key()), "f")["FunctionArn"]
    assert arn == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    assert server.client(server.key(OTHER)).list_functions()["Functions"] == []
    assert server.client(server.key(), region="us-west-2").list_functions()["Functions"] == []
    assert len(server.client(server.key(duration_s=60)).list_functions()["Functions"]) == 1


def test_names_that_are_encoded_in_the_path(server: FrontServer) -> None:
    client = server.client(server.key())
    arn = create(client, "f")["FunctionArn"]
    assert client.get_function(FunctionName=arn)["Configuration"]["FunctionArn"] == arn
    client.tag_resource(Resource=arn, Tags={"ä é": "x/y+z", "b": ""})
    assert client.list_tags(Resource=arn)["Tags"] == {"ä é": "x/y+z", "b": ""}
    client.untag_resource(Resource=arn, TagKeys=["ä é", "b"])
    assert client.list_tags(Resource=arn)["Tags"] == {}


def test_a_large_archive(server: FrontServer) -> None:
    large = zipped(m__py="", n__bin=random.Random(1).randbytes(2_000_000).decode("latin-1"))
    assert len(large) > 2_000_000
    assert create(server.client(server.key()), "f", large)["CodeSize"] == len(large)


def test_a_presigned_url(server: FrontServer) -> None:
    client = server.client(server.key())
    create(client, "f")
    url: str = client.generate_presigned_url("get_function", {"FunctionName": "f"}, ExpiresIn=60)
    target = url.removeprefix(server.url)
    assert server.ask("GET", target)[0] == 200
    assert server.ask("DELETE", target)[0] == 403
    assert server.ask("GET", target.replace("/f?", "/g?"))[0] == 403
    assert server.ask("GET", f"{target}&Qualifier=1")[0] == 403
    server.clock.advance(62)
    status, headers, body = server.ask("GET", target)
    assert (status, headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")
    assert b"Signature expired" in body


def test_who_does_not_sign(server: FrontServer) -> None:
    status, headers, body = server.ask("GET", "/2015-03-31/functions/")
    assert status == 403
    assert headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    assert json.loads(body) == {"message": "Missing Authentication Token"}


def test_an_account_number_is_no_key(server: FrontServer) -> None:
    with pytest.raises(ClientError) as error:
        server.client(AccessKey(ACCOUNT, "x", "", server.clock.now())).list_functions()
    assert code_of(error) == (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )


def test_a_wrong_secret(server: FrontServer) -> None:
    key = server.key()
    with pytest.raises(ClientError) as error:
        server.client(AccessKey(key.id, key.secret[:-1] + "!", "", key.created_at)).list_functions()
    status, code, message = code_of(error)
    assert (status, code) == (403, "InvalidSignatureException")
    assert message.startswith("The request signature we calculated does not match the signature you provided.")


def test_the_operators_key_is_no_accounts(server: FrontServer) -> None:
    with pytest.raises(ClientError) as error:
        server.client(AccessKey(OPERATOR, SECRET_OF_OPERATOR, "", server.clock.now())).list_functions()
    assert code_of(error)[1] == "UnrecognizedClientException"


def test_a_deleted_key_opens_nothing(server: FrontServer) -> None:
    key = server.key()
    client = server.client(key)
    client.list_functions()
    server.operator().delete_key(key.id)
    with pytest.raises(ClientError) as error:
        client.list_functions()
    assert code_of(error)[1] == "UnrecognizedClientException"


def test_an_upload_by_nobody_is_told_so(server: FrontServer) -> None:
    """It is read to its end, for clients that look for an answer only then, and nothing of it is kept."""
    path = "/2015-03-31/functions"
    status, headers, _ = server.ask("POST", path, b"x" * 5_000_000)
    assert (status, headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    with pytest.raises(ClientError) as error:
        create(server.client(AccessKey("AKIANOBODY", "x", "", server.clock.now())), "f", b"x" * 5_000_000)
    assert code_of(error)[1] == "UnrecognizedClientException"


def test_a_signed_host_is_one_of_ours_all_the_same(server: FrontServer) -> None:
    key = server.key()
    client = Key(key.id, key.secret)
    for host, status in (("lambda.example.com", 200), ("evil.example", 403)):
        url, now = f"http://{host}/2015-03-31/functions/", server.clock.now()
        headers = client.headers("GET", url, {}, b"", region=REGION, now=now)
        assert server.ask("GET", "/2015-03-31/functions/", **headers)[0] == status


class TestPages:
    def test_health_is_for_everybody(self, server: FrontServer) -> None:
        assert server.ask("GET", "/_lamella/health")[0] == 200

    @pytest.mark.parametrize("page", ["traces", "logs/f", "accounts", "keys"])
    def test_the_others_are_for_who_signs(self, server: FrontServer, page: str) -> None:
        status, _, body = server.ask("GET", f"/_lamella/{page}")
        assert status == 403
        assert "LAMELLA_OPERATOR_KEY" in json.loads(body)["error"]
        with pytest.raises(CommandError, match="InvalidSignatureException"):
            server.operator("guessed")._ours("GET", page)
        assert server.operator()._ours("GET", page) is not None

    def test_an_account_sees_its_own_logs_and_events_and_nothing_else(self, server: FrontServer) -> None:
        key = server.key(OTHER)
        client = Client(Endpoint(server.url, REGION, key=Key(key.id, key.secret)))
        list(client.logs("f", since_ms=0, limit=None, follow=False))
        client.events(function=None, state=None, limit=1)
        client.event("8f1c3a52-0f0e-4f0a-9d57-4b1de5bb3c11")
        assert [query["account"] for query in server.seen] == [OTHER] * 3
        for path in (f"logs/f?account={ACCOUNT}", f"events?account={ACCOUNT}", "traces", "accounts", "keys"):
            with pytest.raises(CommandError):
                client._ours("GET", path)

    def test_the_operator_with_the_key_of_an_account_means_that_account(self, server: FrontServer) -> None:
        """Who made a key on the server's machine, and put it into the environment, asks for that account's logs."""
        key, operator = server.key(OTHER), Key(OPERATOR, SECRET_OF_OPERATOR)
        client = Client(Endpoint(server.url, REGION, key=Key(key.id, key.secret)), operator)
        list(client.logs("f", since_ms=0, limit=None, follow=False))
        client.events(function=None, state=None, limit=1)
        assert [query["account"] for query in server.seen] == [OTHER] * 2
        list(server.operator().logs("f", since_ms=0, limit=None, follow=False))
        assert "account" not in server.seen[-1]

    def test_keys_are_the_operators_where_nothing_else_is_asked(self, open_server: FrontServer) -> None:
        """A key that anybody could have made would open the server once signatures are required."""
        assert open_server.ask("GET", "/_lamella/traces")[0] == 200
        assert open_server.ask("POST", "/_lamella/keys", b"{}")[0] == 403
        assert open_server.operator().create_key(None, "", None)["account"] == ACCOUNT

    def test_a_key_from_the_command_to_the_sdk(self, server: FrontServer) -> None:
        made = server.operator().create_key(OTHER, "of a test", 3600)
        assert made["account"] == OTHER
        key = AccessKey(
            made["access_key_id"], made["secret_access_key"], OTHER, server.clock.now(), "", made["session_token"]
        )
        assert server.client(key).list_functions()["Functions"] == []
        [listed] = server.operator().keys(OTHER)["keys"]
        assert listed["access_key_id"] == key.id
        assert datetime.fromisoformat(listed["expires_at"]) == server.clock.now() + timedelta(hours=1)
        assert key.secret not in json.dumps(listed)
        assert server.operator().keys(ACCOUNT)["keys"] == []

    def test_accounts(self, server: FrontServer) -> None:
        operator = server.operator()
        made = operator.create_account(None, "third")
        assert [one["id"] for one in operator.accounts()["accounts"]] == sorted([ACCOUNT, OTHER, made["id"]])
        with pytest.raises(CommandError, match="already"):
            operator.create_account(made["id"], "")
        operator.delete_account(made["id"])
        with pytest.raises(CommandError, match="no account"):
            operator.delete_account(made["id"])
        with pytest.raises(CommandError, match="stays"):
            operator.delete_account(ACCOUNT)

    @pytest.mark.parametrize(
        ("page", "document"),
        [
            ("accounts", {"id": "1"}),
            ("accounts", {"id": 111122223333}),
            ("accounts", {"name": "a\nb"}),
            ("accounts", {"name": "x" * 257}),
            ("keys", {"account": 5}),
            ("keys", {"account": "9" * 12}),
            ("keys", {"duration_s": 0}),
            ("keys", {"duration_s": True}),
            ("keys", {"duration_s": 10**12}),
            ("keys", {"description": ["x"]}),
        ],
    )
    def test_what_is_unfit(self, server: FrontServer, page: str, document: dict[str, Any]) -> None:
        before = server.operator().accounts()
        with pytest.raises(CommandError):
            server.operator()._ours("POST", page, document)
        assert server.operator().accounts() == before


class TestMemory:
    def test_bodies_that_are_still_coming_in_have_a_bound_together(self) -> None:
        """The id of a key is no secret: whoever knows it can begin uploads, and need not end them."""
        server = FrontServer(held_bytes=4 * 1024**2)
        key = server.key()
        try:
            begun = [self._begin(server, key) for _ in range(2)]
            answers = [self._answer(one) for one in begun]
            assert sorted(answer[:12] for answer in answers) == [b"", b"HTTP/1.1 503"]
            assert server.client(key).list_functions()["Functions"] == []
        finally:
            server.close()

    def _begin(self, server: FrontServer, key: AccessKey) -> socket.socket:
        """Three megabytes of six, with a signature that would turn out to be wrong."""
        moment = f"{server.clock.now():%Y%m%dT%H%M%SZ}"
        head = (
            "POST /2015-03-31/functions HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{server.port}\r\nX-Amz-Date: {moment}\r\nContent-Length: 6000000\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={key.id}/{moment[:8]}/{REGION}/lambda/aws4_request, "
            f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}\r\n\r\n"
        )
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(head.encode() + b"x" * 3_000_000)
        return connection

    def _answer(self, connection: socket.socket) -> bytes:
        """What comes within a moment; the one that is waited for has none to give."""
        with connection:
            connection.settimeout(1.0)
            try:
                return connection.recv(4096)
            except TimeoutError:
                return b""
