"""Packages are Debian's own, or are refused; what doctor says of the other architecture."""

import shutil
from pathlib import Path

import pytest
from tests.support.debian import OTHER

from lamella.app.main import diagnose
from lamella.config.settings import Settings
from lamella.debian import DebianError
from lamella.debian.apt import fetch
from lamella.runtimes.foreign import runs
from lamella.runtimes.system import host_architecture

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt")


def silent(message: str) -> None:
    del message


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package source with nothing in it, as a mirror would be that somebody has made up."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    suite = tmp_path / "archive/dists/bookworm"
    suite.mkdir(parents=True)
    (suite / "Release").write_text("Origin: Debian\nCodename: bookworm\nDate: Sun, 01 Nov 2026 00:00:00 UTC\n")
    return tmp_path / "archive"


FORGED = "-----BEGIN PGP SIGNATURE-----\n\nnonsense\n-----END PGP SIGNATURE-----\n"


@pytest.mark.parametrize(("signature", "words"), [(None, "is not signed"), (FORGED, "GPG error")])
def test_what_debian_has_not_signed_is_refused(
    archive: Path, tmp_path: Path, signature: str | None, words: str
) -> None:
    if signature is not None:
        (archive / "dists/bookworm/Release.gpg").write_text(signature)
    sources = tmp_path / "x.list"
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [signed-by={keys}] file:{archive} bookworm main\n")
    with pytest.raises(DebianError, match=words):
        fetch(("bash",), host_architecture(), sources, silent)


def test_doctor_says_whether_functions_for_the_other_architecture_run() -> None:
    """Advice at most: few nodes need it."""
    problem = next(problem for problem in diagnose(Settings()) if problem.check == "other architecture")
    assert problem.fatal is False
    assert problem.ok is runs(OTHER)
    assert problem.ok is not bool(problem.remedy)
