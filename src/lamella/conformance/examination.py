"""Plays scenarios against a patient, several at once, and gathers what came of them."""

import asyncio
from collections.abc import Callable, Sequence

from lamella.conformance.referee import Patient, Referee
from lamella.conformance.report import Gathering
from lamella.conformance.scenario import Scenario
from lamella.ports.sandbox import SandboxError, SandboxProvider

Progress = Callable[[str], None]
"""Gets the name of each scenario when it begins."""


async def play_all(
    patient: Patient,
    scenarios: Sequence[Scenario],
    sandboxes: SandboxProvider,
    gathering: Gathering,
    *,
    at_once: int = 4,
    progress: Progress | None = None,
) -> None:
    """Play each scenario in a sandbox of its own.

    Args:
        patient: Put into each of the sandboxes.
        scenarios: None has been played yet.
        sandboxes: Of the node.
        gathering: Takes the verdicts, in the order of the scenarios.
        at_once: How many sandboxes there may be at a time: most scenarios wait most of their time.
        progress: Told of each.

    Raises:
        SandboxError: There could be no sandbox.
    """
    turns = asyncio.Semaphore(at_once)

    async def play(scenario: Scenario) -> None:
        async with turns:
            if progress is not None:
                progress(scenario.name)
            await Referee(patient, scenario).run(sandboxes)

    failure: BaseExceptionGroup[SandboxError] | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for scenario in scenarios:
                group.create_task(play(scenario), name=f"verify {scenario.name}")
    except* SandboxError as errors:
        failure = errors
    if failure is not None:  # one reason is enough
        raise SandboxError(str(failure.exceptions[0]))
    for scenario in scenarios:
        scenario.not_reached(scenario.checks, "The scenario ended before this was seen.")
        gathering.take(scenario.results, scenario.output.decode("utf-8", "replace"))
