"""An error of another service than Lambda; how it is written depends on the protocol that the client speaks."""

from typing import Final


class ServiceError(Exception):
    """What a service answers in place of doing what it was asked.

    Attributes:
        status: Of HTTP.
        code: As the service names it.
        message: In the service's words.
        members: More that it says, by name; only S3 does.
    """

    def __init__(self, status: int, code: str, message: str, **members: str) -> None:
        super().__init__(message)
        self.status: Final = status
        self.code: Final = code
        self.message: Final = message
        self.members: Final = members
