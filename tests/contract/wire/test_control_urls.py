"""Function URLs through boto3. Texts and members as recorded from AWS in LocalStack's tests, 2023 and 2025."""

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.alias import Alias
from lamella.domain.function import FunctionKey
from lamella.domain.url import URLS, AuthType, Cors

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
F = FunctionKey(ACCOUNT, REGION, "f")
URL = re.compile(r"http://([a-z0-9]{32})\.lambda-url\.eu-central-1\.localhost:4566/")
CREATED = "2026-11-20T20:01:02.123456Z"
CORS = {
    "AllowCredentials": True,
    "AllowHeaders": ["X-A"],
    "AllowMethods": ["GET", "*"],
    "AllowOrigins": ["https://site.example"],
    "ExposeHeaders": ["X-B"],
    "MaxAge": 300,
}
ALIAS_PATTERN = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)"


@pytest.fixture
def client(server: ControlServer) -> Any:
    client = server.client()
    for name in ("f", "g"):
        create_function(client, name)
    server.release()
    server.run(server.aliases.create(Alias(F, "live", "$LATEST", "r")))
    return client


def create_function(client: Any, name: str) -> None:
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Handler="index.handler",
        Code={"ZipFile": zipped(index__py="1")},
    )


def shown(answer: dict[str, Any], status: int = 200) -> dict[str, Any]:
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == status
    return answer


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


NO_URL = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
NO_FUNCTION = ("ResourceNotFoundException", 404, "Function does not exist")


def test_the_life_of_a_url(server: ControlServer, client: Any) -> None:
    created = shown(client.create_function_url_config(FunctionName="f", AuthType="NONE"), 201)
    assert created.keys() == {"FunctionUrl", "FunctionArn", "AuthType", "CreationTime"}
    match = URL.fullmatch(created["FunctionUrl"])
    assert match is not None
    assert (created["FunctionArn"], created["AuthType"], created["CreationTime"]) == (ARN, "NONE", CREATED)
    assert server.observed_urls.urls[match[1]].auth_type is AuthType.NONE

    got = shown(client.get_function_url_config(FunctionName="f"))
    assert got == created | {"LastModifiedTime": CREATED, "InvokeMode": "BUFFERED"}

    server.clock.advance(1)
    updated = shown(client.update_function_url_config(FunctionName="f", AuthType="AWS_IAM"))
    assert updated == created | {"AuthType": "AWS_IAM", "LastModifiedTime": "2026-11-20T20:01:03.123456Z"}
    assert server.observed_urls.urls[match[1]].auth_type is AuthType.AWS_IAM

    deleted = client.delete_function_url_config(FunctionName="f")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert server.observed_urls.urls == {}
    assert refused(client.get_function_url_config, FunctionName="f") == NO_URL
    assert refused(client.update_function_url_config, FunctionName="f") == NO_URL
    assert refused(client.delete_function_url_config, FunctionName="f") == NO_URL
    again = shown(client.create_function_url_config(FunctionName="f", AuthType="NONE"), 201)
    assert again["FunctionUrl"] != created["FunctionUrl"]


def test_a_function_has_one_url_and_each_alias_has_one(server: ControlServer, client: Any) -> None:
    client.create_function_url_config(FunctionName="f", AuthType="NONE")
    text = (
        "Failed to create function url config for [functionArn = {}]. "
        "Error message:  FunctionUrlConfig exists for this Lambda function"
    )
    again = refused(client.create_function_url_config, FunctionName=ARN, AuthType="NONE")
    assert again == ("ResourceConflictException", 409, text.format(ARN))
    of_alias = shown(client.create_function_url_config(FunctionName="f", Qualifier="live", AuthType="NONE"), 201)
    assert of_alias["FunctionArn"] == f"{ARN}:live"
    again = refused(client.create_function_url_config, FunctionName=f"{ARN}:live", AuthType="NONE")
    assert again == ("ResourceConflictException", 409, text.format(f"{ARN}:live"))
    assert [url.alias for url in server.observed_urls.urls.values()] == [None, "live"]
    client.delete_function_url_config(FunctionName="f")
    got = shown(client.get_function_url_config(FunctionName="f", Qualifier="live"))
    assert got["FunctionUrl"] == of_alias["FunctionUrl"]
    assert [url.alias for url in server.observed_urls.urls.values()] == ["live"]


