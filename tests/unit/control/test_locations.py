from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from lamella.control.locations import Download, LocationSigner

NOW = datetime(2026, 11, 20, 20, tzinfo=UTC)
DIGEST = "0f" * 32
SIGNER = LocationSigner(b"0123456789abcdef")


def signed(filename: str = "f-1.zip") -> tuple[str, str]:
    url = urlsplit(SIGNER.url("http://localhost:4566", DIGEST, filename, now=NOW))
    assert url.netloc == "localhost:4566"
    return url.path, url.query


def test_ten_minutes_and_no_longer() -> None:
    path, query = signed()
    assert path == f"/_lamella/artifacts/{DIGEST}.zip"
    assert SIGNER.verify(path, query, NOW) == Download(DIGEST, "f-1.zip")
    assert SIGNER.verify(path, query, NOW + timedelta(seconds=600)) == Download(DIGEST, "f-1.zip")
    assert SIGNER.verify(path, query, NOW + timedelta(seconds=601)) is None


def test_a_name_is_given_back_as_it_was() -> None:
    assert SIGNER.verify(*signed("ä &=.zip"), NOW) == Download(DIGEST, "ä &=.zip")


@pytest.mark.parametrize(
    ("old", "new"),
    [("expires=", "expires=1"), ("filename=f", "filename=g"), ("signature=", "signature=0"), ("signature=", "s=")],
)
def test_nothing_can_be_changed(old: str, new: str) -> None:
    path, query = signed()
    assert SIGNER.verify(path, query.replace(old, new), NOW) is None


@pytest.mark.parametrize("path", [f"/_lamella/artifacts/{'1f' * 32}.zip", "/_lamella/artifacts/../secret.zip", "/"])
def test_no_other_path(path: str) -> None:
    assert SIGNER.verify(path, signed()[1], NOW) is None


def test_no_other_secret() -> None:
    assert LocationSigner(b"fedcba9876543210").verify(*signed(), NOW) is None
    with pytest.raises(ValueError, match="guessed"):
        LocationSigner(b"short")
