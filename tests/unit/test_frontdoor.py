"""Who is let in, and how much they may send."""

import json

import pytest

from lamella.awsapi.context import Services
from lamella.awsapi.endpoint import Api
from lamella.awsapi.spec import ServiceSpec
from lamella.domain.quotas import CREATE_FUNCTION_REQUEST, SYNCHRONOUS_PAYLOAD, UPLOAD_REQUEST
from lamella.frontdoor import Door, FrontDoor
from lamella.httpserver.message import Refusal, RejectedError, Request, Streamed
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import Neighbours

HOSTS = frozenset({"localhost", "*.localhost", "127.0.0.1", "::1"})


@pytest.fixture(scope="module")
def door() -> FrontDoor:
    api = Api(ServiceSpec.load("lambda"), {})
    return FrontDoor(api, Services(), Door("us-east-1", "000000000000", one_account=False, hosts=HOSTS, pages={}))


def request(method: str = "GET", path: str = "/2015-03-31/functions", **headers: str) -> Request:
    fields = [("host", "localhost:4566"), *((name.replace("_", "-"), value) for name, value in headers.items())]
    if "host" in headers:
        del fields[0]
    return Request(method, path.encode(), path, "", fields)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:4566", "LOCALHOST:1", "127.0.0.1:4566", "[::1]:4566", "id.localhost:4566"]
)
def test_a_host_that_is_ours(door: FrontDoor, host: str) -> None:
    door.head(request(host=host))


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example:4566", "127.0.0.1.evil.example", "a.b.localhost", "[::1", "10.0.0.1"],
)
def test_a_rebound_name_is_refused(door: FrontDoor, host: str) -> None:
    with pytest.raises(RejectedError) as rejection:
        door.head(request(host=host))
    assert rejection.value.answer.status == 403
    assert host in json.loads(rejection.value.answer.body)["error"]


def test_a_door_that_serves_no_function_urls_has_none_of_their_names(door: FrontDoor) -> None:
    """A sandbox's, for one."""
    with pytest.raises(RejectedError):
        door.head(request(host=f"{'a' * 32}.lambda-url.us-east-1.localhost"))
    with pytest.raises(RejectedError):
        door.head(request(path=f"/_lamella/urls/{'a' * 32}/", origin="http://evil.example"))


@pytest.mark.parametrize("host", ["127.100.3.4:4566", "127.0.0.1"])
def test_a_literal_address_of_this_machine_is_no_rebound_name(door: FrontDoor, host: str) -> None:
    door.head(request(host=host))


def test_where_other_machines_reach_it_a_literal_address_is_no_rebound_name() -> None:
    """They have to sign their requests; a page of another site cannot."""
    api = Api(ServiceSpec.load("lambda"), {})
    door = Door("us-east-1", "0" * 12, one_account=False, hosts=HOSTS, pages={}, any_address=True)
    for host in ("192.0.2.7:4566", "[2001:db8::7]:4566", "localhost"):
        FrontDoor(api, Services(), door).head(request(host=host))
    for host in ("evil.example", "192.0.2.7.evil.example", "192.0.2", "[::g]", ""):
        with pytest.raises(RejectedError):
            FrontDoor(api, Services(), door).head(request(host=host))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://[", "http://localhost:8080", "https://localhost"]
)
def test_a_page_of_another_site_is_refused(door: FrontDoor, origin: str) -> None:
    with pytest.raises(RejectedError):
        door.head(request("POST", origin=origin))


def test_a_page_of_our_own_is_let_in(door: FrontDoor) -> None:
    door.head(request("POST", origin="http://localhost:4566"))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_says_so_itself(door: FrontDoor, site: str) -> None:
    with pytest.raises(RejectedError):
        door.head(request(sec_fetch_site=site))


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/2015-03-31/functions/f/invocations", SYNCHRONOUS_PAYLOAD.limit),
        ("POST", "/2021-11-15/functions/f/response-streaming-invocations", SYNCHRONOUS_PAYLOAD.limit),
        ("POST", "/2015-03-31/functions", CREATE_FUNCTION_REQUEST.limit),
        ("PUT", "/2015-03-31/functions/f/code", UPLOAD_REQUEST.limit),
        ("POST", "/2018-10-31/layers/l/versions", UPLOAD_REQUEST.limit),
        ("POST", "/nothing", 1024 * 1024),
        ("POST", "/_lamella/runtimes", 1024 * 1024),
        ("PUT", "/_lamella/mirror/arn", 1024 * 1024),  # this door has no such page
    ],
)
def test_a_body_is_bounded_by_its_operation(door: FrontDoor, method: str, path: str, limit: int) -> None:
    assert door.head(request(method, path)).limit_bytes == limit


