"""Payload format 2.0 of function URLs."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.invoke.url_event import Caller, UrlRequest, render_event

ID = "abcdefghijklmnopqrstuvwxyz234567"
TRACE = "Root=1-643ec28d-5503dc7274559e68706dae64"


def event_of(**changes: Any) -> Any:
    request = {
        "url_id": ID,
        "method": "GET",
        "path": "/",
        "query": "",
        "headers": [("host", "h:4566")],
        "body": b"",
        "domain": f"{ID}.lambda-url.us-west-2.localhost",
        "port": 4566,
        "source_ip": "127.0.0.1",
        "request_id": "28d04d7e-7f0b-4521-9484-f7012b07cb68",
        "trace": TRACE,
        "received_at": datetime(2023, 4, 18, 16, 17, 17, 81000, tzinfo=UTC),
    }
    return json.loads(render_event(UrlRequest(**(request | changes))))


def test_a_request_with_all_parts() -> None:
    """As AWS recorded it in aws/aws-lambda-go (lambdaurl/testdata, April 2023), but for TLS and the names."""
    headers = [
        ("accept", "*/*"),
        ("authorization", "AWS4-HMAC-SHA256 ..."),
        ("connection", "keep-alive"),
        ("content-length", "18"),
        ("content-type", "application/json"),
        ("cookie", "foo=bar; hello=hello"),
        ("header2", "h1"),
        ("header2", "h2"),
        ("host", f"{ID}.lambda-url.us-west-2.localhost:4566"),
        ("user-agent", "python-requests/2.28.2"),
    ]
    event = event_of(
        method="POST",
        path="/hello",
        query="hello=world&foo=bar",
        headers=headers,
        body=b'{"hello": "world"}',
        caller=Caller("111111111111", "111111111111"),
    )
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/hello",
        "rawQueryString": "hello=world&foo=bar",
        "cookies": ["foo=bar", "hello=hello"],
        "headers": {
            "accept": "*/*",
            "content-length": "18",
            "content-type": "application/json",
            "cookie": "foo=bar; hello=hello",
            "header2": "h1,h2",
            "host": f"{ID}.lambda-url.us-west-2.localhost:4566",
            "user-agent": "python-requests/2.28.2",
            "x-amzn-trace-id": TRACE,
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-port": "4566",
            "x-forwarded-proto": "http",
        },
        "queryStringParameters": {"hello": "world", "foo": "bar"},
        "requestContext": {
            "accountId": "111111111111",
            "apiId": ID,
            "authorizer": {
                "iam": {
                    "accessKey": "111111111111",
                    "accountId": "111111111111",
                    "callerId": "111111111111",
                    "cognitoIdentity": None,
                    "principalOrgId": None,
                    "userArn": "arn:aws:iam::111111111111:root",
                    "userId": "111111111111",
                }
            },
            "domainName": f"{ID}.lambda-url.us-west-2.localhost",
            "domainPrefix": ID,
            "http": {
                "method": "POST",
                "path": "/hello",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "python-requests/2.28.2",
            },
            "requestId": "28d04d7e-7f0b-4521-9484-f7012b07cb68",
            "routeKey": "$default",
            "stage": "$default",
            "time": "18/Apr/2023:16:17:17 +0000",
            "timeEpoch": 1681834637081,
        },
        "body": '{"hello": "world"}',
        "isBase64Encoded": False,
    }


def test_a_request_with_nothing() -> None:
    """As AWS recorded one: what is not there is left out, and nobody is anonymous."""
    event = event_of()
    assert not event.keys() & {"cookies", "queryStringParameters", "body", "pathParameters", "stageVariables"}
    assert event["isBase64Encoded"] is False
    assert event["requestContext"]["accountId"] == "anonymous"
    assert "authorizer" not in event["requestContext"]
    assert event["requestContext"]["http"]["userAgent"] == ""


def test_a_bearer_token_reaches_a_function_that_needs_no_signature() -> None:
    assert event_of(headers=[("authorization", "Bearer t")])["headers"]["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("q=query&multiQuery=foo&multiQuery=%2Fbar", {"q": "query", "multiQuery": "foo,/bar"}),
        ("a", {"a": ""}),
        ("a=&b=1+2", {"a": "", "b": "1 2"}),
        ("%C3%A4=%E2%98%83", {"ä": "☃"}),
        ("a=%ff", {"a": "\ufffd"}),
        ("a=1;b=2", {"a": "1;b=2"}),
        ("&&", None),
    ],
)
def test_parameters_of_the_query(query: str, parameters: dict[str, str] | None) -> None:
    """The second is recorded in LocalStack's tests."""
    event = event_of(query=query)
    assert event.get("queryStringParameters") == parameters
    assert event["rawQueryString"] == query


