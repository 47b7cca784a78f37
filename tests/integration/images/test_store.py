"""Images of the store: their layers unpacked once, merged by the kernel's own overlayfs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.images import files, image, write_layout

from lamella.adapters.sandbox.overlays import KernelOverlays
from lamella.images.sources import Sources
from lamella.images.store import FilesystemImageStore
from lamella.ports.images import StoredImage

pytestmark = pytest.mark.sandbox


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesystemImageStore]:
    opened = FilesystemImageStore(tmp_path / "store", Sources(paths=[tmp_path]), KernelOverlays())
    yield opened
    opened.close()


async def fetched(store: FilesystemImageStore, uri: str) -> tuple[StoredImage, Path]:
    resolved = await store.resolve(uri)
    found = await store.fetch(uri, resolved.platforms[0].digest)
    return found, store.root(found.digest)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_layers_are_merged_with_what_they_take_away(store: FilesystemImageStore, tmp_path: Path) -> None:
    lower = files({"etc/": "", "etc/a": "1", "etc/b": "1", "gone/x": "", "swept/old": "", "bin/tool": "x"})
    upper = files({"etc/b": "2", "etc/.wh.a": "", ".wh.gone": "", "swept/.wh..wh..opq": "", "swept/new": ""})
    made = image(lower, upper, config={"Entrypoint": ["/bin/tool"], "Cmd": ["serve"], "WorkingDir": "/etc"})
    write_layout(tmp_path / "layout", {"v1": made})

    found, root = await fetched(store, f"oci:{tmp_path}/layout:v1")

    assert names(root / "etc") == ["b", "hosts", "resolv.conf"]
    assert (root / "etc/b").read_text() == "2"
    assert not (root / "gone").exists()
    assert names(root / "swept") == ["new"]
    assert found.digest == made.digest
    assert (found.entrypoint, found.command, found.working_directory) == (("/bin/tool",), ("serve",), "/etc")
    assert os.access(root / "bin/tool", os.X_OK)
    with pytest.raises(OSError):
        (root / "new").touch()
