"""What there is to try of a layer."""

import io
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from lamella.domain.function import Architecture
from lamella.layers.contents import LayerContents, open_contents
from lamella.layers.facts import FACTS
from lamella.layers.proving import Kind, Target, plan_proof

SITE = "python/lib/python3.11/site-packages"


@contextmanager
def layer(files: Mapping[str, str | bytes]) -> Iterator[LayerContents]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100755 << 16
            archive.writestr(info, content)
    with open_contents(buffer, label="layer") as contents:
        yield contents


def plan(files: Mapping[str, str | bytes], runtime: str = "python3.11") -> list[Target]:
    with layer(files) as contents:
        return plan_proof([contents], FACTS[runtime], Architecture.X86_64)


def names(files: Mapping[str, str | bytes], runtime: str = "python3.11") -> list[str]:
    return [target.name + ("?" if target.minor else "") for target in plan(files, runtime)]


def test_modules_and_packages_of_both_directories() -> None:
    assert names(
        {
            f"{SITE}/numpy/__init__.py": "",
            f"{SITE}/numpy/core/__init__.py": "",
            f"{SITE}/_cffi_backend.cpython-311-x86_64-linux-gnu.so": b"",
            "python/mine.py": "",
            "python/compiled.pyc": b"",
        }
    ) == ["_cffi_backend?", "numpy", "compiled", "mine"]


@pytest.mark.parametrize(
    "name",
    [
        "numpy-1.0.dist-info/METADATA",
        "numpy.libs/libopenblas.so",
        "bin/tool.py",
        "tests/__init__.py",
        "setup.py",
        "__pycache__/x.cpython-311.pyc",
        "with-dash.py",
        "class.py",
        "data.json",
        "share/man/man1/x.1",
        "py.typed",
    ],
)
def test_what_nobody_imports_is_left_out(name: str) -> None:
    assert names({f"{SITE}/{name}": ""}) == []


def test_namespace_packages_are_gone_into_for_what_distributions_offer() -> None:
    record = "google/cloud/storage/__init__.py,,\ngoogle/rpc/code_pb2.py,,\n"
    files = {
        f"{SITE}/google/cloud/storage/__init__.py": "",
        f"{SITE}/google/cloud/storage/blob.py": "",
        f"{SITE}/google/cloud/_private/__init__.py": "",
        f"{SITE}/google/rpc/code_pb2.py": "",
        f"{SITE}/google_cloud_storage-2.0.dist-info/RECORD": record,
    }
    assert names(files) == ["google.cloud.storage"]
    assert plan(files)[0].owner == "google_cloud_storage"


def test_extension_modules_come_behind_their_package() -> None:
    assert names(
        {
            f"{SITE}/PIL/__init__.py": "",
            f"{SITE}/PIL/_imaging.cpython-311-x86_64-linux-gnu.so": b"",
            f"{SITE}/PIL/deep/_rust.abi3.so": b"",
            f"{SITE}/PIL/_tests.cpython-311-x86_64-linux-gnu.so": b"",
            f"{SITE}/PIL/tests/_x.abi3.so": b"",
            f"{SITE}/PIL/libplain.so": b"",
            f"{SITE}/zz.py": "",
        }
    ) == ["PIL", "PIL._imaging?", "PIL.deep._rust?", "zz"]


@pytest.mark.parametrize("top", ["pkg", "space", "class"])
def test_trees_that_are_deep_beyond_reason(top: str) -> None:
    deep = "a/" * 5000
    files = {f"python/{top}/{deep}x.abi3.so": b"", f"{NODE}/{deep}package.json": "{}", f"bin/{deep}x": "#!/bin/sh"}
    assert names(files) == []
    assert names({**files, "python/pkg/__init__.py": ""}) == ["pkg"]


def test_modules_of_ones_own_in_a_directory_without_init() -> None:
    assert names({"python/helpers/text.py": "", "python/helpers/deep/er.py": ""}) == ["helpers.deep.er", "helpers.text"]


def test_a_later_layer_hides_an_earlier_one() -> None:
    with layer({"python/a.py": "", "python/b.py": ""}) as first, layer({"python/a/__init__.py": ""}) as second:
        found = plan_proof([first, second], FACTS["python3.12"], Architecture.X86_64)
    assert [target.place for target in found if target.name == "a"] == ["python/a"]


def test_a_great_many_modules_are_bounded() -> None:
    assert len(plan({f"python/m{number}.py": "" for number in range(2100)})) == 2000


