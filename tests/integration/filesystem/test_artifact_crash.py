"""`kill -9` while artifacts are added: what was accepted is whole, and nothing else is there."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.zips import LINK, Entry, make_zip

from lamella.adapters.filesystem.artifacts import FilesystemArtifactStore

# Adds archive after archive, and prints each digest once it is accepted. Random content: it takes a while to write.
ADDER = """
import asyncio, sys
from pathlib import Path
from lamella.adapters.filesystem.artifacts import FilesystemArtifactStore

async def main():
    store = FilesystemArtifactStore(Path(sys.argv[1]))
    print("ready", flush=True)
    for path in sorted(Path(sys.argv[2]).iterdir()):
        artifact = await store.add(path.read_bytes(), max_unzipped_bytes=10**9)
        print(artifact.digest, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

# Dies at a given moment of one addition: before the call named is carried out for the last time.
DIER = """
import asyncio, os, signal, sys
from pathlib import Path
from lamella.adapters.filesystem import artifacts

store = artifacts.FilesystemArtifactStore(Path(sys.argv[1]))
calls = 0

def die_at(function):
    def wrapper(*arguments, **options):
        global calls
        calls += 1
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return wrapper

artifacts.extract = die_at(artifacts.extract)
artifacts.sync_filesystem = die_at(artifacts.sync_filesystem)
artifacts.sync_directory = die_at(artifacts.sync_directory)
artifacts._make_parent = die_at(artifacts._make_parent)
artifacts._remove = die_at(artifacts._remove)
Path.rename = die_at(Path.rename)
asyncio.run(store.add(Path(sys.argv[2]).read_bytes(), max_unzipped_bytes=10**9))
print(calls)
"""


def archive(number: int) -> bytes:
    entries = [Entry(b"%d/%d" % (number, file), os.urandom(20_000), method=0) for file in range(100)]
    return make_zip(*entries, Entry(b"link", b"0/0", mode=LINK | 0o777))


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def assert_sound(root: Path, archives: dict[str, bytes], accepted: set[str]) -> None:
    """Everything that is there is whole, and all that was accepted is there."""
    store = FilesystemArtifactStore(root)
    assert list((root / "staging").iterdir()) == []
    there = {path.name.removesuffix(".zip") for path in root.glob("zip/*/*")}
    assert accepted <= there <= archives.keys()
    for digest in there:
        assert store.archive(digest).read_bytes() == archives[digest]
        tree = store.tree(digest)
        assert len(list(tree.rglob("*"))) == 102
        assert all(path.stat().st_size == 20_000 for path in tree.glob("*/*"))
    for one in archives.values():
        digest = (await store.add(one, max_unzipped_bytes=10**9)).digest
        assert len(list(store.tree(digest).rglob("*"))) == 102
        store.release(digest)
    assert await store.collect(frozenset()) == len(archives)
    assert [path for path in root.rglob("*") if len(path.name) > 10] == []
    store.close()


@pytest.mark.parametrize("accepted_before", [0, 1, 3])
async def test_a_kill_in_the_middle(tmp_path: Path, accepted_before: int) -> None:
    inputs, root = tmp_path / "inputs", tmp_path / "artifacts"
    inputs.mkdir()
    for number in range(6):
        (inputs / f"{number}.zip").write_bytes(archive(number))
    command = [sys.executable, "-c", ADDER, root, inputs]
    accepted: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220 - nothing else runs
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for _ in range(accepted_before):
            accepted.add(process.stdout.readline().strip())
        process.kill()  # whatever it is doing with the next one
        accepted.update(process.stdout.read().split())
    assert process.returncode == -signal.SIGKILL
    archives = {digest_of(path): path.read_bytes() for path in inputs.iterdir()}
    await assert_sound(root, archives, accepted)


@pytest.fixture
def steps(tmp_path: Path) -> int:
    """How many calls one addition makes."""
    (tmp_path / "one.zip").write_bytes(archive(0))
    command = [sys.executable, "-c", DIER, tmp_path / "undisturbed", tmp_path / "one.zip", "0"]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


async def test_a_kill_at_every_step(tmp_path: Path, steps: int) -> None:
    """Before each call that brings something to the disk or moves it."""
    path = tmp_path / "one.zip"
    assert steps >= 9
    for step in range(1, steps + 1):
        root = tmp_path / f"artifacts{step}"
        command = [sys.executable, "-c", DIER, root, path, str(step)]
        process = subprocess.run(command, check=False)  # noqa: ASYNC221 - nothing else runs
        assert process.returncode == -signal.SIGKILL
        await assert_sound(root, {digest_of(path): path.read_bytes()}, set())
