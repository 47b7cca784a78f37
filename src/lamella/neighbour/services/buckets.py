"""Keeps moto from enforcing what it does not evaluate: conditions in the policies of buckets.

moto takes every statement for one without conditions. So a bucket whose policy denies requests without TLS, as those of
`sam deploy` and `cdk bootstrap` do, would deny everything.
"""

import json
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket

from lamella.neighbour.services.patching import replace


def install() -> None:
    """Take statements with conditions for absent."""
    replace(FakeBucket, "get_permission", lambda _: _permission)


def _permission(bucket: FakeBucket, action: str, resource: str) -> Any:  # Any: as moto has it
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    document = json.loads(bucket.policy)
    statements = document.get("Statement", [])
    listed = statements if isinstance(statements, list) else [statements]
    document["Statement"] = [statement for statement in listed if "Condition" not in statement]
    return IAMPolicy(json.dumps(document)).is_action_permitted(action, resource)
