"""Downloads of layer versions from servers that lie."""

import pytest
from tests.integration.cli.conftest import FakeServer

from lamella.cli.failure import CommandError
from lamella.cli.layer.fetch import download, fetch

ARN = "arn:aws:lambda:us-east-1:017000801446:layer:x:1"


def test_what_was_announced(server: FakeServer) -> None:
    server.will_reply(200, b"z" * 3_000_000)
    assert download(server.url, 3_000_000, ARN) == b"z" * 3_000_000


@pytest.mark.parametrize(("announced", "sent"), [(10, 9), (10, 11), (10, 2_000_000)])
def test_another_size(server: FakeServer, announced: int, sent: int) -> None:
    """Of what is too long no more is read than tells that it is."""
    server.will_reply(200, b"z" * sent)
    with pytest.raises(CommandError, match="another size than was announced"):
        download(server.url, announced, ARN)


@pytest.mark.parametrize(
    ("url", "size_bytes"),
    [("file:///etc/passwd", 10), ("ftp://x/y", 10), ("http://x", 0), ("http://x", -1), ("http://x", 2**40)],
)
def test_addresses_and_sizes_of_no_layer_version(url: str, size_bytes: int) -> None:
    with pytest.raises(CommandError, match="its address or its size"):
        download(url, size_bytes, ARN)


def test_a_redirection_to_a_file_is_not_followed(server: FakeServer) -> None:
    server.will_reply(302, b"", {"location": "file:///etc/passwd"})
    with pytest.raises(CommandError, match="cannot be downloaded"):
        download(server.url, 10, ARN)


def test_facts_as_the_mirroring_server_takes_them(server: FakeServer) -> None:
    server.will_reply(200, b"zip")

    class Api:
        def get_layer_version_by_arn(self, **members: str) -> dict[str, object]:
            assert members == {"Arn": ARN}
            content = {"Location": server.url, "CodeSize": 3, "CodeSha256": "x="}
            return {"Content": content, "CreatedDate": "now", "CompatibleRuntimes": ["a", "b"]}

    archive, facts, sha256 = fetch(Api(), ARN)
    assert (archive, sha256) == (b"zip", "x=")
    assert facts == {"created": "now", "description": "", "runtimes": "a,b", "architectures": "", "license": ""}
