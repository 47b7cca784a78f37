"""Keys that STS gives, through the front door."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends
from tests.contract.wire.foreign_server import bucket, client, failure, in_front_of, send, stored
from tests.contract.wire.front_server import ACCOUNT, OTHER, REGION, FrontServer
from tests.support.moto import serving_moto

from lamella.ports.credentials import AccessKey


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serving_moto() as url:
        yield url


@pytest.fixture
def server(moto: str) -> Iterator[FrontServer]:
    with in_front_of(moto) as server:
        yield server


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
