"""A prover of real sandboxes, of the runtimes that tests share."""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
from tests.support.server import CACHE, locked

from lamella.adapters.sandbox import OciSandboxProvider, OciSettings
from lamella.domain.function import Architecture
from lamella.invoke.variables import probe_variables
from lamella.layers.contents import open_contents
from lamella.layers.facts import FACTS
from lamella.layers.proving import plan_proof
from lamella.runtimes.catalog import PackCatalog
from lamella.runtimes.system import host_architecture
from lamella.workshop.prover import Proof, ProofLimits, Prover

REPOSITORY = Path(__file__).parents[3]
LIMITS = ProofLimits(target_s=3.0, runtime_s=60.0, memory_mib=256)

Prove = Callable[..., Awaitable[Proof]]
"""Of files by name and mode, or a directory; and the name of a runtime, `python3.11` if none is given."""


@pytest.fixture(autouse=True, scope="session")
def _packages_are_kept_for_offline_runs() -> None:
    os.environ.setdefault("UV_CACHE_DIR", str(REPOSITORY / ".cache" / "uv"))


@pytest.fixture(scope="session")
def catalog() -> PackCatalog:
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "runtimes.lock"):
        packs = PackCatalog(CACHE / "runtimes")
        packs.ensure_defaults()
    return packs


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[OciSandboxProvider]:
    made = OciSandboxProvider(OciSettings(tmp_path / "run", f"test-{uuid.uuid4().hex[:8]}", ready=1))
    await made.start()
    yield made
    await made.close()


def write(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Files that anybody may read, and execute unless they are called `plain`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o644 if path.name == "plain" else 0o755)


def variables(memory_mib: int) -> partial[dict[str, str]]:
    return partial(probe_variables, account="000000000000", region="us-east-1", memory_mib=memory_mib)


@pytest.fixture
def prover(provider: OciSandboxProvider, tmp_path: Path) -> Prover:
    return Prover(provider, tmp_path / "workshop", variables(LIMITS.memory_mib), LIMITS)


@pytest.fixture
def prove(prover: Prover, catalog: PackCatalog, tmp_path: Path) -> Prove:
    async def prove(files: Mapping[str, str | bytes] | Path, *, runtime: str = "python3.11") -> Proof:
        root = files if isinstance(files, Path) else tmp_path / "layer"
        if not isinstance(files, Path):
            root.mkdir()
            write(root, files)
        with open_contents(root) as contents:
            targets = plan_proof([contents], FACTS[runtime], Architecture(host_architecture()))
        return await prover.prove(catalog.find(runtime, host_architecture()), [root], targets)

    return prove
