"""What each function can reach on this node: the policy, applied to the function's tag."""

import logging
from collections.abc import Mapping

from lamella.domain.function import FunctionKey
from lamella.domain.network import NETWORK_TAG, Network, NetworkPolicy
from lamella.ports.stores import FunctionStore

_log = logging.getLogger(__name__)


class Networks:
    """Knows the network of every function, so that nobody has to ask the store while an invocation waits."""

    def __init__(self, policy: NetworkPolicy) -> None:
        """Of functions that it is not told of, it supposes that they have no tags."""
        self._policy = policy
        self._tagged: dict[FunctionKey, Network] = {}  # those that do not get the default

    async def load(self, functions: FunctionStore) -> None:
        """Learn the tags of all functions; before any invocation."""
        for key, value in (await functions.tagged(NETWORK_TAG)).items():
            self.learn(key, {NETWORK_TAG: value})

    def of(self, key: FunctionKey) -> Network:
        """What the function can reach."""
        return self._tagged.get(key, self._policy.default)

    def learn(self, key: FunctionKey, tags: Mapping[str, str]) -> bool:
        """Follow the tags of a function; an operator is told of what is unusual.

        Returns:
            Whether its network is another one than before.
        """
        before, network = self.of(key), self._policy.choose(tags)
        wanted = tags.get(NETWORK_TAG, network)
        if wanted != network:
            _log.warning(
                "%s asks for the network %r, which is not allowed or not possible here; it gets %r",
                key.arn(),
                wanted,
                network.value,
            )
        elif network is Network.HOST and before is not Network.HOST:
            _log.warning("%s shares the network of this host, with all that listens on it", key.arn())
        self.forget(key)
        if network is not self._policy.default:
            self._tagged[key] = network
        return network is not before

    def forget(self, key: FunctionKey) -> None:
        """The function is gone, and with it its tags."""
        self._tagged.pop(key, None)
