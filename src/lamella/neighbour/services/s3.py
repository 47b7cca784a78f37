"""Notifications of buckets.

Source of the shapes: S3 user guide, "Event message structure"; notifications that AWS sent, recorded by LocalStack in
2023 (`test_s3_notifications_lambda.snapshot.json`, `…_sqs…`, `…_eventbridge…`).
"""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote_plus

from flask import has_request_context, request
from moto.core.serialize import S3Serializer
from moto.events.models import events_backends
from moto.s3 import notifications
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeBucket, S3Backend

from lamella.neighbour.services.functions import Service
from lamella.neighbour.services.patching import replace

_SKIP_VALIDATION: Final = "x-amz-skip-destination-validation"
_NEWER: Final = ("ObjectTagging:", "ObjectAcl:", "LifecycleExpiration:", "LifecycleTransition", "IntelligentTiering")
"""Events of version 2.3; they have neither size nor sequencer. Source: as above."""
_EMPTY_ETAG: Final = "d41d8cd98f00b204e9800998ecf8427e"
_REASONS: Final = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Post": "POST Object",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "ObjectRemoved:Delete": "DeleteObject",
    "ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
}


def s3_record(event: str, bucket: FakeBucket, key: Any, notification_id: str) -> dict[str, Any]:  # Any: JSON
    """What a function is told of an object.

    Args:
        event: Such as `s3:ObjectCreated:Put`.
        bucket: moto's.
        key: The object, or the delete marker that is now in its place.
        notification_id: Of the configuration that asks for it.
    """
    name = event.removeprefix("s3:")
    newer = name.startswith(_NEWER)
    now = datetime.now(UTC)
    return {
        "eventVersion": "2.3" if newer else "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region_name,
        "eventTime": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z",
        "eventName": name,
        "userIdentity": {"principalId": f"AWS:{bucket.account_id}"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {
            "x-amz-request-id": uuid.uuid4().hex[:16].upper(),
            "x-amz-id-2": uuid.uuid4().hex + uuid.uuid4().hex,
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": notification_id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": bucket.account_id},
                "arn": bucket.arn,
            },
            "object": _object(name, key, newer=newer),
        },
    }


def _object(name: str, key: Any, *, newer: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"key": quote_plus(key.name, safe="/")}
    if name == "ObjectRemoved:DeleteMarkerCreated":
        described["eTag"] = _EMPTY_ETAG
    elif not name.startswith("ObjectRemoved:"):
        if not newer:
            described["size"] = key.size
        described["eTag"] = key.etag.strip('"')
    if key.version_id not in (None, "null"):
        described["versionId"] = key.version_id
    if not newer:
        described["sequencer"] = _sequencer()
    return described


def _sequencer() -> str:
    """Of two events of one key the later has the greater, compared as text."""
    return f"{time.time_ns():018X}"


def _send_to_function(account_id: str, event_body: dict[str, Any], fn_arn: str, region_name: str) -> None:  # noqa: ARG001
    described = event_body["Records"][0]
    bucket = described["s3"]["bucket"]
    owner = bucket["ownerIdentity"]["principalId"]
    Service("s3.amazonaws.com", bucket["arn"], owner, described["awsRegion"]).send(fn_arn, event_body)


def _send_to_event_bus(account_id: str, bucket: FakeBucket, event_name: str, key: Any) -> None:  # noqa: ARG001
    """To the owner's default bus. moto sends to all, a document without an object's size or tag."""
    name = event_name.removeprefix("s3:")
    described = _object(name, key, newer=name.startswith(_NEWER))
    described["key"] = key.name
    renamed = {"eTag": "etag", "versionId": "version-id"}
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": bucket.name},
        "object": {renamed.get(member, member): value for member, value in described.items()},
        "request-id": uuid.uuid4().hex[:16].upper(),
        "requester": bucket.account_id,
        "source-ip-address": "127.0.0.1",
    }
    if name in _REASONS:
        detail["reason"] = _REASONS[name]
    if name.startswith("ObjectRemoved:"):
        detail["deletion-type"] = (
            "Delete Marker Created" if name.endswith("DeleteMarkerCreated") else "Permanently Deleted"
        )
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": notifications._detail_type(event_name),
        "source": "aws.s3",
        "account": bucket.account_id,
        "time": time.time(),
        "region": bucket.region_name,
        "resources": [bucket.arn],
        "detail": detail,
        "ingestion-time": time.time(),
    }
    bus = events_backends[bucket.account_id][bucket.region_name].event_buses["default"]
    for rule in list(bus.rules.values()):
        rule.send_to_targets(event)  # type: ignore[arg-type]  # moto's type has its own idea of a time


