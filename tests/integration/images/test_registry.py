"""Images from registries: Debian's `docker-registry`, and a scripted one for what that does not do by itself."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.images import files, image
from tests.support.registry import HTPASSWD, PASSWORD, USER, Registry
from tests.support.scripted_registry import ScriptedRegistry

from lamella.domain.function import Architecture
from lamella.images import allowed
from lamella.images.credentials import AuthFiles
from lamella.images.sources import Sources
from lamella.images.store import FilesystemImageStore
from lamella.ports.images import ImageError, Platform
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


async def test_a_layer_that_is_here_is_not_asked_for(registry: Registry, opened: Opener) -> None:
    base = files({"base": "x" * 1000})
    first, second = image(base, files({"one": ""})), image(base, files({"two": ""}))
    registry.push("shared", "v1", first)
    registry.push("shared", "v2", second)
    store = opened(registry.name)
    await store.fetch(f"{registry.name}/shared:v1", first.digest)
    shared = next(name for name in first.blobs if name in second.blobs)
    registry.delete_blob(shared)
    found = await store.fetch(f"{registry.name}/shared:v2", second.digest)
    assert (store.root(found.digest) / "base").exists()


async def test_what_is_not_there_is_told_in_awss_words(registry: Registry, opened: Opener) -> None:
    made = image(files({"a": ""}))
    registry.push("known", "v1", made)
    store = opened(registry.name)
    for uri in (f"{registry.name}/known:v2", f"{registry.name}/unknown:v1", f"{registry.name}/known@sha256:{'0' * 64}"):
        with pytest.raises(ImageError) as missing:
            await store.resolve(uri)
        assert str(missing.value) == f"Source image {uri} does not exist. Provide a valid source image."
        assert missing.value.code == "ImageDeleted"


async def test_awss_names_can_be_served_by_another_registry(registry: Registry, opened: Opener) -> None:
    made = image(files({"a": ""}))
    registry.push("hello", "v1", made)
    registry.push("mirror/hello", "v1", made)
    for setting in (f"ecr=http://{registry.name}", f"{ECR}=http://{registry.name}/mirror"):
        resolved = await opened(setting).resolve(f"{ECR}/hello:v1")
        assert (resolved.uri, resolved.digest) == (f"{ECR}/hello:v1", made.digest)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that lets nobody in without a password."""
    with Registry(tmp_path_factory.mktemp("guarded"), htpasswd=HTPASSWD) as running:
        yield running


async def test_credentials_of_docker_login_are_used(guarded: Registry, opened: Opener) -> None:
    made = image(files({"a": ""}))
    guarded.push("private/hello", "v1", made)
    uri, wrong = f"{guarded.name}/private/hello:v1", {"auth": _basic(USER, "wrong")}
    right = {"auth": _basic(USER, PASSWORD)}
    for auths in (
        {guarded.name: right},
        {f"http://{guarded.name}/v2/": right},
        {f"{guarded.name}/private": right, guarded.name: wrong},
        {guarded.name: {"username": USER, "password": PASSWORD}},
    ):
        store = opened(guarded.name, auth={"auths": auths})
        assert (await store.fetch(uri, made.digest)).digest == made.digest
    for auths in ({}, {guarded.name: wrong}, {"127.0.0.1:1": right}, {guarded.name: {"auth": "not base64"}}):
        with pytest.raises(ImageError) as denied:
            await opened(guarded.name, auth={"auths": auths}).resolve(uri)
        assert denied.value.code == "ImageAccessDenied"
        assert str(denied.value).startswith(
            "Lambda does not have permission to access the ECR image. Check the ECR permissions."
        )
        assert PASSWORD not in str(denied.value)


async def test_a_credential_helper_is_asked(
    guarded: Registry, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = image(files({"a": ""}))
    guarded.push("helped", "v1", made)
    helper = tmp_path / "docker-credential-tests"
    helper.write_text(
        f'#!/bin/sh\n[ "$1" = get ] && [ "$(cat)" = {guarded.name} ] || exit 1\n'
        f'echo \'{{"Username": "{USER}", "Secret": "{PASSWORD}"}}\'\n'
    )
    helper.chmod(0o755)
    uri = f"{guarded.name}/helped:v1"
    with pytest.raises(ImageError, match="which is not installed"):
        await opened(guarded.name, auth={"credsStore": "tests"}).resolve(uri)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for auth in ({"credsStore": "tests"}, {"credHelpers": {guarded.name: "tests"}}):
        assert (await opened(guarded.name, auth=auth).resolve(uri)).digest == made.digest
    with pytest.raises(ImageError, match="which is not installed"):
        await opened(guarded.name, auth={"credsStore": "../../tests"}).resolve(uri)


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRegistry]:
    """A registry that answers as told; pauses between attempts are left out."""
    monkeypatch.setattr("lamella.images.http.FIRST_PAUSE_S", 0.0)
    with ScriptedRegistry() as running:
        yield running


