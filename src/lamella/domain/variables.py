"""Environment variables as a function's configuration may hold them (rules EN-04 and EN-05)."""

import json
from collections.abc import Mapping
from typing import Final

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.quotas import ENVIRONMENT

RESERVED: Final = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""Variables that belong to the platform (rule EN-04)."""

_REFUSED: Final = (
    "Lambda was unable to configure your environment variables because the environment variables you have provided"
)


def check_variables(variables: Mapping[str, str], *, limit_bytes: int = ENVIRONMENT.limit) -> int:
    """Refuse reserved names and more than 4 KB. The form of the names is the model's business.

    Returns:
        The bytes that count against the limit.

    Raises:
        InvalidParameterValueException: In AWS's words. What counts is the JSON text of the variables, which the message
            quotes. Source: answers of AWS recorded in LocalStack's tests, 2022.
    """
    reserved = [name for name in variables if name in RESERVED]
    if reserved:
        raise InvalidParameterValueException(
            f"{_REFUSED} contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    size_bytes = len(measured.encode())
    if size_bytes > limit_bytes:
        raise InvalidParameterValueException(
            f"{_REFUSED} exceeded the {limit_bytes // 1024}KB limit. String measured: {measured}"
        )
    return size_bytes
