"""AWS's published test suite for Signature Version 4: requests, their canonical form, and their signatures."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest

from lamella.domain.signature import canonical_path, canonical_query, canonical_request, signature

GOLDEN: Final = json.loads(Path(__file__).with_name("golden").joinpath("sigv4.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_the_suite_of_aws(case: Any) -> None:
    path, _, query = case["target"].partition("?")
    headers = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in case["headers"])]
    parts = dict(part.split("=", 1) for part in case["authorization"].partition(" ")[2].split(", "))
    canonical = canonical_request(
        case["method"],
        path,
        query,
        headers,
        parts["SignedHeaders"].split(";"),
        hashlib.sha256(case["body"].encode()).hexdigest(),
    )
    assert canonical.decode() == case["canonical"]
    date = dict(headers)["x-amz-date"]
    assert signature(GOLDEN["secret"], date, "us-east-1", "service", canonical) == parts["Signature"]


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("", "/"),
        ("/", "/"),
        ("/a//b/", "/a/b/"),
        ("/../..", "/"),
        ("/a/./b/../c", "/a/c"),
        ("/f/arn%3Aaws%3Alambda/x", "/f/arn%253Aaws%253Alambda/x"),
        ("/a:b", "/a%3Ab"),
        ("/%e1%88%b4", "/%25e1%2588%25b4"),
        ("/%2e%2e/a", "/%252e%252e/a"),  # encoded dots are letters
        ("/\xe1\x88\xb4", "/%E1%88%B4"),  # bytes that should have been encoded
    ],
)
def test_paths_are_encoded_twice(path: str, canonical: str) -> None:
    """Source: canonical requests for Lambda in aws/aws-sdk-java issue 2450 and brendanhay/amazonka issue 594."""
    assert canonical_path(path) == canonical


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("", ""),
        ("&&", ""),
        ("b=2&a=1", "a=1&b=2"),
        ("a", "a="),
        ("a=x=y", "a=x%3Dy"),
        ("a=x+y", "a=x%20y"),
        ("a=%7E%2d", "a=~-"),
        ("a=%zz", "a=%25zz"),
        ("Z=1&a=2&a=10&a=1", "Z=1&a=1&a=10&a=2"),
        ("X-Amz-Signature=f00&a=1", "a=1"),
        ("X%2DAmz-Signature=f00&a=1", "a=1"),
    ],
)
def test_queries_are_sorted_and_encoded_anew(query: str, canonical: str) -> None:
    assert canonical_query(query) == canonical


def test_values_that_utf8_gives_are_not_split_at_what_latin1_takes_for_white_space() -> None:
    value = "à \x85".encode().decode("latin-1")  # the bytes C3 A0 20 C2 85
    canonical = canonical_request("GET", "/", "", [("x-amz-a", value)], ["x-amz-a"], "")
    assert "x-amz-a:à \x85".encode() in canonical


def test_a_signed_header_that_is_not_there_is_empty() -> None:
    """Java's SDK signs `Content-Type` where it sends none (canonical request in aws/aws-sdk-java issue 865)."""
    assert b"\ncontent-type:\n" in canonical_request("GET", "/", "", [], ["content-type"], "")
