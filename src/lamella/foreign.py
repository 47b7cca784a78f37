"""Who may ask other services, where signatures are required: whose requests are handed on, and as whose.

Requests for S3 are verified as they come: the head is signed together with a hash of the body, or with the word that
says how the body is verified. For all others the body has to be there, since only its hash is signed.

Keys that moto's STS makes are good here as well (ADR 0040). Its secrets come from a random number generator whose
future can be told from its past, and some of its keys are those of AWS's examples. So an answer of it that holds a key
gets a secret and a token of ours, and a name of ours where its own is not its alone.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from urllib.parse import parse_qs

from lamella.access import Access, has_token
from lamella.awsapi.guards import Guard
from lamella.awsapi.service_error import ServiceError
from lamella.awsapi.sigv4 import unknown_client
from lamella.awsapi.sigv4_s3 import (
    OBJECT_SERVICES,
    check_object_claim,
    expired_token,
    read_object_claim,
    unknown_key,
    verify_object_request,
    wrong_token,
)
from lamella.domain.errors import ApiError
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import Buffered, Request, Streamed
from lamella.neighbour.proxy import BODY, Neighbours, Rewrite, forward, refused
from lamella.neighbour.refusals import worded
from lamella.ports.credentials import AccessKey

_log = logging.getLogger(__name__)

SKEW_S: Final = 900
"""How far a clock may be off. On AWS it is 15 minutes for some services, and 5 for others."""

VERIFIED_BODY: Final = Buffered(limit_bytes=32 * 1024**2, drain_excess=True)
"""Of a request whose signature can be verified when all of it has come. DynamoDB takes 16 MB, ECR parts of 20 MB."""

_STS: Final = "sts"
_SNS: Final = "sns"
_ARN: Final = re.compile(r"arn:aws[a-z-]*:(?:iam|sns):[^:]*:([0-9]{12}):")
_KEY_ID: Final = re.compile(rb"(?<=<AccessKeyId>)[A-Z0-9]{16,128}(?=</AccessKeyId>)")
_SECRET: Final = re.compile(rb"(?<=<SecretAccessKey>)[^<]+(?=</SecretAccessKey>)")
_TOKEN: Final = re.compile(rb"(?<=<SessionToken>)[^<]+(?=</SessionToken>)")
_EXPIRATION: Final = re.compile(rb"(?<=<Expiration>)[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z(?=</Expiration>)")
_ASSUME_ROLE: Final = "AssumeRole"
_MAKES_KEYS: Final = frozenset({"GetSessionToken", "GetFederationToken", _ASSUME_ROLE})
_LENT_MOST: Final = timedelta(hours=36)
"""Source: STS's API reference, "GetSessionToken": the longest that any of them is asked for."""

