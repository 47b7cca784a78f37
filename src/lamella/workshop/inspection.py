"""Reads layers in a process of its own: what is wrong with them as they lie there, and what there is to try of them.

Reading a layer of 250 MB keeps a processor busy for seconds, and the server's event loop would wait for the
interpreter's lock all that time. `python -m lamella.workshop.inspection` reads a request from stdin and prints an
answer, both JSON; it is nice to everybody else, and bounded in what it may take.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.layers.contents import open_contents
from lamella.layers.doctor import check_layers
from lamella.layers.facts import FACTS
from lamella.layers.findings import Finding
from lamella.layers.proving import Target, plan_proof
from lamella.layers.proving.reading import plain

_MEMORY_BYTES: Final = 2 * 1024**3
_CPU_S: Final = 120
_ANSWER_MOST_BYTES: Final = 32 * 1024**2
_FINDINGS_MOST: Final = 500
_NICENESS: Final = 15
_MODULE: Final = "lamella.workshop.inspection"


class InspectionError(Exception):
    """Layers cannot be read; the text says why, fit for whoever sent them."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to look at.

    Attributes:
        archives: Path and label of each layer, in the order in which a function has them.
        runtimes: That they are to be held against.
        architectures: Likewise.
        static: Whether to look for what is wrong.
        plans: Runtimes to plan a proof for.
        architecture: That the proof will run on.
    """

    archives: Sequence[tuple[Path, str]]
    runtimes: Sequence[str]
    architectures: Sequence[str]
    static: bool
    plans: Sequence[str]
    architecture: Architecture


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found: `plans` by runtime."""

    findings: tuple[Finding, ...]
    plans: dict[str, list[Target]]


async def inspect(request: Request, *, timeout_s: float) -> Inspection:
    """Have layers read by a child process.

    Raises:
        InspectionError: They cannot be read, or not in time.
    """
    document = {
        "archives": [[str(path), label] for path, label in request.archives],
        "runtimes": list(request.runtimes),
        "architectures": list(request.architectures),
        "static": request.static,
        "plans": list(request.plans),
        "architecture": request.architecture.value,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", _MODULE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_ANSWER_MOST_BYTES,
        start_new_session=True,  # Ctrl-C at the server's terminal is for the server
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, errors = await process.communicate(json.dumps(document).encode())
    except TimeoutError:
        raise InspectionError(f"Reading the layer took longer than {timeout_s:.0f} s.") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        answer: Any = json.loads(output)  # Any: JSON of our own making
    except ValueError:
        answer = {}
    if process.returncode != 0 or not answer:
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        told = answer.get("error") or (lines[-1] if lines else f"status {process.returncode}")
        # Where the store has an archive is nobody's business.
        for path, label in request.archives:
            told = told.replace(str(path), label or "it")
        raise InspectionError(f"The layer cannot be read: {plain(told)}")
    labels = {str(path): label for path, label in request.archives}
    findings = [Finding.of_dict(finding) for finding in answer["findings"]]
    plans = {runtime: [Target.of_dict(target) for target in plan] for runtime, plan in answer["plans"].items()}
    return Inspection(
        tuple(replace(finding, layer=labels.get(finding.layer, finding.layer)) for finding in findings),
        {
            runtime: [replace(target, layer=labels.get(target.layer, target.layer)) for target in plan]
            for runtime, plan in plans.items()
        },
    )


def _answer(document: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    with ExitStack() as stack:
        layers = [stack.enter_context(open_contents(Path(path), label=label)) for path, label in document["archives"]]
        findings: list[Finding] = []
        if document["static"]:
            findings = check_layers(
                layers,
                runtimes=document["runtimes"],
                architectures=document["architectures"],
            )
        architecture = Architecture(document["architecture"])
        plans = {name: plan_proof(layers, FACTS[name], architecture) for name in document["plans"]}
    worst_first = sorted(findings, key=lambda finding: -finding.severity)[:_FINDINGS_MOST]
    return {
        "findings": [finding.to_dict() for finding in worst_first],
        "plans": {name: [target.to_dict() for target in plan] for name, plan in plans.items()},
    }


def main() -> None:
    """Answer one request."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    try:
        answer = _answer(json.load(sys.stdin))
    except Exception as error:  # noqa: BLE001  # the server is told, whatever it is
        json.dump({"error": str(error) or type(error).__name__}, sys.stdout)
        sys.exit(1)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
