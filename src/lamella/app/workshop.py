"""The node's side of the layer workshop: what proves layers, the gate, and the pages of both."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from lamella.app.stores import Stores
from lamella.config.settings import Settings
from lamella.domain.quotas import LimitProfile
from lamella.invoke.variables import probe_variables
from lamella.pages.layers import Layers, RuntimeContents
from lamella.ports.clock import Clock
from lamella.ports.gate import LayerGate, OpenGate
from lamella.ports.sandbox import SandboxProvider
from lamella.workshop.examiner import Examiner
from lamella.workshop.gate import Gate
from lamella.workshop.prover import ProofLimits, Prover


@dataclass(frozen=True, slots=True)
class Workshop:
    """What the rest of the node has to do with."""

    examiner: Examiner
    gate: LayerGate
    layers: Layers
    runtime_contents: RuntimeContents


async def open_workshop(
    settings: Settings, stores: Stores, sandboxes: SandboxProvider, clock: Clock, stack: AsyncExitStack
) -> Workshop:
    """Set it up, and go on with the checks that the last server has left; the stack ends it."""
    limits, directory = ProofLimits(), settings.data / "workshop"
    variables = partial(
        probe_variables, account=settings.account_id, region=settings.region, memory_mib=limits.memory_mib
    )
    prover = Prover(sandboxes, directory, variables, limits)
    examiner = Examiner(stores.artifacts, stores.packs, prover)
    gate: Gate | None = None
    if settings.layer_gate != "off":
        enforce = settings.layer_gate == "enforce"
        gate = Gate(examiner, stores.records.accounts, stores.layers, clock, enforce=enforce)
        await gate.start()
        stack.push_async_callback(gate.close)
    pages = Layers(
        examiner,
        gate,
        stores.layers,
        stores.artifacts,
        directory=directory,
        limits=LimitProfile(settings.limits),
    )
    return Workshop(examiner, gate or OpenGate(), pages, RuntimeContents(stores.packs))
