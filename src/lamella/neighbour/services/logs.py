"""Functions that are subscribed to log groups of CloudWatch Logs.

Source: CloudWatch Logs user guide, "Log group-level subscription filters"; answers of AWS recorded in LocalStack's
`test_logs_subscription_filters.snapshot.json`, 2026.
"""

import base64
import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from moto.core.exceptions import JsonRESTError
from moto.logs.exceptions import InvalidParameterException
from moto.logs.models import LogsBackend, LogStream
from moto.logs.utils import EventMessageFilter

from lamella.neighbour.services.functions import Service
from lamella.neighbour.services.hops import HopError, hop
from lamella.neighbour.services.patching import replace

_NO_PERMISSION: Final = (
    "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute your "
    "function."
)
_OTHER_ACCOUNT: Final = (
    "Cross-account lambda invocation passing is not allowed. You must use DestinationPolicies to create cross account "
    "lambda triggers."
)


def logs_event(
    account: str, group: str, stream: str, filter_name: str, events: list[dict[str, Any]]
) -> dict[str, dict[str, str]]:
    """What a function is told of log events: a document, compressed and in base64."""
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": account,
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": [filter_name],
        "logEvents": [{**event, "id": f"{event['id']:056d}"} for event in events],
    }
    packed = gzip.compress(json.dumps(document, separators=(",", ":")).encode())
    return {"awslogs": {"data": base64.b64encode(packed).decode()}}


def _service(account: str, region: str, group: str) -> Service:
    """Policies name it with its region or without."""
    arn = f"arn:aws:logs:{region}:{account}:log-group:{group}:*"
    return Service(f"logs.{region}.amazonaws.com,logs.amazonaws.com", arn, account, region)


def _sending(send: Callable[..., None]) -> Callable[..., None]:
    def send_log_events(
        stream: LogStream, service: str, destination_arn: str, filter_name: str, log_events: list[dict[str, Any]]
    ) -> None:
        group = stream.log_group
        wanted = EventMessageFilter(group.subscription_filters[filter_name].filter_pattern)
        events = [event for event in log_events if wanted.matches(event["message"])]
        if not events:
            return
        if service == "logs":
            # Ours: AWS has no such destination.
            with suppress(HopError), hop():
                send(stream, service, destination_arn, filter_name, events)
            return
        if service != "lambda":
            send(stream, service, destination_arn, filter_name, events)
            return
        event = logs_event(stream.account_id, group.name, stream.log_stream_name, filter_name, events)
        _service(stream.account_id, stream.region, group.name).send(destination_arn, event)

    return send_log_events


def _checked(put: Callable[..., None]) -> Callable[..., None]:
    def put_subscription_filter(
        backend: LogsBackend,
        log_group_name: str,
        filter_name: str,
        filter_pattern: str,
        destination_arn: str,
        *rest: Any,
    ) -> None:
        parts = destination_arn.split(":")
        if log_group_name in backend.groups and len(parts) > 6 and parts[2] == "lambda":
            if parts[4] != backend.account_id:
                raise JsonRESTError("AccessDeniedException", _OTHER_ACCOUNT)
            service = _service(backend.account_id, backend.region_name, log_group_name)
            if not service.may_invoke(destination_arn):
                raise InvalidParameterException(_NO_PERMISSION)
        put(backend, log_group_name, filter_name, filter_pattern, destination_arn, *rest)

    return put_subscription_filter


def install() -> None:
    """Let log groups invoke functions."""
    replace(LogStream, "_send_log_events", _sending)
    replace(LogsBackend, "put_subscription_filter", _checked)
