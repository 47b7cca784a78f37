import asyncio
import base64
import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from lamella.awsapi._types import PublishLayerVersionRequest
from lamella.awsapi.context import Context, Services
from lamella.awsapi.endpoint import Api
from lamella.awsapi.registry import Handler
from lamella.awsapi.spec import ServiceSpec
from lamella.domain._api_errors import ResourceNotFoundException

CONTEXT = Context(
    account="000000000000",
    region="us-east-1",
    request_id="r-1",
    base_url="http://localhost:4566",
    services=Services(),
)


async def get_function(ctx: Context, req: Mapping[str, Any]) -> Mapping[str, object]:
    match req["FunctionName"]:
        case "missing":
            raise ResourceNotFoundException("Function not found")
        case "broken":
            raise KeyError("bug")
        case "wrong":
            return {"Nonsense": 1}
        case "cancelled":
            raise asyncio.CancelledError
        case name:
            return {"Configuration": {"FunctionName": name, "FunctionArn": ctx.account, "RevisionId": ctx.region}}


@pytest.fixture(scope="module")
def api(spec: ServiceSpec) -> Api:
    operations: dict[str, Handler] = {"GetFunction": get_function}
    return Api(spec, operations)


async def get(api: Api, path: str, query: str = "") -> tuple[int, dict[str, str], Any]:
    match = api.match("GET", path, query)
    assert match is not None
    response = await api.call(match, query, [], b"", context=CONTEXT)
    return response.status, dict(response.headers), json.loads(response.body)


async def test_an_operation(api: Api) -> None:
    status, headers, body = await get(api, "/2015-03-31/functions/f")
    assert (status, headers["x-amzn-RequestId"]) == (200, "r-1")
    assert body["Configuration"]["FunctionName"] == "f"


async def test_an_error_of_the_handler(api: Api) -> None:
    status, headers, body = await get(api, "/2015-03-31/functions/missing")
    assert (status, headers["x-amzn-ErrorType"]) == (404, "ResourceNotFoundException")
    assert body == {"Type": "User", "Message": "Function not found"}


async def test_constraints_are_checked_before_the_handler_is_called(api: Api) -> None:
    status, headers, body = await get(api, "/2015-03-31/functions/broken%20name")
    assert (status, headers["x-amzn-ErrorType"]) == (400, "ValidationException")
    assert body["message"].startswith("1 validation error detected: Value 'broken name' at 'functionName'")


@pytest.mark.parametrize("name", ["broken", "wrong"])
async def test_a_bug_is_told_once_in_the_log_and_answered(
    api: Api, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        status, headers, body = await get(api, f"/2015-03-31/functions/{name}")
    assert (status, headers["x-amzn-ErrorType"]) == (500, "ServiceException")
    assert body == {"Type": "Service", "Message": "An internal error occurred."}
    (record,) = (record for record in caplog.records if record.name.startswith("lamella"))
    assert record.exc_info is not None
    assert record.__dict__["request_id"] == "r-1"


async def test_cancellation_passes_through(api: Api) -> None:
    with pytest.raises(asyncio.CancelledError):
        await get(api, "/2015-03-31/functions/cancelled")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (
            "/2025-11-30/capacity-providers",
            "ListCapacityProviders yet: capacity providers and managed instances are not built",
        ),
        ("/2015-03-31/functions", "ListFunctions yet: it is not part of this server"),
    ],
)
async def test_what_is_not_implemented_says_so(api: Api, path: str, reason: str) -> None:
    status, headers, body = await get(api, path)
    assert (status, headers["x-amzn-ErrorType"]) == (501, "NotImplementedException")
    assert body["message"] == f"Lamella does not implement {reason}. See docs/reference/operations.md."


@pytest.mark.parametrize("size_bytes", [3, 3 << 20])
async def test_bodies_small_and_large_are_parsed_alike(spec: ServiceSpec, size_bytes: int) -> None:
    sizes = []

    async def publish(ctx: Context, req: PublishLayerVersionRequest) -> Mapping[str, object]:
        sizes.append(len(req["Content"]["ZipFile"]))
        return {"Version": 1}

    api = Api(spec, {"PublishLayerVersion": publish})
    path = "/2018-10-31/layers/l/versions"
    match = api.match("POST", path, "")
    assert match is not None
    body = json.dumps({"Content": {"ZipFile": base64.b64encode(bytes(size_bytes)).decode()}}).encode()
    response = await api.call(match, "", [], body, context=CONTEXT)
    assert (response.status, sizes) == (201, [size_bytes])
    response = await api.call(match, "", [], body[:-1], context=CONTEXT)
    assert dict(response.headers)["x-amzn-ErrorType"] == "SerializationException"


def test_requests_that_name_no_operation(api: Api) -> None:
    assert api.match("GET", "/nothing", "") is None
    assert not api.knows("/nothing")
    assert api.match("PATCH", "/2015-03-31/functions", "") is None
    assert api.knows("/2015-03-31/functions")
    response = api.unknown("r-9")
    assert response.status == 403
    assert dict(response.headers)["x-amzn-RequestId"] == "r-9"
    assert json.loads(response.body) == {"Message": "Unable to determine service/operation name to be authorized"}
    assert len(dict(api.unknown().headers)["x-amzn-RequestId"]) == 36
