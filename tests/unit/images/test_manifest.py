"""Manifests, indexes and configurations, as anybody may write them."""

import json
from typing import Any

import pytest
from tests.support.images import DOCKER_LIST, OCI_INDEX, files, image, index

from lamella.domain.function import Architecture
from lamella.images.manifest import (
    Index,
    Manifest,
    check_kinds,
    read_configuration,
    read_document,
)
from lamella.ports.images import ImageError

MADE = image(files({"a": ""}))
HELLO = "example.com/hello:1"


def changed(**members: Any) -> bytes:
    return json.dumps({**json.loads(MADE.manifest), **members}).encode()


def test_a_manifest_names_its_parts() -> None:
    found = read_document(MADE.manifest, "", HELLO)
    assert isinstance(found, Manifest)
    assert found.digest == MADE.digest
    assert {found.config.digest, *(layer.digest for layer in found.layers)} == set(MADE.blobs)
    check_kinds(found, HELLO)


def test_an_index_offers_what_lambda_knows() -> None:
    images = [image(files({"a": name}), architecture=name) for name in ("riscv64", "arm64", "amd64")]
    text = json.loads(index(images))
    attestation = {**text["manifests"][0], "platform": {"os": "unknown", "architecture": "unknown"}}
    windows = {**text["manifests"][2], "platform": {"os": "windows", "architecture": "amd64"}}
    text["manifests"] += [attestation, windows, {**text["manifests"][2], "mediaType": "application/x"}]
    for kind in (OCI_INDEX, DOCKER_LIST):
        found = read_document(json.dumps({**text, "mediaType": kind}).encode(), "text/plain", HELLO)
        assert isinstance(found, Index)
        assert [one.architecture for one in found.platforms()] == [Architecture.ARM64, Architecture.X86_64]


def test_documents_without_a_type_are_told_by_what_they_have() -> None:
    assert isinstance(read_document(changed(mediaType=None), "", HELLO), Manifest)
    assert isinstance(read_document(b'{"manifests": []}', "", HELLO), Index)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "not JSON"),
        (b"[]", "not an object"),
        (b"[" * 100_000, "not JSON"),
        (changed(layers={}), "layers is not a list"),
        (changed(layers=[1]), "not an object"),
        (changed(config=None), "config is not an object"),
        (changed(layers=[{"mediaType": "x", "size": -1, "digest": f"sha256:{'0' * 64}"}]), "without a size"),
        (changed(layers=[{"mediaType": "x", "size": True, "digest": f"sha256:{'0' * 64}"}]), "without a size"),
        (changed(layers=[{"mediaType": "x", "size": 1, "digest": "sha256:../../etc/passwd"}]), "is not the digest"),
        (changed(layers=[{"mediaType": "x", "size": 1, "digest": f"sha512:{'0' * 128}"}]), "is not the digest"),
        (changed(layers=[json.loads(MADE.manifest)["layers"][0]] * 128), "at most 127"),
        (changed(mediaType="application/vnd.docker.distribution.manifest.v1+prettyjws"), "is not supported"),
        (b"{}", "is not supported"),
    ],
)
def test_misshapen_manifests_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as refused:
        read_document(data, "", HELLO)
    assert refused.value.code == "InvalidImage"
    assert str(refused.value).isprintable()


def test_what_is_no_image_is_refused_in_awss_words() -> None:
    chart = {**json.loads(MADE.manifest)["config"], "mediaType": "application/vnd.cncf.helm.config.v1+json"}
    layer = {**json.loads(MADE.manifest)["layers"][0], "mediaType": "application/vnd.in-toto+json"}
    for members in ({"config": chart}, {"layers": [layer]}):
        found = read_document(changed(**members), "", HELLO)
        assert isinstance(found, Manifest)
        with pytest.raises(ImageError) as refused:
            check_kinds(found, HELLO)
        assert str(refused.value).startswith(
            f"The image manifest, config or layer media type for the source image {HELLO} is not supported. "
        )
    huge = {**json.loads(MADE.manifest)["layers"][0], "size": 11 * 1024**3}
    found = read_document(changed(layers=[huge]), "", HELLO)
    assert isinstance(found, Manifest)
    with pytest.raises(ImageError, match="larger than 10 GB"):
        check_kinds(found, HELLO)


def test_a_configuration_says_how_an_image_is_run() -> None:
    made = image(
        files({"a": ""}),
        architecture="arm64",
        config={
            "Entrypoint": ["/a"], "Cmd": ["b", ""], "WorkingDir": "/w", "Env": ["A=1", "B=", "C=x=y"], "User": "u",
            "Labels": {"k": "v"}, "ExposedPorts": {"80/tcp": {}},
        },
    )  # fmt: skip
    found = read_configuration(made.config, HELLO)
    assert found.architecture is Architecture.ARM64
    assert (found.entrypoint, found.command, found.working_directory) == (("/a",), ("b", ""), "/w")
    assert found.env == {"A": "1", "B": "", "C": "x=y"}
    assert (found.user, found.labels, list(found.diff_ids)) == ("u", {"k": "v"}, made.diff_ids)
    bare = read_configuration(image(config=None, rootfs={"diff_ids": None}).config, HELLO)
    assert (bare.entrypoint, bare.command, bare.env) == ((), (), {})


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"os": "windows"}, "is for 'windows' on 'amd64'"),
        ({"architecture": "riscv64"}, "is for 'linux' on 'riscv64'"),
        ({"architecture": ["amd64"]}, "'architecture' is not a text"),
        ({"rootfs": None}, "rootfs is not an object"),
        ({"rootfs": {"diff_ids": ["x"]}}, "is not the digest"),
        ({"config": {"Cmd": "a b"}}, "Cmd is not a list of texts"),
        ({"config": {"Cmd": ["a\0"]}}, "Cmd is not a list of texts"),
        ({"config": {"Env": ["=x"]}}, "without a name"),
        ({"config": {"Labels": {"a": 1}}}, "is not a text"),
        ({"config": {"WorkingDir": 1}}, "is not a text"),
    ],
)
def test_misshapen_configurations_are_refused(members: dict[str, Any], reason: str) -> None:
    made = {**json.loads(MADE.config), **members}
    with pytest.raises(ImageError, match=reason):
        read_configuration(json.dumps(made).encode(), HELLO)
