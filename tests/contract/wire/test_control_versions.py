from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"


@pytest.fixture
def client(server: ControlServer) -> Any:
    client = server.client()
    client.create_function(
        FunctionName="f",
        Runtime="python3.11",
        Role=ROLE,
        Handler="index.handler",
        Code={"ZipFile": zipped(index__py="1")},
        Description="first",
    )
    server.release()
    return client


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def test_a_version_is_a_copy_that_can_be_invoked_at_once(server: ControlServer, client: Any) -> None:
    latest = client.get_function_configuration(FunctionName="f")
    answer = client.publish_version(FunctionName="f", Description="one")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    changed = {name for name in latest.keys() | answer.keys() if latest.get(name) != answer.get(name)}
    assert changed == {"ResponseMetadata", "Version", "FunctionArn", "Description", "RevisionId"}
    assert (answer["Version"], answer["FunctionArn"], answer["Description"]) == ("1", f"{ARN}:1", "one")
    assert (answer["State"], answer["LastUpdateStatus"]) == ("Active", "Successful")
    assert [version.version for version in server.observed.settled] == ["$LATEST", "1"]
    assert client.get_function_configuration(FunctionName="f")["RevisionId"] != latest["RevisionId"]


def test_without_a_change_the_last_version_is_the_answer(server: ControlServer, client: Any) -> None:
    first = client.publish_version(FunctionName="f", Description="one")
    revision = client.get_function_configuration(FunctionName="f")["RevisionId"]
    again = client.publish_version(FunctionName="f", Description="another")
    assert (again["Version"], again["Description"], again["RevisionId"]) == ("1", "one", first["RevisionId"])
    assert client.get_function_configuration(FunctionName="f")["RevisionId"] == revision
    client.update_function_configuration(FunctionName="f", Description="second")
    server.release()
    assert client.publish_version(FunctionName="f")["Version"] == "2"
    client.update_function_code(FunctionName="f", ZipFile=zipped(index__py="2"))
    server.release()
    assert client.publish_version(FunctionName="f")["Version"] == "3"
    assert client.get_function_configuration(FunctionName="f:1")["Description"] == "one"


def test_an_update_that_changes_nothing_counts(server: ControlServer, client: Any) -> None:
    """Source: see `lamella.control.publishing`."""
    assert client.publish_version(FunctionName="f")["Version"] == "1"
    server.clock.advance(1)
    client.update_function_configuration(FunctionName="f", Description="first")
    server.release()
    assert client.publish_version(FunctionName="f")["Version"] == "2"
    server.clock.advance(1)
    answer = client.update_function_code(FunctionName="f", ZipFile=zipped(index__py="1"), Publish=True)
    assert answer["Version"] == "3"
    server.release()
    client.tag_resource(Resource=ARN, Tags={"a": "1"})
    server.clock.advance(1)
    assert client.publish_version(FunctionName="f")["Version"] == "3"


def test_a_version_that_is_being_made(server: ControlServer, client: Any) -> None:
    """It has no last update. Source: see `lamella.control.wire`."""
    server.hold()
    answer = client.update_function_code(FunctionName="f", ZipFile=zipped(index__py="2"), Publish=True)
    shown = client.get_function(FunctionName="f", Qualifier="1")["Configuration"]
    for pending in (answer, shown):
        assert (pending["State"], pending["StateReasonCode"], pending["Version"]) == ("Pending", "Creating", "1")
        assert not pending.keys() & {"LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"}
    latest = client.get_function(FunctionName="f", Qualifier="$LATEST")["Configuration"]
    assert (latest["FunctionArn"], latest["State"], latest["LastUpdateStatus"]) == (
        f"{ARN}:$LATEST",
        "Active",
        "InProgress",
    )
    server.release()
    shown = client.get_function(FunctionName="f", Qualifier="1")["Configuration"]
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")


def test_an_old_revision_is_not_published(client: Any) -> None:
    current = client.get_function_configuration(FunctionName="f")["RevisionId"]
    answer = refused(client.publish_version, FunctionName="f", RevisionId="0")
    assert answer[:2] == ("PreconditionFailedException", 412)
    assert client.publish_version(FunctionName="f", RevisionId=current)["Version"] == "1"
    assert refused(client.publish_version, FunctionName="f", RevisionId=current)[1] == 412  # it is another by now


def test_a_number_is_never_given_twice(client: Any) -> None:
    client.publish_version(FunctionName="f")
    client.delete_function(FunctionName="f", Qualifier="1")
    assert client.publish_version(FunctionName="f")["Version"] == "2"


def test_other_code_than_expected_is_not_published(client: Any) -> None:
    current = client.get_function_configuration(FunctionName="f")["CodeSha256"]
    answer = refused(client.publish_version, FunctionName="f", CodeSha256="other")
    text = (
        f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({current}). "
        "Please try again with the CodeSHA256 in $LATEST."
    )
    assert answer == ("InvalidParameterValueException", 400, text)
    assert client.publish_version(FunctionName="f", CodeSha256=current)["Version"] == "1"


def test_versions_are_listed_in_pages(server: ControlServer, client: Any) -> None:
    for number in range(3):
        client.update_function_configuration(FunctionName="f", Description=str(number))
        server.release()
        client.publish_version(FunctionName="f")
    pages = client.get_paginator("list_versions_by_function").paginate(
        FunctionName="f", PaginationConfig={"PageSize": 3}
    )
    listed = [version for page in pages for version in page["Versions"]]
    assert [version["Version"] for version in listed] == ["$LATEST", "1", "2", "3"]
    assert [version["FunctionArn"] for version in listed][:2] == [f"{ARN}:$LATEST", f"{ARN}:1"]
    assert "State" not in listed[0]


def test_versions_of_no_function(client: Any) -> None:
    answer = refused(client.list_versions_by_function, FunctionName="g")
    assert answer == ("ResourceNotFoundException", 404, f"Function not found: {ARN[:-1]}g")
    answer = refused(client.publish_version, FunctionName="g")
    assert answer == ("ResourceNotFoundException", 404, f"Function not found: {ARN[:-1]}g")
