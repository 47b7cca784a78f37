import json
from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.runtimes.errors import PackDamagedError
from lamella.runtimes.pack import Manifest, Origin

MANIFEST = Manifest(
    name="python3.11",
    architecture=Architecture.X86_64,
    digest="ab" * 32,
    version="python:3.11.vabababab",
    entrypoints=("/var/runtime/bootstrap",),
    env={"A": "1"},
    execution_env="AWS_Lambda_python3.11",
    size_bytes=5,
    origin=Origin("recipe", "/usr/bin/python3.11", {"/usr/bin/env": (3, 4)}),
    remarks=("without curses",),
)


def test_a_manifest_survives_storage() -> None:
    assert Manifest.parse(MANIFEST.to_json()) == MANIFEST


def test_the_pack_of_a_manifest_lies_beside_it() -> None:
    pack = MANIFEST.pack(Path("/data/x"))
    assert (pack.rootfs, pack.name, pack.managed) == (Path("/data/x/rootfs"), "python3.11", True)


@pytest.mark.parametrize("member", ["name", "architecture", "digest", "origin", "entrypoints", "format"])
def test_a_manifest_without_a_member_is_damaged(member: str) -> None:
    document = json.loads(MANIFEST.to_json())
    del document[member]
    with pytest.raises(PackDamagedError):
        Manifest.parse(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 2}'])
def test_what_is_no_manifest_is_damaged(text: str) -> None:
    with pytest.raises(PackDamagedError):
        Manifest.parse(text)


def test_another_recipe_asks_for_a_new_build() -> None:
    assert Origin("a").is_current("a")
    assert not Origin("a").is_current("b")


def test_a_source_that_is_gone_asks_for_a_new_build() -> None:
    assert not Origin("a", sources={"/nowhere/lib.so": (1, 2)}).is_current("a")
