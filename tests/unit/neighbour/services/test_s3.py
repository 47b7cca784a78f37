"""What a function is told of an object: the documents that AWS sends, made of moto's own objects."""

from typing import Any

import pytest
from flask import Flask
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey

from lamella.neighbour.services.s3 import DestinationError, _is_meant, s3_record

OWNER = "111122223333"


@pytest.fixture
def bucket() -> FakeBucket:
    return FakeBucket("photos", OWNER, "eu-west-1")


def key(name: str = "k", version_id: str = "null") -> FakeKey:
    return FakeKey(name, b"12345", account_id=OWNER, region_name="eu-west-1", version_id=version_id)


def test_a_record_has_the_members_that_aws_sends(bucket: FakeBucket) -> None:
    record = s3_record("s3:ObjectCreated:Put", bucket, key(), "id-1")
    assert record["eventTime"].endswith("Z")
    assert len(record["eventTime"]) == len("2026-01-01T00:00:00.000Z")
    del record["eventTime"]
    made_up: dict[str, Any] = record.pop("responseElements")
    assert set(made_up) == {"x-amz-request-id", "x-amz-id-2"}
    assert len(record["s3"]["object"].pop("sequencer")) == 18
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": f"AWS:{OWNER}"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "id-1",
            "bucket": {
                "name": "photos",
                "ownerIdentity": {"principalId": OWNER},
                "arn": "arn:aws:s3:::photos",
            },
            "object": {"key": "k", "size": 5, "eTag": "827ccb0eea8a706c4c34a16891f84e7b"},
        },
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [("a@b", "a%40b"), ("a b/c+d.txt", "a+b/c%2Bd.txt"), ("ü", "%C3%BC"), ("in/../x?y=1&z", "in/../x%3Fy%3D1%26z")],
)
def test_a_key_is_encoded(bucket: FakeBucket, name: str, told: str) -> None:
    assert s3_record("s3:ObjectCreated:Put", bucket, key(name), "")["s3"]["object"]["key"] == told


@pytest.mark.parametrize(
    ("event", "version", "members"),
    [
        ("s3:ObjectCreated:Copy", "2.1", {"key", "size", "eTag", "versionId", "sequencer"}),
        ("s3:ObjectRemoved:Delete", "2.1", {"key", "versionId", "sequencer"}),
        ("s3:ObjectTagging:Put", "2.3", {"key", "eTag", "versionId"}),
        ("s3:ObjectAcl:Put", "2.3", {"key", "eTag", "versionId"}),
    ],
)
def test_each_kind_tells_what_it_knows(bucket: FakeBucket, event: str, version: str, members: set[str]) -> None:
    record = s3_record(event, bucket, key(version_id="v1"), "")
    assert record["eventVersion"] == version
    assert set(record["s3"]["object"]) == members


def test_a_delete_marker_has_a_version_and_no_contents(bucket: FakeBucket) -> None:
    marker = FakeDeleteMarker(key())
    described = s3_record("s3:ObjectRemoved:DeleteMarkerCreated", bucket, marker, "")["s3"]["object"]
    assert described.pop("sequencer")
    assert described == {
        "key": "k",
        "eTag": "d41d8cd98f00b204e9800998ecf8427e",
        "versionId": marker.version_id,
    }


def test_of_two_events_the_later_has_the_greater_sequencer(bucket: FakeBucket) -> None:
    made = [s3_record("s3:ObjectCreated:Put", bucket, key(), "")["s3"]["object"]["sequencer"] for _ in range(5)]
    assert made == sorted(made)


def test_a_refusal_names_each_function() -> None:
    error = DestinationError(["arn:1", "arn:2"])
    assert error.members == {
        "ArgumentName1": "arn:1, null",
        "ArgumentValue1": "Not authorized to invoke function [arn:1]",
        "ArgumentName2": "arn:2, null",
        "ArgumentValue2": "Not authorized to invoke function [arn:2]",
    }


@pytest.mark.parametrize(
    ("event", "query", "meant"),
    [
        ("s3:ObjectCreated:Put", "", True),
        ("s3:ObjectCreated:Put", "?uploadId=1", False),
        ("s3:ObjectCreated:CompleteMultipartUpload", "?uploadId=1", True),
        ("s3:ObjectTagging:Put", "", False),
        ("s3:ObjectTagging:Put", "?tagging", True),
        ("s3:ObjectAcl:Put", "", False),
        ("s3:ObjectAcl:Put", "?acl", True),
    ],
)
def test_what_moto_does_to_serve_a_request_is_no_event(event: str, query: str, meant: bool) -> None:
    with Flask("test").test_request_context(f"/bucket/key{query}"):
        assert _is_meant(event) is meant
    assert _is_meant(event)  # by nobody's request: a state machine's task, say
