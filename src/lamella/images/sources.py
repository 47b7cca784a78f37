"""Which places may be asked for images, and what asks them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lamella.images.allowed import Place, Registry, find_place
from lamella.images.archives import DockerArchive, OciArchive
from lamella.images.credentials import Credential
from lamella.images.http import Web
from lamella.images.layout import Layout
from lamella.images.reference import DENIED, Reference
from lamella.images.registry import RegistryImage
from lamella.images.source import ImageSource, Stopped
from lamella.ports.images import ImageError


def _nobody(place: Place) -> Credential | None:
    del place
    return None


@dataclass(frozen=True, slots=True)
class Sources:
    """Opens the place that a reference names, if the operator allows it.

    Attributes:
        registries: That may be asked: a client could otherwise have the server talk to any host that it reaches.
        paths: Directories of this machine below which images may be named: a client could otherwise have the server
            read any file of the host.
        credentials: Finds what to say to a registry about who asks.
    """

    registries: Sequence[Registry] = ()
    paths: Sequence[Path] = ()
    credentials: Callable[[Place], Credential | None] = _nobody

    def __call__(self, reference: Reference, stopped: Stopped) -> ImageSource:
        """The place.

        Args:
            reference: Names it.
            stopped: Whether nobody waits for it any more.

        Raises:
            ImageError: It may not be asked, or is an archive that cannot be read.
        """
        if reference.transport == "registry":
            place = find_place(self.registries, reference)
            return RegistryImage(reference, place, self.credentials, Web(stopped))
        self._check_path(reference)
        match reference.transport:
            case "oci":
                return Layout(reference)
            case "oci-archive":
                return OciArchive(reference)
            case _:
                return DockerArchive(reference)

    def _check_path(self, reference: Reference) -> None:
        try:
            real = reference.path.resolve(strict=False)
        except (OSError, RuntimeError):  # the latter for links in a circle
            real = Path("/")
        if not any(real.is_relative_to(allowed.resolve()) for allowed in self.paths):
            raise ImageError(
                f"{reference.place} may not be read: its operator can name a directory above it in the server's "
                "setting image_paths.",
                DENIED,
            )
