"""Whether things lie where a runtime looks for them."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.doctor.subject import CheckedLayer, Subject
from lamella.layers.findings import Finding

KNOWN: Final = frozenset({"python", "nodejs", "java", "ruby", "bin", "lib", "extensions", "bootstrap"})
"""What means something at the top of a layer."""


def refused(subject: Subject) -> Iterator[Finding]:
    """What `PublishLayerVersion` would refuse."""
    for layer in subject.layers:
        for problem in layer.contents.problems:
            yield layer.finding(
                "refused-entry",
                problem.name,
                f"The entry {problem.detail}.",
                "Zip the directory anew, from inside it: (cd DIR && zip -r ../layer.zip .)",
            )


def parent_folder(subject: Subject) -> Iterator[Finding]:
    """`layer/python/…` or `opt/…` instead of `python/…`."""
    for layer in subject.layers:
        folder = lone_folder(layer)
        if folder:
            yield layer.finding(
                "parent-folder",
                folder,
                f"Everything lies in {folder}/, so it lands in /opt/{folder}/, where no runtime looks: imports fail, "
                "and a bootstrap or an extension in it never starts.",
                f"Zip what is inside: (cd {folder} && zip -r ../layer.zip .)",
            )


def lone_folder(layer: CheckedLayer) -> str:
    """The folder that stands for `/opt` by mistake; empty if there is none."""
    tops = {PurePosixPath(name).parts[0] for name in layer.contents.entries}
    if tops & KNOWN:
        return ""
    for top in sorted(tops):
        prefix, depth = (top, 1)
        below = {PurePosixPath(entry.name).parts[depth] for entry in layer.contents.below(prefix)}
        if below & KNOWN:
            return prefix
    return ""
