"""Container images as functions name them. Nothing here asks a registry."""

import re
from dataclasses import dataclass
from typing import Final

from lamella.domain._api_errors import InvalidParameterValueException

ZIP: Final = "Zip"
IMAGE: Final = "Image"
"""`FunctionConfig.package_type`."""

IMAGE_URI: Final = "ImageUri"
"""Member of `FunctionConfig.other`: the image, as the caller named it; it belongs to the code."""

IMAGE_CONFIG: Final = "ImageConfig"
"""Member of `FunctionConfig.other`: what is in force instead of the image's entry point, command and directory."""

_URI: Final = re.compile(
    r"(?P<repository>\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
    r"/[a-z0-9][a-z0-9._/-]{0,254}[a-z0-9])"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:(?P<digest>[0-9a-f]{64}))",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a registry of ECR.

    Attributes:
        uri: As the caller named it.
        repository: The part of it before tag or digest.
        digest: SHA-256 of its manifest, 64 hex digits; empty if it is named by a tag, as only its registry knows then.
    """

    uri: str
    repository: str
    digest: str

    @classmethod
    def parse(cls, uri: str, *, region: str) -> "Image":
        """An image in a private repository of this region, with a tag or a digest.

        Raises:
            InvalidParameterValueException: It is none. Source of the text, and that AWS gives it for public
                repositories, for other regions, and for a missing tag: answers of AWS quoted in grafana/loki issue
                7218, binxio/cfn-ses-provider issue 27, aws-samples/bedrock-access-gateway issue 205, 2022 to 2025.
        """
        match = _URI.fullmatch(uri)
        if match is None or match["region"] != region:
            raise InvalidParameterValueException(f"Source image {uri} is not valid. Provide a valid source image.")
        return cls(uri, match["repository"], match["digest"] or "")

    @property
    def resolved_uri(self) -> str | None:
        """The image by its digest, if that is known."""
        return f"{self.repository}@sha256:{self.digest}" if self.digest else None