def test_the_invoke_mode_is_shown_once_it_was_chosen(client: Any) -> None:
    created = shown(client.create_function_url_config(FunctionName="f", AuthType="NONE", InvokeMode="BUFFERED"), 201)
    assert created["InvokeMode"] == "BUFFERED"
    changed = shown(client.update_function_url_config(FunctionName="f", InvokeMode="RESPONSE_STREAM"))
    assert changed["InvokeMode"] == "RESPONSE_STREAM"
    assert shown(client.update_function_url_config(FunctionName="f"))["InvokeMode"] == "RESPONSE_STREAM"
    assert shown(client.get_function_url_config(FunctionName="f"))["InvokeMode"] == "RESPONSE_STREAM"


def test_cors_settings_come_back_and_are_replaced_as_a_whole(server: ControlServer, client: Any) -> None:
    created = shown(client.create_function_url_config(FunctionName="f", AuthType="NONE", Cors=CORS), 201)
    assert created["Cors"] == CORS
    assert shown(client.update_function_url_config(FunctionName="f", AuthType="NONE"))["Cors"] == CORS
    (url,) = server.observed_urls.urls.values()
    assert url.cors == Cors(True, ("X-A",), ("GET", "*"), ("https://site.example",), ("X-B",), 300)
    changed = shown(client.update_function_url_config(FunctionName="f", Cors={"AllowOrigins": ["*"]}))
    assert changed["Cors"] == {"AllowOrigins": ["*"]}
    assert shown(client.update_function_url_config(FunctionName="f", Cors={}))["Cors"] == {}
    (url,) = server.observed_urls.urls.values()
    assert url.cors == Cors()


@pytest.mark.parametrize(
    ("members", "text"),
    [
        (
            {"InvokeMode": "UNKNOWN"},
            "Value 'UNKNOWN' at 'invokeMode' failed to satisfy constraint: Member must satisfy enum value set: ",
        ),
        ({"AuthType": "SOME"}, "Value 'SOME' at 'authType' failed to satisfy constraint"),
        (
            {"Qualifier": "1"},
            "Value '1' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: "
            + ALIAS_PATTERN,
        ),
        ({"Qualifier": "$LATEST"}, f"Member must satisfy regular expression pattern: {ALIAS_PATTERN}"),
        ({"FunctionName": "f:1"}, "Value 'f:1' at 'functionName' failed to satisfy constraint"),
        ({"FunctionName": "f:$LATEST"}, "Value 'f:$LATEST' at 'functionName' failed to satisfy constraint"),
        ({"Cors": {"MaxAge": 86401}}, "Value '86401' at 'cors.maxAge' failed to satisfy constraint"),
        ({"Cors": {"AllowMethods": ["OPTIONS"]}}, "at 'cors.allowMethods' failed to satisfy constraint"),
        ({"Cors": {"AllowOrigins": ["x"] * 101}}, "at 'cors.allowOrigins' failed to satisfy constraint"),
    ],
)
def test_what_is_not_valid(client: Any, members: dict[str, Any], text: str) -> None:
    code, status, message = refused(
        client.create_function_url_config, **{"FunctionName": "f", "AuthType": "NONE", **members}
    )
    assert (code, status) == ("ValidationException", 400)
    assert text in message


@pytest.mark.parametrize("name", ["nothing", "f:nothing"])
def test_what_is_not_there(client: Any, name: str) -> None:
    assert refused(client.create_function_url_config, FunctionName=name, AuthType="NONE") == NO_FUNCTION
    assert refused(client.get_function_url_config, FunctionName=name) == NO_URL
    assert refused(client.update_function_url_config, FunctionName=name) == NO_URL
    assert refused(client.delete_function_url_config, FunctionName=name) == NO_URL
    assert refused(client.list_function_url_configs, FunctionName="nothing") == NO_FUNCTION


