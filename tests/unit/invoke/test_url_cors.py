"""CORS settings of function URLs."""

import pytest

from lamella.domain.url import Cors
from lamella.invoke.url_cors import is_preflight, preflight_headers, response_headers

SITE = "https://site.example"
OTHER = "https://other.example"
VARY = ("Vary", "Origin")
FULL = Cors(
    allow_credentials=True,
    allow_headers=("X-A", "Content-Type"),
    allow_methods=("GET", "POST"),
    allow_origins=(SITE, "http://localhost:3000"),
    expose_headers=("X-B", "X-C"),
    max_age_s=300,
)


@pytest.mark.parametrize(
    ("method", "names", "asks"),
    [
        ("OPTIONS", ["origin", "access-control-request-method"], True),
        ("OPTIONS", ["origin"], False),
        ("OPTIONS", ["access-control-request-method"], False),
        ("GET", ["origin", "access-control-request-method"], False),
    ],
)
def test_a_preflight_request(method: str, names: list[str], asks: bool) -> None:
    assert is_preflight(method, [(name, "x") for name in names]) is asks


def test_what_an_allowed_page_may_do() -> None:
    assert preflight_headers(FULL, SITE) == [
        ("Access-Control-Allow-Origin", SITE),
        VARY,
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Allow-Methods", "GET,POST"),
        ("Access-Control-Allow-Headers", "X-A,Content-Type"),
        ("Access-Control-Max-Age", "300"),
    ]
    assert response_headers(FULL, SITE) == [
        ("Access-Control-Allow-Origin", SITE),
        VARY,
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "X-B,X-C"),
    ]


@pytest.mark.parametrize("origin", [OTHER, "null", f"{SITE}.evil.example", SITE[:-1]])
def test_no_other_page_is_told_anything(origin: str) -> None:
    assert preflight_headers(FULL, origin) == [VARY]
    assert response_headers(FULL, origin) == [VARY]


def test_everybody() -> None:
    cors = Cors(allow_origins=("*",), allow_methods=("*",))
    assert preflight_headers(cors, OTHER) == [
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Methods", "*"),
    ]
    assert response_headers(cors, OTHER) == [("Access-Control-Allow-Origin", "*")]


def test_everybody_with_credentials_is_named() -> None:
    """A browser takes no `*` there."""
    cors = Cors(allow_origins=("*",), allow_credentials=True)
    allowed = [("Access-Control-Allow-Origin", OTHER), VARY, ("Access-Control-Allow-Credentials", "true")]
    assert preflight_headers(cors, OTHER) == response_headers(cors, OTHER) == allowed


def test_who_is_no_page_is_told_nothing() -> None:
    assert response_headers(FULL, "") == []
    assert response_headers(None, SITE) == []


def test_settings_without_origins_allow_nobody() -> None:
    assert preflight_headers(Cors(allow_methods=("*",)), SITE) == [VARY]
