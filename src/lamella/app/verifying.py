"""The conformance kit on a node: what examines, and its pages."""

from lamella.app.stores import Stores
from lamella.config.settings import Settings
from lamella.conformance.runtime_examination import RuntimeExaminer
from lamella.domain.quotas import UNZIPPED, LimitProfile
from lamella.invoke.managed import ManagedRuntimes
from lamella.pages.conformance import Conformance, Trees
from lamella.pages.conformance_extension import ExtensionPage
from lamella.ports.sandbox import SandboxProvider
from lamella.runtimes.system import host_architecture
from lamella.spool import Upload


def open_conformance(
    settings: Settings, stores: Stores, managed: ManagedRuntimes, sandboxes: SandboxProvider
) -> Conformance:
    """Set it up. The directory of uploads is the workshop's, and there already."""
    account, region = settings.account_id, settings.region
    examiner = RuntimeExaminer(sandboxes, stores.packs, settings.data / "conformance", account=account, region=region)
    trees = Trees(
        stores.artifacts,
        stores.layers,
        stores.functions,
        stores.aliases,
        stores.packs,
        managed.pack,
        stores.images,
        host_architecture(),
    )
    uploads, limits = settings.data / "workshop", LimitProfile(settings.limits)
    conformance = Conformance(examiner, trees, directory=uploads, limits=limits, account=account, region=region)
    extensions = ExtensionPage(conformance, trees, sandboxes, settings.data / "conformance", account, region)
    conformance.uploads["POST", "conformance/extension"] = Upload(extensions.page, uploads, limits.limit(UNZIPPED) - 1)
    return conformance
