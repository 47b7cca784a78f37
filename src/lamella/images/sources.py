"""Which places may be asked for images, and what asks them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lamella.images.layout import Layout
from lamella.images.reference import DENIED, INVALID, Reference
from lamella.images.source import ImageSource
from lamella.ports.images import ImageError


@dataclass(frozen=True, slots=True)
class Sources:
    """Opens the place that a reference names, if the operator allows it.

    Attributes:
        paths: Directories of this machine below which images may be named: a client could otherwise have the server
            read any file of the host.
    """

    paths: Sequence[Path] = ()

    def __call__(self, reference: Reference) -> ImageSource:
        """The place.

        Raises:
            ImageError: It may not be asked.
        """
        if reference.transport == "registry":
            raise ImageError(f"{reference} cannot be fetched: registries are not asked yet.", INVALID)
        self._check_path(reference)
        return Layout(reference)

    def _check_path(self, reference: Reference) -> None:
        try:
            real = reference.path.resolve(strict=False)
        except (OSError, RuntimeError):  # the latter for links in a circle
            real = Path("/")
        if not any(real.is_relative_to(allowed.resolve()) for allowed in self.paths):
            raise ImageError(
                f"{reference.place} may not be read: name a directory above it in the server's setting image_paths.",
                DENIED,
            )
