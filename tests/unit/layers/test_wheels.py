from pathlib import Path

import pytest

from lamella.layers.build.wheels import Chosen, chosen_of, hashes_in, included_in, indexes_of, lines_to_install
from lamella.layers.errors import LayerBuildError

A, B = "a" * 64, "b" * 64

# As uv 0.13 writes it.
LOCK = f"""
lock-version = "1.0"
created-by = "uv"
[[packages]]
name = "six"
version = "1.17.0"
wheels = [{{ url = "https://example.com/six.whl", hashes = {{ sha256 = "{A}" }} }}]
[[packages]]
name = "mine"
version = "1.0"
archive = {{ path = "dist/mine-1.0-py3-none-any.whl", hashes = {{ sha256 = "{B}" }} }}
[[packages]]
name = "theirs"
archive = {{ url = "https://example.com/theirs-1.tar.gz", hashes = {{ sha256 = "{B}" }} }}
[[packages]]
name = "local"
directory = {{ path = "../local", editable = true }}
[[packages]]
name = "commit"
vcs = {{ type = "git", url = "https://example.com/x.git" }}
"""


def test_a_lock_is_read() -> None:
    assert chosen_of(LOCK, Path("/srv/here")) == (
        Chosen("six", "1.17.0", sha256=A),
        Chosen("mine", "1.0", Path("/srv/here/dist/mine-1.0-py3-none-any.whl"), sha256=B),
        Chosen("theirs", "", url="https://example.com/theirs-1.tar.gz", sha256=B, is_source=True),
        Chosen("local", "", Path("/srv/local"), is_source=True),
        Chosen("commit", "", is_source=True),
    )


def test_hashes_of_a_requirements_file_are_found_by_normalised_name() -> None:
    text = f"""
    # a comment
    Typing_Extensions==4.0 \\
        --hash=sha256:{A} \\
        --hash sha256:{B}  # via x
    six==1.0
    x[y] @ https://example.com/x.whl --hash=sha256:{A}
    """
    both = frozenset({f"sha256:{A}", f"sha256:{B}"})
    assert hashes_in(text) == {"typing-extensions": both, "x": frozenset({f"sha256:{A}"})}


def test_other_indexes_of_a_lock_are_found() -> None:
    sources = ['registry = "https://pypi.org/simple"', 'registry = "https://example.com/simple"', 'virtual = "."']
    lock = "".join(f"[[package]]\nsource = {{ {source} }}\n" for source in (*sources, 'registry = "../flat"'))
    assert indexes_of(lock) == ["https://example.com/simple"]


def test_included_files_are_found() -> None:
    text = "-r base.txt\n--requirement=more.txt  # why\n -c limits.txt\nsix  # -r none.txt\n--requirement other.txt\n"
    assert included_in(text) == ["base.txt", "more.txt", "limits.txt", "other.txt"]


def test_what_is_installed_is_what_was_chosen() -> None:
    packages = [
        Chosen("six", "1.0", sha256=A),
        Chosen("x", "", url="https://example.com/x.whl", sha256=A),
        Chosen("mine", "1.0", Path("/srv/mine.whl"), sha256=B),
    ]
    assert lines_to_install(packages, {}, {}, strict=False) == [
        f"six==1.0 --hash=sha256:{A}",
        f"x @ https://example.com/x.whl --hash=sha256:{A}",
        f"mine @ file:///srv/mine.whl --hash=sha256:{B}",
    ]


def test_hashes_that_were_asked_for_are_the_only_ones() -> None:
    # Another file of the same version may be the one that was pinned.
    pinned = {"six": frozenset({f"sha256:{B}"})}
    assert lines_to_install([Chosen("six", "1.0", sha256=A)], {}, pinned, strict=True) == [
        f"six==1.0 --hash=sha256:{B}"
    ]


def test_a_package_without_a_hash_among_others_with_one_is_an_error() -> None:
    pinned = {"six": frozenset({f"sha256:{A}"})}
    packages = [Chosen("six", "1.0", sha256=A), Chosen("idna", "3.0", sha256=B)]
    with pytest.raises(LayerBuildError, match=r"idna 3.0 has no hash, while others have one"):
        lines_to_install(packages, {}, pinned, strict=True)
    assert len(lines_to_install(packages, {}, pinned, strict=False)) == 2
