"""Publishing a layer against `unzip`: how long until a zip is checked, stored, extracted and on the disk.

Run: python bench/publish.py [--runs 5] [--dir /var/tmp]. Builds a zip of about 50 MB out of this interpreter's own
site-packages: thousands of Python files, and shared objects, as a layer has them.
"""

import argparse
import asyncio
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from lamella.adapters.filesystem.artifacts import FilesystemArtifactStore

TARGET_BYTES = 50_000_000


def build_zip() -> bytes:
    sources = [Path(path) for path in sys.path if path.endswith("site-packages")]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for turn in range(100):
            for path in sorted(file for source in sources for file in source.rglob("*")):
                if path.is_file() and not path.is_symlink() and path.stat().st_size < 30_000_000:
                    archive.write(path, f"python/{turn}/" + str(path).rpartition("site-packages/")[2])
                if buffer.tell() > TARGET_BYTES:
                    return finish(archive, buffer)
    return buffer.getvalue()


def finish(archive: zipfile.ZipFile, buffer: io.BytesIO) -> bytes:
    archive.close()
    return buffer.getvalue()


def time_unzip(zip_path: Path, target: Path) -> float:
    started_s = time.perf_counter()
    subprocess.run(["unzip", "-q", "-o", str(zip_path), "-d", str(target)], check=True)
    return time.perf_counter() - started_s


async def measure(directory: Path, runs: int) -> dict[str, object]:
    archive = build_zip()
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        entries = opened.infolist()
        unzipped_bytes = sum(entry.file_size for entry in entries)
        shared_objects = sum(".so" in entry.filename for entry in entries)
    zip_path = directory / "layer.zip"
    zip_path.write_bytes(archive)
    os.sync()
    unzips: list[float] = []
    adds: list[float] = []
    again: list[float] = []
    # Nothing is deleted until the end: for half a minute, ext4 avoids inodes that were just freed, and looks at each of
    # them for every file it creates, which makes both sides up to ten times slower.
    for run in range(runs):
        unzips.append(time_unzip(zip_path, directory / f"unzip{run}"))
        os.sync()
        store = FilesystemArtifactStore(directory / f"store{run}")
        for times in (adds, again):
            started_s = time.perf_counter()
            await store.add(archive, max_unzipped_bytes=2**30)
            times.append(time.perf_counter() - started_s)
        store.close()
        os.sync()
    return {
        "zip_bytes": len(archive),
        "unzipped_bytes": unzipped_bytes,
        "entries": len(entries),
        "shared_objects": shared_objects,
        "unzip_s": round(statistics.median(unzips), 4),
        "publish_s": round(statistics.median(adds), 4),
        "publish_again_s": round(statistics.median(again), 4),
        "ratio": round(statistics.median(adds) / statistics.median(unzips), 3),
        "unzip_all_s": [round(value, 3) for value in unzips],
        "publish_all_s": [round(value, 3) for value in adds],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as directory:
        print(json.dumps(asyncio.run(measure(Path(directory), arguments.runs)), indent=2))


if __name__ == "__main__":
    main()
