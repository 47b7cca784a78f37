"""Policies of buckets in moto."""

import json

import pytest
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from lamella.neighbour.services import buckets


@pytest.mark.parametrize(
    ("more", "result"),
    [
        ({}, PermissionResult.DENIED),
        ({"Condition": {"Bool": {"aws:SecureTransport": "false"}}}, PermissionResult.NEUTRAL),
    ],
)
def test_conditions_are_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, object], result: PermissionResult
) -> None:
    """Without ours moto denies both."""
    monkeypatch.setattr(FakeBucket, "get_permission", FakeBucket.get_permission)  # it is put back afterwards
    buckets.install()
    bucket = FakeBucket("b", "000000000000", "us-east-1")
    assert bucket.get_permission("s3:GetObject", "arn:aws:s3:::b/k") == PermissionResult.NEUTRAL
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*", **more}
    bucket.policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()
    assert bucket.get_permission("s3:GetObject", "arn:aws:s3:::b/k") == result
