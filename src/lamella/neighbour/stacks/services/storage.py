"""`AWS::S3::Bucket`, `AWS::S3::BucketPolicy` and `AWS::DynamoDB::Table`."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from lamella.neighbour.stacks.coercion import arguments
from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.template import Json

Client = Any  # botocore makes its clients at run time
_HERE: Final = "us-east-1"


class Bucket:
    """A bucket with what can be configured of it."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client, name = task.client("s3"), str(properties.get("BucketName", task.name))
        where = {} if task.region == _HERE else {"CreateBucketConfiguration": {"LocationConstraint": task.region}}
        lock = {"ObjectLockEnabledForBucket": True} if _true(properties.get("ObjectLockEnabled")) else {}
        client.create_bucket(Bucket=name, **where, **lock)
        try:
            _configure(client, name, {}, properties)
        except BaseException:
            client.delete_bucket(Bucket=name)  # nobody would know of it
            raise
        return _bucket(task, name)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Configure what differs."""
        _configure(task.client("s3"), made.physical_id, old, new)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Refused while it has objects, as on AWS."""
        task.client("s3").delete_bucket(Bucket=made.physical_id)


class BucketPolicy:
    """The policy of a bucket."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Put it."""
        bucket = str(properties["Bucket"])
        task.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(properties["PolicyDocument"]))
        return Made(bucket)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        return self.create(task, new)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        task.client("s3").delete_bucket_policy(Bucket=made.physical_id)


class Table:
    """A table of DynamoDB."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client = task.client("dynamodb")
        wanted = {"TableName": task.name, **_table(properties)}
        name = client.create_table(**arguments(client, "CreateTable", wanted))["TableDescription"]["TableName"]
        try:
            _configure_table(client, name, {}, properties)
        except BaseException:
            client.delete_table(TableName=name)  # nobody would know of it
            raise
        return _table_made(client, name)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change throughput, stream, expiry and the like."""
        client, name = task.client("dynamodb"), made.physical_id
        if old.get("GlobalSecondaryIndexes") != new.get("GlobalSecondaryIndexes"):
            raise ResourceError("Lamella does not change the indexes of tables in place")
        before, after = _table(old), _table(new)
        changed = {key: value for key, value in after.items() if before.get(key) != value and key != "Tags"}
        if "StreamSpecification" in before and "StreamSpecification" not in after:
            changed["StreamSpecification"] = {"StreamEnabled": False}
        wanted = arguments(client, "UpdateTable", changed)
        if wanted:
            client.update_table(**{**wanted, "TableName": name})
        _configure_table(client, name, old, new)
        return _table_made(client, name)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """With all that it holds."""
        task.client("dynamodb").delete_table(TableName=made.physical_id)


def _bucket(task: Task, name: str) -> Made:
    return Made(
        name,
        {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "DualStackDomainName": f"{name}.s3.dualstack.{task.region}.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{task.region}.amazonaws.com",
            "WebsiteURL": f"http://{name}.s3-website-{task.region}.amazonaws.com",
        },
    )


def _configure(client: Client, name: str, old: Properties, new: Properties) -> None:
    unknown = sorted(new.keys() - _BUCKET.keys() - _BUCKET_ELSEWHERE)
    if unknown:
        raise ResourceError(f"Lamella does not know the property {unknown[0]} of buckets")
    for key, put in _BUCKET.items():
        if old.get(key) != new.get(key):
            put(client, name, new.get(key))


def _tags(client: Client, name: str, tags: Json) -> None:
    if tags:
        client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    else:
        client.delete_bucket_tagging(Bucket=name)


def _versioning(client: Client, name: str, value: Json) -> None:
    status = value["Status"] if value else "Suspended"
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})


def _encryption(client: Client, name: str, value: Json) -> None:
    if not value:
        client.delete_bucket_encryption(Bucket=name)
        return
    rules = []
    for rule in value.get("ServerSideEncryptionConfiguration", []):
        renamed = {key: item for key, item in rule.items() if key != "ServerSideEncryptionByDefault"}
        if (default := rule.get("ServerSideEncryptionByDefault")) is not None:
            renamed["ApplyServerSideEncryptionByDefault"] = default
        rules.append(renamed)
    wanted = {"ServerSideEncryptionConfiguration": {"Rules": rules}}
    client.put_bucket_encryption(**arguments(client, "PutBucketEncryption", wanted), Bucket=name)


def _public_access(client: Client, name: str, value: Json) -> None:
    if not value:
        client.delete_public_access_block(Bucket=name)
        return
    wanted = arguments(client, "PutPublicAccessBlock", {"PublicAccessBlockConfiguration": value})
    client.put_public_access_block(**wanted, Bucket=name)


def _ownership(client: Client, name: str, value: Json) -> None:
    if value:
        client.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": value["Rules"]})
    else:
        client.delete_bucket_ownership_controls(Bucket=name)


def _cors(client: Client, name: str, value: Json) -> None:
    if not value:
        client.delete_bucket_cors(Bucket=name)
        return
    names = {"ExposedHeaders": "ExposeHeaders", "MaxAge": "MaxAgeSeconds", "Id": "ID"}
    rules = [{names.get(key, key): item for key, item in rule.items()} for rule in value["CorsRules"]]
    wanted = arguments(client, "PutBucketCors", {"CORSConfiguration": {"CORSRules": rules}})
    client.put_bucket_cors(**wanted, Bucket=name)


