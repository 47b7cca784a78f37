"""The user of functions in an image's own `/etc/passwd`."""

import os
from pathlib import Path

import pytest

from lamella.images.users import add_user

LINE = "sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n"


def with_user(root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        add_user(descriptor)
    finally:
        os.close(descriptor)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, LINE),
        ("", LINE),
        ("root:x:0:0:root:/root:/bin/sh\n", "root:x:0:0:root:/root:/bin/sh\n" + LINE),
        ("root:x:0:0::/:", "root:x:0:0::/:\n" + LINE),
        ("app:x:993:993::/srv:/bin/sh\n", "app:x:993:993::/srv:/bin/sh\n"),
        ("not a list of users\n", "not a list of users\n" + LINE),
    ],
)
def test_the_user_is_added_unless_there_is_one(root: Path, before: str | None, after: str) -> None:
    file = root / "etc/passwd"
    if before is not None:
        file.write_text(before)
    with_user(root)
    assert file.read_text() == after
    with_user(root)
    assert file.read_text() == after


def test_what_is_no_file_stays(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    passwd = root / "etc/passwd"
    passwd.symlink_to(outside)
    with_user(root)  # a link that leads out of the image leads nowhere in it
    assert outside.read_text() == ""
    passwd.unlink()
    passwd.mkdir()
    with_user(root)
    passwd.rmdir()
    os.mkfifo(passwd)
    with_user(root)
    passwd.unlink()
    (root / "run").write_text("")
    passwd.symlink_to("/run")
    with_user(root)
    assert (root / "run").read_text() == LINE
