"""Event source mappings: which queue's messages a function gets, and how."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

SQS_DEFAULT_BATCH: Final = 10
KIND: Final = "event-source-mapping"
"""Of the documents that hold them."""

CREATING: Final = "Creating"
ENABLING: Final = "Enabling"
ENABLED: Final = "Enabled"
DISABLING: Final = "Disabling"
DISABLED: Final = "Disabled"
UPDATING: Final = "Updating"
DELETING: Final = "Deleting"
SETTLED: Final = frozenset({ENABLED, DISABLED})
_AFTER: Final = {CREATING: ENABLED, ENABLING: ENABLED, DISABLING: DISABLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceMapping:
    """One mapping of a queue to a function.

    Attributes:
        function_arn: With the qualifier that was given, if any.
        window_s: For how long a batch is gathered.
        patterns: A message is taken if one of them matches; all are taken if there is none.
        enabled: What the caller wants; `state` follows.
        modified_at: Seconds since the epoch.
        partial_failures: Whether the function says which messages of a batch have failed.
        concurrency: The most batches that are with the function at once; 0 says nothing.
    """

    uuid: str
    account: str
    region: str
    source_arn: str
    function_arn: str
    batch_size: int
    window_s: int
    enabled: bool
    state: str
    modified_at: float
    patterns: tuple[str, ...] = ()
    partial_failures: bool = False
    concurrency: int = 0

    @property
    def queue_name(self) -> str:
        """Last part of the queue's ARN."""
        return self.source_arn.rpartition(":")[2]

    @property
    def queue_owner(self) -> str:
        """Account of the queue."""
        return self.source_arn.split(":")[4]

    @property
    def fifo(self) -> bool:
        """Whether the queue keeps an order within groups."""
        return self.source_arn.endswith(".fifo")

    @property
    def next_state(self) -> str:
        """Where the state goes from itself; as it is if it stays."""
        if self.state == UPDATING:
            return ENABLED if self.enabled else DISABLED
        return _AFTER.get(self.state, self.state)

    def document(self) -> dict[str, Any]:
        """As it is stored; `from_document` reads it."""
        return {**asdict(self), "patterns": list(self.patterns)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """What `document` has written."""
        return cls(**{**document, "patterns": tuple(document["patterns"])})
