"""Publishing a layer against `unzip` of the same file, on the same disk in the same run."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import archives
from bench.node import Node, publish_body
from bench.programs import CACHE, MissingToolError
from bench.results import Row

_ZIP_BYTES: Final = 50_000_000


def measure(*, rounds: int) -> Iterator[Row]:
    """`unzip` leaves its files to the kernel, an answered publish is on the disk: hence the row with sync."""
    if shutil.which("unzip") is None:
        raise MissingToolError("no unzip: apt-get install unzip")
    archive = archives.realistic(_ZIP_BYTES, seed=1)
    publish_s: list[float] = []
    unzip_s: list[float] = []
    unzip_sync_s: list[float] = []
    scratch = CACHE / "unzip"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        with Node() as node, node.caller() as caller:
            # Nothing is deleted between the rounds: for half a minute ext4 avoids inodes that were just freed, which
            # makes both sides several times slower.
            for turn in range(rounds):
                variant = archives.varied(archive, time.time_ns() + turn)
                path = scratch / f"{turn}.zip"
                path.write_bytes(variant)
                body = publish_body(variant)
                os.sync()
                plain, synced = _unzip(path, scratch / f"{turn}")
                unzip_s.append(plain)
                unzip_sync_s.append(synced)
                os.sync()
                publish_s.append(caller.call("POST", "/2018-10-31/layers/bench/versions", body)[0])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    more = {"zip_bytes": len(archive)}
    yield Row("publish.seconds", "PublishLayerVersion, 50 MB zip, over HTTP", "s", publish_s, more)
    yield Row("publish.unzip", "  unzip -q of the same", "s", unzip_s)
    yield Row("publish.unzip_sync", "  unzip -q and sync", "s", unzip_sync_s)
    paired = [a / b for a, b in zip(publish_s, unzip_sync_s, strict=True)]
    yield Row("publish.ratio", "  publish against unzip and sync", "x", paired)


def _unzip(path: Path, target: Path) -> tuple[float, float]:
    began_s = time.perf_counter()
    subprocess.run(["unzip", "-q", str(path), "-d", str(target)], check=True)
    plain_s = time.perf_counter() - began_s
    os.sync()
    return plain_s, time.perf_counter() - began_s
