"""What the handlers of the control API work with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lamella.awsapi.context import Context
from lamella.control.garbage import Garbage
from lamella.control.locations import LocationSigner
from lamella.control.transitions import Transitions
from lamella.domain.network import NetworkPolicy
from lamella.domain.quotas import CODE_STORAGE, CONCURRENCY, LimitProfile
from lamella.ports.aws import AwsServices
from lamella.ports.clock import Clock
from lamella.ports.functions import FunctionObserver
from lamella.ports.gate import LayerGate, OpenGate
from lamella.ports.images import ImageStore
from lamella.ports.runtimes import RuntimeCatalog
from lamella.ports.stores import AliasStore, ArtifactStore, FunctionStore, LayerStore


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """The settings that handlers follow.

    Attributes:
        allow_deprecated_runtimes: Whether runtimes that AWS has blocked can be used all the same.
        code_storage_bytes: Zip archives of an account in a region, all versions together.
        concurrency: Concurrent executions of an account in a region.
        networks: What a function's tag may ask for.
        organizations: Organisation by account, of those that are in one.
        limits: Whose limits hold.
    """

    allow_deprecated_runtimes: bool = False
    code_storage_bytes: int = CODE_STORAGE.limit
    concurrency: int = CONCURRENCY.limit
    networks: NetworkPolicy = field(default_factory=NetworkPolicy)
    organizations: Mapping[str, str] = field(default_factory=dict)
    limits: LimitProfile = LimitProfile.AWS


@dataclass(frozen=True, slots=True)
class ControlServices:
    """The group of `awsapi.context.Services` that belongs to this package."""

    functions: FunctionStore
    layers: LayerStore
    artifacts: ArtifactStore
    runtimes: RuntimeCatalog
    observer: FunctionObserver
    clock: Clock
    transitions: Transitions
    locations: LocationSigner
    garbage: Garbage
    aws: AwsServices
    images: ImageStore
    settings: ControlSettings = ControlSettings()
    gate: LayerGate = field(default_factory=OpenGate)


@dataclass(frozen=True, slots=True)
class AliasServices:
    """The group for what has to do with aliases."""

    aliases: AliasStore


def services_of(ctx: Context) -> ControlServices:
    """This package's group."""
    return ctx.services[ControlServices]


def aliases_of(ctx: Context) -> AliasStore:
    """The aliases of functions."""
    return ctx.services[AliasServices].aliases
