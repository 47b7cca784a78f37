"""The conformance kit's handler: does what events ask for, and gives back any other event as it is."""

import os
import time
from typing import Any

ACTIONS = ["actions", "echo", "error", "print", "size", "sleep", "environment", "context"]


def handler(event: Any, context: Any) -> Any:
    """See docs/reference/verification.md."""
    if not isinstance(event, dict) or "verify" not in event:
        return event
    match event["verify"]:
        case "actions":
            return ACTIONS
        case "echo":
            return event["value"]
        case "error":
            raise RuntimeError(event["message"])
        case "print":
            print(event["text"])
        case "size":
            return "x" * event["bytes"]
        case "sleep":
            time.sleep(event["seconds"])
        case "environment":
            return os.environ.get(event["name"])
        case "context":
            return {
                "aws_request_id": context.aws_request_id,
                "invoked_function_arn": context.invoked_function_arn,
                "remaining_ms": context.get_remaining_time_in_millis(),
            }
        case _:
            pass
    return None
