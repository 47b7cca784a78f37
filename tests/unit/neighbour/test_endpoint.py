"""How endpoints are written in the settings."""

import pytest

from lamella.neighbour.endpoint import Endpoint, parse_override


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:4567", Endpoint("127.0.0.1", 4567, "127.0.0.1:4567")),
        ("http://minio/", Endpoint("minio", 80, "minio")),
        (
            "https://s3.eu-central-1.amazonaws.com",
            Endpoint("s3.eu-central-1.amazonaws.com", 443, "s3.eu-central-1.amazonaws.com", True),
        ),
        ("http://[::1]:9000", Endpoint("::1", 9000, "[::1]:9000")),
    ],
)
def test_an_endpoint_is_a_url_without_more(url: str, expected: Endpoint) -> None:
    assert Endpoint.parse(url) == expected
    assert expected.url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "minio:9000",
        "ftp://minio",
        "http://",
        "http://user@minio",
        "http://minio/path",
        "http://minio?x=1",
        "http://minio:99999",
    ],
)
def test_what_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Endpoint.parse(url)


def test_an_override_names_a_service() -> None:
    assert parse_override("sqs=http://127.0.0.1:9324") == ("sqs", Endpoint("127.0.0.1", 9324, "127.0.0.1:9324"))


@pytest.mark.parametrize(
    "text", ["http://minio", "=http://minio", "S3=http://minio", "lambda=http://minio", "s3=minio"]
)
def test_what_names_none_or_our_own_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_override(text)
