"""Event source mappings of SQS queues: create, show, change, delete, list.

Source of the texts, where nothing else is said: answers of AWS recorded in LocalStack's tests, 2023 to 2025, or quoted
in public issues.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.services import aliases_of, services_of
from lamella.domain._api_errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from lamella.domain.event_filter import PatternError, compile_pattern
from lamella.domain.function import FunctionVersion
from lamella.domain.mapping import (
    CREATING,
    DELETING,
    DISABLED,
    DISABLING,
    ENABLING,
    KIND,
    SETTLED,
    SQS_DEFAULT_BATCH,
    UPDATING,
    EventSourceMapping,
)
from lamella.domain.names import FunctionReference
from lamella.domain.tenancy import check_fits
from lamella.ports.aws import AwsError, AwsUnavailableError
from lamella.ports.mappings import MappingObserver
from lamella.ports.records import Document, Records

_LIST_PAGE: Final = 100
_FIFO_BATCH: Final = 10
_FILTERS: Final = 5
"""Source: Lambda developer guide, "Control which events Lambda sends to your function": five for each mapping."""
_NOT_FOR_SQS: Final = (
    "AmazonManagedKafkaEventSourceConfig",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "DocumentDBEventSourceConfig",
    "KMSKeyArn",
    "LoggingConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "MetricsConfig",
    "ParallelizationFactor",
    "ProvisionedPollerConfig",
    "Queues",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "SourceAccessConfigurations",
    "Tags",
    "Topics",
    "TumblingWindowInSeconds",
)


@dataclass(frozen=True, slots=True)
class MappingServices:
    """The group of services that these handlers use beside `ControlServices` and `Records`."""

    observer: MappingObserver


@operation("CreateEventSourceMapping")
async def create_event_source_mapping(
    ctx: Context, req: shapes.CreateEventSourceMappingRequest
) -> shapes.EventSourceMappingConfiguration:
    """A queue's messages go to a function from now on."""
    source = req.get("EventSourceArn")
    if source is None and "SelfManagedEventSource" not in req:
        raise InvalidParameterValueException("Unrecognized event source.")
    reference, version = await _function(ctx, req["FunctionName"])
    _check_source(ctx, source or "")
    if "StartingPosition" in req or "StartingPositionTimestamp" in req:
        raise InvalidParameterValueException("StartingPosition is not valid for SQS event sources.")
    _check_members(req)
    enabled = req.get("Enabled", True)
    mapping = EventSourceMapping(
        uuid=str(uuid.uuid4()),
        account=ctx.account,
        region=ctx.region,
        source_arn=source or "",
        function_arn=reference.arn,
        batch_size=SQS_DEFAULT_BATCH,
        window_s=0,
        enabled=enabled,
        state=CREATING if enabled else DISABLED,
        modified_at=services_of(ctx).clock.now().timestamp(),
    )
    mapping = _changed(mapping, req)
    await _check_queue(ctx, mapping, version)
    await _check_single(ctx, mapping, reference)
    await _store(ctx, mapping)
    return _shown(mapping)


@operation("GetEventSourceMapping")
async def get_event_source_mapping(
    ctx: Context, req: shapes.GetEventSourceMappingRequest
) -> shapes.EventSourceMappingConfiguration:
    """One mapping."""
    return _shown(await _existing(ctx, req["UUID"]))


