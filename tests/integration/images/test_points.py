"""Places to mount things on, in images that have something else there."""

import os
from pathlib import Path

import pytest

from lamella.images.points import add_points
from lamella.ports.images import ImageError


def furnish(root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        add_points(descriptor, "the image")
    finally:
        os.close(descriptor)


def test_a_root_with_nothing_in_it(tmp_path: Path) -> None:
    furnish(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev", "etc", "opt", "proc", "tmp", "var"]
    furnish(tmp_path)


@pytest.mark.parametrize("target", ["/", "usr", "/proc"])
def test_devices_are_not_somewhere_else(tmp_path: Path, target: str) -> None:
    for name in ("usr", "proc"):
        (tmp_path / name).mkdir()
    (tmp_path / "dev").symlink_to(target)
    with pytest.raises(ImageError, match="The image the image has no directory of its own /dev"):
        furnish(tmp_path)


def test_other_places_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "var/tmp").mkdir(parents=True)
    (tmp_path / "tmp").symlink_to("var/tmp")
    (tmp_path / "opt").symlink_to("/var/opt")
    (tmp_path / "var/opt").mkdir()
    furnish(tmp_path)
    assert (tmp_path / "opt").is_symlink()