def test_names_that_contradict_each_other(client: Any) -> None:
    code, status, _ = refused(
        client.create_function_url_config, FunctionName="f:live", Qualifier="other", AuthType="NONE"
    )
    assert (code, status) == ("InvalidParameterValueException", 400)


def test_a_list_in_pages(server: ControlServer, client: Any) -> None:
    assert shown(client.list_function_url_configs(FunctionName="f")) == {"FunctionUrlConfigs": []}
    for name in ("Beta", "alpha"):
        server.run(server.aliases.create(Alias(F, name, "$LATEST", "r")))
    for members in ({}, {"Qualifier": "live"}, {"Qualifier": "alpha"}, {"Qualifier": "Beta"}):
        client.create_function_url_config(FunctionName="f", AuthType="NONE", **members)
    client.create_function_url_config(FunctionName="g", AuthType="NONE")
    paginator = client.get_paginator("list_function_url_configs")
    for size in (1, 2, 3, 4, 50):
        pages = list(paginator.paginate(FunctionName="f", PaginationConfig={"PageSize": size}))
        assert len(pages) == -(-4 // size)
        urls = [url for page in pages for url in page["FunctionUrlConfigs"]]
        assert [url["FunctionArn"] for url in urls] == [ARN, f"{ARN}:Beta", f"{ARN}:alpha", f"{ARN}:live"]
        assert all("LastModifiedTime" in url and url["InvokeMode"] == "BUFFERED" for url in urls)


def test_urls_go_with_their_function(server: ControlServer, client: Any) -> None:
    client.create_function_url_config(FunctionName="f", AuthType="NONE")
    client.delete_function(FunctionName="f")
    create_function(client, "f")
    assert refused(client.get_function_url_config, FunctionName="f") == NO_URL


def test_a_url_outlives_its_alias(server: ControlServer, client: Any) -> None:
    """Recorded: it leads nowhere then, but is still there."""
    created = client.create_function_url_config(FunctionName="f", Qualifier="live", AuthType="NONE")
    server.run(server.aliases.delete(F, "live"))
    server.run(server.records.functions.delete_qualifier(F, "live"))
    got = client.get_function_url_config(FunctionName="f", Qualifier="live")
    assert got["FunctionUrl"] == created["FunctionUrl"]


def test_other_accounts_and_regions_see_nothing(server: ControlServer, client: Any) -> None:
    client.create_function_url_config(FunctionName="f", AuthType="NONE")
    for stranger in (server.client(account="999999999999"), server.client(region="us-east-1")):
        assert refused(stranger.get_function_url_config, FunctionName="f") == NO_URL
        assert refused(stranger.delete_function_url_config, FunctionName="f") == NO_URL
        assert refused(stranger.list_function_url_configs, FunctionName="f") == NO_FUNCTION
    code, status, _ = refused(
        server.client(account="999999999999").update_function_url_config, FunctionName=ARN, AuthType="NONE"
    )
    assert (code, status) == ("AccessDeniedException", 403)


def test_a_function_that_goes_away_meanwhile_leaves_no_url_behind(server: ControlServer, client: Any) -> None:
    """Whoever serves URLs may hear of the deletion before the URL."""
    records = server.records.functions
    change = records.change

    async def change_and_lose(*args: Any, **options: Any) -> Any:
        stored = await change(*args, **options)
        await server.functions.delete(F)
        return stored

    records.change = change_and_lose  # type: ignore[method-assign]  # a deletion at that very moment
    client.create_function_url_config(FunctionName="f", AuthType="NONE", InvokeMode="RESPONSE_STREAM")
    assert server.observed_urls.urls == {}
    records.change = change  # type: ignore[method-assign]
    assert server.run(records.get(F, URLS)) is None
