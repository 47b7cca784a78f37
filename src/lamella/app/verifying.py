"""The conformance kit on a node: what examines, and its page."""

from lamella.app.stores import Stores
from lamella.config.settings import Settings
from lamella.conformance.runtime_examination import RuntimeExaminer
from lamella.domain.quotas import LimitProfile
from lamella.pages.conformance import Conformance, Trees
from lamella.ports.sandbox import SandboxProvider


def open_conformance(settings: Settings, stores: Stores, sandboxes: SandboxProvider) -> Conformance:
    """Set it up. The directory of uploads is the workshop's, and there already."""
    account, region = settings.account_id, settings.region
    examiner = RuntimeExaminer(sandboxes, stores.packs, settings.data / "conformance", account=account, region=region)
    trees = Trees(stores.artifacts, stores.layers, stores.functions, stores.aliases, stores.packs)
    return Conformance(
        examiner,
        trees,
        directory=settings.data / "workshop",
        limits=LimitProfile(settings.limits),
        account=account,
        region=region,
    )
