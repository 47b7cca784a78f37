import pytest

from lamella.cli.client import Endpoint
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
