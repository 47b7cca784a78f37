"""What a layer is built for: a Python runtime of Lambda on one architecture, and the binary wheels that run there."""

from dataclasses import dataclass
from typing import Final

from lamella.domain.function import Architecture
from lamella.layers.errors import LayerBuildError

# The newest wheel platform tag that the runtime's C library satisfies, of those uv knows. Amazon Linux 2 has glibc
# 2.26, Amazon Linux 2023 has 2.34. AWS's C library is the bar even where Lamella runs the runtime on a newer one: a
# layer built here must run there.
_GLIBC_2_26: Final = "manylinux_2_17"
_GLIBC_2_34: Final = "manylinux_2_34"
_PLATFORM: Final = {
    "python3.8": _GLIBC_2_26,
    "python3.9": _GLIBC_2_26,
    "python3.10": _GLIBC_2_26,
    "python3.11": _GLIBC_2_26,
    "python3.12": _GLIBC_2_34,
    "python3.13": _GLIBC_2_34,
    "python3.14": _GLIBC_2_34,
}
_MACHINE: Final = {Architecture.X86_64: "x86_64", Architecture.ARM64: "aarch64"}

RUNTIMES: Final = tuple(_PLATFORM)
"""Runtimes that layers of Python requirements can be built for."""


@dataclass(frozen=True, slots=True)
class PythonTarget:
    """A Python runtime on an architecture.

    Attributes:
        version: As uv wants it, e.g. `3.11`.
        platform: As uv wants it, e.g. `x86_64-manylinux_2_17`.
    """

    runtime: str
    architecture: Architecture
    version: str
    platform: str

    @classmethod
    def of(cls, runtime: str, architecture: str) -> "PythonTarget":
        """The target of these names.

        Raises:
            LayerBuildError: Lambda has no such Python runtime or architecture.
        """
        if runtime not in _PLATFORM:
            raise LayerBuildError(
                f"Cannot build a layer of Python requirements for runtime {runtime!r}: "
                f"choose one of {', '.join(RUNTIMES)}"
            )
        try:
            known = Architecture(architecture)
        except ValueError:
            raise LayerBuildError(f"Unknown architecture {architecture!r}: choose x86_64 or arm64") from None
        return cls(runtime, known, runtime.removeprefix("python"), f"{_MACHINE[known]}-{_PLATFORM[runtime]}")

    def directory(self, *, flat: bool) -> str:
        """Where the packages lie in the layer; the runtime has both on its search path (rule EN-10)."""
        return "python" if flat else f"python/lib/{self.runtime}/site-packages"
