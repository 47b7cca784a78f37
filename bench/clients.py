"""What a row of the table of languages names: versions of the language and of its client, from what really runs."""

import base64
import hashlib
import json
import re
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class _Built:
    """What there is to look into, as `describe` takes it."""

    root: Path
    kept: Path
    directory: Path


_OWN: Final = "the layer's own"


def describe(language: str, root: Path, kept: Path, directory: Path) -> tuple[str, str]:
    """Version of a language, and its client of the Runtime API with its version.

    Args:
        language: Its name.
        root: The runtime's files, as functions see them.
        kept: Somewhere below it the server keeps the clients that it has fetched.
        directory: Where the project was built.
    """
    return _DESCRIBE[language](_Built(root, kept, directory))


def memory_of(log_result: str) -> int:
    """Max Memory Used, in MB, of a REPORT line in the log's tail."""
    found = re.search(r"Max Memory Used: (\d+) MB", base64.b64decode(log_result).decode(errors="replace"))
    assert found is not None, "the log's tail has no REPORT line"
    return int(found[1])


def make_options(language: str, runtime: str) -> list[str]:
    """What `make` is told on this machine: a compiler of Java knows no later Java, and a runtime all earlier ones."""
    if language != "java":
        return []
    return [f"RELEASE={min(int(_program('javac', '--version').partition('.')[0]), int(runtime.removeprefix('java')))}"]


def _python(built: _Built) -> tuple[str, str]:
    client = next((built.root / "var/runtime").glob("awslambdaric-*.dist-info")).name
    version = _said(built.root, "var/lang/bin/python3", "--version")
    return version, f"awslambdaric {client.split('-')[1].removesuffix('.dist')}"


def _node(built: _Built) -> tuple[str, str]:
    """The program does not say its version; the archive that it is from does."""
    program = hashlib.sha256((built.root / "var/runtime/index.mjs").read_bytes()).digest()
    for path in built.kept.rglob("aws-lambda-ric-*.tgz"):
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                file = archive.extractfile(member) if member.name.endswith("index.mjs") else None
                if file is not None and hashlib.sha256(file.read()).digest() == program:
                    return _said(built.root, "var/lang/bin/node", "--version"), path.stem.replace("ric-", "ric ")
    return _said(built.root, "var/lang/bin/node", "--version"), "aws-lambda-ric"


def _java(built: _Built) -> tuple[str, str]:
    jar = next((built.root / "var/runtime/lib").glob("aws-lambda-java-runtime-interface-client-*.jar")).stem
    release = (built.root / "var/lang/release").read_text() if (built.root / "var/lang/release").exists() else ""
    version = re.search(r'JAVA_VERSION="([^"]+)"', release)
    return version[1] if version else "", jar.replace("client-", "client ")


def _ruby(built: _Built) -> tuple[str, str]:
    specification = next(built.root.rglob("aws_lambda_ric-*.gemspec"), None)
    client = specification.stem.replace("-", " ") if specification else "Lamella's own"
    return _said(built.root, "var/lang/bin/ruby", "--version"), client


def _rust(built: _Built) -> tuple[str, str]:
    lock = tomllib.loads((built.directory / "function" / "Cargo.lock").read_text())
    version = next(package["version"] for package in lock["package"] if package["name"] == "lambda_runtime")
    return _program("rustc", "--version"), f"lambda_runtime {version}"


def _go(built: _Built) -> tuple[str, str]:
    program = built.directory / "build" / "function" / "bootstrap"
    about = subprocess.run(["go", "version", "-m", program], capture_output=True, text=True, check=True).stdout
    found = re.search(r"aws-lambda-go\s+v(\S+)", about)
    return _program("go", "version"), f"aws-lambda-go {found[1] if found else ''}"


def _c(_: _Built) -> tuple[str, str]:
    return "", "the function's own"


def _php(_: _Built) -> tuple[str, str]:
    return _program("php", "--version"), _OWN


def _lua(built: _Built) -> tuple[str, str]:
    with zipfile.ZipFile(built.directory / "build" / "layer.zip") as layer:
        program = layer.read("debian/usr/bin/lua5.4")
    found = re.search(rb"Lua (5\.4\.\d+)", program)
    return found[1].decode() if found else "5.4", f"{_OWN}, on LuaSocket"


def _shell(built: _Built) -> tuple[str, str]:
    return _said(built.root, "usr/bin/bash", "--version"), f"{_OWN}, on curl"


def _npm(name: str) -> Callable[[_Built], tuple[str, str]]:
    def found(built: _Built) -> tuple[str, str]:
        manifest = next((built.directory / "build/npm/node_modules").glob(f"{name}/package.json"))
        return str(json.loads(manifest.read_text())["version"]), f"{_OWN}, on fetch"

    return found


def _said(root: Path, program: str, option: str) -> str:
    """The version that a program of a runtime states, run by the runtime's own loader where it is."""
    return _program("chroot", root, f"/{program}", option)


def _program(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)*", done.stdout)
    return found[0] if found else ""


_DESCRIBE: Final[Mapping[str, Callable[[_Built], tuple[str, str]]]] = {
    "python": _python,
    "node": _node,
    "java": _java,
    "ruby": _ruby,
    "rust": _rust,
    "go": _go,
    "c": _c,
    "php": _php,
    "lua": _lua,
    "shell": _shell,
    "deno": _npm("@deno/linux-*"),
    "bun": _npm("@oven/bun-linux-*"),
}