def test_the_path_is_not_decoded() -> None:
    """Source: captures of real events published in hotsock/voker, pull request 8."""
    event = event_of(path="/a%20b%2Fc/../%zz")
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/a%20b%2Fc/../%zz"


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("text/plain", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/javascript", True),
        ("application/xml", True),
        ("application/ld+json", True),
        ("image/svg+xml", False),
        ("application/soap+xml; action=x", True),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=text/plain", False),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_bodies_are_text_by_their_type(content_type: str, is_text: bool) -> None:
    event = event_of(headers=[("content-type", content_type)], body="ä\n".encode())
    assert event["isBase64Encoded"] is not is_text
    assert event["body"] == ("ä\n" if is_text else base64.b64encode("ä\n".encode()).decode())


def test_text_that_is_none_is_base64() -> None:
    event = event_of(headers=[("content-type", "text/plain")], body=b"\xff")
    assert (event["body"], event["isBase64Encoded"]) == ("/w==", True)


def test_cookies_of_several_headers() -> None:
    event = event_of(headers=[("cookie", "a=1;b=2;"), ("cookie", " c=3")])
    assert event["cookies"] == ["a=1", "b=2", "c=3"]


def test_headers_of_the_connection_alone_are_left_out() -> None:
    headers = [
        ("connection", "keep-alive, X-Hop, Host"),
        ("keep-alive", "1"),
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
        ("x-hop", "1"),
        ("host", "h"),
    ]
    kept = event_of(headers=headers)["headers"]
    assert kept.keys() == {"host", "x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}


def test_what_a_proxy_said_is_kept_and_what_only_we_know_is_not_believed() -> None:
    headers = [
        ("x-forwarded-for", "203.0.113.1"),
        ("x-amzn-trace-id", "Root=1-a-b"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-proto", "https"),
    ]
    event = event_of(headers=headers)
    assert event["headers"] == {
        "x-amzn-trace-id": "Root=1-a-b",
        "x-forwarded-for": "203.0.113.1",
        "x-forwarded-port": "4566",
        "x-forwarded-proto": "http",
    }
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"


def test_time_is_utc() -> None:
    local = datetime(2026, 1, 2, 1, 0, 0, tzinfo=timezone(timedelta(hours=2)))
    context = event_of(received_at=local)["requestContext"]
    assert (context["time"], context["timeEpoch"]) == ("01/Jan/2026:23:00:00 +0000", 1767308400000)


LATIN = st.text(st.characters(max_codepoint=255), max_size=20)
TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_!#", min_size=1, max_size=12)
TYPES = st.sampled_from(["text/plain", "application/json", "image/png", ""])


@given(
    path=LATIN.map(lambda text: f"/{text}"),
    query=LATIN,
    headers=st.lists(st.tuples(TOKEN | st.sampled_from(["cookie", "connection", "host"]), LATIN)),
    body=st.binary(max_size=50),
    content_type=TYPES,
)
def test_any_request_becomes_an_event(
    path: str, query: str, headers: list[tuple[str, str]], body: bytes, content_type: str
) -> None:
    """It is JSON, says nothing that was not sent, and the body can be had again byte for byte."""
    sent = [*headers, ("content-type", content_type)]
    event = event_of(path=path, query=query, headers=sent, body=body)
    assert (event["rawPath"], event["rawQueryString"]) == (path, query)
    got = event.get("body", "")
    assert (base64.b64decode(got) if event["isBase64Encoded"] else got.encode()) == body
    added = {"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
    assert event["headers"].keys() <= {name for name, _ in sent} | added
    assert "connection" not in event["headers"]
