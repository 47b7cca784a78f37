"""Images of the store: their layers unpacked once, merged by the kernel's own overlayfs."""

import asyncio
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.images import Made, archive, files, image, member, write_layout

from lamella.adapters.sandbox import syscalls
from lamella.adapters.sandbox.overlays import KernelOverlays
from lamella.images.sources import Sources
from lamella.images.store import FilesystemImageStore
from lamella.ports.images import ImageError, Platform, StoredImage

pytestmark = pytest.mark.sandbox

NAME = "111122223333.dkr.ecr.us-east-1.amazonaws.com/hello"
Opener = Callable[[], FilesystemImageStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens the store of a directory, as a server does when it starts; the last one is closed first."""
    stores: list[FilesystemImageStore] = []

    def open_store() -> FilesystemImageStore:
        if stores:
            stores.pop().close()
        stores.append(FilesystemImageStore(tmp_path / "store", Sources(paths=[tmp_path]), KernelOverlays()))
        return stores[0]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Opener) -> FilesystemImageStore:
    return opened()


@pytest.fixture
def uri(tmp_path: Path) -> Callable[..., str]:
    """Writes a layout for images, and tells its name."""

    def write(*made: Made) -> str:
        write_layout(tmp_path / "layout", {f"v{number}": one for number, one in enumerate(made)})
        return f"oci:{tmp_path}/layout:v"

    return write


async def fetch(store: FilesystemImageStore, uri: str) -> tuple[StoredImage, Path]:
    resolved = await store.resolve(uri)
    found = await store.fetch(uri, resolved.platforms[0].digest)
    return found, store.root(found.digest)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_layers_are_merged_with_what_they_take_away(store: FilesystemImageStore, uri: Callable[..., str]) -> None:
    lower = files({"etc/": "", "etc/a": "1", "etc/b": "1", "gone/x": "", "swept/old": "", "bin/tool": "x"})
    upper = files({"etc/b": "2", "etc/.wh.a": "", ".wh.gone": "", "swept/.wh..wh..opq": "", "swept/new": ""})
    made = image(lower, upper, config={"Entrypoint": ["/bin/tool"], "Cmd": ["serve"], "WorkingDir": "/etc"})

    found, root = await fetch(store, uri(made) + "0")

    assert not (root / "etc/a").exists()
    assert (root / "etc/b").read_text() == "2"
    assert not (root / "gone").exists()
    assert names(root / "swept") == ["new"]
    assert os.access(root / "bin/tool", os.X_OK)
    assert found.digest == made.digest
    assert (found.entrypoint, found.command, found.working_directory) == (("/bin/tool",), ("serve",), "/etc")
    with pytest.raises(OSError, match="Read-only"):
        (root / "new").touch()


async def test_a_root_has_what_sandboxes_are_mounted_on(store: FilesystemImageStore, uri: Callable[..., str]) -> None:
    """Whatever the image has there: nothing, its own, links to elsewhere, or links to where nothing is."""
    own = archive(
        [
            (member("tmp/", b"5", mode=0o1777), b""),
            (member("opt/extensions/e"), b"e"),
            (member("var/task/f"), b"f"),
            (member("etc/hosts"), b"mine"),
        ]
    )
    linked = files({"tmp": "->/var/tmp", "var/tmp/": "", "etc/resolv.conf": "->../run/systemd/resolve/stub.conf"})
    swept = files({".wh.tmp": "", "etc/.wh.hosts": ""})
    place = uri(image(files({"hello": "x"})), image(own), image(linked), image(own, swept))

    roots = [(await fetch(store, f"{place}{number}"))[1] for number in range(4)]

    for root in roots:
        assert mode(root) == 0o755
        for directory in ("proc", "dev", "tmp", "var/task", "opt"):
            assert (root / directory).is_dir() or (root / directory).readlink() == Path("/var/tmp"), directory
        assert (root / "etc/hosts").is_file()
        assert stat.S_ISREG((root / "etc/resolv.conf").lstat().st_mode)
    assert mode(roots[1] / "tmp") == 0o1777
    assert (roots[1] / "opt/extensions/e").exists()
    assert (roots[1] / "var/task/f").exists()
    assert (roots[1] / "etc/hosts").read_text() == "mine"
    assert (roots[3] / "etc/hosts").read_text() == ""


async def test_an_image_with_something_else_there_is_refused(
    store: FilesystemImageStore, uri: Callable[..., str]
) -> None:
    for number, content in enumerate(({"opt": "a file"}, {"etc/hosts/": ""}, {"var": "->/dev/null/x"})):
        with pytest.raises(ImageError, match="none can be made there") as refused:
            await fetch(store, uri(*[image(files(content))] * (number + 1)) + str(number))
        assert refused.value.code == "InvalidImage"


async def test_directories_that_a_layer_does_not_describe_are_as_below(
    store: FilesystemImageStore, uri: Callable[..., str]
) -> None:
    lower = archive([(member("work/", b"5", mode=0o1777, uid=5, gid=6), b"")])
    made = image(lower, files({"work/a/b": ""}), files({"work/a/c": "", "work/d": ""}))
    _, root = await fetch(store, uri(made) + "0")
    status = (root / "work").stat()
    assert (mode(root / "work"), status.st_uid, status.st_gid) == (0o1777, 5, 6)
    assert names(root / "work") == ["a", "d"]
    assert mode(root / "work/a") == 0o755


async def test_a_layer_can_hide_all_below_it(store: FilesystemImageStore, uri: Callable[..., str]) -> None:
    made = image(files({"old": ""}), files({".wh..wh..opq": "", "new": ""}), files({"newer": ""}))
    _, root = await fetch(store, uri(made) + "0")
    assert {"new", "newer"} <= set(names(root))
    assert not (root / "old").exists()


async def test_an_image_without_layers_or_with_one_twice(store: FilesystemImageStore, uri: Callable[..., str]) -> None:
    again = files({"a": "again"})
    place = uri(image(), image(again, files({"a": "between", "b": ""}), again))
    nothing, twice = [(await fetch(store, f"{place}{number}"))[1] for number in range(2)]
    assert names(nothing) == ["dev", "etc", "opt", "proc", "tmp", "var"]
    assert ((twice / "a").read_text(), (twice / "b").exists()) == ("again", True)


async def test_more_layers_than_mount_options_could_name(store: FilesystemImageStore, uri: Callable[..., str]) -> None:
    layers = [files({f"f{number}": str(number), "same": str(number)}) for number in range(40)]
    _, root = await fetch(store, uri(image(*layers, packing="none")) + "0")
    assert ((root / "f0").read_text(), (root / "same").read_text()) == ("0", "39")


async def test_a_shared_layer_is_unpacked_once_and_stays_while_one_image_has_it(
    store: FilesystemImageStore, uri: Callable[..., str], tmp_path: Path
) -> None:
    base, one, two = files({"base": "shared"}), files({"one": ""}), files({"two": ""})
    # The same layer, packed in another way: another digest for a registry, the same here.
    first, second = image(base, one), image(base, two, packing="zstd")
    place = uri(first, second)

    (a, root_a), (b, root_b) = await fetch(store, place + "0"), await fetch(store, place + "1")

    assert a.layers[0] == b.layers[0]
    assert len(names(tmp_path / "store/layers")) == 3
    tree = tmp_path / "store/layers" / a.layers[0] / "tree/base"
    assert (root_a / "base").read_text() == (root_b / "base").read_text() == "shared"
    assert await store.prune([b.digest], everything=True) == [a.digest]
    assert tree.exists()
    assert len(names(tmp_path / "store/layers")) == 2
    assert await store.prune([], everything=True) == [b.digest]
    assert names(tmp_path / "store/layers") == names(tmp_path / "store/images") == []
    with pytest.raises(ImageError, match="not on this node any more"):
        store.root(b.digest)


async def test_images_are_there_after_a_restart_and_litter_is_not(
    opened: Opener, uri: Callable[..., str], tmp_path: Path
) -> None:
    found, _ = await fetch(
        opened(), uri(image(files({"a": "1"}), config={"Env": ["A=1=2"], "Labels": {"l": "m"}})) + "0"
    )
    (tmp_path / "store/staging/x").mkdir()
    (tmp_path / "store/images" / ("0" * 64)).mkdir()

    store = opened()

    assert store.find(found.digest) == found
    assert found.env == {"A": "1=2"}
    assert (store.root(found.digest) / "a").read_text() == "1"
    assert names(tmp_path / "store/staging") == []
    assert names(tmp_path / "store/images") == [found.digest]


async def test_an_image_whose_layer_is_damaged_is_fetched_anew(
    opened: Opener, uri: Callable[..., str], tmp_path: Path
) -> None:
    place = uri(image(files({"a": "1"}))) + "0"
    found, _ = await fetch(opened(), place)
    (tmp_path / "store/layers" / found.layers[0] / "layer.json").write_text("{")
    store = opened()
    assert store.find(found.digest) is None
    assert (await fetch(store, place))[1].joinpath("a").read_text() == "1"


async def test_an_image_that_comes_back_before_its_root_has_gone(
    store: FilesystemImageStore, uri: Callable[..., str]
) -> None:
    named = uri(image(files({"a": "1"}))) + "0"
    found, before = await fetch(store, named)
    del store._records[found.digest]  # as somebody does who takes it away, before anything else
    _, after = await fetch(store, named)
    assert (names(after), after) == (names(before), before)
    assert {"a", "proc", "tmp"} <= set(names(after))


async def test_the_same_image_wanted_by_many_is_fetched_once(
    store: FilesystemImageStore, uri: Callable[..., str]
) -> None:
    place = uri(image(files({"a": "1"}))) + "0"
    digest = (await store.resolve(place)).digest
    told: list[int] = []
    found = await asyncio.gather(*(store.fetch(place, digest, lambda *at: told.append(at[1])) for _ in range(6)))
    assert told == [1]
    assert all(one == found[0] for one in found)


async def test_what_nobody_uses_is_spared_while_it_is_new_wanted_or_named(
    store: FilesystemImageStore, uri: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = uri(*(image(files({"a": str(number)})) for number in range(3)))
    kept, plain, named = [(await fetch(store, f"{place}{number}"))[0].digest for number in range(3)]
    await store.keep(kept, "somewhere/else:1")
    assert await store.prune([]) == [], "they were fetched just now"

    monkeypatch.setattr("lamella.images.store._RECENT_S", -1.0)
    packed = _packed(write_layout(tmp_path / "one", {"": image(files({"a": "2"}))}), tmp_path / "load.tar")
    await store.load(packed, f"{NAME}:1")

    assert await store.prune([]) == [plain]
    assert sorted(await store.prune([], everything=True)) == sorted([kept, named])
    assert store.names_of(named) == []


def _packed(layout: Path, target: Path) -> Path:
    with tarfile.open(target, "w") as tar:
        tar.add(layout, ".")
    return target


async def test_a_loaded_archive_has_a_name_that_no_registry_is_asked_for(opened: Opener, tmp_path: Path) -> None:
    made: Sequence[Made] = [image(files({"a": name}), architecture=name) for name in ("amd64", "arm64")]
    packed = _packed(write_layout(tmp_path / "layout", {"v1": made}), tmp_path / "images.tar")

    loaded = await opened().load(packed, f"{NAME}:1", "v1")
    store = opened()  # which also remembers
    resolved = await store.resolve(f"{NAME}:1")
    by_digest = await store.resolve(f"{NAME}@sha256:{made[1].digest}")

    assert resolved.digest == loaded.digest
    assert [one.digest for one in resolved.platforms] == [one.digest for one in made]
    assert by_digest.platforms == (Platform(resolved.platforms[1].architecture, made[1].digest),)
    assert await store.fetch(resolved.uri, made[1].digest) == store.find(made[1].digest)
    await store.remove(made[1].digest)
    assert [one.digest for one in (await store.resolve(f"{NAME}:1")).platforms] == [made[0].digest]
    await store.load(_packed(write_layout(tmp_path / "next", {"": made[1]}), packed), f"{NAME}:1")
    assert (await store.resolve(f"{NAME}:1")).digest == made[1].digest
    with pytest.raises(ImageError, match="may not be asked"):
        await store.resolve(f"{NAME}:2")


@pytest.mark.parametrize("name", ["hello", "oci:/x", f"{NAME}@sha256:{'0' * 64}", "a b/c:1"])
async def test_a_name_for_a_loaded_image_is_one_of_a_registry(
    store: FilesystemImageStore, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=r"names no image|no name for an image"):
        await store.load(tmp_path / "none.tar", name)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system for a store: a small one, or one that is an overlay itself."""
    target = tmp_path / "mounted"
    target.mkdir()

    def mount(kind: str) -> Path:
        if kind == "small":
            syscalls.mount("tmpfs", str(target), "tmpfs", 0, "size=1m")
        else:
            for name in ("lower", "upper", "work"):
                (tmp_path / name).mkdir()
            KernelOverlays().mount_writable([tmp_path / "lower"], target, tmp_path / "upper", tmp_path / "work")
        return target

    yield mount
    syscalls.umount(str(target), syscalls.MNT_DETACH)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("small", "No space left on device. Make room"), ("overlay", "has to hold devices and extended attributes")],
)
async def test_a_file_system_that_does_not_take_an_image_is_told(
    mounted: Callable[[str], Path], uri: Callable[..., str], tmp_path: Path, kind: str, reason: str
) -> None:
    place = uri(image(files({"a": bytes(2_000_000), ".wh.b": ""}))) + "0"
    store = FilesystemImageStore(mounted(kind), Sources(paths=[tmp_path]), KernelOverlays())
    try:
        with pytest.raises(ImageError, match=reason) as failed:
            await fetch(store, place)
        assert failed.value.code == "InternalError"
        assert store.images() == []
        assert names(tmp_path / "mounted/staging") == names(tmp_path / "mounted/layers") == []
    finally:
        store.close()


async def test_an_index_or_another_digest_is_no_image(
    store: FilesystemImageStore, uri: Callable[..., str], tmp_path: Path
) -> None:
    made = image(files({"a": ""}))
    write_layout(tmp_path / "layout", {"several": [made, image(files({"b": ""}), architecture="arm64")]})
    place = f"oci:{tmp_path}/layout:several"
    index = (await store.resolve(place)).digest
    with pytest.raises(ImageError, match="is an index of images"):
        await store.fetch(place, index)
    with pytest.raises(ImageError, match="is not there"):
        await store.fetch(place, "0" * 64)
    assert store.images() == []
