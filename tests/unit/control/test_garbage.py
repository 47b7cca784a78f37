import asyncio
import io
import zipfile
from datetime import UTC, datetime

import pytest
from tests.support.scripted_images import ScriptedImages

from lamella.control.garbage import Garbage
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.testing.stores import MemoryArtifactStore, MemoryFunctionStore, MemoryLayerStore


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "1")
    return buffer.getvalue()


ZIP = _zip()


async def test_who_makes_a_reference_is_waited_for() -> None:
    layers, artifacts = MemoryLayerStore(), MemoryArtifactStore()
    garbage = Garbage(MemoryFunctionStore(), layers, artifacts, ScriptedImages())
    async with asyncio.TaskGroup() as group:
        async with garbage.referencing():
            artifact = await artifacts.add(ZIP, max_unzipped_bytes=10)
            collecting = group.create_task(garbage.collect())
            await asyncio.sleep(0)
            artifacts.release(artifact.digest)
            key = LayerKey("123456789012", "eu-central-1", "l")
            await layers.publish(LayerVersion(key, 0, artifact, datetime(2026, 11, 20, tzinfo=UTC)))
        assert await collecting == 0
    await layers.delete(key, 1)
    assert await garbage.collect() == 1


async def test_a_failed_reference_does_not_block_collection() -> None:
    artifacts = MemoryArtifactStore()
    garbage = Garbage(MemoryFunctionStore(), MemoryLayerStore(), artifacts, ScriptedImages())

    async def fail() -> None:
        async with garbage.referencing():
            artifact = await artifacts.add(ZIP, max_unzipped_bytes=10)
            artifacts.release(artifact.digest)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await garbage.collect() == 1
