"""Sizes and numbers, of a layer and of all together."""

import re
from collections.abc import Iterator
from typing import Final

from lamella.domain.quotas import LAYERS, UNZIPPED, ZIP_UPLOAD
from lamella.layers.doctor.rules import RULES
from lamella.layers.doctor.subject import CheckedLayer, Subject, megabytes
from lamella.layers.doctor.survey import READ_MOST_BYTES
from lamella.layers.findings import Finding

_NEAR: Final = 0.9
_ARN: Final = re.compile(r"(arn:[^:]+:lambda:[^:]+:\d+:layer:[^:]+):(\d+)")


def sizes(subject: Subject) -> Iterator[Finding]:
    """Each layer by itself, then all of them and the function's code."""
    for layer in subject.layers:
        yield from _of_layer(layer)
    total = subject.code_bytes + sum(layer.contents.unzipped_bytes for layer in subject.layers)
    largest = max((layer.contents.unzipped_bytes for layer in subject.layers), default=0)
    if total > UNZIPPED.limit >= largest:
        parts = [f"{layer.label or 'the layer'} {megabytes(layer.contents.unzipped_bytes)}" for layer in subject.layers]
        if subject.code_bytes:
            parts.append(f"the function's code {megabytes(subject.code_bytes)}")
        yield RULES["too-large"].finding(
            "",
            f"Together they have {total:,} bytes unzipped ({', '.join(parts)}), and Lambda takes {UNZIPPED.limit:,} "
            "(250 MB): 'Function code combined with layers exceeds the maximum allowed size'.",
            "Leave out what the function does not need: lamella layer build --slim ...",
        )
    elif largest <= _NEAR * UNZIPPED.limit < total:
        yield RULES["near-limit"].finding(
            "",
            f"Code and layers have {megabytes(total)} of 250 MB together.",
            "lamella layer build --slim ...",
        )


def _of_layer(layer: CheckedLayer) -> Iterator[Finding]:
    unzipped, zipped = layer.contents.unzipped_bytes, layer.contents.zipped_bytes
    if unzipped > READ_MOST_BYTES:
        yield layer.finding(
            "not-read", "", f"It unpacks to {unzipped:,} bytes; only names and sizes were looked at.", "Make it smaller"
        )
    if unzipped > UNZIPPED.limit:
        yield layer.finding(
            "too-large",
            _largest(layer),
            f"It has {unzipped:,} bytes unzipped ({megabytes(unzipped)}), and Lambda takes {UNZIPPED.limit:,} (250 "
            f"MB) for "
            f"code and layers together. The largest part is {_largest(layer)}.",
            "Leave out what is not needed (lamella layer build --slim ...), or use a container image",
        )
    elif unzipped > _NEAR * UNZIPPED.limit:
        yield layer.finding(
            "near-limit",
            _largest(layer),
            f"It has {megabytes(unzipped)} of the 250 MB that code and layers may have together.",
            "lamella layer build --slim ... leaves out tests, bytecode and what the runtime has",
        )
    if zipped is not None and zipped > ZIP_UPLOAD.limit and unzipped <= UNZIPPED.limit:
        yield layer.finding(
            "over-direct-upload",
            "",
            f"The zip has {zipped:,} bytes ({megabytes(zipped)}), and a request takes {ZIP_UPLOAD.limit:,} (50 MB): "
            "'aws lambda publish-layer-version --zip-file' fails with RequestEntityTooLargeException.",
            "aws s3 cp layer.zip s3://BUCKET/layer.zip && aws lambda publish-layer-version --content "
            "S3Bucket=BUCKET,S3Key=layer.zip --layer-name NAME",
        )


def _largest(layer: CheckedLayer) -> str:
    """The package or directory that has most, down to where it divides."""
    sums: dict[str, int] = {}
    for entry in layer.contents.files():
        parts = entry.name.split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            sums[name] = sums.get(name, 0) + entry.size_bytes
    at, size = "", layer.contents.unzipped_bytes
    while True:
        below = [name for name in sums if name.startswith(at) and "/" not in name[len(at) :]]
        best = max(below, key=lambda name: sums[name], default="")
        if not best or sums[best] < 0.8 * size:
            return at.rstrip("/") or best
        at, size = f"{best}/", sums[best]


def number(subject: Subject) -> Iterator[Finding]:
    """More than five layers, and two versions of one."""
    if len(subject.layers) > LAYERS.limit:
        yield RULES["too-many-layers"].finding(
            "",
            f"There are {len(subject.layers)} layers, and a function can have {LAYERS.limit}: 'Cannot reference more "
            f"than 5 "
            "layers.'",
            "Merge layers that are always used together, or leave out what the runtime has",
        )
    seen: dict[str, str] = {}
    for layer in subject.layers:
        match = _ARN.fullmatch(layer.label)
        if match is None:
            continue
        if match[1] in seen:
            yield layer.finding(
                "two-versions",
                "",
                f"{seen[match[1]]} and {layer.label} are versions of the same layer.",
                "Name one of them only",
            )
        seen[match[1]] = layer.label
