"""Images from registries: Debian's `docker-registry`, and a scripted one for what that does not do by itself."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.images import files, image
from tests.support.registry import Registry

from lamella.domain.function import Architecture
from lamella.images import allowed
from lamella.images.credentials import AuthFiles
from lamella.images.sources import Sources
from lamella.images.store import FilesystemImageStore
from lamella.ports.images import Platform
from lamella.testing.images import CopyingOverlays

ECR = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
Opener = Callable[..., FilesystemImageStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens stores that may ask the registries given; they are closed afterwards."""
    stores: list[FilesystemImageStore] = []

    def open_store(*registries: str, auth: dict[str, object] | None = None) -> FilesystemImageStore:
        path = tmp_path / "auth.json"
        path.write_text(json.dumps(auth or {}))
        sources = Sources([allowed.Registry.parse(one) for one in registries], (), AuthFiles([path]).find)
        stores.append(FilesystemImageStore(tmp_path / f"store{len(stores)}", sources, CopyingOverlays()))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.mark.parametrize("packing", ["gzip", "zstd", "none"])
async def test_an_image_is_fetched_by_tag_and_by_digest(registry: Registry, opened: Opener, packing: str) -> None:
    made = image(files({"bin/hello": packing}), packing=packing, config={"Cmd": ["/bin/hello"]})
    registry.push(f"fetched/{packing}", "v1", made)
    store = opened(registry.name)

    resolved = await store.resolve(f"{registry.name}/fetched/{packing}:v1")
    found = await store.fetch(resolved.uri, resolved.digest)

    assert resolved.digest == made.digest
    assert resolved.platforms == (Platform(Architecture.X86_64, made.digest),)
    assert found.command == ("/bin/hello",)
    assert (store.root(found.digest) / "bin/hello").read_text() == packing
    assert (await store.resolve(f"{registry.name}/fetched/{packing}@sha256:{made.digest}")).digest == made.digest


@pytest.mark.parametrize("docker", [False, True])
async def test_an_index_offers_images_for_architectures(registry: Registry, opened: Opener, docker: bool) -> None:
    made = [image(files({"is": name}), architecture=name, docker=docker) for name in ("arm64", "amd64", "s390x")]
    index = registry.push(f"several{docker}".lower(), "v1", *made, docker=docker)
    store = opened(registry.name)

    resolved = await store.resolve(f"{registry.name}/several{docker}".lower() + ":v1")

    assert resolved.digest == index
    assert [one.architecture for one in resolved.platforms] == [Architecture.ARM64, Architecture.X86_64]
    arm = await store.fetch(resolved.uri, resolved.platforms[0].digest)
    assert (arm.architecture, (store.root(arm.digest) / "is").read_text()) == (Architecture.ARM64, "arm64")
