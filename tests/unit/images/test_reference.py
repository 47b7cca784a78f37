"""References of images."""

import pytest

from lamella.images.reference import Reference
from lamella.ports.images import ImageError

D = "0" * 64


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("public.ecr.aws/lambda/python:3.12", Reference("registry", "public.ecr.aws", "lambda/python", "3.12")),
        (f"localhost:5000/a@sha256:{D}", Reference("registry", "localhost:5000", "a", "", D)),
        (f"localhost/a:b@sha256:{D}", Reference("registry", "localhost", "a", "b", D)),
        ("[::1]:5000/a", Reference("registry", "[::1]:5000", "a")),
        ("Docker.IO/library/a", Reference("registry", "docker.io", "library/a")),
        ("oci:/srv/a", Reference("oci", "", "/srv/a")),
        ("oci:/srv/a b:v1", Reference("oci", "", "/srv/a b", "v1")),
        (f"oci:/srv/a:v1@sha256:{D}", Reference("oci", "", "/srv/a", "v1", D)),
        ("docker-archive:/x/hello.tar:latest", Reference("docker-archive", "", "/x/hello.tar", "latest")),
        ("oci-archive:/x/a.b:c/d", Reference("oci-archive", "", "/x/a.b:c/d")),
    ],
)
def test_references_are_read(text: str, parsed: Reference) -> None:
    assert Reference.parse(text) == parsed
    assert Reference.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "hello:1", "library/hello:1", "host.example/", "host.example/UP:1", "host.example/a:",
        "host.example/a:-x", "host.example/../a", "host.example/a/../b", "host.example//a", "host.example/a@sha256:12",
        "host.example:99999999/a",
        "user@host.example/a", "https://host.example/a", "host.example/a?x", "host.example/a b", "oci:relative", "oci:",
        "oci:/a\0b", "file:/a", "host.example/a\n", "host.example/" + "a" * 1100, "ho\u017ft.example/a",
    ],
)  # fmt: skip
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(ImageError) as refused:
        Reference.parse(text)
    assert refused.value.code == "InvalidImage"
    assert str(refused.value).isprintable()
