"""The process of a server, from its start to its last line."""

import asyncio
import gc
import logging
import os
import signal
import sys

import uvloop

from lamella.adapters.filesystem.directory import DataDirectory, DirectoryError
from lamella.adapters.sandbox.mounts import enter_private_mount_namespace
from lamella.app.log import configure_log
from lamella.app.node import AddressError, running_node
from lamella.app.outside import NeighbourError
from lamella.app.sandboxing import sandbox_provider
from lamella.config.settings import Settings
from lamella.domain.function import Architecture
from lamella.ports.errors import UnavailableError
from lamella.ports.sandbox import SandboxError, SandboxProblem
from lamella.runtimes import host_architecture
from lamella.runtimes.foreign import emulation

_log = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Run a node until it is told to stop.

    Returns:
        Exit status: 0 after a clean stop, 1 if the node could not start; the reason is on stderr.
    """
    configure_log(settings)
    try:
        # Before any thread exists: a mount namespace is entered by a thread, not by a process.
        enter_private_mount_namespace()
    except PermissionError:
        print("lamella: making sandboxes takes root: use sudo; 'lamella doctor' says what is missing", file=sys.stderr)
        return 1
    try:
        with DataDirectory(settings.data) as directory:
            return uvloop.run(_serve(settings, directory))
    except (AddressError, NeighbourError, DirectoryError, SandboxError, UnavailableError, OSError) as error:
        print(f"lamella: {error}", file=sys.stderr)  # the user's terminal, not the log
        return 1


def diagnose(settings: Settings) -> list[SandboxProblem]:
    """What `lamella doctor` shows; changes nothing."""
    return [*sandbox_provider(settings, instance="doctor").diagnose(), _foreign_architecture()]


def _foreign_architecture() -> SandboxProblem:
    """Whether functions for the other architecture run, which few nodes need."""
    other = next(architecture for architecture in Architecture if architecture is not host_architecture())
    found = emulation(other)
    return SandboxProblem("other architecture", found.ok, found.detail, fatal=False, remedy=found.remedy)


async def _serve(settings: Settings, directory: DataDirectory) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_node(settings, directory) as url:
        _calm_garbage_collector()
        # One line, flushed, on stdout: what scripts wait for.
        print(f"Lamella is ready at {url} (data in {settings.data}, process {os.getpid()})", flush=True)
        await stop.wait()
        _log.info("stopping: running invocations have %g s to end", settings.drain_timeout_s)
    _log.info("stopped")
    return 0


def _calm_garbage_collector() -> None:
    """Keep the collector from walking again and again what lives as long as the process: service model and imports.

    What an invocation allocates is freed by reference counting; cycles are rare, so they may wait longer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
