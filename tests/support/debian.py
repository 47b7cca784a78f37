"""Runtimes made of Debian's packages, built once for all tests and kept from one run to the next."""

from pathlib import Path
from typing import Final

import pytest
from tests.support.languages import post_runtime
from tests.support.server import CACHE, LamellaServer, locked

from lamella.domain.function import Architecture
from lamella.ports.runtimes import RuntimeNotInstalledError
from lamella.runtimes import PackCatalog
from lamella.runtimes.foreign import emulation
from lamella.runtimes.recipes import recipe_digest
from lamella.runtimes.system import MACHINES, host_architecture

_KEPT: Final = CACHE / "debian-runtimes"
OTHER: Final = next(architecture for architecture in Architecture if architecture is not host_architecture())


def add_of_debian(server: LamellaServer, name: str, architecture: Architecture) -> Path:
    """Have a server take a runtime that was built before, or is built now; returns the pack's directory."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "debian-runtimes.lock"):
        packs = PackCatalog(_KEPT)
        if not _is_current(packs, name, architecture):
            packs.add(name, architecture=architecture)
            packs.prune(())
        directory = packs.find(name, architecture).rootfs.parent
        post_runtime(server, {"name": name, "from": str(directory)})
    return directory


def _is_current(packs: PackCatalog, name: str, architecture: Architecture) -> bool:
    try:
        return packs.manifest(name, architecture).origin.is_current(recipe_digest(name))
    except RuntimeNotInstalledError:
        return False


def skip_unless_emulated() -> None:
    """Skip a test of the other architecture where it cannot run. CI takes no other reason than that of the kernel."""
    found = emulation(OTHER)
    if found.ok:
        return
    qemu = Path(f"/usr/bin/qemu-{MACHINES[OTHER]}-static")
    pytest.skip(f"this host's kernel does not know qemu: {found.remedy}" if qemu.exists() else found.detail)