@operation("ListEventSourceMappings")
async def list_event_source_mappings(
    ctx: Context, req: shapes.ListEventSourceMappingsRequest
) -> shapes.ListEventSourceMappingsResponse:
    """Mappings of the account, or of a queue or function alone."""
    where: dict[str, str] = {}
    if "EventSourceArn" in req:
        where["source_arn"] = req["EventSourceArn"]
    if "FunctionName" in req:
        where["function_arn"] = FunctionReference.parse(
            req["FunctionName"], account=ctx.account, region=ctx.region, action="ListEventSourceMappings"
        ).arn
    try:
        page = await ctx.services[Records].accounts.list(
            ctx.account,
            ctx.region,
            KIND,
            limit=min(req.get("MaxItems", _LIST_PAGE), _LIST_PAGE),
            marker=req.get("Marker"),
            where=where,
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    return {
        "EventSourceMappings": [_shown(EventSourceMapping.from_document(row.document)) for row in page.items],
        "NextMarker": page.next_marker,
    }


@operation("UpdateEventSourceMapping")
async def update_event_source_mapping(
    ctx: Context, req: shapes.UpdateEventSourceMappingRequest
) -> shapes.EventSourceMappingConfiguration:
    """Another function, or other batches. What is not named stays."""
    mapping = await _settled(ctx, req["UUID"], "update")
    _check_members(req)
    function = mapping.function_arn
    if "FunctionName" in req:
        reference, version = await _function(ctx, req["FunctionName"])
        function = reference.arn
    else:
        reference, version = await _function(ctx, function)
    enabled = req.get("Enabled", mapping.enabled)
    state = UPDATING
    if enabled != mapping.enabled:
        state = ENABLING if enabled else DISABLING
    changed = replace(
        _changed(mapping, req),
        function_arn=function,
        enabled=enabled,
        state=state,
        modified_at=services_of(ctx).clock.now().timestamp(),
    )
    await _check_queue(ctx, changed, version)
    if function != mapping.function_arn:
        await _check_single(ctx, changed, reference)
    return _shown(await _replace(ctx, changed, "update"))


@operation("DeleteEventSourceMapping")
async def delete_event_source_mapping(
    ctx: Context, req: shapes.DeleteEventSourceMappingRequest
) -> shapes.EventSourceMappingConfiguration:
    """No more messages for the function; the mapping is gone a moment later."""
    mapping = await _settled(ctx, req["UUID"], "delete")
    return _shown(await _replace(ctx, replace(mapping, state=DELETING), "delete"))


async def _function(ctx: Context, name: str) -> tuple[FunctionReference, FunctionVersion]:
    reference = FunctionReference.parse(name, account=ctx.account, region=ctx.region, action="CreateEventSourceMapping")
    number = reference.version
    if reference.qualifier is not None and number is None:
        alias = await aliases_of(ctx).get(reference.key, reference.qualifier)
        number = None if alias is None else alias.version
    version = None if number is None else await services_of(ctx).functions.get(reference.key, number)
    if version is None:
        raise InvalidParameterValueException("Function does not exist")
    check_fits(version.config, "An event source mapping")
    return reference, version


def _check_source(ctx: Context, arn: str) -> None:
    """Text of ours: AWS takes streams, brokers and clusters as well."""
    parts = arn.split(":")
    if len(parts) != 6 or parts[2] != "sqs":
        raise InvalidParameterValueException(
            "Lamella polls queues of Amazon SQS only: Kinesis, DynamoDB Streams, Amazon MQ, Kafka and DocumentDB are "
            "no event sources here."
        )
    if parts[3] != ctx.region:
        raise InvalidParameterValueException(f"The queue must be in the function's Region, {ctx.region}.")


def _check_members(req: Mapping[str, Any]) -> None:
    """Text of ours: what has no effect here is not taken as if it had."""
    given = [member for member in _NOT_FOR_SQS if req.get(member) not in (None, {}, [])]
    if given:
        raise InvalidParameterValueException(
            f"Lamella does not support these parameters for SQS event sources: {', '.join(given)}."
        )


def _changed(mapping: EventSourceMapping, req: Mapping[str, Any]) -> EventSourceMapping:
    """The mapping with what a request names, checked as a whole."""
    patterns = mapping.patterns
    if "FilterCriteria" in req:
        patterns = tuple(one.get("Pattern", "") for one in req["FilterCriteria"].get("Filters", ()))
        if len(patterns) > _FILTERS:
            raise InvalidParameterValueException(f"The number of filters exceeds the limit of {_FILTERS}.")
        try:
            for pattern in patterns:
                compile_pattern(pattern)
        except PatternError:
            raise InvalidParameterValueException("Invalid filter pattern definition.") from None
    partial = mapping.partial_failures
    if "FunctionResponseTypes" in req:
        partial = "ReportBatchItemFailures" in req["FunctionResponseTypes"]
    concurrency = mapping.concurrency
    if "ScalingConfig" in req:
        concurrency = req["ScalingConfig"].get("MaximumConcurrency", 0)
    changed = replace(
        mapping,
        batch_size=req.get("BatchSize", mapping.batch_size),
        window_s=req.get("MaximumBatchingWindowInSeconds", mapping.window_s),
        patterns=patterns,
        partial_failures=partial,
        concurrency=concurrency,
    )
    if changed.fifo and changed.window_s:
        raise InvalidParameterValueException("Batching window is not supported for FIFO queues")
    if changed.fifo and changed.batch_size > _FIFO_BATCH:
        raise InvalidParameterValueException(f"Batch size must not exceed {_FIFO_BATCH} for FIFO queues")
    if changed.batch_size > _FIFO_BATCH and not changed.window_s:
        raise InvalidParameterValueException(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )
    return changed


async def _check_queue(ctx: Context, mapping: EventSourceMapping, version: FunctionVersion) -> None:
    """The queue is there, and hides a message for long enough."""
    aws = services_of(ctx).aws
    try:
        name = {"QueueName": mapping.queue_name, "QueueOwnerAWSAccountId": mapping.queue_owner}
        found = await aws.call("sqs", "GetQueueUrl", name, account=ctx.account, region=ctx.region)
        asked = {"QueueUrl": found["QueueUrl"], "AttributeNames": ["VisibilityTimeout"]}
        answer = await aws.call("sqs", "GetQueueAttributes", asked, account=ctx.account, region=ctx.region)
    except AwsError as error:
        raise InvalidParameterValueException(
            f"Error occurred while ReceiveMessage. SQS Error Code: {error.code}. SQS Error Message: {error.message}"
        ) from error
    except AwsUnavailableError as error:
        raise InvalidParameterValueException(f"The queue cannot be looked at. {error}") from error
    hidden_s = int(answer.get("Attributes", {}).get("VisibilityTimeout", 30))
    if hidden_s < version.config.timeout_s:
        raise InvalidParameterValueException(
            f"Queue visibility timeout: {hidden_s} seconds is less than Function timeout: "
            f"{version.config.timeout_s} seconds"
        )


async def _check_single(ctx: Context, mapping: EventSourceMapping, reference: FunctionReference) -> None:
    page = await ctx.services[Records].accounts.list(
        ctx.account,
        ctx.region,
        KIND,
        limit=1,
        where={"source_arn": mapping.source_arn, "function_arn": mapping.function_arn},
    )
    for row in page.items:
        raise ResourceConflictException(
            f'An event source mapping with SQS arn (" {mapping.source_arn} ") and function (" {reference.key.name} ") '
            f"already exists. Please update or delete the existing mapping with UUID {row.id}"
        )


async def _existing(ctx: Context, id_: str) -> EventSourceMapping:
    document = await ctx.services[Records].accounts.get(ctx.account, ctx.region, KIND, id_)
    if document is None:
        raise _missing()
    return EventSourceMapping.from_document(document)


async def _settled(ctx: Context, id_: str, what: str) -> EventSourceMapping:
    mapping = await _existing(ctx, id_)
    if mapping.state not in SETTLED:
        raise _in_use(what)
    return mapping


async def _store(ctx: Context, mapping: EventSourceMapping) -> None:
    await ctx.services[Records].accounts.put(ctx.account, ctx.region, KIND, mapping.uuid, mapping.document())
    if mapping.state not in SETTLED:
        ctx.services[MappingServices].observer.mapping_changed(mapping)


async def _replace(ctx: Context, mapping: EventSourceMapping, what: str) -> EventSourceMapping:
    """Store a change of a mapping that was settled when it was read, if it still is."""

    def change(document: Document | None) -> Document:
        if document is None:
            raise _missing()
        if document["state"] not in SETTLED:
            raise _in_use(what)
        return mapping.document()

    await ctx.services[Records].accounts.change(ctx.account, ctx.region, KIND, mapping.uuid, change)
    ctx.services[MappingServices].observer.mapping_changed(mapping)
    return mapping


def _missing() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")


def _in_use(what: str) -> ResourceInUseException:
    return ResourceInUseException(f"Cannot {what} the event source mapping because it is in use.")


def _shown(mapping: EventSourceMapping) -> shapes.EventSourceMappingConfiguration:
    prefix = mapping.function_arn.split(":function:")[0]
    shown: shapes.EventSourceMappingConfiguration = {
        "BatchSize": mapping.batch_size,
        "EventSourceArn": mapping.source_arn,
        "EventSourceMappingArn": f"{prefix}:event-source-mapping:{mapping.uuid}",
        "FunctionArn": mapping.function_arn,
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if mapping.partial_failures else [],
        "LastModified": datetime.fromtimestamp(mapping.modified_at, UTC),
        "MaximumBatchingWindowInSeconds": mapping.window_s,
        "State": mapping.state,
        "StateTransitionReason": "USER_INITIATED",
        "UUID": mapping.uuid,
    }
    if mapping.patterns:
        shown["FilterCriteria"] = {"Filters": [{"Pattern": pattern} for pattern in mapping.patterns]}
    if mapping.concurrency:
        shown["ScalingConfig"] = {"MaximumConcurrency": mapping.concurrency}
    return shown
