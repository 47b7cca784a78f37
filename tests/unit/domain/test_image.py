import pytest

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.image import ImageReference, Launch

REGION = "eu-central-1"
ECR = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/team/shop"
SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("uri", "repository", "of_aws"),
    [
        (f"{ECR}:v1.2", ECR, True),
        (f"{ECR}@sha256:{SHA}", ECR, True),
        ("localhost:5000/team/shop:v1", "localhost:5000/team/shop", False),
        ("localhost/shop:v1", "localhost/shop", False),
        ("[::1]:5000/shop", "[::1]:5000/shop", False),
        (f"registry.example.com/shop:v1@sha256:{SHA}", "registry.example.com/shop", False),
        ("oci:/srv/images/shop:v1", "oci:/srv/images/shop", False),
        ("oci-archive:/srv/shop.tar", "oci-archive:/srv/shop.tar", False),
        (f"docker-archive:/srv/shop.tar@sha256:{SHA}", "docker-archive:/srv/shop.tar", False),
    ],
)
def test_names_of_images(uri: str, repository: str, of_aws: bool) -> None:
    found = ImageReference.parse(uri, region=REGION)
    assert (found.uri, found.repository, found.of_aws) == (uri, repository, of_aws)
    assert found.resolved(SHA) == f"{repository}@sha256:{SHA}"


@pytest.mark.parametrize(
    "uri", ["shop:v1", "team/shop:v1", "oci:", "localhost:5000/shop\n", "localhost:5000/\x1b[2J", "/"]
)
def test_what_names_no_place(uri: str) -> None:
    with pytest.raises(InvalidParameterValueException, match="Provide a valid source image"):
        ImageReference.parse(uri, region=REGION)


IMAGE = Launch(("/entry", "-v"), ("app.handler",), "/srv")


@pytest.mark.parametrize(
    ("overrides", "argv", "directory", "handler"),
    [
        ({}, ("/entry", "-v", "app.handler"), "/srv", "app.handler"),
        ({"Command": ["other", "x"]}, ("/entry", "-v", "other", "x"), "/srv", "other"),
        ({"EntryPoint": ["/e"]}, ("/e", "app.handler"), "/srv", "app.handler"),
        ({"EntryPoint": [], "Command": [], "WorkingDirectory": ""}, IMAGE.argv, "/srv", "app.handler"),
        ({"WorkingDirectory": "/w"}, IMAGE.argv, "/w", "app.handler"),
    ],
)
def test_each_override_stands_for_itself(
    overrides: dict[str, list[str] | str], argv: tuple[str, ...], directory: str, handler: str
) -> None:
    found = Launch.of(IMAGE, overrides)
    assert (found.argv, found.working_directory, found.handler) == (argv, directory, handler)


def test_an_image_that_says_nothing() -> None:
    found = Launch.of(Launch((), (), ""), {})
    assert (found.argv, found.working_directory, found.handler) == ((), "/", "")
    assert str(found) == "Entrypoint: []\tCmd: []\tWorkingDir: [/]"
    assert str(IMAGE) == "Entrypoint: [/entry -v]\tCmd: [app.handler]\tWorkingDir: [/srv]"
