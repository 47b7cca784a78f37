import datetime as dt
import hashlib
from pathlib import Path

import pytest

from lamella.awsapi.sigv4 import check_claim, is_signed_by, read_claim
from lamella.cli.client import Client
from lamella.cli.endpoint import Endpoint, Key, operator_key
from lamella.cli.failure import CommandError, Status


class TestEndpoint:
    def test_the_default_is_where_serve_listens(self) -> None:
        assert Endpoint.find(None, None, {}) == Endpoint("http://127.0.0.1:4566")

    def test_the_more_special_source_wins(self) -> None:
        environ = {"AWS_ENDPOINT_URL": "http://general:1", "AWS_ENDPOINT_URL_LAMBDA": "http://special:2"}
        assert Endpoint.find("http://given:3", None, environ).url == "http://given:3"
        assert Endpoint.find(None, None, environ).url == "http://special:2"
        del environ["AWS_ENDPOINT_URL_LAMBDA"]
        assert Endpoint.find(None, None, environ).url == "http://general:1"

    def test_a_final_slash_is_not_doubled(self) -> None:
        assert Endpoint.find("http://localhost:4566/", None, {}).url == "http://localhost:4566"

    @pytest.mark.parametrize(
        "url", ["localhost:4566", "ftp://x", "http://", "http://x:y", "http://x:0", "http://x:70000"]
    )
    def test_what_is_no_url_of_http_is_refused(self, url: str) -> None:
        with pytest.raises(CommandError, match="is not a URL such as") as caught:
            Endpoint.find(url, None, {})
        assert caught.value.status is Status.USAGE

    def test_region_comes_from_where_aws_clients_take_it(self) -> None:
        environ = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-2"}
        assert Endpoint.find(None, "eu-west-3", environ).region == "eu-west-3"
        assert Endpoint.find(None, None, environ).region == "eu-west-2"
        assert Endpoint.find(None, None, {"AWS_DEFAULT_REGION": "eu-west-1"}).region == "eu-west-1"

    def test_only_an_access_key_of_twelve_digits_is_an_account(self) -> None:
        assert Endpoint.find(None, None, {"AWS_ACCESS_KEY_ID": "123456789012"}).account == "123456789012"
        assert Endpoint.find(None, None, {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}).account is None

    def test_without_region_and_account_the_server_decides(self) -> None:
        assert Endpoint("http://x").authorization() == {}
        assert Endpoint("http://x").scope() == {}

    def test_the_header_is_one_that_the_server_reads(self) -> None:
        header = Endpoint("http://x", "eu-west-1", "123456789012").authorization()["authorization"]
        scope, signed, signature = header.removeprefix("AWS4-HMAC-SHA256 ").split(", ")
        assert scope.startswith("Credential=123456789012/")
        assert scope.endswith("/eu-west-1/lambda/aws4_request")
        assert (signed, signature[:10]) == ("SignedHeaders=host", "Signature=")

    def test_a_key_is_taken_whole_or_not_at_all(self) -> None:
        environ = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
        assert Endpoint.find(None, None, environ).key == Key("AKIA1", "s", "t")
        assert Endpoint.find(None, None, {**environ, "AWS_SECRET_ACCESS_KEY": ""}).key is None
        assert Endpoint.find(None, None, {**environ, "AWS_ACCESS_KEY_ID": "1" * 12}).key is None


NOW = dt.datetime(2026, 11, 20, 20, 1, 2, tzinfo=dt.UTC)


@pytest.mark.parametrize("url", ["http://localhost:4566", "https://user@lambda.example.com/below"])
@pytest.mark.parametrize("token", ["", "t/+="])
def test_what_is_signed_is_what_the_server_verifies(url: str, token: str) -> None:
    path = "/2015-03-31/functions/a%3Ab/invocations?Qualifier=%24LATEST"
    key, body = Key("AKIA1", "s", token), b"{}"
    signed = key.headers("POST", url + path, {"x-amz-log-type": "Tail"}, body, region="eu-west-1", now=NOW)
    headers = list(signed.items())
    claim = read_claim(headers, "Qualifier=%24LATEST")
    check_claim(claim, headers, NOW)
    assert claim.session_token == token
    assert "@" not in signed["host"]
    assert is_signed_by(
        claim,
        "s",
        method="POST",
        path=("/below" if "below" in url else "") + path.partition("?")[0],
        query="Qualifier=%24LATEST",
        headers=headers,
        payload_sha256=hashlib.sha256(body).hexdigest(),
    )


def test_pages_of_our_own_are_signed_by_the_operator_and_functions_by_the_account() -> None:
    own, operator = Key("AKIA1", "s"), Key("lamella-operator", "o")
    client = Client(Endpoint("http://x", "eu-west-1", key=own), operator)
    assert "Credential=lamella-operator/" in client._signed("GET", "/_lamella/keys", None, {})["authorization"]
    assert "Credential=AKIA1/" in client._signed("GET", "/2015-03-31/functions", None, {})["authorization"]
    assert (
        "Credential=AKIA1/"
        in Client(Endpoint("http://x", key=own))._signed("GET", "/_lamella/logs/f", None, {})["authorization"]
    )
    # Without a region there is nothing to sign for: the server's own is meant, if it asks for no signature.
    assert "authorization" not in Client(Endpoint("http://x", key=own))._signed(
        "GET", "/2015-03-31/functions", None, {}
    )
    assert "authorization" not in Client(Endpoint("http://x"))._signed("GET", "/_lamella/health", None, {})


def test_who_can_read_the_operators_key_is_the_operator(tmp_path: Path) -> None:
    (tmp_path / "operator-key").write_text("abc\n")
    found = operator_key({"LAMELLA_DATA": str(tmp_path)}, is_root=False)
    assert found == Key("lamella-operator", "abc")
    given = operator_key({"LAMELLA_DATA": str(tmp_path), "LAMELLA_OPERATOR_KEY": "def"}, is_root=False)
    assert given == Key("lamella-operator", "def")
    assert operator_key({"LAMELLA_DATA": str(tmp_path / "other")}, is_root=False) is None
    assert operator_key({"LAMELLA_DATA": str(tmp_path), "LAMELLA_MISSPELT": "1"}, is_root=False) is None
