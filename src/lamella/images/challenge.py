"""How registries ask who is there, and what is answered.

Source: RFC 9110, section 11 (challenges); Docker's token authentication, which OCI registries have taken over.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from lamella.images.allowed import Place
from lamella.images.credentials import Credential
from lamella.images.http import Web, read_pieces
from lamella.images.manifest import DOCUMENT_MOST_BYTES, read_object
from lamella.images.reference import DENIED, INTERNAL
from lamella.ports.images import ImageError

_SCHEME: Final = re.compile(r"(?:^|,)\s*(Bearer|Basic)(?:\s+|$)", re.IGNORECASE)
_PARAMETER: Final = re.compile(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_CLIENT: Final = "lamella"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry wants to see.

    Attributes:
        scheme: `bearer` or `basic`.
        parameters: `realm`, `service`, `scope`.
    """

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Read a `WWW-Authenticate` header; schemes that nobody here knows are left out."""
    parts = _SCHEME.split(header)
    return [
        Challenge(
            scheme.lower(),
            {
                match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
                for match in _PARAMETER.finditer(rest)
            },
        )
        for scheme, rest in zip(parts[1::2], parts[2::2], strict=True)
    ]


class Authorizer:
    """What to say to one registry about who asks for one repository.

    Args:
        place: The repository.
        find: Finds credentials; asked when they are wanted for the first time.
        web: Asks token servers.
    """

    def __init__(self, place: Place, find: Callable[[Place], Credential | None], web: Web) -> None:
        self._place = place
        self._find = find
        self._web = web
        self.header: dict[str, str] = {}

    def answer(self, header: str) -> None:
        """Take up a challenge.

        Args:
            header: `WWW-Authenticate` of the answer 401.

        Raises:
            ImageError: It cannot be met.
        """
        challenges = parse_challenges(header)
        bearer = next((one for one in challenges if one.scheme == "bearer" and one.parameters.get("realm")), None)
        if bearer is not None:
            credential = self._find(self._place)
            self.header = {"Authorization": f"Bearer {self._token(bearer, credential)}"}
            return
        if any(one.scheme == "basic" for one in challenges):
            credential = self._find(self._place)
            if credential is None or not credential.username:
                raise self.denied("there are no credentials for it")
            self.header = {"Authorization": credential.basic}
            return
        raise self.denied("it asks for credentials in a way that is not known")

    def denied(self, reason: str) -> ImageError:
        """For a registry that lets nobody in who asks like this. The first sentence is AWS's.

        Source: answer of AWS quoted in a public issue, 2025 (aws-samples/bedrock-access-gateway 127).
        """
        return ImageError(
            "Lambda does not have permission to access the ECR image. Check the ECR permissions. "
            f"({self._place.host}/{self._place.repository}: {reason}. The server takes credentials from the files of "
            "'docker login', or from its setting image_auth_file.)",
            DENIED,
        )

    def _token(self, challenge: Challenge, credential: Credential | None) -> str:
        realm = challenge.parameters["realm"]
        parts = urlsplit(realm)
        if parts.scheme != "https" and (self._place.tls or parts.scheme != "http"):
            raise self.denied(f"its token server {realm[:80]!r} is not safe")
        wanted = {
            "service": challenge.parameters.get("service", ""),
            "scope": challenge.parameters.get("scope") or f"repository:{self._place.repository}:pull",
        }
        wanted = {name: value for name, value in wanted.items() if value}
        return self._web.repeat(self._place.host, lambda: self._ask(realm, wanted, credential))

    def _ask(self, realm: str, wanted: Mapping[str, str], credential: Credential | None) -> str:
        form = None
        headers = {}
        if credential is not None and credential.identity_token:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": credential.identity_token}
            form |= wanted
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            url = realm
        else:
            url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(wanted)
            if credential is not None:
                headers["Authorization"] = credential.basic
        with self._web.get(url, headers, form=form) as answer:
            if answer.status in (400, 401, 403, 404):
                raise self.denied(f"its token server answered {answer.status}")
            if answer.status != 200:
                raise ImageError(f"The token server of {self._place.host} answered {answer.status}.", INTERNAL)
            body = bytearray()
            for piece in read_pieces(answer, DOCUMENT_MOST_BYTES):
                body += piece
                if len(body) > DOCUMENT_MOST_BYTES:
                    break
        return self._token_of(bytes(body))

    def _token_of(self, body: bytes) -> str:
        document = read_object(body, f"The answer of the token server of {self._place.host}")
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise ImageError(f"The token server of {self._place.host} gave no token.", INTERNAL)
        return token
