"""Other services of AWS, as Lamella itself calls them: for code in S3, queues, destinations."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol


class AwsError(Exception):
    """The service refused.

    Attributes:
        code: As the service spells it, such as `NoSuchKey`.
        message: Of the service.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class AwsUnavailableError(Exception):
    """Nobody answers for the service, or what answers is broken; the text says why, fit for users."""


class ObjectTooLargeError(Exception):
    """An object of S3 is longer than asked for."""


class AwsServices(Protocol):
    """Calls services for an account in a region; who answers is a matter of the settings."""

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any], *, account: str, region: str
    ) -> Mapping[str, Any]:  # Any: what botocore's model of the operation says
        """Call an operation and return its result, as botocore would. Nothing is tried twice.

        Args:
            service: As botocore names it, such as `sqs`; not S3, which has `fetch` and `store`.
            operation: Such as `SendMessage`.
            parameters: As botocore takes them.
            account: For which the call is made; twelve digits.
            region: Where.

        Raises:
            AwsError: The service refused.
            AwsUnavailableError: See there.
        """

    def fetch(
        self, bucket: str, key: str, version: str | None, *, account: str, region: str, limit_bytes: int
    ) -> AbstractAsyncContextManager[Path]:
        """An object of S3 as a file, which is the caller's to move away or leave, and goes when the context ends.

        Raises:
            AwsError: The service refused.
            AwsUnavailableError: See there.
            ObjectTooLargeError: It has more than `limit_bytes`. No more than that was written.
        """

    async def store(self, bucket: str, key: str, body: bytes, *, content_type: str, account: str, region: str) -> None:
        """Make an object of S3.

        Raises:
            AwsError: The service refused.
            AwsUnavailableError: See there.
        """
