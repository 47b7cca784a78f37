"""The sandboxes of a node, and what network they may have."""

import logging
from contextlib import AsyncExitStack
from typing import Final

from lamella.adapters.sandbox.oci import OciSandboxProvider, OciSettings
from lamella.config.settings import Settings
from lamella.domain.network import Network, NetworkPolicy, policy

_log = logging.getLogger(__name__)

SANDBOX_ADDRESS: Final = "169.254.100.1"
ENDPOINT_PORT: Final = 4566


async def start_sandboxing(
    settings: Settings, instance: str, stack: AsyncExitStack
) -> tuple[OciSandboxProvider, NetworkPolicy]:
    """Get ready to make sandboxes, and find out which networks they can have; the stack ends it.

    Raises:
        SandboxError: This machine cannot make them, or not as the settings want.
    """
    sandboxes = sandbox_provider(settings, instance=instance)
    stack.push_async_callback(sandboxes.close)
    await sandboxes.start()
    granted = _network_policy(settings, nat_works=sandboxes.nat_works)
    if granted.default is Network.HOST:
        _log.warning("functions share the network of this host, with all that listens on it: network = host")
    return sandboxes, granted


def sandbox_provider(settings: Settings, *, instance: str) -> OciSandboxProvider:
    """As the settings want it; nothing is started yet."""
    wanted = _network_policy(settings, nat_works=True)
    return OciSandboxProvider(
        OciSettings(
            runtime=settings.sandbox_runtime,
            state_dir=settings.data / "run",
            instance=instance,
            endpoint_port=ENDPOINT_PORT,
            network=wanted.default,
            nat=Network.NAT in wanted.allowed,
            nat_required="nat" in (settings.network, settings.network_limit),
            nat_blocked=settings.network_blocked,
            name_servers=settings.network_dns,
        )
    )


def _network_policy(settings: Settings, *, nat_works: bool) -> NetworkPolicy:
    default = Network.NAT if settings.network == "auto" else Network(settings.network)
    limit = default if settings.network_limit == "same" else Network(settings.network_limit)
    return policy(default, limit, nat_works=nat_works)
