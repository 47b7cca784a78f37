"""Which registries may be asked, and where."""

import pytest

from lamella.images.allowed import Place, Registry, find_place
from lamella.images.reference import Reference
from lamella.ports.images import ImageError

ECR = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"


def place(setting: str, uri: str) -> Place:
    return find_place([Registry.parse(one) for one in setting.split(",") if one], Reference.parse(uri))


@pytest.mark.parametrize(
    ("setting", "uri", "found"),
    [
        ("ecr", f"{ECR}/a/b:1", Place(ECR, True, "a/b")),
        ("ecr", f"{ECR}.cn/a:1", Place(f"{ECR}.cn", True, "a")),
        ("ecr=http://127.0.0.1:5000", f"{ECR}/a:1", Place("127.0.0.1:5000", False, "a")),
        ("ecr=https://registry.example/team/x/", f"{ECR}/a:1", Place("registry.example", True, "team/x/a")),
        (f"any,ecr=http://h.example:1,{ECR}", f"{ECR}/a:1", Place(ECR, True, "a")),
        ("any", "localhost:5000/a", Place("localhost:5000", False, "a")),
        ("any", "[::1]:5000/a", Place("[::1]:5000", False, "a")),
        ("any", "127.1.2.3/a", Place("127.1.2.3", False, "a")),
        ("any", "10.0.0.1:5000/a", Place("10.0.0.1:5000", True, "a")),
        ("any", "localhost.example.com/a", Place("localhost.example.com", True, "a")),
        ("docker.io", "docker.io/python:3", Place("registry-1.docker.io", True, "library/python", True)),
        ("docker.io", "docker.io/a/b:3", Place("registry-1.docker.io", True, "a/b", True)),
    ],
)
def test_the_most_exact_entry_says_where(setting: str, uri: str, found: Place) -> None:
    assert place(setting, uri) == found


@pytest.mark.parametrize(
    ("setting", "uri"),
    [
        ("", "public.ecr.aws/a"),
        ("ecr", "public.ecr.aws/a"),
        ("ecr", "111122223333.dkr.ecr.eu-west-1.amazonaws.com.example.com/a"),
        ("ecr", "1.dkr.ecr.eu-west-1.amazonaws.com/a"),
        ("localhost:5000", "localhost:5001/a"),
        ("example.com", "sub.example.com/a"),
    ],
)
def test_others_are_not_asked(setting: str, uri: str) -> None:
    with pytest.raises(ImageError, match=r"may not be asked by this server \(its setting image_registries") as denied:
        place(setting, uri)
    assert denied.value.code == "ImageAccessDenied"


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "ecr=", "ecr=ftp://h", "ecr=http://", "ecr=http://u:p@h/", "ecr=http://h/?q", "ecr=http://h/UP",
        "ecr=http://h/../x", "any=http://h", "h.example/path", "http://h.example", "h.example=h2.example",
        "*.example.com",
    ],
)  # fmt: skip
def test_entries_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Registry.parse(text)