def _is_meant(event: str) -> bool:
    """Whether AWS would tell of it: moto makes objects of parts, and gives them tags, by what it has for requests."""
    if not has_request_context():
        return True
    name, asked = event.removeprefix("s3:"), request.args
    if name.startswith("ObjectTagging:"):
        return "tagging" in asked
    if name.startswith("ObjectAcl:"):
        return "acl" in asked
    return name != "ObjectCreated:Put" or "uploadId" not in asked


def _telling(send: Callable[..., None]) -> Callable[..., None]:
    def send_event(account_id: str, event_name: str, bucket: FakeBucket, key: Any) -> None:
        if _is_meant(event_name):
            send(account_id, event_name, bucket, key)

    return send_event


class DestinationError(S3ClientError):
    """A function may not be invoked by the bucket. Source: AWS's answer, recorded by LocalStack, 2023."""

    def __init__(self, arns: list[str]) -> None:
        super().__init__("InvalidArgument", "Unable to validate the following destination configurations")
        self.members: dict[str, str] = {}
        for number, arn in enumerate(arns, 1):
            self.members[f"ArgumentName{number}"] = f"{arn}, null"
            self.members[f"ArgumentValue{number}"] = f"Not authorized to invoke function [{arn}]"


def _with_members(serialize: Callable[..., None]) -> Callable[..., None]:
    """Members of an error that no model has."""

    def serialize_error_metadata(
        serializer: S3Serializer, serialized: dict[str, Any], error: Exception, shape: Any
    ) -> None:
        serialize(serializer, serialized, error, shape)
        if isinstance(error, DestinationError):
            serialized.update(error.members)

    return serialize_error_metadata


def _checked(configure: Callable[..., None]) -> Callable[..., None]:
    def set_notification_configuration(bucket: FakeBucket, notification_config: dict[str, Any] | None) -> None:
        skip = has_request_context() and request.headers.get(_SKIP_VALIDATION, "").lower() == "true"
        if notification_config and not skip:
            arns = [named["CloudFunction"] for named in notification_config.get("CloudFunctionConfiguration") or ()]
            # moto itself refuses those of another region.
            near = [arn for arn in arns if arn.split(":")[3] == bucket.region_name]
            service = Service("s3.amazonaws.com", bucket.arn, bucket.account_id, bucket.region_name)
            refused = [arn for arn in dict.fromkeys(near) if not service.may_invoke(arn)]
            if refused:
                raise DestinationError(refused)
        configure(bucket, notification_config)

    return set_notification_configuration


def _told(mark: Callable[..., Any]) -> Callable[..., Any]:
    def set_delete_marker(backend: S3Backend, bucket_name: str, key_name: str) -> Any:
        marker = mark(backend, bucket_name, key_name)
        event = notifications.S3NotificationEvent.OBJECT_REMOVED_DELETE_MARKER_CREATED_EVENT
        notifications.send_event(backend.account_id, event, backend.get_bucket(bucket_name), marker)
        return marker

    return set_delete_marker


def install() -> None:
    """Let buckets invoke functions, and tell them what AWS tells."""

    def event_of(event_name: str, bucket: FakeBucket, key: Any, notification_id: str) -> dict[str, Any]:
        return {"Records": [s3_record(event_name, bucket, key, notification_id)]}

    replace(notifications, "send_event", _telling)
    replace(notifications, "_get_s3_event", lambda _: event_of)
    replace(notifications, "_invoke_awslambda", lambda _: _send_to_function)
    replace(notifications, "_send_event_bridge_message", lambda _: _send_to_event_bus)
    replace(FakeBucket, "set_notification_configuration", _checked)
    replace(S3Serializer, "_serialize_error_metadata", _with_members)
    replace(S3Backend, "_set_delete_marker", _told)