def package(**members: object) -> str:
    return json.dumps({"name": "x", "version": "1.0.0", **members})


NODE = "nodejs/node_modules"


def test_node_packages() -> None:
    assert names(
        {
            f"{NODE}/axios/package.json": package(main="index.js", dependencies={"follow": "1"}),
            f"{NODE}/follow/package.json": package(main="index.js"),
            f"{NODE}/@scope/name/package.json": package(exports={"import": "./x.mjs"}),
            f"{NODE}/axios/node_modules/inner/package.json": package(main="x.js"),
            f"{NODE}/plain/package.json": package(),
            f"{NODE}/plain/index.js": "",
            "nodejs/own.js": "",
            "nodejs/node20/node_modules/newer/package.json": package(main="x"),
            "nodejs/node18/node_modules/older/package.json": package(main="x"),
        },
        "nodejs20.x",
    ) == ["newer", "@scope/name", "axios", "follow?", "plain", "/opt/nodejs/own.js?"]


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("@types/node", package(main="index.js")),
        ("types", package(types="index.d.ts")),
        ("types", package(main="index.d.ts")),
        ("tool", package(bin={"tool": "tool.js"})),
        ("parts", package(exports={"./part": "./part.js"})),
        ("other", package(main="x.js", os=["darwin"])),
        ("other", package(main="x.js", cpu="arm64")),
        ("other", package(main="x.js", libc=["musl"])),
        ("other", package(main="x.js", os=["!linux"])),
        ("broken", "{"),
        ("broken", "[" * 100_000),
        ("broken", "[]"),
    ],
)
def test_node_packages_that_are_not_required(name: str, manifest: str) -> None:
    assert names({f"{NODE}/{name}/package.json": manifest}, "nodejs20.x") == []


def test_jars() -> None:
    files = {"java/lib/a.jar": b"", "java/lib/deep/b.jar": b"", "java/lib/readme.txt": b""}
    assert names(files, "java17") == ["/opt/java/lib/a.jar"]


def elf(interpreter: bytes = b"") -> bytes:
    """The head of a 64-bit ELF file that names a loader."""
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    kind, name = (3, interpreter + b"\0") if interpreter else (1, b"")
    return header + struct.pack("<IIQQQQQQ", kind, 4, 120, 0, 0, len(name), len(name), 1) + name


def test_programs_and_scripts() -> None:
    found = plan(
        {
            "bin/git": elf(b"/lib64/ld-linux-x86-64.so.2"),
            "bin/musl": elf(b"/lib/ld-musl-x86_64.so.1"),
            "bin/static": elf(),
            "bin/run": "#!/bin/sh\n",
            "bin/readme": "text",
            "lib/libz.so.1": elf(),
            "lib/note.txt": "x",
            "extensions/agent": "no first line",
            "bootstrap": "#!/bin/bash\r\n",
        },
        "provided.al2023",
    )
    assert {(target.kind, target.name, target.loader) for target in found} == {
        (Kind.PROGRAM, "/opt/bin/git", "/lib64/ld-linux-x86-64.so.2"),
        (Kind.PROGRAM, "/opt/bin/musl", "/lib/ld-musl-x86_64.so.1"),
        (Kind.PROGRAM, "/opt/lib/libz.so.1", "/lib64/ld-linux-x86-64.so.2"),
        (Kind.SCRIPT, "/opt/bin/run", ""),
        (Kind.SCRIPT, "/opt/extensions/agent", ""),
        (Kind.SCRIPT, "/opt/bootstrap", ""),
    }


@pytest.mark.parametrize(
    "head",
    [
        b"\x7fELF",
        elf(b"/lib64/ld")[:100],
        elf(b"relative/loader"),
        elf(b"/lib/\x1b[31m"),
        elf(b"/x" * 200),
        b"\x7fELF\x02\x01\x01".ljust(32, b"\0") + b"\xff" * 40,
    ],
)
def test_damaged_programs_have_no_loader(head: bytes) -> None:
    assert plan({"bin/x": head}, "provided.al2023") == []


def test_names_with_control_characters_are_not_tried() -> None:
    assert plan({"bin/\x1b[31m": "#!/bin/sh", "java/lib/a\nb.jar": b""}, "java17") == []


def test_a_target_survives_json() -> None:
    target = plan({"python/a.py": ""})[0]
    assert Target.of_dict(json.loads(json.dumps(target.to_dict()))) == target
