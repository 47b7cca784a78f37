"""Layers to publish and to mount, made of the same bytes every time."""

import io
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.programs import CACHE

_DATE: Final = (2020, 1, 1, 0, 0, 0)
_SOURCE: Final = (
    b"self return import from class None True False for in if else raise value name path data result config"
)
_WORDS: Final = _SOURCE.decode().split()


def realistic(target_bytes: int, *, seed: int, package: str = "pkg") -> bytes:
    """A zip of about `target_bytes` as a Python package with native code gives it.

    Two thirds of it are shared objects of some megabytes that shrink to about half, the rest is thousands of modules
    that shrink to a quarter.
    """

    def files() -> Iterator[tuple[str, bytes]]:
        rng = random.Random(seed)
        count = 0
        while True:
            if count % 500 == 250:
                yield f"python/{package}{count // 500}/_native{count}.cpython-311-x86_64-linux-gnu.so", _binary(rng)
            else:
                yield f"python/{package}{count // 500}/sub{count // 20 % 25}/module{count}.py", _module(rng)
            count += 1

    name = f"realistic-{seed}-{target_bytes}" + ("" if package == "pkg" else f"-{package}")
    return _made(name, files(), target_bytes=target_bytes)


def bulky(unzipped_bytes: int, *, seed: int) -> bytes:
    """A zip that unpacks to `unzipped_bytes` in files of a megabyte, and is small enough to be uploaded directly."""

    def files() -> Iterator[tuple[str, bytes]]:
        rng = random.Random(seed)
        left = unzipped_bytes
        while left > 0:
            size = min(left, 2**20)
            yield f"data{seed}/part{left}.bin", (rng.randbytes(4096) * (size // 4096 + 1))[:size]
            left -= size

    return _made(f"bulky-{seed}-{unzipped_bytes}", files())


def varied(archive: bytes, turn: int) -> bytes:
    """The same archive with one small file more: other bytes, so that a store cannot know it already."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as opened:
        opened.writestr(zipfile.ZipInfo(f"python/turn{turn}.txt", _DATE), str(turn))
    return buffer.getvalue()


def _made(name: str, files: Iterator[tuple[str, bytes]], *, target_bytes: int | None = None) -> bytes:
    path: Path = CACHE / "archives" / f"{name}.zip"
    if path.exists():
        return path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files:
            entry = zipfile.ZipInfo(file, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
            if target_bytes is not None and buffer.tell() >= target_bytes:
                break
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(".new")
    made.write_bytes(buffer.getvalue())
    made.replace(path)
    return buffer.getvalue()


def _module(rng: random.Random) -> bytes:
    lines = (" " * (4 * rng.randrange(4)) + " ".join(rng.choices(_WORDS, k=9)) for _ in range(rng.randrange(20, 300)))
    return "\n".join(lines).encode()


def _binary(rng: random.Random) -> bytes:
    size = rng.randrange(2, 12) * 2**20
    block = rng.randbytes(2048)
    return b"\x7fELF" + b"".join(rng.randbytes(1024) + block[:1024] for _ in range(size // 2048))
