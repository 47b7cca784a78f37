"""Files of trees that anybody may have made: links lead nowhere but inside."""

from pathlib import Path

import pytest

from lamella.rooted import find_in


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("the host's")
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/own").write_text("own")
    for link, target in {
        "absolute": "/etc/own",
        "double": "//etc/own",
        "up": "../../../etc/own",
        "out": str(tmp_path / "outside"),
        "climbs": "../outside",
        "circle": "circle",
        "folder": "/etc",
        "device": "/dev/zero",
    }.items():
        (made / link).symlink_to(target)
    return made


@pytest.mark.parametrize("path", ["/etc/own", "/absolute", "/double", "/up", "/folder/own", "/etc/../../etc/own"])
def test_links_are_followed_inside(root: Path, path: str) -> None:
    assert find_in(root, path) == root / "etc/own"


@pytest.mark.parametrize(
    "path", ["/out", "/climbs", "/circle", "/device", "/none", "/etc/own/x", "/a\0b", "/" + "a" * 300]
)
def test_what_is_not_inside_is_not_there(root: Path, path: str) -> None:
    assert find_in(root, path) is None
