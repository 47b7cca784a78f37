"""Bodies of subscriptions: section 5.1, each limit one below, at, and one above."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.invoke.telemetry_api import ACCEPTED, API_OF_PATH, TelemetryApiError, parse_subscription, refusal_of
from lamella.lifecycle.telemetry_events import (
    Api,
    Destination,
    Schema,
    Subscription,
    SubscriptionClosedError,
    SubscriptionConflictError,
)

URI = "http://sandbox.localdomain:4243/path"
GOOD: dict[str, Any] = {
    "schemaVersion": "2025-01-29",
    "types": ["platform", "function", "extension"],
    "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 100},
    "destination": {"protocol": "HTTP", "URI": URI},
}


def parse(changes: dict[str, Any] | None = None, *, api: Api = Api.TELEMETRY) -> Subscription:
    return parse_subscription(api, json.dumps({**GOOD, **(changes or {})}).encode())


def refused(body: bytes | dict[str, Any], *, api: Api = Api.TELEMETRY) -> str:
    """The message of a refusal."""
    with pytest.raises(TelemetryApiError) as refusal:
        parse_subscription(api, body if isinstance(body, bytes) else json.dumps({**GOOD, **body}).encode())
    assert refusal.value.status == 400
    assert refusal.value.error_type == ("ValidationError" if api is Api.TELEMETRY else "Logs.ValidationError")
    return refusal.value.message


def test_a_good_one() -> None:
    """TL-01."""
    assert parse() == Subscription(
        Schema.TELEMETRY_2025_01_29,
        ("platform", "function", "extension"),
        Destination("HTTP", 4243, "sandbox.localdomain", "/path"),
        1000,
        262_144,
        0.1,
    )
    assert ACCEPTED == b'"OK"'


def test_paths_with_and_without_a_final_slash() -> None:
    """TL-01."""
    assert API_OF_PATH["/2022-07-01/telemetry"] is API_OF_PATH["/2022-07-01/telemetry/"] is Api.TELEMETRY
    assert API_OF_PATH["/2020-08-15/logs"] is API_OF_PATH["/2020-08-15/logs/"] is Api.LOGS


def test_defaults() -> None:
    for buffering in (None, {}, {"maxItems": None}):
        found = parse({"buffering": buffering})
        assert (found.max_items, found.max_bytes, found.timeout_s) == (10_000, 262_144, 1.0)


@pytest.mark.parametrize("version", ["2022-07-01", "2022-12-13", "2025-01-29"])
def test_schemas_of_telemetry(version: str) -> None:
    assert parse({"schemaVersion": version}).schema == version
    assert "schemaVersion should be one of 2020-08-15, 2021-03-18" in refused({"schemaVersion": version}, api=Api.LOGS)


@pytest.mark.parametrize("version", ["2020-08-15", "2021-03-18"])
def test_schemas_of_logs(version: str) -> None:
    assert parse({"schemaVersion": version}, api=Api.LOGS).schema == version
    assert f'not "{version}"' in refused({"schemaVersion": version})


def test_a_missing_schema() -> None:
    assert parse({"schemaVersion": None}, api=Api.LOGS).schema is Schema.LOGS_2020_08_15
    assert refused({"schemaVersion": None}) == (
        "schemaVersion should be one of 2022-07-01, 2022-12-13, 2025-01-29, and is not provided"
    )


@pytest.mark.parametrize(
    ("name", "attribute", "least", "most"),
    [("maxItems", "max_items", 1_000, 10_000), ("maxBytes", "max_bytes", 262_144, 1_048_576)],
)
def test_limits_of_buffering(name: str, attribute: str, least: int, most: int) -> None:
    """TL-02: each limit one below, at it, and one above."""
    for good in (least, most):
        assert getattr(parse({"buffering": {name: good}}), attribute) == good
    for bad in (least - 1, most + 1, -1, 10**400, str(least), least + 0.5, True, [least], {}):
        message = refused({"buffering": {name: bad}})
        assert f"buffering.{name} should be a whole number from {least} to {most}, not " in message
        assert len(message) < 250


def test_limits_of_time() -> None:
    """TL-02."""
    assert [parse({"buffering": {"timeoutMs": value}}).timeout_s for value in (25, 30_000)] == [0.025, 30.0]
    for bad in (24, 30_001):
        assert refused({"buffering": {"timeoutMs": bad}}) == (
            f"buffering.timeoutMs should be a whole number from 25 to 30000, not {bad}"
        )


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (None, "types should not be empty"),
        ([], "types should not be empty"),
        ("platform", "types should be a list"),
        (["platform", "Function"], 'not "Function"'),
        ([["platform"]], 'not ["platform"]'),
        ([1], "not 1"),
        ([None], "not null"),
    ],
)
def test_bad_types(types: Any, words: str) -> None:
    """TL-02."""
    assert words in refused({"types": types})


def test_types_count_once_in_their_own_order() -> None:
    assert parse({"types": ["function", "platform", "function"]}).types == ("function", "platform")


@pytest.mark.parametrize(
    ("uri", "host", "target"),
    [
        (URI, "sandbox.localdomain", "/path"),
        ("http://sandbox:4243", "sandbox", "/"),
        ("http://sandbox:4243/", "sandbox", "/"),
        ("HTTP://Sandbox:4243/a?b=c", "sandbox", "/a?b=c"),
        ("http://sandbox:4243/a b\u00e9", "sandbox", "/a%20b%C3%A9"),
        ("http://sandbox:4243/%41#part", "sandbox", "/%41"),
        ("http://sandbox:4243/\r\nX: y", "sandbox", "/X:%20y"),
        ("http://sandbox:4243/\x00\x7f\ud800", "sandbox", "/%00%7F%3F"),
    ],
)
def test_uris(uri: str, host: str, target: str) -> None:
    """Whatever the path holds, it cannot become another line of the request."""
    assert parse({"destination": {"protocol": "HTTP", "URI": uri}}).destination == Destination(
        "HTTP", 4243, host, target
    )


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        (None, "destination.URI is not provided"),
        ("", "destination.URI is not provided"),
        (7, "destination.URI should be a text"),
        ("http://sandbox.localdomain", "URI port is not provided"),
        ("http://sandbox.localdomain:9001", "port 9001 is reserved"),
        ("http://sandbox.localdomain:0", "port must be from 1 to 65535"),
        ("http://sandbox.localdomain:65536", "out of range"),
        ("http://sandbox.localdomain:x", "Invalid destination"),
        ("http://127.0.0.1:4243", "destination.URI host must be sandbox.localdomain"),
        ("http://[::1", "Invalid destination"),
        ("https://sandbox.localdomain:4243", "scheme must be http"),
        ("sandbox.localdomain:4243", "scheme must be http"),
    ],
)
def test_bad_uris(uri: Any, words: str) -> None:
    """TL-02."""
    assert words in refused({"destination": {"protocol": "HTTP", "URI": uri}})


def test_the_largest_port() -> None:
    destination = {"protocol": "HTTP", "URI": "http://sandbox.localdomain:65535"}
    assert parse({"destination": destination}).destination.port == 65_535


def test_old_keys_of_a_destination() -> None:
    """TL-20: the Logs API honours the method."""
    destination = {"protocol": "HTTP", "URI": URI, "method": "PUT", "encoding": "JSON"}
    logs = {"schemaVersion": "2020-08-15", "destination": destination}
    assert parse(logs, api=Api.LOGS).destination.method == "PUT"
    assert parse({"destination": destination}).destination.method == "POST"
    assert "destination.method" in refused({"destination": {**destination, "method": "GET"}})
    assert "destination.encoding" in refused({"destination": {**destination, "encoding": "XML"}})


@pytest.mark.parametrize("port", [1, 65_535])
def test_plain_tcp(port: int) -> None:
    """TL-24."""
    assert parse({"destination": {"protocol": "TCP", "port": port}}).destination == Destination("TCP", port)


@pytest.mark.parametrize("port", [0, 65_536, 9001, None, "80", True, 80.5])
def test_bad_ports(port: Any) -> None:
    """TL-02."""
    assert "port" in refused({"destination": {"protocol": "TCP", "port": port}})


@pytest.mark.parametrize("destination", [None, [], "http", {}, {"protocol": "UDP"}, {"protocol": ["HTTP"]}])
def test_bad_destinations(destination: Any) -> None:
    """TL-02."""
    assert "destination" in refused({"destination": destination})


def test_all_that_is_wrong_is_named() -> None:
    """TL-02, with the words that AWS's guide shows."""
    message = refused({"types": [], "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"}})
    assert message == "types should not be empty; URI port is not provided"


