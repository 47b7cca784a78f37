"""Archives that are named by bucket and key, through a real boto3 client."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.quotas import UNZIPPED
from lamella.ports.aws import AwsError

ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
CODE = zipped(function__py="def handler(event, context): return 1")
OTHER = zipped(function__py="def handler(event, context): return 2")


@pytest.fixture(autouse=True)
def _objects(server: ControlServer) -> None:
    server.aws.objects = {
        ("bucket", "code.zip", None): CODE,
        ("bucket", "code.zip", "v2"): OTHER,
        ("bucket", "bad.zip", None): b"no zip",
        ("bucket", "empty.zip", None): b"",
        ("bucket", "huge.zip", None): bytes(UNZIPPED.limit),
    }


def create(client: Any, **code: str) -> Any:
    return client.create_function(
        FunctionName="f", Runtime="python3.11", Handler="function.handler", Role=ROLE, Code=code
    )


def test_the_three_operations_take_it(server: ControlServer, client: Any) -> None:
    created = create(client, S3Bucket="bucket", S3Key="code.zip")
    server.release()
    updated = client.update_function_code(
        FunctionName="f", S3Bucket="bucket", S3Key="code.zip", S3ObjectVersion="v2", S3ObjectStorageMode="COPY"
    )
    layer = client.publish_layer_version(LayerName="l", Content={"S3Bucket": "bucket", "S3Key": "code.zip"})
    assert created["CodeSize"] == len(CODE) == layer["Content"]["CodeSize"]
    assert created["CodeSha256"] == layer["Content"]["CodeSha256"] != updated["CodeSha256"]
    assert {(account, region) for *_, account, region in server.aws.calls} == {(ACCOUNT, REGION)}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            {"S3Bucket": "bucket", "S3Key": "none"},
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
                "S3 Error Message: The specified key does not exist."
            ),
        ),
        (
            {"S3Bucket": "nobody", "S3Key": "none"},
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchBucket. "
                "S3 Error Message: The specified bucket does not exist"
            ),
        ),
        ({"S3Bucket": "bucket", "S3Key": "bad.zip"}, "Could not unzip uploaded file."),
        ({"S3Bucket": "bucket", "S3Key": "empty.zip"}, "Uploaded file must be a non-empty zip"),
        ({"S3Bucket": "bucket", "S3Key": "huge.zip"}, "Unzipped size must be smaller than 262144000 bytes"),
        ({"S3Bucket": "bucket"}, "Please provide a source for function code."),
        ({"S3Key": "code.zip"}, "Please provide a source for function code."),
        (
            {"S3Bucket": "bucket", "S3Key": "code.zip", "S3ObjectStorageMode": "REFERENCE"},
            "Lamella keeps a copy of each archive",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(server: ControlServer, client: Any, code: dict[str, str], expected: str) -> None:
    with pytest.raises(ClientError) as caught:
        create(client, **code)
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException"
    assert error["Message"].startswith(expected)
    assert server.artifacts.protected == {}


def test_what_s3_denies_is_denied(server: ControlServer, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> Any:
        raise AwsError("AccessDenied", "Access Denied")

    monkeypatch.setattr(server.aws, "fetch", denied)
    with pytest.raises(ClientError) as caught:
        create(client, S3Bucket="bucket", S3Key="code.zip")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert caught.value.response["Error"]["Message"] == (
        "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for "
        "bucket/code.zip. S3 Error Code: AccessDenied. S3 Error Message: Access Denied"
    )
