"""The static check of layers: all checks, one after another."""

from collections.abc import Sequence
from typing import Final

from lamella.domain.function import Architecture
from lamella.layers.contents import LayerContents
from lamella.layers.doctor import structure
from lamella.layers.doctor.advisories import Advisories
from lamella.layers.doctor.subject import Check, CheckedLayer, Subject
from lamella.layers.doctor.survey import Progress, silent
from lamella.layers.facts import FACTS
from lamella.layers.findings import Finding

_CHECKS: Final[tuple[Check, ...]] = (structure.refused, structure.parent_folder)


def check_layers(
    layers: Sequence[LayerContents],
    *,
    runtimes: Sequence[str] = (),
    architectures: Sequence[str] = (),
    advisories: Advisories | None = None,
    code_bytes: int = 0,
    progress: Progress = silent,
) -> list[Finding]:
    """Say what is wrong with layers that one function has, or may have. Blocking; reads all of their files once.

    Nothing that is in a layer makes it fail: damaged files are findings.

    Args:
        layers: In the order in which a function has them, the last one winning; often only one.
        runtimes: Names as Lambda has them that the layers are meant for; those not known are passed over. Without
            any, only what is wrong for every runtime is found.
        architectures: `x86_64`, `arm64`; likewise.
        advisories: Known vulnerabilities; without them none are looked for.
        code_bytes: Unzipped size of the function's own code, for the limit that holds for all together.
        progress: Told how far it has come.

    Returns:
        The worst first, and within a severity by layer and place.

    Raises:
        ValueError: An architecture is unknown.
    """
    del advisories, progress
    subject = Subject(
        layers=tuple(
            CheckedLayer(contents=contents, label=contents.label if len(layers) > 1 else "") for contents in layers
        ),
        runtimes=tuple(FACTS[name] for name in dict.fromkeys(runtimes) if name in FACTS),
        architectures=tuple(Architecture(name) for name in dict.fromkeys(architectures)),
        code_bytes=code_bytes,
    )
    findings = dict.fromkeys(finding for check in _CHECKS for finding in check(subject))
    order = {layer.label: number for number, layer in enumerate(layers)}
    return sorted(
        findings,
        key=lambda finding: (-finding.severity, order.get(finding.layer, -1), finding.code, finding.place),
    )
