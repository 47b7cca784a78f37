"""`lamella layer show`, `tree`, `diff` and `explain` against a real server, and against what a function really sees."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import ROLE, archive, create
from tests.support.images import files, image, write_layout
from tests.support.layers import publish
from tests.support.server import LamellaServer
from tests.support.zips import LINK, Entry, make_zip

RUNTIME = f"python3.{sys.version_info.minor}"
SITE = f"python/lib/{RUNTIME}/site-packages"
LOOKS = """
import os, sys

def handler(event, context):
    found = {}
    for directory, directories, files in os.walk("/opt"):
        links = [name for name in directories if os.path.islink(os.path.join(directory, name))]
        for name in files + links:
            path = os.path.join(directory, name)
            found[path] = "-> " + os.readlink(path) if os.path.islink(path) else open(path).read()
    return {"files": found, "path": sys.path, "which": __import__("which").BY, "tool": __import__("tool").BY}
"""


def info(name: str, version: str, directory: str = "python") -> dict[str, str]:
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {f"{directory}/{name}-{version}.dist-info/METADATA": text}


def explain(server: LamellaServer, *arguments: str) -> Any:
    return json.loads(server.lamella("layer", "explain", *arguments, "--json").stdout)


@pytest.mark.sandbox
def test_what_is_explained_is_what_a_function_sees(server: LamellaServer, client: Any) -> None:
    first: dict[str, str | bytes] = {
        "bin/tool": "1",
        "x/below": "1",
        "y": "1",
        "z/old": "1",
        "python/which.py": "BY = 'first'",
        "python/pkg/__init__.py": "1",
        "python/pkg/left_over.py": "1",
        **info("pkg", "1.0"),
        f"{SITE}/tool.py": "BY = 'first'",
        "python/handler_helper.py": "1",
    }
    second: dict[str, str | bytes] = {
        "x": "a file",
        "y/below": "2",
        "z": "between",
        "python/which.py": "BY = 'second'",
        "python/pkg/__init__.py": "2",
        **info("pkg", "2.0"),
        "python/tool.py": "BY = 'second'",
    }
    third = make_zip(
        Entry(b"z/new", b"3"), Entry(b"bin/link", b"tool", mode=LINK | 0o777), Entry(b"lib", b"python", LINK)
    )
    layers = [publish(client, one) for one in (first, second, third)]
    function = create(client, {"index.py": LOOKS}, runtime=RUNTIME, handler="index.handler", Layers=layers)
    seen = function.invoke().document
    found = explain(server, function.name, "--files")
    labels = [":".join(arn.split(":")[-2:]) for arn in layers]
    sources: dict[str, dict[str, str]] = {
        labels[0]: {f"/opt/{name}": str(content) for name, content in first.items()},
        labels[1]: {f"/opt/{name}": str(content) for name, content in second.items()},
        labels[2]: {"/opt/z/new": "3", "/opt/bin/link": "-> tool", "/opt/lib": "-> python"},
    }
    assert {one["path"]: sources[one["layer"]][one["path"]] for one in found["files"]} == seen["files"]
    [path] = [one for one in found["search_paths"] if one["name"] == "sys.path"]
    expected = [one["path"] for one in path["directories"] if one["path"].startswith(("/opt", "/var/task"))]
    assert list(dict.fromkeys(one for one in seen["path"] if one.startswith(("/opt", "/var/task")))) == expected
    # The later layer wins in one directory; the directory that is searched first wins whatever the layers' order is.
    assert (seen["which"], seen["tool"]) == ("second", "first")
    [tool] = [one for one in found["shadows"] if one["name"] == "tool"]
    assert tool["used"]["by"] == labels[0]
    [mix] = found["mixes"]
    assert [(part["by"], part["version"], part["files_seen"]) for part in mix["parts"]] == [
        (labels[1], "2.0", 1),
        (labels[0], "1.0", 1),
    ]
    conflicts = {(one["path"], one["used"], one["hidden"]): one["conflict"] for one in found["overrides"]}
    assert conflicts["/opt/x", labels[1], labels[0]] == "file-over-directory"
    assert conflicts["/opt/y", labels[1], labels[0]] == "directory-over-file"
    assert conflicts["/opt/z", labels[2], labels[1]] == "directory-over-file"
    assert conflicts["/opt/z", labels[2], labels[0]] == "directory-over-file"


def test_versions_that_are_superseded_and_those_that_are_gone(server: LamellaServer, client: Any) -> None:
    old = publish(client, {"a": "1"}, name="look-superseded")
    publish(client, {"a": "2"}, name="look-superseded")
    gone = publish(client, {"b": "1"}, name="look-gone")
    function = create(client, {"bootstrap": "#!/bin/sh\nsleep 60"}, Layers=[old, gone])
    client.delete_layer_version(LayerName="look-gone", VersionNumber=1)
    client.publish_version(FunctionName=function.name)
    found = explain(server, function.name, "--qualifier", "1")
    superseded, deleted = found["layers"]
    assert (superseded["newest_version"], superseded["problem"]) == (2, None)
    assert deleted["unzipped_bytes"] is None
    assert "look-gone:1 cannot be looked at" in found["warnings"][1]
    assert found["warnings"][0] == "look-superseded:1 is superseded: the newest version is 2"
    plain = server.lamella("layer", "explain", function.name).stdout
    assert "Started by: /var/task/bootstrap of function code" in plain
    assert "2. look-gone:1  cannot be looked at" in plain


def test_a_layer_version_is_shown_compared_and_listed(server: LamellaServer, client: Any, tmp_path: Path) -> None:
    def version(files: dict[str, str | bytes]) -> str:
        answer = client.publish_layer_version(
            LayerName="look-imaging",
            Content={"ZipFile": archive(files)},
            CompatibleRuntimes=["python3.12"],
            CompatibleArchitectures=["x86_64"],
            Description="escape \x1b[31m",
            LicenseInfo="MIT",
        )
        return str(answer["LayerVersionArn"])

    version({"python/a.py": "1", "python/b.py": "1", "evil\x1b[2J": "x", **info("pkg", "1.9")})
    newest = version({"python/a.py": "2", **info("pkg", "1.10")})
    shown = server.lamella("layer", "show", "look-imaging:1").stdout
    assert "\x1b" not in shown
    assert "look-imaging, version 1" in shown
    assert "pkg" in shown
    assert "evil\\x1b[2J" in shown
    document = json.loads(server.lamella("layer", "show", "look-imaging", "--json").stdout)
    assert document["version"]["arn"] == newest
    assert document["version"]["runtimes"] == ["python3.12"]
    assert [(one["name"], one["version"]) for one in document["packages"]] == [("pkg", "1.10")]
    diff = server.lamella("layer", "diff", "look-imaging:1..2", "--json", check=False)
    assert diff.returncode == 1
    changes = json.loads(diff.stdout)
    assert changes["vanished_modules"] == ["b"]
    assert [(one["old"], one["new"], one["change"]) for one in changes["packages"]] == [(["1.9"], ["1.10"], "up")]
    plain = server.lamella("layer", "diff", "look-imaging:1..2", check=False).stdout
    assert "\x1b" not in plain
    assert "~ pkg (pypi) 1.9 -> 1.10" in plain
    assert server.lamella("layer", "diff", newest, "look-imaging", "--no-check").stdout.endswith(
        "files are the same.\n"
    )
    listed = server.lamella("layer", "tree", "look-imaging:1", "--all").stdout
    assert "\x1b" not in listed
    assert "└── python/" in listed
    below = json.loads(server.lamella("layer", "tree", newest, "/opt/python", "--json").stdout)
    assert (below["path"], below["kind"]) == ("/opt/python", "directory")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("show", "nowhere.zip"), 2, "there is no file or directory 'nowhere.zip'"),
        (("show", "no-such-layer"), 3, "there is no layer 'no-such-layer'"),
        (("show", "no-such-layer:1"), 3, "there is no layer version no-such-layer:1"),
        (("show", "a\x1b[31mb"), 2, "there is no file"),
        (("diff", "one"), 2, "name two layers"),
        (("diff", "broken.zip", "broken.zip"), 2, "is not a zip archive"),
        (("tree", "good.zip", "nowhere"), 1, "there is nothing at 'nowhere'"),
        (("explain", "no-such-function"), 3, "ResourceNotFoundException"),
        (("explain", "f", "--endpoint", "http://127.0.0.1:9"), 3, "127.0.0.1:9"),
    ],
)
def test_wrong_names(
    server: LamellaServer, tmp_path: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    (tmp_path / "good.zip").write_bytes(archive({"a": "1"}))
    answer = server.lamella("layer", *arguments, check=False, cwd=tmp_path)
    assert (answer.returncode, answer.stdout) == (status, "")
    assert words in answer.stderr
    assert "\x1b" not in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_function_of_an_image_has_no_layers(server: LamellaServer, client: Any, tmp_path: Path) -> None:
    name = "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:1"
    layout = write_layout(tmp_path, {"v1": image(files({"app": "1"}), config={"Cmd": ["/app"]})})
    server.lamella("image", "load", layout, name)
    client.create_function(FunctionName="look-image", PackageType="Image", Role=ROLE, Code={"ImageUri": name})
    answer = server.lamella("layer", "explain", "look-image", check=False)
    assert answer.returncode == 1
    assert "is a container image" in answer.stderr
