"""Errors with a name AWS gave them: those an API caller sees, and those an invoker sees.

The error classes of Lambda's own model are generated into `lamella.domain._api_errors`; the ones here are what every
AWS service may answer besides, or what we alone answer.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final, Literal


class ApiError(Exception):
    """An error that is answered to the caller of the API.

    Attributes:
        code: Name of the error on the wire (`x-amzn-ErrorType`).
        status: HTTP status.
        fault: Whose fault it is; printed as `Type` (`User`, `Service`) where the error has that member.
        message_member: How this error spells its message in JSON: AWS writes `Message` in some and `message` in others.
        has_type: Whether the JSON carries `Type`.
        header_members: Members that travel as a header: model name to header name.
        message: The text.
        members: Further members by their model name; those that are `None` are not sent.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    fault: ClassVar[Literal["client", "server"]] = "client"
    message_member: ClassVar[str] = "message"
    has_type: ClassVar[bool] = False
    header_members: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, message: str = "", **members: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.members: Mapping[str, str] = {name: value for name, value in members.items() if value is not None}


class ValidationException(ApiError):
    """A parameter breaks a constraint of the model.

    Source: lower-case `message` without `Type`, as Lambda answered CreateFunction in 2024 (aarondfrancis/sidecar
    issue 147).
    """

    code = "ValidationException"
    status = 400


class SerializationException(ApiError):
    """The body is not JSON, or a value has the wrong JSON type. Source: see `lamella.awsapi.parse`."""

    code = "SerializationException"
    status = 400
    message_member = "Message"


class AccessDeniedException(ApiError):
    """The caller may not do that, or the request names no operation. Source: Lambda API reference, "Common errors"."""

    code = "AccessDeniedException"
    status = 403
    message_member = "Message"


class IncompleteSignatureException(ApiError):
    """The signature's parts are malformed. Source: Lambda API reference, "Common errors" (403)."""

    code = "IncompleteSignatureException"
    status = 403


class InvalidSignatureException(ApiError):
    """The signature does not match, or is too old. Source: answers of Lambda in erlcloud/erlcloud issue 690 (2021)."""

    code = "InvalidSignatureException"
    status = 403


class RequestEntityTooLargeException(ApiError):
    """The upload is larger than Lambda takes directly.

    Source: answer of AWS recorded in LocalStack's tests, 2023: 413, not in the model.
    """

    code = "RequestEntityTooLargeException"
    status = 413
    has_type = True


class MissingAuthenticationTokenException(ApiError):
    """The request is not signed. Source: answer of Lambda in brefphp/bref issue 1250 (403, 2022)."""

    code = "MissingAuthenticationTokenException"
    status = 403


class UnrecognizedClientException(ApiError):
    """The access key is unknown. Source: Lambda API reference, "Common errors" (403)."""

    code = "UnrecognizedClientException"
    status = 403


class ExpiredTokenException(ApiError):
    """The credentials were temporary, and their time is over. Source: Lambda API reference, "Common errors" (403)."""

    code = "ExpiredTokenException"
    status = 403


class UnknownOperationException(ApiError):
    """The service has no such operation. Source: Lambda API reference, "Common errors" (404)."""

    code = "UnknownOperationException"
    status = 404


class ThrottlingException(ApiError):
    """The control API is called too often. Source: Lambda API reference, "Common errors" (400)."""

    code = "ThrottlingException"
    status = 400


class OperationNotImplementedError(ApiError):
    """Lambda has this operation, and we do not yet.

    The class is ours: 501 is a status that no AWS client retries, so the caller sees it at once.
    """

    code = "NotImplementedException"
    status = 501
    fault = "server"
    has_type = True

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(f"Lamella does not implement {operation} yet: {reason}. See docs/reference/operations.md.")
        self.operation = operation
        self.reason = reason


COMMON_ERRORS: Final[frozenset[type[ApiError]]] = frozenset(
    {
        ValidationException,
        SerializationException,
        AccessDeniedException,
        ExpiredTokenException,
        IncompleteSignatureException,
        InvalidSignatureException,
        MissingAuthenticationTokenException,
        RequestEntityTooLargeException,
        UnrecognizedClientException,
        UnknownOperationException,
        ThrottlingException,
        OperationNotImplementedError,
    }
)
"""What any operation may raise although its model does not declare it."""


class FunctionErrorType(StrEnum):
    """`errorType` of an invocation that failed, as the platform names it (status 200 and `X-Amz-Function-Error`).

    Source: rules RT-34 to RT-51, EX-50 to EX-73 and section 7.4 of the in-sandbox contract.
    """

    RUNTIME_EXIT_ERROR = "Runtime.ExitError"
    RUNTIME_INVALID_ENTRYPOINT = "Runtime.InvalidEntrypoint"
    RUNTIME_INVALID_WORKING_DIR = "Runtime.InvalidWorkingDir"
    RUNTIME_OUT_OF_MEMORY = "Runtime.OutOfMemory"
    RUNTIME_INVALID_RESPONSE_MODE_HEADER = "Runtime.InvalidResponseModeHeader"
    RUNTIME_RESTORE_HOOK_USER_TIMEOUT = "Runtime.RestoreHookUserTimeout"
    RUNTIME_TRUNCATED_RESPONSE = "Runtime.TruncatedResponse"
    RUNTIME_UNKNOWN = "Runtime.Unknown"
    FUNCTION_RESPONSE_SIZE_TOO_LARGE = "Function.ResponseSizeTooLarge"
    FUNCTION_UNKNOWN = "Function.Unknown"
    SANDBOX_TIMEDOUT = "Sandbox.Timedout"
    SANDBOX_FAILURE = "Sandbox.Failure"
    EXTENSION_CRASH = "Extension.Crash"
    EXTENSION_INIT_ERROR = "Extension.InitError"
    EXTENSION_EXIT_ERROR = "Extension.ExitError"
    EXTENSION_LAUNCH_ERROR = "Extension.LaunchError"
