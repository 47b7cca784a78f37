"""Challenges of registries."""

import pytest

from lamella.images.challenge import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ('Basic realm="x"', [Challenge("basic", {"realm": "x"})]),
        ("basic", [Challenge("basic", {})]),
        (
            'BEARER realm="a\\"b", Basic realm=c',
            [Challenge("bearer", {"realm": 'a"b'}), Challenge("basic", {"realm": "c"})],
        ),
        ('Negotiate, Basic realm="x"', [Challenge("basic", {"realm": "x"})]),
        ('Digest realm="Basic x"', []),
        ("", []),
        ("Bearer", [Challenge("bearer", {})]),
    ],
)  # fmt: skip
def test_challenges_are_read(header: str, found: list[Challenge]) -> None:
    assert parse_challenges(header) == found
