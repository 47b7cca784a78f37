"""Where the contents of layers are found, and what wins where several hold the same name; with real sandboxes."""

import ctypes
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import PRELUDE, archive, create

pytestmark = pytest.mark.sandbox

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"python/lib/{PYTHON}/site-packages"


def layer(client: Any, files: dict[str, str | bytes]) -> str:
    answer = client.publish_layer_version(LayerName=f"l-{uuid.uuid4().hex[:12]}", Content={"ZipFile": archive(files)})
    return str(answer["LayerVersionArn"])


def library() -> bytes:
    """A shared object that the dynamic loader takes, whatever it is called."""
    ctypes.CDLL("libm.so.6")
    paths = [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libm" in line]
    return Path(paths[0]).read_bytes()


def tool(word: str) -> str:
    return f"#!/bin/bash\necho {word}\n"


HANDLER = """
import ctypes, re, subprocess
import everywhere, in_both, in_flat, in_site, boto3

def handler(event, context):
    found = {module.__name__: module.__file__ for module in (everywhere, in_both, in_flat, in_site, boto3)}
    for name in ("libmine.so", "libours.so"):
        ctypes.CDLL(name)
        found[name] = re.search(f"/.*/{name}", open("/proc/self/maps").read())[0]
    for program in ("mine", "cat"):
        found[program] = subprocess.run([program, "/dev/null"], capture_output=True, text=True).stdout
    return found
"""


def test_a_managed_runtime_finds_what_layers_hold(client: Any) -> None:
    """EN-10: the function before the layer, `site-packages` before `python`, and both before what the runtime brings;
    the system's programs before those of layers.
    """
    files: dict[str, str | bytes] = {
        f"{SITE}/everywhere.py": "",
        "python/everywhere.py": "",
        f"{SITE}/in_both.py": "",
        "python/in_both.py": "",
        "python/in_flat.py": "",
        f"{SITE}/in_site.py": "",
        "python/boto3.py": "",
        "bin/mine": tool("of the layer"),
        "bin/cat": tool("of the layer"),
        "lib/libmine.so": library(),
        "lib/libours.so": library(),
    }
    function = create(
        client,
        {"main.py": HANDLER, "everywhere.py": "", "lib/libours.so": library()},
        runtime=PYTHON,
        handler="main.handler",
        MemorySize=1769,
        Layers=[layer(client, files)],
    )
    answer = function.invoke()
    assert answer.error is None, answer.payload
    assert answer.document == {
        "everywhere": "/var/task/everywhere.py",
        "in_both": f"/opt/{SITE}/in_both.py",
        "in_flat": "/opt/python/in_flat.py",
        "in_site": f"/opt/{SITE}/in_site.py",
        "boto3": "/opt/python/boto3.py",
        "libmine.so": "/opt/lib/libmine.so",
        "libours.so": "/var/task/lib/libours.so",
        "mine": "of the layer\n",
        "cat": "",
    }


def test_a_custom_runtime_finds_what_layers_hold(client: Any) -> None:
    """EN-10: by `PATH` and `LD_LIBRARY_PATH`; of two layers the later one wins."""
    script = """
    where() { LD_PRELOAD=$1 cat /proc/self/maps | grep -om1 "/.*/$1"; }
    while true; do
        next
        R=("$(mine)" "$(twice)" "$(cat /dev/null)" "$(where libmine.so)" "$(where libours.so)")
        respond "$(printf '%s\\n' "${R[@]}")" >/dev/null
    done
    """
    first = layer(
        client,
        {
            "bin/mine": tool("of the first"),
            "bin/twice": tool("of the first"),
            "bin/cat": tool("of the first"),
            "lib/libmine.so": library(),
            "lib/libours.so": library(),
        },
    )
    second = layer(client, {"bin/twice": tool("of the second")})
    function = create(
        client,
        {"bootstrap": PRELUDE + script, "lib/libours.so": library()},
        MemorySize=1769,
        Layers=[first, second],
    )
    answer = function.invoke()
    assert answer.payload.decode().splitlines() == [
        "of the first",
        "of the second",
        "",
        "/opt/lib/libmine.so",
        "/var/task/lib/libours.so",
    ], answer.tail