def _lifecycle(client: Client, name: str, value: Json) -> None:
    if not value:
        client.delete_bucket_lifecycle(Bucket=name)
        return
    rules = [_lifecycle_rule(rule) for rule in value["Rules"]]
    wanted = {"LifecycleConfiguration": {"Rules": rules}}
    client.put_bucket_lifecycle_configuration(
        **arguments(client, "PutBucketLifecycleConfiguration", wanted), Bucket=name
    )


def _lifecycle_rule(rule: Mapping[str, Json]) -> dict[str, Json]:
    """A template's rule by the API's names."""
    found: dict[str, Json] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "Id" in rule:
        found["ID"] = rule["Id"]
    expiration = {"Days": rule.get("ExpirationInDays"), "Date": rule.get("ExpirationDate")}
    expiration["ExpiredObjectDeleteMarker"] = rule.get("ExpiredObjectDeleteMarker")
    if kept := {key: item for key, item in expiration.items() if item is not None}:
        found["Expiration"] = kept
    days = rule.get("NoncurrentVersionExpirationInDays")
    if "NoncurrentVersionExpiration" in rule:
        found["NoncurrentVersionExpiration"] = rule["NoncurrentVersionExpiration"]
    elif days is not None:
        found["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "AbortIncompleteMultipartUpload" in rule:
        found["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
    if "Transitions" in rule:
        found["Transitions"] = [
            {{"TransitionInDays": "Days", "TransitionDate": "Date"}.get(key, key): item for key, item in one.items()}
            for one in rule["Transitions"]
        ]
    return found


def _notifications(client: Client, name: str, value: Json) -> None:
    found: dict[str, Json] = {}
    for section, arn in (("Lambda", "LambdaFunctionArn"), ("Queue", "QueueArn"), ("Topic", "TopicArn")):
        key = "LambdaFunction" if section == "Lambda" else section
        for entry in (value or {}).get(f"{section}Configurations", []):
            target = entry.get("Function" if section == "Lambda" else section)
            one: dict[str, Json] = {arn: target, "Events": [entry["Event"]]}
            if rules := entry.get("Filter", {}).get("S3Key", {}).get("Rules"):
                one["Filter"] = {"Key": {"FilterRules": rules}}
            found.setdefault(f"{key}Configurations", []).append(one)
    if "EventBridgeConfiguration" in (value or {}):
        found["EventBridgeConfiguration"] = {}
    client.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=found)


def _website(client: Client, name: str, value: Json) -> None:
    if not value:
        client.delete_bucket_website(Bucket=name)
        return
    found: dict[str, Json] = {}
    if "IndexDocument" in value:
        found["IndexDocument"] = {"Suffix": value["IndexDocument"]}
    if "ErrorDocument" in value:
        found["ErrorDocument"] = {"Key": value["ErrorDocument"]}
    if "RedirectAllRequestsTo" in value:
        found["RedirectAllRequestsTo"] = value["RedirectAllRequestsTo"]
    client.put_bucket_website(Bucket=name, WebsiteConfiguration=found)


_BUCKET: Final[Mapping[str, Callable[[Client, str, Json], None]]] = {
    "BucketEncryption": _encryption,
    "CorsConfiguration": _cors,
    "LifecycleConfiguration": _lifecycle,
    "NotificationConfiguration": _notifications,
    "OwnershipControls": _ownership,
    "PublicAccessBlockConfiguration": _public_access,
    "Tags": _tags,
    "VersioningConfiguration": _versioning,
    "WebsiteConfiguration": _website,
}
_BUCKET_ELSEWHERE: Final = frozenset({"AccessControl", "BucketName", "ObjectLockEnabled"})


def _table(properties: Properties) -> dict[str, Json]:
    """By the API's names."""
    found = dict(properties)
    if (stream := found.get("StreamSpecification")) is not None:
        found["StreamSpecification"] = {
            "StreamEnabled": True,
            **{k: v for k, v in stream.items() if k != "ResourcePolicy"},
        }
    if (encryption := found.pop("SSESpecification", None)) is not None:
        renamed = {("Enabled" if key == "SSEEnabled" else key): item for key, item in encryption.items()}
        found["SSESpecification"] = renamed
    found.setdefault("BillingMode", "PROVISIONED")
    return found


def _configure_table(client: Client, name: str, old: Properties, new: Properties) -> None:
    if (expiry := new.get("TimeToLiveSpecification")) != old.get("TimeToLiveSpecification") and expiry is not None:
        wanted = arguments(client, "UpdateTimeToLive", {"TimeToLiveSpecification": expiry})
        client.update_time_to_live(**wanted, TableName=name)
    if (points := new.get("PointInTimeRecoverySpecification")) is not None:
        wanted = arguments(client, "UpdateContinuousBackups", {"PointInTimeRecoverySpecification": points})
        client.update_continuous_backups(**wanted, TableName=name)


def _table_made(client: Client, name: str) -> Made:
    found = client.describe_table(TableName=name)["Table"]
    attributes = {"Arn": found["TableArn"]}
    if stream := found.get("LatestStreamArn"):
        attributes["StreamArn"] = stream
    return Made(name, attributes)


def _true(value: Json) -> bool:
    return str(value).lower() == "true"
