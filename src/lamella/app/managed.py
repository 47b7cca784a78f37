"""The node's side of customer-managed runtimes."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from lamella.app.stores import Stores
from lamella.config.settings import Settings
from lamella.control.managed_services import Fetches, ManagedServices
from lamella.domain.quotas import LimitProfile
from lamella.invoke.managed import ManagedRuntimes
from lamella.invoke.router import Router
from lamella.pages.managed import ManagedPages
from lamella.pages.scope import Contexts
from lamella.ports.clock import Clock
from lamella.ports.images import ImageStore
from lamella.ports.managed import RuntimeContents
from lamella.runtimes.managed import ManagedContents


@dataclass(frozen=True, slots=True)
class Managed:
    """What the rest of the node has to do with.

    Attributes:
        contents: What versions are made of.
        runtimes: What invocations see; the router has it too.
    """

    contents: RuntimeContents
    runtimes: ManagedRuntimes

    def serve(self, stores: Stores, router: Router, clock: Clock, stack: AsyncExitStack) -> ManagedServices:
        """What the handlers work with; the stack ends what is under way."""
        fetches = Fetches(stores.records.accounts, self.contents, router, clock)
        stack.push_async_callback(fetches.close)
        return ManagedServices(self.contents, router, fetches)

    def pages(self, settings: Settings, contexts: Contexts) -> ManagedPages:
        """What is served beside the API."""
        whose = {"account": settings.account_id, "region": settings.region}
        directory, limits = settings.data / "workshop", LimitProfile(settings.limits)
        return ManagedPages(contexts, self.contents, directory, limits, **whose)


def open_managed(settings: Settings, stores: Stores, images: ImageStore | None = None) -> Managed:
    """Look at what is there; nothing is fetched."""
    contents = ManagedContents(settings.data / "managed-runtimes", stores.packs, images)
    return Managed(contents, ManagedRuntimes(contents))