async def test_tokens_are_fetched_where_the_registry_says(scripted: ScriptedRegistry, opened: Opener) -> None:
    made = image(files({"a": "1"}))
    scripted.serve(made, token="t-1")
    auth = {"auths": {scripted.name: {"auth": _basic(USER, PASSWORD)}}}
    store = opened(scripted.name, auth=auth)

    assert (await store.fetch(f"{scripted.name}/hello:v1", made.digest)).digest == made.digest

    asked = scripted.asked("/token")
    assert asked[0].query == {"service": "tests", "scope": "repository:hello:pull"}
    assert asked[0].authorization == f"Basic {_basic(USER, PASSWORD)}"
    assert len(asked) == 1, "a token serves for all parts"


async def test_a_token_that_has_expired_is_renewed(scripted: ScriptedRegistry, opened: Opener) -> None:
    made = image(files({"a": "1"}))
    scripted.serve(made, token="t-1", token_uses=2)
    await opened(scripted.name).fetch(f"{scripted.name}/hello:v1", made.digest)
    assert len(scripted.asked("/token")) == 2


async def test_an_identity_token_is_exchanged(scripted: ScriptedRegistry, opened: Opener) -> None:
    made = image(files({"a": "1"}))
    scripted.serve(made, token="t-1")
    store = opened(scripted.name, auth={"auths": {scripted.name: {"auth": "", "identitytoken": "refresh-me"}}})
    await store.resolve(f"{scripted.name}/hello:v1")
    (asked,) = scripted.asked("/token")
    assert asked.method == "POST"
    assert asked.form["refresh_token"] == "refresh-me"
    assert asked.form["grant_type"] == "refresh_token"


async def test_credentials_do_not_follow_a_redirect_to_another_host(scripted: ScriptedRegistry, opened: Opener) -> None:
    made = image(files({"a": "1"}))
    with ScriptedRegistry() as store_of_blobs:
        store_of_blobs.serve(made)
        scripted.serve(made, token="t-1", blobs_at=store_of_blobs.name)
        found = await opened(scripted.name).fetch(f"{scripted.name}/hello:v1", made.digest)
        assert found.digest == made.digest
        assert [one.authorization for one in store_of_blobs.requests] == ["", ""]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "", "ftp://127.0.0.1/x", "/v2/hello/blobs/again"])
async def test_a_redirect_to_nowhere_is_refused(scripted: ScriptedRegistry, opened: Opener, target: str) -> None:
    made = image(files({"a": "1"}))
    scripted.serve(made)
    scripted.redirect = target
    with pytest.raises(ImageError, match=r"redirects to|redirects without end"):
        await opened(scripted.name).fetch(f"{scripted.name}/hello:v1", made.digest)


async def test_a_dropped_layer_is_gone_on_with(scripted: ScriptedRegistry, opened: Opener) -> None:
    made = image(files({"a": bytes(range(256)) * 40}), packing="none")
    scripted.serve(made)
    scripted.drop_after = [3000, 2000]
    await opened(scripted.name).fetch(f"{scripted.name}/hello:v1", made.digest)
    ranges = [one.range for one in scripted.requests if one.range]
    assert ranges == ["bytes=3000-", "bytes=5000-"]


async def test_a_try_that_failed_is_gone_on_with_by_the_next(scripted: ScriptedRegistry, opened: Opener) -> None:
    made = image(files({"a": bytes(range(256)) * 40}), packing="none")
    scripted.serve(made)
    scripted.drop_after = [1000] * 5
    store = opened(scripted.name)
    with pytest.raises(ImageError, match="the connection was dropped, 5 times in a row") as failed:
        await store.fetch(f"{scripted.name}/hello:v1", made.digest)
    assert failed.value.code == "InternalError"
    scripted.requests.clear()
    await store.fetch(f"{scripted.name}/hello:v1", made.digest)
    assert [one.range for one in scripted.requests if one.range] == ["bytes=5000-"]


async def test_a_layer_that_gets_further_each_time_is_not_given_up(scripted: ScriptedRegistry, opened: Opener) -> None:
    made = image(files({"a": bytes(8 << 20)}), packing="none")
    scripted.serve(made)
    scripted.drop_after = [(1 << 20) + 1] * 6
    await opened(scripted.name).fetch(f"{scripted.name}/hello:v1", made.digest)
    assert len([one for one in scripted.requests if one.range]) == 6


