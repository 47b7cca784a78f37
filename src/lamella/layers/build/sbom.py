"""The bill of materials of a layer: CycloneDX 1.6 in JSON, the same for the same layer."""

import json
import uuid
from collections.abc import Sequence
from typing import Any, Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from lamella.layers.packages import Package

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:lamella:layer")
_ALGORITHMS: Final = {"sha1": HashAlgorithm.SHA_1, "sha256": HashAlgorithm.SHA_256, "sha512": HashAlgorithm.SHA_512}


def bill_of_materials(
    name: str,
    packages: Sequence[Package],
    *,
    sha256: str,
    content_sha256: str,
    runtimes: Sequence[str],
    architecture: str,
) -> str:
    """A CycloneDX document.

    Nothing in it depends on when or where it was made: it has no time, and its serial number is made from the content.

    Args:
        name: Of the layer.
        packages: What is in it.
        sha256: Of the archive, in hex.
        content_sha256: See `ArchiveFacts`; it also stands for the layer's version, which is not known before it is
            published.
        runtimes: That it is for.
        architecture: Likewise.
    """
    layer = Component(
        name=name,
        version=content_sha256[:12],
        type=ComponentType.APPLICATION,
        bom_ref="layer",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        properties=[
            Property(name="lamella:architecture", value=architecture),
            Property(name="lamella:content-sha256", value=content_sha256),
            *(Property(name="lamella:runtime", value=runtime) for runtime in runtimes),
        ],
    )
    components = [_component(package) for package in packages]
    bom = Bom(components=components, serial_number=uuid.uuid5(_NAMESPACE, content_sha256))
    bom.metadata.component = layer
    bom.register_dependency(layer, components)
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())  # Any: JSON
    # The library sets the time at which the object was made; the format does not ask for one.
    document["metadata"].pop("timestamp", None)
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _component(package: Package) -> Component:
    licence = LicenseFactory().make_from_string(package.licence) if package.licence else None
    algorithm, _, digest = package.digest.partition(":")
    known = _ALGORITHMS.get(algorithm)
    group, separator, name = (
        package.name.rpartition(":") if package.ecosystem.value == "maven" else ("", "", package.name)
    )
    return Component(
        name=name,
        group=group if separator else None,
        version=package.version,
        type=ComponentType.LIBRARY,
        # A package may be in a layer twice, once for each runtime, from different files.
        bom_ref=f"{package.purl}#{package.directory}",
        purl=PackageURL.from_string(package.purl),
        licenses=[licence] if licence is not None else None,
        hashes=[HashType(alg=known, content=digest)] if known is not None and digest else None,
        properties=[Property(name="lamella:directory", value=package.directory)] if package.directory else None,
    )
