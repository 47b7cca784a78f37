"""Services of AWS in memory, for code that calls them."""

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lamella.ports.aws import AwsError, AwsUnavailableError, ObjectTooLargeError

Answers = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class MemoryAws:
    """Implements `lamella.ports.aws.AwsServices`.

    Attributes:
        objects: By bucket, key and version (`None`: the current one).
        operations: By service and operation; what they raise reaches the caller.
        calls: What was called, with account and region.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str | None], bytes] = {}
        self.operations: dict[tuple[str, str], Answers] = {}
        self.calls: list[tuple[str, str, Mapping[str, Any], str, str]] = []

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any], *, account: str, region: str
    ) -> Mapping[str, Any]:
        self.calls.append((service, operation, parameters, account, region))
        answers = self.operations.get((service, operation))
        if answers is None:
            raise AwsUnavailableError(f"nobody answers for {service}")
        return answers(parameters)

    @asynccontextmanager
    async def fetch(
        self, bucket: str, key: str, version: str | None, *, account: str, region: str, limit_bytes: int
    ) -> AsyncIterator[Path]:
        self.calls.append(("s3", "GetObject", {"Bucket": bucket, "Key": key, "VersionId": version}, account, region))
        if not any(bucket == known for known, _, _ in self.objects):
            raise AwsError("NoSuchBucket", "The specified bucket does not exist")
        content = self.objects.get((bucket, key, version))
        if content is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.")
        if len(content) > limit_bytes:
            raise ObjectTooLargeError
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "object"
            path.write_bytes(content)
            yield path

    async def store(self, bucket: str, key: str, body: bytes, *, content_type: str, account: str, region: str) -> None:
        asked = {"Bucket": bucket, "Key": key, "Body": body, "ContentType": content_type}
        self.calls.append(("s3", "PutObject", asked, account, region))
        if not any(bucket == known for known, _, _ in self.objects):
            raise AwsError("NoSuchBucket", "The specified bucket does not exist")
        self.objects[bucket, key, None] = body