async def test_bytes_that_are_not_those_of_the_digest_are_refused_and_not_kept(
    scripted: ScriptedRegistry, opened: Opener, tmp_path: Path
) -> None:
    made = image(files({"a": "right"}), packing="none")
    layer = next(name for name, blob in made.blobs.items() if blob.startswith(b"a\0"))
    config = next(name for name in made.blobs if name != layer)
    longer, shorter = made.blobs[layer] + b"\0" * 512, made.blobs[layer][:-512]
    for part, lie in (
        (layer, made.blobs[layer].replace(b"right", b"wrong")),
        (layer, longer),
        (config, made.blobs[config] + b" "),
    ):
        scripted.serve(made)
        scripted.parts[part] = lie
        store = opened(scripted.name)
        with pytest.raises(ImageError, match=r"is damaged|is not the one"):
            await store.fetch(f"{scripted.name}/hello:v1", made.digest)
        assert store.images() == []
        scripted.serve(made)
        assert (await store.fetch(f"{scripted.name}/hello:v1", made.digest)).digest == made.digest
    scripted.serve(made)
    scripted.parts[layer] = shorter
    with pytest.raises(ImageError, match="dropped"):
        await opened(scripted.name).fetch(f"{scripted.name}/hello:v1", made.digest)
    scripted.serve(made)
    scripted.manifests["v1"] = (made.manifest + b" ", made.media_type)
    scripted.told_digest = f"sha256:{made.digest}"
    with pytest.raises(ImageError, match=r"The manifest of .* is damaged"):
        await opened(scripted.name).resolve(f"{scripted.name}/hello:v1")


async def test_documents_without_end_are_not_read_to_it(scripted: ScriptedRegistry, opened: Opener) -> None:
    scripted.manifests["v1"] = (b" " * (4 * 1024 * 1024 + 1), "application/json")
    with pytest.raises(ImageError, match="larger than 4 MiB"):
        await opened(scripted.name).resolve(f"{scripted.name}/hello:v1")


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        (403, "does not have permission", "ImageAccessDenied"),
        (503, "it answered 503, 5 times", "InternalError"),
        (418, "answered 418", "InternalError"),
    ],
)
async def test_other_answers(scripted: ScriptedRegistry, opened: Opener, status: int, text: str, code: str) -> None:
    scripted.status = status
    with pytest.raises(ImageError, match=text) as refused:
        await opened(scripted.name).resolve(f"{scripted.name}/hello:v1")
    assert refused.value.code == code


async def test_a_registry_that_is_not_allowed_is_not_asked(scripted: ScriptedRegistry, opened: Opener) -> None:
    for setting in ((), ("ecr", "public.ecr.aws"), ("127.0.0.1:1",)):
        with pytest.raises(ImageError, match="may not be asked by this server") as denied:
            await opened(*setting).resolve(f"{scripted.name}/hello:v1")
        assert denied.value.code == "ImageAccessDenied"
    assert scripted.requests == []


async def test_a_registry_that_is_not_there(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamella.images.http.FIRST_PAUSE_S", 0.0)
    with pytest.raises(ImageError, match=r"cannot be reached \(Connection refused\)") as refused:
        await opened("127.0.0.1:1").resolve("127.0.0.1:1/hello:v1")
    assert refused.value.code == "InternalError"
    with pytest.raises(ImageError, match=r"There is no host registry\.invalid"):
        await opened("registry.invalid").resolve("registry.invalid/hello:v1")


async def test_plain_http_where_https_is_expected_is_told(scripted: ScriptedRegistry, opened: Opener) -> None:
    with pytest.raises(ImageError, match=r"set image_registries = 127.0.0.1:\d+=http://127.0.0.1:\d+"):
        await opened(f"{scripted.name}=https://{scripted.name}").resolve(f"{scripted.name}/hello:v1")


async def test_taking_away_what_is_unused_does_not_wait_for_a_layer_that_is_fetched(
    scripted: ScriptedRegistry, opened: Opener
) -> None:
    made = image(files({"a": bytes(300_000)}), packing="none")
    scripted.serve(made)
    store = opened(scripted.name)
    scripted.hold = True
    fetching = asyncio.ensure_future(store.fetch(f"{scripted.name}/hello:v1", made.digest))
    await asyncio.to_thread(scripted.held.wait)
    async with asyncio.timeout(5):
        assert await store.prune((), everything=True) == []
    scripted.go_on.set()
    assert (await fetching).digest == made.digest


async def test_a_store_that_is_closed_breaks_off(scripted: ScriptedRegistry, opened: Opener) -> None:
    made = image(files({"a": bytes(300_000)}), packing="none")
    scripted.serve(made)
    store = opened(scripted.name)
    scripted.hold = True
    fetching = asyncio.ensure_future(store.fetch(f"{scripted.name}/hello:v1", made.digest))
    await asyncio.to_thread(scripted.held.wait, 10)
    closing = asyncio.ensure_future(asyncio.to_thread(store.close))
    await asyncio.to_thread(store._stopping.wait, 10)
    scripted.go_on.set()
    with pytest.raises(ImageError, match="the server stops"):
        await fetching
    await closing
