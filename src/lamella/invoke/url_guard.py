"""Who may call a function URL.

Where the server requires signatures they are verified. Elsewhere a signed request is believed to come from the account
that its access key stands for.
"""

from typing import Final, Protocol

from lamella.awsapi.sigv4 import account_of, parse_credential
from lamella.domain.errors import ApiError
from lamella.domain.url import AuthType, FunctionUrl
from lamella.httpserver.message import Request
from lamella.invoke.url_event import Caller

_SERVICE: Final = "lambda"


class ForbiddenError(Exception):
    """The request may not reach the function."""


class UrlGuard(Protocol):
    """Decides about each request to a URL, when its body has come."""

    async def admit(self, url: FunctionUrl, request: Request) -> Caller | None:
        """Who calls; `None` if that does not matter.

        Raises:
            ForbiddenError: They may not.
        """


class Signer(Protocol):
    """Whose signature a request has."""

    @property
    def account(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def access_key(self) -> str: ...


class Verifier(Protocol):
    """Verifies signatures of requests for Lambda: `lamella.access.Access`."""

    async def caller(self, request: Request) -> Signer:
        """Who signed a request, whose body is complete. Raises `ApiError`: nobody did."""


class VerifyingGuard:
    """Lets everybody call URLs without authentication, and keys of the function's own account those with it."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier: Final = verifier

    async def admit(self, url: FunctionUrl, request: Request) -> Caller | None:
        """See `UrlGuard`."""
        if url.auth_type is AuthType.NONE:
            return None
        try:
            signer = await self._verifier.caller(request)
        except ApiError as error:
            raise ForbiddenError from error
        if (signer.account, signer.region) != (url.key.account, url.key.region):
            raise ForbiddenError
        return Caller(signer.access_key, signer.account)


class OwnAccountGuard:
    """Lets everybody call URLs without authentication, and the function's own account those with it.

    Args:
        account: Of access keys that are no account number.
    """

    def __init__(self, account: str) -> None:
        self._account: Final = account

    async def admit(self, url: FunctionUrl, request: Request) -> Caller | None:
        """See `UrlGuard`."""
        if url.auth_type is AuthType.NONE:
            return None
        try:
            credential = parse_credential(request.headers, request.query)
        except ApiError as error:
            raise ForbiddenError from error
        if credential is None or (credential.service, credential.region) != (_SERVICE, url.key.region):
            raise ForbiddenError
        account = account_of(credential.access_key, self._account)
        if account != url.key.account:
            raise ForbiddenError
        return Caller(credential.access_key, account)
