"""The static check of layers: all checks, one after another."""

from collections.abc import MutableMapping, Sequence
from typing import Final

from lamella.domain.function import Architecture
from lamella.layers.contents import LayerContents
from lamella.layers.doctor import (
    exposure,
    java,
    libraries,
    machine,
    node,
    packages,
    python,
    python_scripts,
    scripts,
    size,
    structure,
    symbols,
)
from lamella.layers.doctor.advisories import Advisories
from lamella.layers.doctor.subject import Check, CheckedLayer, Subject
from lamella.layers.doctor.survey import READ_MOST_BYTES, Progress, Survey, silent, survey
from lamella.layers.facts import FACTS
from lamella.layers.findings import Finding

_CHECKS: Final[tuple[Check, ...]] = (
    structure.refused,
    structure.damaged,
    structure.parent_folder,
    structure.top_level,
    structure.python_directories,
    structure.node_directories,
    structure.jars,
    structure.libraries_in_lib64,
    structure.bootstrap,
    structure.extensions,
    structure.junk,
    structure.deprecated,
    size.sizes,
    size.number,
    machine.architectures,
    machine.foreign,
    machine.unused,
    libraries.missing,
    libraries.musl,
    libraries.loaders,
    symbols.too_new,
    scripts.modes,
    scripts.first_lines,
    python_scripts.code,
    python.modules,
    python.metadata,
    node.abi,
    node.platforms,
    node.engines,
    java.class_files,
    packages.shipped,
    packages.across_layers,
    packages.within_layer,
    packages.vulnerable,
    exposure.secrets,
    exposure.private_files,
)


def check_layers(
    layers: Sequence[LayerContents],
    *,
    runtimes: Sequence[str] = (),
    architectures: Sequence[str] = (),
    advisories: Advisories | None = None,
    code_bytes: int = 0,
    progress: Progress = silent,
    surveys: MutableMapping[str, Survey] | None = None,
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
        progress: Told how many bytes of how many have been looked at, from this thread.
        surveys: What was read of layers before, by their labels; those that are not in it are read, and added. For
            who checks the same layers in many stacks: reading takes nearly all of the time.

    Returns:
        The worst first, and within a severity by layer and place.

    Raises:
        ValueError: An architecture is unknown.
    """
    declared = tuple(Architecture(name) for name in dict.fromkeys(architectures))
    subject = Subject(
        layers=_surveyed(layers, progress, {} if surveys is None else surveys),
        runtimes=tuple(FACTS[name] for name in dict.fromkeys(runtimes) if name in FACTS),
        architectures=declared,
        code_bytes=code_bytes,
        advisories=advisories or Advisories(),
    )
    findings = dict.fromkeys(finding for check in _CHECKS for finding in check(subject))
    order = {layer.label: number for number, layer in enumerate(layers)}
    return sorted(
        findings,
        key=lambda finding: (-finding.severity, order.get(finding.layer, -1), finding.code, finding.place),
    )


def _surveyed(
    layers: Sequence[LayerContents], progress: Progress, known: MutableMapping[str, Survey]
) -> tuple[CheckedLayer, ...]:
    readable = [layer.unzipped_bytes <= READ_MOST_BYTES and layer.label not in known for layer in layers]
    total = sum(layer.unzipped_bytes for layer, reads in zip(layers, readable, strict=True) if reads)
    before = 0
    checked = []
    for layer, reads in zip(layers, readable, strict=True):

        def advance(done: int, _total: int, before: int = before) -> None:
            progress(before + done, total)

        if reads:
            known[layer.label] = survey(layer, advance)
        found = known.get(layer.label, Survey({}, ()))
        checked.append(CheckedLayer(contents=layer, survey=found, label=layer.label if len(layers) > 1 else ""))
        before += layer.unzipped_bytes if reads else 0
    return tuple(checked)
