"""Images in registries.

Source: OCI distribution specification 1.1, "Pull"; errors as Docker's registry 2.8 and ECR give them.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import urllib3

from lamella.images.allowed import Place
from lamella.images.challenge import Authorizer
from lamella.images.credentials import Credential
from lamella.images.files import checked
from lamella.images.http import DroppedError, Web, read_pieces
from lamella.images.manifest import DOCUMENT_MOST_BYTES, INDEXES, MANIFESTS, Descriptor, sha256
from lamella.images.reference import DELETED, DIGEST, INTERNAL, INVALID, Reference
from lamella.images.source import Stopped, damaged
from lamella.ports.images import ImageError

T = TypeVar("T")

_ACCEPT: Final = ", ".join((*MANIFESTS, *INDEXES))
_PIECE_BYTES: Final = 256 * 1024


class RegistryImage:
    """Implements `ImageSource` for one repository.

    Args:
        reference: As the caller named it.
        place: Where that is.
        credentials: Finds who asks.
        web: Connections, which are closed with the source.
    """

    def __init__(
        self, reference: Reference, place: Place, credentials: Callable[[Place], Credential | None], web: Web
    ) -> None:
        self._reference = reference
        self._place = place
        self._web = web
        self._authorizer = Authorizer(place, credentials, web)

    def document(self, digest: str) -> tuple[bytes, str]:
        """See the protocol."""
        name = f"sha256:{digest}" if digest else self._reference.tag or "latest"

        def take(answer: urllib3.BaseHTTPResponse) -> tuple[bytes, str]:
            data = _small(answer, f"The manifest of {self._reference}")
            told = DIGEST.fullmatch(answer.headers.get("Docker-Content-Digest", ""))
            if sha256(data) != (digest or (told[1] if told else sha256(data))):
                raise damaged(f"The manifest of {self._reference}")
            return data, answer.headers.get("Content-Type", "")

        return self._ask(f"manifests/{name}", lambda: {"Accept": _ACCEPT}, take)

    def blob(self, part: Descriptor) -> bytes:
        """See the protocol."""
        shown = f"The part sha256:{part.digest} of {self._reference.place}"
        return checked(self._ask(self._blob(part), dict, lambda answer: _small(answer, shown)), part, shown=shown)

    def layer(self, part: Descriptor, spool: Path, stopped: Stopped) -> BinaryIO:
        """See the protocol; what has arrived is not asked for again."""
        descriptor = os.open(spool, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, "r+b")
        try:
            if self._arrived(file, part) < part.size_bytes:

                def rest() -> dict[str, str]:
                    done = self._arrived(file, part)
                    return {"Range": f"bytes={done}-"} if done else {}

                self._ask(
                    self._blob(part),
                    rest,
                    lambda answer: self._take(answer, file, part, stopped),
                    lambda: self._arrived(file, part),
                )
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def close(self) -> None:
        """Close connections."""
        self._web.close()

    def _arrived(self, file: BinaryIO, part: Descriptor) -> int:
        """How much of a layer is here; what cannot be of it is thrown away."""
        if file.seek(0, os.SEEK_END) > part.size_bytes:
            file.truncate(0)
        return file.seek(0, os.SEEK_END)

    def _take(self, answer: urllib3.BaseHTTPResponse, file: BinaryIO, part: Descriptor, stopped: Stopped) -> None:
        if answer.status == 200:
            file.truncate(0)
        done = file.seek(0, os.SEEK_END)
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            file.truncate(0)
            raise DroppedError("it answered with another part of the layer than was asked for")
        for piece in read_pieces(answer, _PIECE_BYTES):
            done += len(piece)
            if done > part.size_bytes:
                file.truncate(0)
                raise damaged(f"The layer sha256:{part.digest} of {self._reference.place}")
            file.write(piece)
            if stopped():
                raise ImageError(f"{self._reference} is not fetched: the server stops. Try again.", INTERNAL)
        file.flush()
        if done < part.size_bytes:
            raise DroppedError("the connection was dropped")

    def _blob(self, part: Descriptor) -> str:
        return f"blobs/sha256:{part.digest}"

    def _ask(
        self,
        path: str,
        headers: Callable[[], dict[str, str]],
        take: Callable[[urllib3.BaseHTTPResponse], T],
        arrived: Callable[[], int] = lambda: 0,
    ) -> T:
        url = f"{self._place.url}/v2/{self._place.repository}/{path}"

        def attempt() -> T:
            for may_authorize in (True, False):
                with self._web.get(url, {**headers(), **self._authorizer.header}) as answer:
                    if answer.status in (200, 206):
                        return take(answer)
                    status, challenge = answer.status, answer.headers.get("WWW-Authenticate", "")
                if status != 401 or not may_authorize:
                    raise self._refused(status)
                self._authorizer.answer(challenge)
            raise AssertionError  # the second time round ends above

        return self._web.repeat(self._place.host, attempt, arrived)

    def _refused(self, status: int) -> ImageError:
        if status in (401, 403):
            return self._authorizer.denied(f"it answered {status}")
        if status == 404:
            return missing(str(self._reference))
        if status == 416:
            return damaged(f"What was fetched of {self._reference}")
        return ImageError(f"The registry {self._place.host} answered {status} for {self._reference}.", INTERNAL)


def missing(shown: str) -> ImageError:
    """For an image that is not there. In AWS's words.

    Source: answer of AWS quoted in a public issue, 2023 (aws/aws-cdk 24648).
    """
    return ImageError(f"Source image {shown} does not exist. Provide a valid source image.", DELETED)


def _small(answer: urllib3.BaseHTTPResponse, shown: str) -> bytes:
    data = bytearray()
    for piece in read_pieces(answer, _PIECE_BYTES):
        data += piece
        if len(data) > DOCUMENT_MOST_BYTES:
            raise ImageError(f"{shown} is larger than 4 MiB.", INVALID)
    return bytes(data)
