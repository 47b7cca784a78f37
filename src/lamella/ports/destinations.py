"""How others are told of the end of asynchronous invocations, and of records of streams that were given up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lamella.domain.function import FunctionKey


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be sent.

    Attributes:
        key: The function it is about; it is sent for its account.
        function_arn: Its ARN with version or alias.
        target_arn: Where to.
        body: JSON in UTF-8.
        succeeded: Whether the invocation did.
        attributes: Of a message to a queue or topic: type (`String` or `Number`) and value by name.
        folder: Where objects of a bucket are put, below `aws/lambda`.
        request_id: Of the invocation. A message that is sent twice has the same.
        when_s: When it was decided how the invocation ended; seconds since the epoch.
    """

    key: FunctionKey
    function_arn: str
    target_arn: str
    body: bytes
    succeeded: bool
    request_id: str
    when_s: float
    attributes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    folder: str = ""


class DeliveryError(Exception):
    """It was not taken; the text says by whom and why.

    Attributes:
        for_good: Whether the same message would never be taken, such as one that is too large.
    """

    def __init__(self, text: str, *, for_good: bool = False) -> None:
        super().__init__(text)
        self.for_good = for_good


class Destinations(Protocol):
    """Sends messages, other than to functions."""

    async def send(self, message: Message) -> None:
        """Hand a message over. What has been handed over may come twice, if the answer was lost.

        Raises:
            DeliveryError: It was not taken.
        """
