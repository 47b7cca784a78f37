"""Layers that are made to harm whoever looks into them: findings, and nothing else."""

import io
import json
import struct
import time
import tracemalloc
import zipfile

import pytest
from tests.unit.layers.doctor.cases import LOOP, SITE, jar, lying, module, script, wheel
from tests.unit.layers.doctor.elves import elf, executable
from tests.unit.layers.doctor.making import File, check, codes, zipped

from lamella.layers import zips
from lamella.layers.contents import open_contents
from lamella.layers.doctor.tree import MergedTree
from lamella.layers.errors import LayerReadError

MIB = 1024 * 1024


def test_a_bomb_unpacks_to_no_more_than_it_states() -> None:
    archive = bytearray(zipped({"python/bomb.so": bytes(60 * MIB)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = archive.index(signature) + offset
        archive[at : at + 4] = struct.pack("<I", 1000)
    tracemalloc.start()
    findings = check(bytes(archive))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * MIB
    assert "damaged-file" in codes(findings)


def test_what_states_more_than_lambda_takes_is_not_unpacked() -> None:
    assert {"not-read", "too-large"} <= set(codes(check(lying(2000 * MIB))))


def test_links_in_a_circle_end() -> None:
    files = {
        "lib/a.so": File(b"b.so", 0o120777),
        "lib/b.so": File(b"a.so", 0o120777),
        "lib/self": File(b"self/self", 0o120777),
        "bin/x": File(executable(needed=["a.so"]), 0o755),
    }
    assert "missing-library" in codes(check(files))


@pytest.mark.parametrize("target", ["../../../etc/passwd", "/etc/passwd", "..", "/", "", "a/" * 2000])
def test_links_lead_nowhere_but_into_the_layers(target: str) -> None:
    with open_contents(io.BytesIO(zipped({"lib/a": File(target.encode(), 0o120777)}))) as contents:
        assert MergedTree([contents]).resolve("/opt/lib/a") is None


def test_libraries_that_need_each_other_are_found() -> None:
    assert codes(check({"lib/liba.so": elf(needed=["libb.so"]), "lib/libb.so": elf(needed=["liba.so"])})) == []


@pytest.mark.parametrize(
    "text",
    [
        "#!" + "/" * 100_000,
        "#!/usr/bin/env",
        "#!",
        "#!/usr/bin/env python3\n" + "(" * 50_000,
        "#!/usr/bin/env python3\n" + "-" * 50_000 + "1",
        "#!/usr/bin/env python3\nx = " + "a." * 20_000 + "b\n",
        "#!/usr/bin/env python3\n" + "import a" * 1000 + "\0",
        "#!/usr/bin/env python3\n'\\ud800'\n# invocation/next",
    ],
)
def test_scripts_that_no_parser_takes(text: str) -> None:
    check({"bootstrap": script(text)}, runtimes=["provided.al2023"])


@pytest.mark.parametrize(
    "document", ["[" * 100_000, '{"engines": 5}', '{"engines": {"node": 5}}', '{"name": 5}', "[]", ""]
)
def test_packages_of_node_that_make_no_sense(document: str) -> None:
    check({"nodejs/node_modules/a/package.json": document}, runtimes=["nodejs22.x"])


def test_a_range_of_versions_without_end_is_read_in_time() -> None:
    began = time.monotonic()
    check(module("a", engines={"node": "||".join([">=1" * 50] * 5000)}), runtimes=["nodejs22.x"])
    assert time.monotonic() - began < 2


def test_metadata_that_makes_no_sense() -> None:
    headers = (
        "Requires-Python: nonsense\nRequires-Dist: ((((\nRequires-Dist: a; python_version > 'x'\nRequires-Dist: b @ x\n"
    )
    files = wheel("strange", "not a version", headers=headers, tag="a-b")
    check({**files, **wheel("b", "also not")}, runtimes=["python3.12"])


def test_lists_tags_and_markers_that_grow_beyond_bounds() -> None:
    many = ".".join(f"a{number}" for number in range(5000))
    headers = f"Requires-Dist: a; {'(' * 50_000}\n"
    files = wheel("strange", "1.0", headers=headers, tag=f"{many}-{many}-{many}")
    files[f"{SITE}/strange-1.0.dist-info/RECORD"] = "x" * 200_000
    began = time.monotonic()
    check(files, runtimes=["python3.12"])
    assert time.monotonic() - began < 5


def test_jars_that_are_none() -> None:
    files = {"java/lib/a.jar": b"PK\x03\x04" + bytes(100), "java/lib/b.jar": jar(61)[:-30], "java/lib/c.jar": ""}
    check(files, runtimes=["java17"])


def test_a_jar_with_a_bomb_in_it() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/maven/g/a/pom.properties", bytes(40 * MIB))
        archive.writestr("a/A.class", bytes(40 * MIB))
    tracemalloc.start()
    check({"java/lib/a.jar": buffer.getvalue()}, runtimes=["java17"])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20 * MIB


def test_names_that_would_move_the_cursor_are_kept_as_they_are() -> None:
    findings = check({"python/\x1b[2J.so": elf("arm64")}, architectures=["x86_64"])
    assert findings[0].place == "python/\x1b[2J.so"  # whoever prints it escapes it
    json.dumps([finding.to_dict() for finding in findings])


def test_thousands_of_extensions_and_directories() -> None:
    files = {f"extensions/{number}/{'d/' * 50}x": script(LOOP) for number in range(200)}
    assert "extension-in-folder" in codes(check(files))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_cannot_be_unpacked_piece_by_piece_is_not_unpacked(method: int) -> None:
    """`zipfile` makes everything of 4 KiB of bzip2 at once, and that is gigabytes."""
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w", method) as archive:
        archive.writestr("A.class", bytes(24 * MIB))
        archive.writestr("META-INF/maven/g/a/pom.properties", bytes(24 * MIB))
    link = zipfile.ZipInfo("python/link")
    link.create_system, link.external_attr, link.compress_type = 3, 0o120777 << 16, method
    with zipfile.ZipFile(outer, "w", method) as archive:
        archive.writestr("python/bomb.so", bytes(24 * MIB))
        archive.writestr("java/lib/x-1.jar", inner.getvalue(), zipfile.ZIP_STORED)
        archive.writestr(link, bytes(24 * MIB))
    tracemalloc.start()
    findings = check(outer.getvalue())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 12 * MIB
    assert {"damaged-file", "refused-entry"} <= set(codes(findings))


def test_a_list_of_files_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped({f"python/{number}.py": b"" for number in range(50)})
    assert check(content) == []
    monkeypatch.setattr(zips, "DIRECTORY_MOST_BYTES", 1000)
    with pytest.raises(LayerReadError, match="list of files"), open_contents(io.BytesIO(content)):
        pass
    # The end record is the one that `zipfile` takes, whatever else looks like one.
    decoy = bytearray(content)
    decoy[-6:-2] = b"PK\5\6"
    with pytest.raises(LayerReadError, match="list of files"), open_contents(io.BytesIO(bytes(decoy))):
        pass


def test_numbers_that_python_refuses_are_not_read() -> None:
    huge = "1" * 5000
    metadata = (
        f"Name: p\nVersion: {huge}\nRequires-Python: >={huge}\nRequires-Dist: p>={huge}\n"
        f'Requires-Dist: q; python_version > "{huge}"\nRequires-Dist: q>={",>=".join(["1"] * 200_000)}\n'
    )
    began_s = time.monotonic()
    check({f"{SITE}/p-1.dist-info/METADATA": metadata.encode()})
    assert time.monotonic() - began_s < 2


def test_a_file_that_needs_all_libraries_in_all_places_takes_no_time() -> None:
    needed = [f"lib{number}.so" for number in range(8000)]
    began_s = time.monotonic()
    findings = check(
        {"bin/x": File(executable(needed=needed, rpath=":".join(f"$ORIGIN/{n}" for n in range(300))), 0o755)}
    )
    assert time.monotonic() - began_s < 2
    assert "damaged-file" in codes(findings)


def test_imports_are_not_looked_for_in_every_file() -> None:
    text = "#!/usr/bin/env python3\n" + "".join(f"import mod{number}\n" for number in range(5000))
    files: dict[str, File | bytes] = {f"lib/a{number}": b"" for number in range(5000)}
    began_s = time.monotonic()
    findings = check({**files, "extensions/e": File(text.encode(), 0o755)})
    assert time.monotonic() - began_s < 5
    assert "import-not-vendored" in codes(findings)
