"""The front door on a real socket, with handlers of the control API and stores in memory."""

import http.client
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from tests.contract.wire.control_server import ControlServer, zipped

from lamella.access import OPERATOR, Access, Keyring
from lamella.cli.client import Client
from lamella.cli.endpoint import Endpoint, Key
from lamella.control.channel_updates import ChannelUpdates
from lamella.control.services import ControlSettings
from lamella.domain.quotas import LimitProfile
from lamella.frontdoor import LIMITS, Door, FrontDoor
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.server import HttpServer
from lamella.neighbour.proxy import Neighbours
from lamella.pages import Credentials
from lamella.pages.channels import ChannelPages
from lamella.pages.mirror import MirrorPages
from lamella.pages.retention import RetentionPages
from lamella.ports.credentials import AccessKey
from lamella.testing.clock import FakeClock
from lamella.testing.records import MemoryCredentialStore

ACCOUNT, OTHER, REGION = "111122223333", "444455556666", "eu-central-1"
SECRET_OF_OPERATOR = "known to the operator"


class FrontServer:
    """A server with two accounts and an operator.

    Args:
        neighbours: Who answers for other services; nobody by default.
        held_bytes: What all requests that are still coming in may take.

    Attributes:
        seen: Queries of the pages that were asked, but for those of accounts and keys.
    """

    def __init__(
        self,
        *,
        required: bool = True,
        limits: LimitProfile = LimitProfile.AWS,
        neighbours: Neighbours | None = None,
        held_bytes: int | None = LIMITS.held_bytes,
    ) -> None:
        self.control = ControlServer()
        self.control.settings = ControlSettings(limits=limits)
        self.clock = FakeClock(datetime.now(UTC))  # SDKs sign with the real time
        self.keyring = Keyring(MemoryCredentialStore(), self.clock, SECRET_OF_OPERATOR)
        self.run(self.keyring.load(ACCOUNT))
        self.run(self.keyring.create_account(OTHER, "other"))
        credentials = Credentials(self.keyring, ACCOUNT)
        self.updates = ChannelUpdates(self.control.services())
        self._directory = tempfile.TemporaryDirectory(prefix="lamella-front-")
        self.directory = Path(self._directory.name)
        mirrors = MirrorPages(self.updates.context, self.control.signer, self.control.clock, self.directory)
        self.seen: list[dict[str, str]] = []
        door = Door(
            "us-east-1",
            ACCOUNT,
            one_account=False,
            hosts=frozenset({"127.0.0.1", "lambda.example.com"}),
            pages={
                ("GET", "health"): self._page,
                ("GET", "traces"): self._page,
                ("GET", "logs"): self._page,
                ("GET", "events"): self._page,
                ("GET", "accounts"): credentials.accounts_page,
                ("POST", "accounts"): credentials.create_account_page,
                ("DELETE", "accounts"): credentials.delete_account_page,
                ("GET", "keys"): credentials.keys_page,
                ("POST", "keys"): credentials.create_key_page,
                ("DELETE", "keys"): credentials.delete_key_page,
                **ChannelPages(self.updates, account=ACCOUNT, region=REGION).pages(),
                **RetentionPages(self.updates.context, account=ACCOUNT, region=REGION).pages(),
                **mirrors.pages(),
            },
            uploads=mirrors.uploads,
            access=Access(self.keyring, self.clock, required=required),
            limits=limits,
        )
        if neighbours is None:
            neighbours = Neighbours({}, None, "nobody is there")
        front = FrontDoor(self.control.api, self.control.services(), door, neighbours)
        self.http = HttpServer(front, replace(LIMITS, held_bytes=held_bytes))
        self.run(self.http.start(host="127.0.0.1"))
        self.port: int = self.http.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"

    def run(self, coroutine: Any) -> Any:  # Any: whatever it returns
        return self.control.run(coroutine)

    async def _page(self, exchange: Exchange, query: Any) -> None:
        self.seen.append(dict(query))
        exchange.respond(200, (), b"{}")

    def key(self, account: str = ACCOUNT, duration_s: int | None = None) -> AccessKey:
        made: AccessKey = self.run(self.keyring.create_key(account, "", duration_s))
        return made

    def client(self, key: AccessKey, *, region: str = REGION, service: str = "lambda") -> Any:
        session = boto3.Session(key.id, key.secret, key.session_token or None, region)
        config = Config(retries={"total_max_attempts": 1})
        return session.client(service, endpoint_url=self.url, config=config)

    def operator(self, secret: str = SECRET_OF_OPERATOR) -> Client:
        return Client(Endpoint(self.url), Key(OPERATOR, secret))

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def close(self) -> None:
        self.run(self.updates.close())
        self.run(self.http.close(grace_s=0))
        self.control.close()
        self._directory.cleanup()


def create(client: Any, name: str, code: bytes | None = None) -> Any:  # Any: boto3's answers have no types
    return client.create_function(
        FunctionName=name,
        Role="arn:aws:iam::111122223333:role/r",
        Runtime="python3.11",
        Handler="m.h",
        Code={"ZipFile": code or zipped(m__py="")},
    )
