"""The layer workshop's commands as a user starts them: checking a layer near the limit, explaining a function's."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import archives
from bench.node import Node, code_zip
from bench.programs import CACHE, MissingToolError
from bench.results import Row

_LAMELLA: Final = Path(sys.executable).parent / "lamella"
_WHEELS: Final = ("numpy==2.2.6", "pandas==2.3.2", "pyarrow==20.0.0")
_ECHO: Final = code_zip({"main.py": b"def handler(event, context):\n    return event\n"})
_LAYERS: Final = 5
_LAYER_BYTES: Final = 18_000_000
"""Some two thousand files, twice as many as NumPy with Pillow."""


def measure(*, rounds: int) -> Iterator[Row]:
    """Whole commands, so that the start of Python and of the libraries is in it."""
    layer = _of_wheels()
    check_s: list[float] = []
    for _ in range(rounds):
        took_s, text = _run("layer", "check", str(layer), "--no-prove", "--json", "--fail-on", "error")
        check_s.append(took_s)
        document = json.loads(text)
        if not document["ok"]:
            raise RuntimeError(f"the layer of the measurement is not sound: {document['findings'][:3]}")
    yield Row(
        "workshop.check",
        "lamella layer check, static, layer of wheels near 250 MB",
        "s",
        check_s,
        {"zip_bytes": layer.stat().st_size},
    )
    explain_s: list[float] = []
    with Node() as node:
        arns = [
            node.publish_layer(f"l{seed}", archives.realistic(_LAYER_BYTES, seed=seed, package=f"l{seed}p"))
            for seed in range(_LAYERS)
        ]
        node.create("f", _ECHO, f"python3.{sys.version_info.minor}", Layers=arns)
        for _ in range(rounds):
            took_s, text = _run("layer", "explain", "f", AWS_ENDPOINT_URL=node.url)
            explain_s.append(took_s)
            if any(f"l{seed}:1" not in text for seed in range(_LAYERS)):
                raise RuntimeError("not all layers are explained")
    yield Row("workshop.explain", "lamella layer explain, five layers of 2,000 files each", "s", explain_s)


def _of_wheels() -> Path:
    path = CACHE / "archives" / "wheels.zip"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [_LAMELLA, "layer", "build", *_WHEELS, "--runtime", "python3.11", "--output", path]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise MissingToolError(f"the layer of wheels could not be built: {result.stderr[-500:]}")
    return path


def _run(*arguments: str, **variables: str) -> tuple[float, str]:
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", **variables}
    began_s = time.perf_counter()
    result = subprocess.run([_LAMELLA, *arguments], capture_output=True, text=True, env=environment, check=False)
    took_s = time.perf_counter() - began_s
    if result.returncode:
        raise RuntimeError(f"lamella {' '.join(arguments)}: {result.stderr[-500:]}")
    return took_s, result.stdout