_NO_FORMS: Final = (
    "Lamella does not verify the policies of forms (POST Object). Use a presigned URL, or sign the request."
)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may be handed on.

    Attributes:
        account: As whose.
        guard: What its body has to pass; None if there is nothing more to verify.
        rewrite: What is done to the answer; None if it is handed on as it comes.
    """

    account: str
    guard: Guard | None = None
    rewrite: Rewrite | None = None


class ForeignAccess:
    """Verifies requests for other services than Lambda."""

    def __init__(self, access: Access) -> None:
        self._access: Final = access

    def body(self, service: str) -> Buffered | Streamed:
        """How the body of an admissible request is read."""
        return BODY if service in OBJECT_SERVICES else VERIFIED_BODY

    def precheck(self, request: Request, service: str) -> ServiceError | None:
        """What is wrong with a request as far as its head tells."""
        try:
            if service in OBJECT_SERVICES:
                self._admit_object(request)
            else:
                self._access.claimed(request, service=service, skew_s=SKEW_S)
        except ServiceError as error:
            return error
        except ApiError as error:
            return worded(error, request, service)
        return None

    async def hand_on(self, exchange: Exchange, neighbours: Neighbours, service: str) -> None:
        """Verify a request and hand it on, as its key's account; or refuse it.

        Args:
            exchange: Whose body has come, as far as `body` says so.
            neighbours: Who is there.
            service: As its signature names it; empty if it has none.
        """
        try:
            admitted = await self.admit(exchange.request, service, own=neighbours.is_own(service))
        except ServiceError as error:
            refused(exchange, service, error)
            return
        await forward(
            exchange,
            neighbours,
            service,
            account=admitted.account,
            confined=True,  # moto's pages show and reset what is everybody's
            guard=admitted.guard,
            rewrite=admitted.rewrite,
        )

    async def admit(self, request: Request, service: str, *, own: bool) -> Admission:
        """Verify a request: all of it, or but for the body if that is `Streamed`.

        Args:
            request: Whose body has come, as far as `body` says so.
            service: As its signature names it.
            own: Whether it goes to the moto that is ours.

        Raises:
            ServiceError: It may not be handed on.
        """
        if service in OBJECT_SERVICES:
            return self._admit_object(request)
        try:
            _, key = await self._access.verified(request, service=service, skew_s=SKEW_S)
            if not key.account:
                raise unknown_client()  # the operator's key is for pages: it is no account's
        except ApiError as error:
            raise worded(error, request, service) from None
        rewrite = None
        if own and service in (_STS, _SNS):
            asked = _parameters(request)
            _check_account(asked, service, key)
            action = asked.get("Action", [""])[0]
            if service == _STS and action in _MAKES_KEYS:
                rewrite = partial(self._with_own_key, key, action)
        return Admission(key.account, rewrite=rewrite)

    def _admit_object(self, request: Request) -> Admission:
        if request.header("content-type").startswith("multipart/form-data") and not request.header("authorization"):
            raise ServiceError(501, "NotImplemented", _NO_FORMS)
        claim = read_object_claim(request.headers, request.query)
        check_object_claim(claim, request.headers, self._access.clock.now())
        keyring = self._access.keyring
        key = keyring.find(claim.credential.access_key)
        if key is None or not key.account or (key.session_token and not claim.session_token):
            raise unknown_key(claim.credential.access_key)
        if not has_token(key, claim.session_token):
            raise wrong_token(claim.session_token)
        if keyring.has_expired(key):
            raise expired_token(claim.session_token)
        guard = verify_object_request(
            claim,
            key.secret,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
        )
        return Admission(key.account, guard)

    def _with_own_key(self, asked_with: AccessKey, action: str, answer: bytes) -> bytes:
        """An answer of STS with a key that is good here, for the account that asked, whatever the answer says."""
        found = [pattern.search(answer) for pattern in (_KEY_ID, _SECRET, _TOKEN, _EXPIRATION)]
        if not all(found):
            _log.warning("an answer of STS to %s holds no key that can be read", action)
            return answer
        name, _, _, ends = (match[0].decode() for match in found if match is not None)
        most = self._access.clock.now() + _LENT_MOST
        expires_at = min(datetime.fromisoformat(ends), most)
        # moto finds a role by the name of the key; the keys of the others all have the same.
        key = self._access.keyring.lend(asked_with, expires_at, key_id=name if action == _ASSUME_ROLE else None)
        for pattern, value in ((_KEY_ID, key.id), (_SECRET, key.secret), (_TOKEN, key.session_token)):
            answer = pattern.sub(value.encode(), answer, count=1)
        return answer


def _parameters(request: Request) -> Mapping[str, Sequence[str]]:
    """Of a query protocol: all values of each, as nobody knows which of several moto takes."""
    found: dict[str, list[str]] = {}
    for text in (request.body.decode("latin-1"), request.query):
        for name, values in parse_qs(text).items():
            found.setdefault(name, []).extend(values)
    return found


def _check_account(asked: Mapping[str, Sequence[str]], service: str, key: AccessKey) -> None:
    """Refuse roles and topics of other accounts: moto gives them to everybody, whatever their policies say.

    Raises:
        ServiceError: In the service's words.
    """
    for name, values in asked.items():
        for value in values if name.endswith("Arn") else ():
            found = _ARN.match(value)
            if found is not None and found[1] != key.account:
                action = asked.get("Action", [""])[0]
                raise ServiceError(
                    403,
                    "AccessDenied" if service == _STS else "AuthorizationError",
                    f"User: arn:aws:iam::{key.account}:root is not authorized to perform: "
                    f"{'sts' if service == _STS else 'SNS'}:{action} on resource: {value}",
                )
