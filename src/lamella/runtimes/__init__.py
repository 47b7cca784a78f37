"""Runtime packs: what /var/lang and /var/runtime hold, the bootstrap, the environment."""

from lamella.runtimes.catalog import PackCatalog
from lamella.runtimes.errors import PackBuildError, PackDamagedError
from lamella.runtimes.pack import verify
from lamella.runtimes.system import host_architecture

__all__ = ["PackBuildError", "PackCatalog", "PackDamagedError", "host_architecture", "verify"]
