"""Words failures as the events of a stack have them, whoever fails: botocore, moto or ourselves."""

import logging
from typing import Final
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError
from moto.core.exceptions import ServiceException
from werkzeug.exceptions import HTTPException

from lamella.neighbour.stacks.errors import ResourceError, StackError

_log = logging.getLogger(__name__)

_HANDLER_CODES: Final = {
    "AccessDeniedException": "AccessDenied",
    "InvalidParameterValueException": "InvalidRequest",
    "ResourceConflictException": "AlreadyExists",
    "ResourceNotFoundException": "NotFound",
    "TooManyRequestsException": "Throttling",
    "ValidationException": "InvalidRequest",
}
_ABSENT: Final = ("NotFound", "NoSuch", "NonExistent", "DoesNotExist", "Unknown")


def reason_of(error: Exception) -> str:
    """Why a resource failed, for whoever reads the events."""
    match error:
        case ResourceError():
            return str(error)
        case StackError():
            return error.message
        case ClientError():
            return _worded(error)
        case BotoCoreError():
            return f'Resource handler returned message: "{error}"'
        case ServiceException() | HTTPException():
            return str(getattr(error, "message", "") or getattr(error, "description", "") or error)
        case _:
            pass
    _log.error("a resource failed unexpectedly", exc_info=error)
    return f"Internal failure: {type(error).__name__}: {error}"


def is_absent(error: Exception) -> bool:
    """Whether an error says that what is to be removed is not there."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
    else:
        code = str(getattr(error, "code", "") or getattr(error, "error_type", "") or "")
    return code == "404" or any(part in code for part in _ABSENT)


def _worded(error: ClientError) -> str:
    """Source: events of stacks as quoted in issues of aws-sam-cli and aws-cdk: "Resource handler returned message"."""
    told, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    code = str(told.get("Code", ""))
    if code == "500":  # of moto, which has answered with a page
        return f"moto does not answer {error.operation_name} as it is asked here"
    service = str(getattr(error, "operation_name", ""))
    details = f"(Service: Lambda, Status Code: {meta.get('HTTPStatusCode')}, Request ID: {meta.get('RequestId')})"
    if code not in _HANDLER_CODES:
        details = f"({service}: {code}, Status Code: {meta.get('HTTPStatusCode')}, Request ID: {meta.get('RequestId')})"
    handler = _HANDLER_CODES.get(code, "GeneralServiceException")
    message = told.get("Message") or told.get("message") or code
    codes = f"(RequestToken: {uuid4()}, HandlerErrorCode: {handler})"
    return f'Resource handler returned message: "{message} {details}" {codes}'
