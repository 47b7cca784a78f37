"""The container image that is the code of a function version, and the one it had before an update.

An update names another image, which may turn out not to be had; until it is here, and if it never is, the version runs
the one before. So both are kept while an update is under way.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from lamella.domain.function import (
    NO_ARCHIVE,
    Architecture,
    Artifact,
    FunctionConfig,
    FunctionVersion,
    LastUpdateStatus,
    State,
)
from lamella.domain.image import IMAGE, IMAGE_URI

_BEFORE: Final = "_ImageBefore"
"""Member of `FunctionConfig.other`: the image of an active version whose code is being updated."""


def image_code(config: FunctionConfig, uri: str, digest: str) -> tuple[Artifact, FunctionConfig]:
    """Code and configuration of a function with this image.

    Args:
        config: Of the function, which has its package type for good.
        uri: As the caller named the image.
        digest: Of its manifest, 64 hex digits.
    """
    return Artifact(NO_ARCHIVE, digest, 0, 0), replace(config, other={**config.other, IMAGE_URI: uri})


def updated_image(before: FunctionVersion, config: FunctionConfig) -> FunctionConfig:
    """The configuration of an update to another image, which remembers the one that runs until then.

    Args:
        before: The version before the update; settled.
        config: After it.
    """
    if before.state is not State.ACTIVE:
        return config  # nothing runs
    kept = {
        "uri": before.config.other[IMAGE_URI],
        "digest": before.artifact.code_sha256,
        "architecture": before.config.architecture.value,
    }
    return replace(config, other={**config.other, _BEFORE: kept})


def images_of(version: FunctionVersion) -> Mapping[str, str]:
    """Digests of the images that a version has or had before an update, each with its name; empty for an archive."""
    if version.config.package_type != IMAGE:
        return {}
    found = {version.artifact.code_sha256: str(version.config.other[IMAGE_URI])}
    before = version.config.other.get(_BEFORE)
    if before is not None:
        found[before["digest"]] = before["uri"]
    return {digest: uri for digest, uri in found.items() if digest}


def as_invoked(version: FunctionVersion) -> FunctionVersion:
    """The version as it answers invocations: with the image before, as long as an update to another is under way."""
    return with_image_before(version) if version.update_status is LastUpdateStatus.IN_PROGRESS else version


def with_image_before(version: FunctionVersion) -> FunctionVersion:
    """With the image that it had before the update, if it was one to another image."""
    before = version.config.other.get(_BEFORE)
    if before is None:
        return version
    config = replace(version.config, architecture=Architecture(before["architecture"]))
    artifact, config = image_code(config, before["uri"], before["digest"])
    return without_image_before(replace(version, artifact=artifact, config=config))


def without_image_before(version: FunctionVersion) -> FunctionVersion:
    """Without the memory of it."""
    if _BEFORE not in version.config.other:
        return version
    other = {name: value for name, value in version.config.other.items() if name != _BEFORE}
    return replace(version, config=replace(version.config, other=other))
