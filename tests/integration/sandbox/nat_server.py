"""A provider in a process of its own: makes one sandbox with a network, shows its address there, and waits.

Usage: nat_server.py STATE_DIR INSTANCE ROOTFS TASK
"""

import asyncio
import sys
import uuid
from pathlib import Path

from lamella.adapters.sandbox import OciSandboxProvider, OciSettings
from lamella.domain.network import Network
from lamella.ports.sandbox import SandboxSpec


async def main(state: str, instance: str, rootfs: str, task: str) -> None:
    provider = OciSandboxProvider(
        OciSettings(Path(state), instance, ready=1, network=Network.NAT, nat=True, nat_required=True)
    )
    await provider.start()
    spec = SandboxSpec(uuid.uuid4().hex, Path(rootfs), Path(task), network=Network.NAT)
    await provider.create(spec)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await provider.close()


asyncio.run(main(*sys.argv[1:]))