def test_unknown_keys_are_accepted() -> None:
    assert parse({"more": 1, "destination": {**GOOD["destination"], "more": {}}})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[]",
        b"null",
        b'"x"',
        b'{"buffering":' + b"9" * 5000 + b"}",
    ],
)
def test_garbage(body: bytes) -> None:
    """TL-02."""
    refused(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "URI", "x"]), inner),
        max_leaves=6,
    ),
    st.sampled_from([*GOOD, "destination.URI", "destination.protocol"]),
    st.sampled_from(Api),
)
def test_any_value_is_accepted_or_refused(value: Any, place: str, api: Api) -> None:
    """TL-02: nothing that an extension sends is a fault of ours."""
    document = json.loads(json.dumps(GOOD))
    outer, _, inner = place.partition(".")
    if inner:
        document[outer][inner] = value
    else:
        document[outer] = value
    refusals = []
    try:
        parse_subscription(api, json.dumps(document).encode())
    except TelemetryApiError as error:
        refusals.append(error)
    assert all(refusal.status == 400 and refusal.message for refusal in refusals)


def test_too_late() -> None:
    """TL-04."""
    refusal = refusal_of(Api.TELEMETRY, SubscriptionClosedError())
    assert (refusal.status, refusal.error_type) == (403, "Telemetry.SubscriptionClosed")
    assert refusal.message == "Telemetry API subscription is closed already"
    refusal = refusal_of(Api.LOGS, SubscriptionClosedError())
    assert (refusal.error_type, refusal.message) == (
        "Logs.SubscriptionClosed",
        "Logs API subscription is closed already",
    )


def test_the_other_api_is_in_use() -> None:
    """TL-06."""
    refusal = refusal_of(Api.TELEMETRY, SubscriptionConflictError(Api.LOGS))
    assert (refusal.status, refusal.error_type) == (403, "Telemetry.SubscriptionConflict")
    assert "Logs API" in refusal.message
