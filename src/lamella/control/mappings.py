"""Event source mappings of queues and streams: create, show, change, delete, list.

Source of the texts, where nothing else is said: answers of AWS recorded in LocalStack's tests, 2023 to 2025, or quoted
in public issues.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.mapping_rules import DEFAULT_BATCH, changed, check_source, check_start
from lamella.control.services import aliases_of, services_of
from lamella.control.tags import TAGS_MEMBER, check_tag_count
from lamella.domain._api_errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from lamella.domain.function import FunctionVersion
from lamella.domain.mapping import (
    CREATING,
    DELETING,
    DISABLED,
    DISABLING,
    ENABLING,
    KIND,
    KINESIS,
    SETTLED,
    UPDATING,
    EventSourceMapping,
)
from lamella.domain.names import FunctionReference
from lamella.domain.stream import AT_TIMESTAMP
from lamella.domain.tenancy import check_fits
from lamella.ports.aws import AwsError, AwsUnavailableError
from lamella.ports.mappings import MappingObserver
from lamella.ports.records import Document, Records

_LIST_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class MappingServices:
    """The group of services that these handlers use beside `ControlServices` and `Records`."""

    observer: MappingObserver


@operation("CreateEventSourceMapping")
async def create_event_source_mapping(
    ctx: Context, req: shapes.CreateEventSourceMappingRequest
) -> shapes.EventSourceMappingConfiguration:
    """What a queue or stream has goes to a function from now on."""
    source = req.get("EventSourceArn")
    if source is None and "SelfManagedEventSource" not in req:
        raise InvalidParameterValueException("Unrecognized event source.")
    source = source or ""
    service = check_source(source, ctx.region)
    now = services_of(ctx).clock.now()
    start, start_at = check_start(req, service, source, now)
    tags = dict(req.get("Tags", {}))
    check_tag_count(tags)
    enabled = req.get("Enabled", True)
    mapping = EventSourceMapping(
        uuid=str(uuid.uuid4()),
        account=ctx.account,
        region=ctx.region,
        source_arn=source,
        function_arn="",
        batch_size=DEFAULT_BATCH[service],
        window_s=0,
        enabled=enabled,
        state=CREATING if enabled else DISABLED,
        modified_at=now.timestamp(),
        start=start,
        start_at=start_at,
        tags=tags,
    )
    mapping = changed(mapping, req)
    reference, version = await _function(ctx, req["FunctionName"])
    mapping = replace(mapping, function_arn=reference.arn)
    await _check_source(ctx, mapping, version)
    await _check_single(ctx, mapping, reference)
    await _store(ctx, mapping)
    return _shown(ctx, mapping)


@operation("GetEventSourceMapping")
async def get_event_source_mapping(
    ctx: Context, req: shapes.GetEventSourceMappingRequest
) -> shapes.EventSourceMappingConfiguration:
    """One mapping."""
    return _shown(ctx, await _existing(ctx, req["UUID"]))


@operation("ListEventSourceMappings")
async def list_event_source_mappings(
    ctx: Context, req: shapes.ListEventSourceMappingsRequest
) -> shapes.ListEventSourceMappingsResponse:
    """Mappings of the account, or of a source or function alone."""
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
        "EventSourceMappings": [_shown(ctx, EventSourceMapping.from_document(row.document)) for row in page.items],
        "NextMarker": page.next_marker,
    }


@operation("UpdateEventSourceMapping")
async def update_event_source_mapping(
    ctx: Context, req: shapes.UpdateEventSourceMappingRequest
) -> shapes.EventSourceMappingConfiguration:
    """Another function, or other batches. What is not named stays."""
    mapping = await _settled(ctx, req["UUID"], "update")
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
    updated = replace(
        changed(mapping, req),
        function_arn=function,
        enabled=enabled,
        state=state,
        modified_at=services_of(ctx).clock.now().timestamp(),
    )
    await _check_source(ctx, updated, version)
    if function != mapping.function_arn:
        await _check_single(ctx, updated, reference)
    return _shown(ctx, await _replace(ctx, updated, "update"))


@operation("DeleteEventSourceMapping")
async def delete_event_source_mapping(
    ctx: Context, req: shapes.DeleteEventSourceMappingRequest
) -> shapes.EventSourceMappingConfiguration:
    """Nothing more for the function; the mapping is gone a moment later."""
    mapping = await _settled(ctx, req["UUID"], "delete")
    return _shown(ctx, await _replace(ctx, replace(mapping, state=DELETING), "delete"))


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


async def _check_source(ctx: Context, mapping: EventSourceMapping, version: FunctionVersion) -> None:
    if mapping.is_stream:
        await _check_stream(ctx, mapping)
    else:
        await _check_queue(ctx, mapping, version)


async def _check_stream(ctx: Context, mapping: EventSourceMapping) -> None:
    """The stream is there."""
    service, operation_name, member = ("dynamodbstreams", "DescribeStream", "StreamArn")
    if mapping.service == KINESIS:
        service, operation_name, member = ("kinesis", "DescribeStreamSummary", "StreamARN")
    asked = {member: mapping.source_arn}
    try:
        await services_of(ctx).aws.call(service, operation_name, asked, account=ctx.account, region=ctx.region)
    except AwsError as error:
        if error.code == "ResourceNotFoundException":
            raise InvalidParameterValueException(f"Stream not found: {mapping.source_arn}") from error
        raise InvalidParameterValueException(
            f"Received Exception while reading from provided stream. {error.message}"
        ) from error
    except AwsUnavailableError as error:
        raise InvalidParameterValueException(f"The stream cannot be looked at. {error}") from error


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
        if mapping.is_stream:
            raise ResourceConflictException(
                f'The event source arn (" {mapping.source_arn} ") and function (" {reference.key.name} ") provided '
                f"mapping already exists. Please update or delete the existing mapping with UUID {row.id}"
            )
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
        # Tags may have changed since it was read: they do not wait for a mapping to settle.
        return {**mapping.document(), TAGS_MEMBER: document.get(TAGS_MEMBER, {})}

    await ctx.services[Records].accounts.change(ctx.account, ctx.region, KIND, mapping.uuid, change)
    ctx.services[MappingServices].observer.mapping_changed(mapping)
    return mapping


def _missing() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")


def _in_use(what: str) -> ResourceInUseException:
    return ResourceInUseException(f"Cannot {what} the event source mapping because it is in use.")


def _shown(ctx: Context, mapping: EventSourceMapping) -> shapes.EventSourceMappingConfiguration:
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
        "StateTransitionReason": "User action" if mapping.is_stream else "USER_INITIATED",
        "UUID": mapping.uuid,
    }
    if mapping.patterns:
        shown["FilterCriteria"] = {"Filters": [{"Pattern": pattern} for pattern in mapping.patterns]}
    if mapping.concurrency:
        shown["ScalingConfig"] = {"MaximumConcurrency": mapping.concurrency}
    if mapping.is_stream:
        shown["BisectBatchOnFunctionError"] = mapping.bisect
        shown["DestinationConfig"] = {"OnFailure": {"Destination": mapping.on_failure} if mapping.on_failure else {}}
        shown["LastProcessingResult"] = ctx.services[MappingServices].observer.last_result(mapping.uuid)
        shown["MaximumRecordAgeInSeconds"] = mapping.max_age_s
        shown["MaximumRetryAttempts"] = mapping.retries
        shown["ParallelizationFactor"] = mapping.lanes
        shown["StartingPosition"] = mapping.start
        shown["TumblingWindowInSeconds"] = mapping.tumbling_s
    if mapping.start == AT_TIMESTAMP:
        shown["StartingPositionTimestamp"] = datetime.fromtimestamp(mapping.start_at, UTC)
    return shown
