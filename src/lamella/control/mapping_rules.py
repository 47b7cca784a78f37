"""What a request may say about an event source mapping, for queues and for streams.

Source of the texts, where nothing else is said: answers of AWS recorded in LocalStack's tests, 2023 to 2025, or quoted
in public issues.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.event_filter import PatternError, compile_pattern
from lamella.domain.mapping import DYNAMODB, KINESIS, QUEUE, EventSourceMapping
from lamella.domain.stream import AT_TIMESTAMP

DEFAULT_BATCH: Final[Mapping[str, int]] = {QUEUE: 10, KINESIS: 100, DYNAMODB: 100}
_FIFO_BATCH: Final = 10
_LEAST_AGE_S: Final = 60
"""Source: developer guide, "Lambda parameters for Amazon Kinesis Data Streams event source mappings"."""
_FILTERS: Final = 5
"""Source: developer guide, "Control which events Lambda sends to your function": five for each mapping."""
_NOWHERE: Final = (
    "AmazonManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "KMSKeyArn",
    "LoggingConfig",
    "MetricsConfig",
    "ProvisionedPollerConfig",
    "Queues",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "SourceAccessConfigurations",
    "Topics",
)
_STREAMS_ALONE: Final = (
    "BisectBatchOnFunctionError",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "TumblingWindowInSeconds",
)
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    QUEUE: re.compile(r"[^:/]+"),
    KINESIS: re.compile(r"stream/[^:/]+"),
    DYNAMODB: re.compile(r"table/[^:/]+/stream/[^/]+"),
}


def check_source(arn: str, region: str) -> str:
    """The service of a source that can be read here. What is refused is so in words of ours, but for the last."""
    parts = arn.split(":", 5)
    service = parts[2] if len(parts) == 6 else ""
    if service not in _FORMS:
        raise InvalidParameterValueException(
            "Lamella reads queues of Amazon SQS, data streams of Amazon Kinesis and streams of Amazon DynamoDB: "
            "Amazon MQ, Kafka and DocumentDB are no event sources here."
        )
    if service == KINESIS and "/consumer/" in parts[5]:
        raise InvalidParameterValueException(
            "Lamella does not read Kinesis streams through consumers with enhanced fan-out: give the stream's ARN."
        )
    if parts[3] != region:
        raise InvalidParameterValueException(f"The event source must be in the function's Region, {region}.")
    if not _FORMS[service].fullmatch(parts[5]):
        raise InvalidParameterValueException("Unrecognized event source.")
    return service


def check_start(req: Mapping[str, Any], service: str, arn: str, now: datetime) -> tuple[str, float]:
    """Where reading begins, and for a time, when that is."""
    position, at = req.get("StartingPosition", ""), req.get("StartingPositionTimestamp")
    if service == QUEUE:
        if position or at is not None:
            raise InvalidParameterValueException("StartingPosition is not valid for SQS event sources.")
        return "", 0.0
    if not position:
        raise InvalidParameterValueException(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
    if position != AT_TIMESTAMP:
        if at is not None:
            raise InvalidParameterValueException("Timestamp only valid with StartingPosition AT_TIMESTAMP")
        return position, 0.0
    if service == DYNAMODB:
        raise InvalidParameterValueException(f"Unsupported starting position for arn type: {arn}")
    if at is None:
        raise InvalidParameterValueException("Need to specify a timestamp")
    if at.timestamp() < 0:
        raise InvalidParameterValueException(
            "Received Exception while reading from provided stream. "
            "class java.lang.Long can not be converted to a Timestamp"
        )
    if at > now:
        # Text of ours; that it may not be is in the API reference.
        raise InvalidParameterValueException("StartingPositionTimestamp cannot be in the future.")
    return position, at.timestamp()


def changed(mapping: EventSourceMapping, req: Mapping[str, Any]) -> EventSourceMapping:
    """The mapping with what a request names, checked as a whole."""
    _check_members(mapping, req)
    patterns = mapping.patterns
    if "FilterCriteria" in req:
        patterns = _patterns(req["FilterCriteria"])
    partial = mapping.partial_failures
    if "FunctionResponseTypes" in req:
        partial = "ReportBatchItemFailures" in req["FunctionResponseTypes"]
    concurrency = mapping.concurrency
    if "ScalingConfig" in req:
        concurrency = req["ScalingConfig"].get("MaximumConcurrency", 0)
    on_failure = mapping.on_failure
    if "DestinationConfig" in req:
        on_failure = _on_failure(req["DestinationConfig"])
    made = replace(
        mapping,
        batch_size=req.get("BatchSize", mapping.batch_size),
        window_s=req.get("MaximumBatchingWindowInSeconds", mapping.window_s),
        patterns=patterns,
        partial_failures=partial,
        concurrency=concurrency,
        lanes=req.get("ParallelizationFactor", mapping.lanes),
        retries=req.get("MaximumRetryAttempts", mapping.retries),
        max_age_s=req.get("MaximumRecordAgeInSeconds", mapping.max_age_s),
        bisect=req.get("BisectBatchOnFunctionError", mapping.bisect),
        tumbling_s=req.get("TumblingWindowInSeconds", mapping.tumbling_s),
        on_failure=on_failure,
    )
    if made.is_stream:
        if made.tumbling_s and made.lanes > 1:
            # A state is a shard's. What AWS does with several batches of it at once it does not say.
            raise InvalidParameterValueException(
                "Lamella has tumbling windows for shards with one batch at once: ParallelizationFactor must be 1."
            )
        if 0 <= made.max_age_s < _LEAST_AGE_S:
            raise InvalidParameterValueException(
                f"MaximumRecordAgeInSeconds must be -1 or between {_LEAST_AGE_S} and 604800."
            )
    else:
        _check_batch(made)
    return made


def _check_batch(mapping: EventSourceMapping) -> None:
    if mapping.fifo and mapping.window_s:
        raise InvalidParameterValueException("Batching window is not supported for FIFO queues")
    if mapping.fifo and mapping.batch_size > _FIFO_BATCH:
        raise InvalidParameterValueException(f"Batch size must not exceed {_FIFO_BATCH} for FIFO queues")
    if mapping.batch_size > _FIFO_BATCH and not mapping.window_s:
        raise InvalidParameterValueException(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )


def _check_members(mapping: EventSourceMapping, req: Mapping[str, Any]) -> None:
    """Texts of ours, but for destinations: what has no effect here is not taken as if it had."""
    refused = (*_NOWHERE, "ScalingConfig") if mapping.is_stream else (*_NOWHERE, *_STREAMS_ALONE)
    given = [member for member in refused if req.get(member) not in (None, {}, [])]
    if given:
        source = "stream" if mapping.is_stream else "SQS"
        raise InvalidParameterValueException(
            f"Lamella does not support these parameters for {source} event sources: {', '.join(sorted(given))}."
        )
    destinations = req.get("DestinationConfig") or {}
    if "OnSuccess" in destinations or (destinations.get("OnFailure") and not mapping.is_stream):
        raise InvalidParameterValueException(
            "Unsupported DestinationConfig parameter for given event source mapping type."
        )


def _patterns(criteria: Mapping[str, Any]) -> tuple[str, ...]:
    patterns = tuple(one.get("Pattern", "") for one in criteria.get("Filters", ()))
    if len(patterns) > _FILTERS:
        raise InvalidParameterValueException(f"The number of filters exceeds the limit of {_FILTERS}.")
    try:
        for pattern in patterns:
            compile_pattern(pattern)
    except PatternError:
        raise InvalidParameterValueException("Invalid filter pattern definition.") from None
    return patterns


def _on_failure(config: Mapping[str, Any]) -> str:
    arn: str = config.get("OnFailure", {}).get("Destination", "")
    service = arn.split(":")[2] if arn.count(":") >= 5 else ""
    if arn and (service not in ("sqs", "sns", "s3") or arn.endswith(".fifo")):
        # Text of ours. What may be one is in the developer guide, "Retain discarded batch records".
        raise InvalidParameterValueException(
            "The destination of records that were given up is a standard queue of SQS, a standard topic of SNS, or a "
            "bucket of S3."
        )
    return arn
