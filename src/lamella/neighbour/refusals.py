"""Errors of other services that Lamella itself answers with, in the form that their clients read."""

import json
from enum import Enum, auto
from typing import Final
from xml.sax.saxutils import escape

from lamella.awsapi.context import new_request_id
from lamella.awsapi.service_error import ServiceError
from lamella.awsapi.sigv4_s3 import OBJECT_SERVICES
from lamella.domain.errors import ApiError
from lamella.httpserver.message import Answer, Request

_XML_SERVICES: Final = frozenset({"cloudfront", "route53"})
_QUERY_CODES: Final = {
    "ExpiredTokenException": "ExpiredToken",
    "IncompleteSignatureException": "IncompleteSignature",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "UnrecognizedClientException": "InvalidClientTokenId",
}
"""What services with a query protocol call what others call so. Source: STS's API reference, "Common errors"."""

_EC2: Final = "ec2"


class Protocol(Enum):
    """How the clients of a service read errors."""

    S3 = auto()
    JSON = auto()  # operations are named by X-Amz-Target
    QUERY = auto()
    EC2 = auto()
    REST_JSON = auto()


def protocol_of(request: Request, service: str) -> Protocol:
    """What the client of a request speaks, as far as the request shows."""
    if service in OBJECT_SERVICES:
        return Protocol.S3
    if request.header("x-amz-target"):
        return Protocol.JSON
    if service == _EC2:
        return Protocol.EC2
    kind = request.header("content-type")
    if service in _XML_SERVICES or "x-www-form-urlencoded" in kind or "Action=" in request.query:
        return Protocol.QUERY
    return Protocol.REST_JSON


def worded(error: ApiError, request: Request, service: str) -> ServiceError:
    """What is wrong with a signature, in the words of the service that was asked.

    Source: answers of STS in aws-azure-login/aws-azure-login issue 251 (403), of SQS in aws/aws-sdk-go issue 487 (403),
    of Kinesis in remind101/logspout-kinesis issue 21 (400), of EC2 in its API reference, "Error codes".
    """
    missing = error.code == "MissingAuthenticationTokenException"
    message = "Request is missing Authentication Token" if missing else error.message
    match protocol_of(request, service):
        case Protocol.JSON:
            return ServiceError(400, error.code, message)
        case Protocol.EC2 if error.code in ("UnrecognizedClientException", "InvalidSignatureException"):
            return ServiceError(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
        case Protocol.QUERY | Protocol.EC2:
            return ServiceError(403, _QUERY_CODES.get(error.code, error.code), message)
        case Protocol.S3 | Protocol.REST_JSON:
            return ServiceError(error.status, error.code, message)


def error_answer(request: Request, service: str, error: ServiceError) -> Answer:
    """An error in the form that the clients of the service read."""
    request_id = new_request_id()
    protocol = protocol_of(request, service)
    if protocol is Protocol.JSON:
        body = json.dumps({"__type": error.code, "message": error.message}).encode()
        headers = (("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", request_id))
        return Answer(error.status, headers, body)
    if protocol is Protocol.REST_JSON:
        body = json.dumps({"message": error.message}).encode()
        kind, names = ("Content-Type", "application/json"), (("x-amzn-ErrorType", error.code),)
        return Answer(error.status, (kind, *names, ("x-amzn-RequestId", request_id)), body)
    text = _xml(protocol, error, request_id)
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    name = "x-amz-request-id" if protocol is Protocol.S3 else "x-amzn-RequestId"
    return Answer(error.status, (("Content-Type", "application/xml"), (name, request_id)), document)


def too_large(request: Request, service: str, limit_bytes: int | None) -> Answer:
    """What to tell who sends more than is taken. Source: of S3's words, its API reference, "Error responses"."""
    if protocol_of(request, service) is Protocol.S3:
        error = ServiceError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    else:
        message = f"Request must be smaller than {limit_bytes} bytes."
        error = ServiceError(413, "RequestEntityTooLargeException", message)
    return error_answer(request, service, error)


def _xml(protocol: Protocol, error: ServiceError, request_id: str) -> str:
    members = {"Code": error.code, "Message": error.message, **error.members}
    said = "".join(f"<{name}>{escape(_printable(value))}</{name}>" for name, value in members.items())
    if protocol is Protocol.S3:
        return f"<Error>{said}<RequestId>{request_id}</RequestId></Error>"
    if protocol is Protocol.EC2:
        return f"<Response><Errors><Error>{said}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    fault = "Sender" if error.status < 500 else "Receiver"
    said = f"<Error><Type>{fault}</Type>{said}</Error>"
    return f"<ErrorResponse>{said}<RequestId>{request_id}</RequestId></ErrorResponse>"


def _printable(text: str) -> str:
    """Without what no XML document can hold; a request's parts are repeated in errors."""
    return "".join(letter if letter >= " " or letter in "\t\n" else "?" for letter in text)
