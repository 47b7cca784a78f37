"""Container images as functions name and start them. Nothing here asks a registry."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lamella.domain._api_errors import InvalidParameterValueException

ZIP: Final = "Zip"
IMAGE: Final = "Image"
"""`FunctionConfig.package_type`."""

IMAGE_URI: Final = "ImageUri"
"""Member of `FunctionConfig.other`: the image, as the caller named it; it belongs to the code."""

IMAGE_CONFIG: Final = "ImageConfig"
"""Member of `FunctionConfig.other`: what is in force instead of the image's entry point, command and directory."""

_ECR: Final = re.compile(
    r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/[a-z0-9][a-z0-9._/-]{0,254}(?<=[a-z0-9])"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})",
    re.ASCII,
)
_OF_AWS: Final = re.compile(r"(?:[^/]*\.amazonaws\.com(?:\.cn)?|public\.ecr\.aws)(?:[:/].*)?", re.ASCII | re.DOTALL)
# The first part of a name is a registry if it has a dot or a port, or is `localhost`: Docker's rule.
_ELSEWHERE: Final = re.compile(
    r"(?:(?:oci|oci-archive|docker-archive):"
    r"|(?:[^/:\s]*\.[^/:\s]*(?::\d+)?|[^/:\s]+:\d+|\[[0-9a-fA-F:]+\](?::\d+)?|localhost)/)[^\0-\x1f\x7f]+",
    re.ASCII,
)
_TAG_AND_DIGEST: Final = re.compile(r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image as a caller names it.

    Attributes:
        uri: As the caller named it.
        repository: The part of it before tag or digest.
        of_aws: Whether it is in ECR, or what stands for it here.
    """

    uri: str
    repository: str
    of_aws: bool

    @classmethod
    def parse(cls, uri: str, *, region: str) -> "ImageReference":
        """An image in a private repository of ECR of this region, or, which AWS does not have, elsewhere.

        Elsewhere is another registry, or with `oci:`, `oci-archive:` or `docker-archive:` the server's own disk.
        Whether such a name is a good one, and whether the caller may use it, is for the store of images to say.

        Raises:
            InvalidParameterValueException: It is none. Source of the text, and that AWS gives it for public
                repositories, for other regions, and for a missing tag: answers of AWS quoted in grafana/loki issue
                7218, binxio/cfn-ses-provider issue 27, aws-samples/bedrock-access-gateway issue 205, 2022 to 2025.
        """
        of_aws = _OF_AWS.fullmatch(uri) is not None
        match = (_ECR if of_aws else _ELSEWHERE).fullmatch(uri)
        if match is None or (of_aws and match["region"] != region):
            raise InvalidParameterValueException(f"Source image {uri} is not valid. Provide a valid source image.")
        return cls(uri, _TAG_AND_DIGEST.sub("", uri, count=1), of_aws=of_aws)

    def resolved(self, digest: str) -> str:
        """The image by the digest of its manifest, 64 hex digits."""
        return f"{self.repository}@sha256:{digest}"


@dataclass(frozen=True, slots=True)
class Launch:
    """How the first program of a container image is started (rule EN-25).

    Attributes:
        entrypoint, command: Together the program and its arguments.
        working_directory: Where it starts; the root directory if neither image nor function say anything else.
    """

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    working_directory: str

    @classmethod
    def of(cls, image: "Launch", overrides: Mapping[str, Any]) -> "Launch":
        """What is in force: each of the three is the image's own, unless the function's `ImageConfig` has another.

        Source: developer guide, "images-create", on its settings.
        """
        return cls(
            entrypoint=tuple(overrides.get("EntryPoint") or image.entrypoint),
            command=tuple(overrides.get("Command") or image.command),
            working_directory=overrides.get("WorkingDirectory") or image.working_directory or "/",
        )

    @property
    def argv(self) -> tuple[str, ...]:
        """The program and its arguments; empty if the image names none."""
        return (*self.entrypoint, *self.command)

    @property
    def handler(self) -> str:
        """`_HANDLER`: the first word of the command, as AWS's base images take it for the handler.

        Source: environments printed by functions on AWS in public issues and repositories: it was empty for an image
        with nothing but an entry point (bruceadams/run-command-on-aws-lambda, 2022), and `/bin/sh` for one whose
        command was a line for the shell (a question about Spring Cloud Function, 2025).
        """
        return self.command[0] if self.command else ""

    def __str__(self) -> str:
        """As the line of the log shows it that tells why the program could not be started."""
        entrypoint, command = " ".join(self.entrypoint), " ".join(self.command)
        return f"Entrypoint: [{entrypoint}]\tCmd: [{command}]\tWorkingDir: [{self.working_directory}]"
