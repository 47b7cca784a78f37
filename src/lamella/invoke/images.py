"""What environments of a function are made from whose code is a container image."""

from typing import Final

from lamella.domain.function import FunctionVersion
from lamella.domain.image import IMAGE_CONFIG, Launch
from lamella.ports.images import ImageError, ImageStore
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack

_EXECUTION_ENV: Final = "AWS_Lambda_Image"
"""Source: as for `lamella.invoke.variables`."""


class ImageNotHereError(RuntimeNotInstalledError):
    """The image of a function is not on this node any more, or was damaged; the text says what to do."""


def pack_of(images: ImageStore, version: FunctionVersion) -> tuple[RuntimePack, Launch]:
    """The image of a function version as what it runs on, and how its program is started.

    Raises:
        ImageNotHereError: See there.
    """
    digest, config = version.artifact.code_sha256, version.config
    image = images.find(digest)
    if image is None:
        raise ImageNotHereError(
            f"The image sha256:{digest} of {version.key.arn(version.version)} is not on this node any more. Update the "
            "code of the function, or start the server again, which fetches what is missing."
        )
    try:
        rootfs = images.root(digest)
    except ImageError as error:
        raise ImageNotHereError(str(error)) from error
    launch = Launch.of(
        Launch(image.entrypoint, image.command, image.working_directory), config.other.get(IMAGE_CONFIG, {})
    )
    pack = RuntimePack(
        name="",
        architecture=config.architecture,
        rootfs=rootfs,
        digest=digest,
        version="",
        entrypoints=(),
        env=image.env,
        execution_env=_EXECUTION_ENV,
        command=launch.argv,
        working_directory=launch.working_directory,
        brings_code=True,
    )
    return pack, launch
