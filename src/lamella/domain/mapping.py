"""Event source mappings: of which queue or stream a function gets what is new, and how."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

KIND: Final = "event-source-mapping"
"""Of the documents that hold them."""
_TAGS: Final = "Tags"  # where `TagResource` keeps the tags of every document that has some

CREATING: Final = "Creating"
ENABLING: Final = "Enabling"
ENABLED: Final = "Enabled"
DISABLING: Final = "Disabling"
DISABLED: Final = "Disabled"
UPDATING: Final = "Updating"
DELETING: Final = "Deleting"
SETTLED: Final = frozenset({ENABLED, DISABLED})
_AFTER: Final = {CREATING: ENABLED, ENABLING: ENABLED, DISABLING: DISABLED}

QUEUE: Final = "sqs"
KINESIS: Final = "kinesis"
DYNAMODB: Final = "dynamodb"

NO_RECORDS: Final = "No records processed"
"""What a stream's mapping shows as its last result until there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceMapping:
    """One mapping of a queue or stream to a function.

    Attributes:
        function_arn: With the qualifier that was given, if any.
        window_s: For how long a batch is gathered.
        patterns: A record is taken if one of them matches; all are taken if there is none.
        enabled: What the caller wants; `state` follows.
        modified_at: Seconds since the epoch.
        partial_failures: Whether the function says which records of a batch have failed.
        concurrency: Of queues: the most batches that are with the function at once; 0 says nothing.
        start: Of streams, as all that follows: where reading begins.
        start_at: With `AT_TIMESTAMP`, seconds since the epoch.
        lanes: How many batches of a shard are with the function at once.
        retries: Attempts after the first; -1 is without end.
        max_age_s: Older records are given up; -1 is without end.
        bisect: An error of the function cuts a batch in two.
        tumbling_s: Length of tumbling windows; 0 is none.
        on_failure: ARN of what is told of records that are given up; may be empty.
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
    start: str = ""
    start_at: float = 0.0
    lanes: int = 1
    retries: int = -1
    max_age_s: int = -1
    bisect: bool = False
    tumbling_s: int = 0
    on_failure: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        """What it reads from, as ARNs have it."""
        return self.source_arn.split(":")[2]

    @property
    def is_stream(self) -> bool:
        """Whether what it reads has shards, and an order in them."""
        return self.service in (KINESIS, DYNAMODB)

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
        return self.service == QUEUE and self.source_arn.endswith(".fifo")

    @property
    def next_state(self) -> str:
        """Where the state goes from itself; as it is if it stays."""
        if self.state == UPDATING:
            return ENABLED if self.enabled else DISABLED
        return _AFTER.get(self.state, self.state)

    def document(self) -> dict[str, Any]:
        """As it is stored; `from_document` reads it."""
        values = asdict(self)
        return {_TAGS: values.pop("tags"), **values, "patterns": list(self.patterns)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """What `document` has written."""
        values = dict(document)
        return cls(tags=values.pop(_TAGS, {}), patterns=tuple(values.pop("patterns")), **values)