@pytest.mark.parametrize(
    ("method", "path", "code", "text"),
    [
        (
            "POST",
            "/2015-03-31/functions/f/invocations",
            "RequestTooLargeException",
            "Request must be smaller than 6291556 bytes for the InvokeFunction operation",
        ),
        (
            "POST",
            "/2021-11-15/functions/f/response-streaming-invocations",
            "RequestTooLargeException",
            "Request must be smaller than 6291556 bytes for the InvokeFunction operation",
        ),
        (
            "POST",
            "/2015-03-31/functions",
            "RequestEntityTooLargeException",
            f"Request must be smaller than {CREATE_FUNCTION_REQUEST.limit} bytes for the CreateFunction operation",
        ),
    ],
)
def test_what_is_too_large_is_refused_in_aws_words(
    door: FrontDoor, method: str, path: str, code: str, text: str
) -> None:
    answer = door.refuse(request(method, path), Refusal.BODY_TOO_LARGE)
    assert answer.status == 413
    assert ("x-amzn-ErrorType", code) in answer.headers
    assert text in answer.body.decode()


def test_what_is_not_http_is_refused(door: FrontDoor) -> None:
    answer = door.refuse(None, Refusal.MALFORMED)
    assert (answer.status, json.loads(answer.body)) == (400, {"error": "The request was refused: malformed"})


def signed(service: str) -> dict[str, str]:
    scope = f"Credential=111122223333/20261120/us-east-1/{service}/aws4_request"
    return {"authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}


@pytest.mark.parametrize(
    ("path", "headers", "foreign"),
    [
        ("/2015-03-31/functions", signed("lambda"), False),
        ("/2015-03-31/functions", {}, False),
        ("/nothing", signed("lambda"), False),
        ("/nothing", {"authorization": "AWS4-HMAC-SHA256 Credential=half"}, False),
        ("/_lamella/health", signed("s3"), False),
        ("/2015-03-31/functions", signed("s3"), True),  # a bucket of that name
        ("/bucket/key", signed("s3"), True),
        ("/bucket/invocations", signed("s3"), True),
        ("/endpoints/e/invocations", signed("sagemaker"), True),
        ("/bucket/key", {}, True),
        ("/bucket/key", {"authorization": "AWS key:signature"}, True),
    ],
)
def test_the_signature_says_whose_a_request_is(path: str, headers: dict[str, str], foreign: bool) -> None:
    api = Api(ServiceSpec.load("lambda"), {})
    here = Door("us-east-1", "000000000000", one_account=False, hosts=HOSTS, pages={})
    neighbours = Neighbours({"s3": Endpoint.parse("http://127.0.0.1:1")}, None)
    door = FrontDoor(api, Services(), here, neighbours)
    assert isinstance(door.head(request("POST", path, **headers)), Streamed) is foreign


@pytest.mark.parametrize(("path", "streamed"), [("/_cloudformation/x", True), ("/bucket/key", False)])
def test_answers_of_custom_resources_are_for_stacks_whoever_has_s3(path: str, streamed: bool) -> None:
    """Nobody else is there: what is taken for S3's is for nobody, and bounded as Lambda's own requests are."""
    api = Api(ServiceSpec.load("lambda"), {})
    here = Door("us-east-1", "000000000000", one_account=True, hosts=HOSTS, pages={})
    neighbours = Neighbours({"cloudformation": Endpoint.parse("http://127.0.0.1:1")}, None)
    assert isinstance(FrontDoor(api, Services(), here, neighbours).head(request("PUT", path)), Streamed) is streamed
