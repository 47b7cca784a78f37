"""A function on AWS's Python runtime client that does what its event says."""

import os
import time

import greeting  # from a layer

count = 0


class Refused(Exception):
    """The error of the action `fail`."""


def handler(event, context):
    global count
    count += 1
    if event["action"] == "fail":
        raise Refused(event["value"])
    if event["action"] == "greet":
        return greeting.greet(event["value"])
    client_context = context.client_context
    return {
        "value": event["value"],
        "count": count,
        "context": {
            "request_id": context.aws_request_id,
            "arn": context.invoked_function_arn,
            "name": context.function_name,
            "version": context.function_version,
            "deadline_ms": time.time_ns() // 1_000_000 + context.get_remaining_time_in_millis(),
            "client_context": client_context and {"custom": client_context.custom},
            "trace_id": os.environ["_X_AMZN_TRACE_ID"],
        },
    }
