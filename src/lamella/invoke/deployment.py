"""What environments have in common: those of a function version, and all of a node."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from lamella.domain.function import FunctionKey, FunctionVersion
from lamella.domain.image import Launch
from lamella.httpserver.server import Handler
from lamella.invoke.entrypoint import View
from lamella.invoke.freezer import Freezer
from lamella.invoke.measurements import Measurements
from lamella.invoke.processes import EXTENSIONS
from lamella.invoke.recorder import NoRecorder, Recorder
from lamella.invoke.tasks import Tasks
from lamella.invoke.variables import (
    ON_DEMAND,
    PROVISIONED,
    SNAP_START,
    takes_snapshots,
)
from lamella.ports.logs import LogStore
from lamella.ports.runtimes import RuntimePack
from lamella.ports.sandbox import SandboxProvider, SandboxSpec


@dataclass(frozen=True)
class Deployment:
    """What every environment of one function version has in common.

    Attributes:
        launch: How the program of a function's image is started; `None` if it has none.
    """

    version: FunctionVersion
    pack: RuntimePack
    view: View
    sandbox: SandboxSpec  # its id is replaced for each environment
    init_timeout_s: float
    freeze: bool
    endpoint_url: str
    secret_access_key: str
    provisioned: bool = False
    launch: Launch | None = None

    @property
    def handler(self) -> str:
        """What stands for the handler, as runtime and extensions are told."""
        return (self.version.config.handler or "") if self.launch is None else self.launch.handler

    @cached_property
    def command(self) -> Launch | None:
        """What to start, where a pack or an image names a command; `None` if there are candidates."""
        if self.launch is not None or self.pack.command is None:
            return self.launch
        return Launch(self.pack.command, (), self.pack.working_directory)

    @cached_property
    def extensions(self) -> tuple[str, ...]:
        """Names of the external extensions, sorted (EX-01)."""
        return self.view.files(EXTENSIONS)

    @cached_property
    def takes_snapshots(self) -> bool:
        """Whether AWS would start it from a snapshot."""
        return takes_snapshots(self.version)

    @property
    def initialization_type(self) -> str:
        """`AWS_LAMBDA_INITIALIZATION_TYPE`."""
        if self.provisioned:
            return PROVISIONED
        return SNAP_START if self.takes_snapshots else ON_DEMAND


def _record_nothing(environment_id: str, key: FunctionKey, version: str, log_stream: str) -> Recorder:  # noqa: ARG001
    return NoRecorder()


@dataclass(frozen=True, slots=True)
class NodeServices:
    """What every environment of a node has in common.

    Attributes:
        endpoint_for: Gives the handler that answers AWS's API inside the sandboxes of a function.
        measurements: Counts what functions do.
        recorder_for: Makes the flight recorder of an environment, of its id, its function, version and log stream.
    """

    sandboxes: SandboxProvider
    logs: LogStore
    freezer: Freezer
    endpoint_for: Callable[[FunctionKey], Handler]
    tasks: Tasks
    recorder_for: Callable[[str, FunctionKey, str, str], Recorder] = _record_nothing
    measurements: Measurements = field(default_factory=Measurements)
