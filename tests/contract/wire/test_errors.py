"""A real botocore client sees our errors as it would see AWS's: class, code, message, further members."""

import asyncio
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from lamella.awsapi.context import Context, Services, new_request_id
from lamella.awsapi.endpoint import Api
from lamella.awsapi.registry import NOT_IMPLEMENTED, Handler
from lamella.awsapi.spec import ServiceSpec
from lamella.domain import _api_errors
from lamella.domain.errors import COMMON_ERRORS, ApiError, OperationNotImplementedError

SPEC = ServiceSpec.load()
ERRORS = sorted(
    {getattr(_api_errors, name) for operation in SPEC.operations for name in SPEC.declared_errors(operation)},
    key=lambda error: str(error.code),
)

Connect = Callable[..., BaseClient]


class _Raw(io.BytesIO):
    """As much of urllib3's response as botocore reads."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


@pytest.fixture(scope="module")
def session() -> botocore.session.Session:
    return botocore.session.Session()


@pytest.fixture
def connect(session: botocore.session.Session) -> Connect:
    """A client whose requests end in an `Api` with the given handlers; counts them in `requests`."""

    def make(operations: Mapping[str, Handler], requests: list[str], *, attempts: int | None = 1) -> BaseClient:
        api = Api(SPEC, operations)

        def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
            url = urlsplit(request.url)
            requests.append(url.path)
            match = api.match(request.method, url.path, url.query)
            assert match is not None
            headers = [
                (name.lower(), value.decode() if isinstance(value, bytes) else value)
                for name, value in request.headers.items()
            ]
            context = Context(
                account="000000000000",
                region="us-east-1",
                request_id=new_request_id(),
                base_url="http://localhost:4566",
                services=Services(),
            )
            response = asyncio.run(api.call(match, url.query, headers, request.body or b"", context=context))
            return AWSResponse(request.url, response.status, dict(response.headers), _Raw(response.body))

        client = session.create_client(
            "lambda",
            region_name="us-east-1",
            aws_access_key_id="000000000000",
            aws_secret_access_key="x",
            endpoint_url="http://localhost:4566",
            config=Config(retries={"total_max_attempts": attempts} if attempts else {}, parameter_validation=False),
        )
        client.meta.events.register("before-send.lambda", answer)
        return client

    return make


def raising(error: ApiError) -> Handler:
    async def handler(ctx: Context, req: object) -> Mapping[str, object]:
        raise error

    return handler


def caught(call: Callable[[], object]) -> ClientError:
    with pytest.raises(ClientError) as raised:
        call()
    return raised.value


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error.code))
def test_errors_of_the_model(connect: Connect, error: type[ApiError]) -> None:
    client = connect({"GetFunction": raising(error("what happened"))}, [])
    raised = caught(lambda: client.get_function(FunctionName="f"))
    if error.code in SPEC.declared_errors("GetFunction"):
        assert isinstance(raised, client.exceptions.from_code(error.code))
    assert raised.response["Error"]["Code"] == error.code
    assert raised.response["Error"]["Message"] == "what happened"
    assert raised.response["ResponseMetadata"]["HTTPStatusCode"] == error.status
    assert len(raised.response["ResponseMetadata"]["RequestId"]) == 36


def test_further_members(connect: Connect) -> None:
    error = _api_errors.TooManyRequestsException("slow", retry_after_seconds="7", reason="CallerRateLimitExceeded")
    client = connect({"GetFunction": raising(error)}, [])
    raised = caught(lambda: client.get_function(FunctionName="f"))
    response: dict[str, Any] = raised.response
    assert (response["Type"], response["Reason"]) == ("User", "CallerRateLimitExceeded")
    assert response["retryAfterSeconds"] == "7"


@pytest.mark.parametrize("error", sorted(COMMON_ERRORS - {OperationNotImplementedError}, key=lambda error: error.code))
def test_common_errors(connect: Connect, error: type[ApiError]) -> None:
    client = connect({"GetFunction": raising(error("what happened"))}, [])
    raised = caught(lambda: client.get_function(FunctionName="f"))
    assert raised.response["Error"] == {"Code": error.code, "Message": "what happened"}


def test_what_is_not_implemented_is_told_at_once_and_not_tried_again(connect: Connect) -> None:
    requests: list[str] = []
    client = connect({}, requests, attempts=None)
    raised = caught(lambda: client.list_capacity_providers())
    assert raised.response["Error"]["Code"] == "NotImplementedException"
    assert NOT_IMPLEMENTED["ListCapacityProviders"] in raised.response["Error"]["Message"]
    assert requests == ["/2025-11-30/capacity-providers"]


def test_constraints_that_botocore_does_not_check(connect: Connect) -> None:
    client = connect({"GetFunction": raising(_api_errors.ServiceException("not reached"))}, [])
    raised = caught(lambda: client.get_function(FunctionName="no such name"))
    assert raised.response["Error"]["Code"] == "ValidationException"
    assert "Value 'no such name' at 'functionName' failed" in raised.response["Error"]["Message"]
