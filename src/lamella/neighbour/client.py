"""Calls of Lamella's own to other services: written and read by botocore's model, sent by our own client.

botocore's clients block, one thread for each call; a queue's pollers would need as many threads.
"""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import botocore.parsers
import botocore.serialize
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel

from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import Neighbours, absent
from lamella.neighbour.trust import ACCOUNT_HEADER
from lamella.neighbour.upstream import Upstream, UpstreamError, open_upstream
from lamella.ports.aws import AwsError, AwsUnavailableError, ObjectTooLargeError

_log = logging.getLogger(__name__)

_ANSWER_BYTES_MAX: Final = 64 * 1024**2
_ERROR_BYTES_MAX: Final = 65_536
_WRITE_BYTES: Final = 1024**2
_CALL_TIMEOUT_S: Final = 60.0
_FETCH_TIMEOUT_S: Final = 600.0


class AwsClient:
    """Implements `lamella.ports.aws.AwsServices`.

    Args:
        neighbours: Who answers for which service.
        directory: For objects that are being fetched; emptied at once.
        credentials: Access key and secret for endpoints that the settings name; elsewhere the account's number serves.
    """

    def __init__(self, neighbours: Neighbours, directory: Path, *, credentials: tuple[str, str] | None = None) -> None:
        self._neighbours = neighbours
        self._directory = directory
        self._credentials = credentials
        self._loader = Loader()
        self._models: dict[str, _Service] = {}
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)

    async def call(
        self, service: str, operation: str, parameters: Mapping[str, Any], *, account: str, region: str
    ) -> Mapping[str, Any]:
        """See the port."""
        if service not in self._models:
            # Some tens of milliseconds and megabytes, for those services only that are used.
            self._models.setdefault(service, await asyncio.to_thread(_Service, self._loader, service))
        wire = self._models[service]
        endpoint = await self._endpoint(wire.signing_name)
        request = wire.request(operation, parameters, endpoint.url)
        SigV4Auth(self._keys(endpoint, account), wire.signing_name, region).add_auth(request)
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                return wire.result(operation, await _send(endpoint, request, account))
        except (UpstreamError, TimeoutError) as error:
            raise _unavailable(wire.signing_name, error) from error

    @asynccontextmanager
    async def fetch(
        self, bucket: str, key: str, version: str | None, *, account: str, region: str, limit_bytes: int
    ) -> AsyncIterator[Path]:
        """See the port."""
        endpoint = await self._endpoint("s3")
        query = f"?versionId={quote(version, safe='~')}" if version else ""
        request = AWSRequest("GET", f"{endpoint.url}{_path(bucket, key)}{query}")
        S3SigV4Auth(self._keys(endpoint, account), "s3", region).add_auth(request)
        work = Path(tempfile.mkdtemp(dir=self._directory))
        try:
            target = work / "object"
            try:
                async with asyncio.timeout(_FETCH_TIMEOUT_S):
                    with target.open("wb") as file:
                        await _download(endpoint, request, account, file, limit_bytes)
            except (UpstreamError, TimeoutError) as error:
                raise _unavailable("s3", error) from error
            yield target
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)

    async def store(self, bucket: str, key: str, body: bytes, *, content_type: str, account: str, region: str) -> None:
        """See the port."""
        endpoint = await self._endpoint("s3")
        url = f"{endpoint.url}{_path(bucket, key)}"
        request = AWSRequest("PUT", url, headers={"Content-Type": content_type}, data=body)
        S3SigV4Auth(self._keys(endpoint, account), "s3", region).add_auth(request)
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                answer = await _send(endpoint, request, account)
                if answer.status >= 300:
                    raise _refused_by_s3(answer)
        except (UpstreamError, TimeoutError) as error:
            raise _unavailable("s3", error) from error

    async def _endpoint(self, service: str) -> Endpoint:
        try:
            endpoint = await self._neighbours.endpoint(service)
        except UpstreamError as error:
            raise _unavailable(service, error) from error
        if endpoint is None:
            raise AwsUnavailableError(absent(self._neighbours, service))
        return endpoint

    def _keys(self, endpoint: Endpoint, account: str) -> Credentials:
        if endpoint.unix or self._credentials is None:
            return Credentials(account, "lamella")
        return Credentials(*self._credentials)


class _Service:
    """How a service is spoken to."""

    def __init__(self, loader: Loader, name: str) -> None:
        self._model = ServiceModel(loader.load_service_model(name, "service-2"), name)
        protocol = self._model.resolved_protocol
        self._serializer = botocore.serialize.create_serializer(protocol)
        self._parser = botocore.parsers.create_parser(protocol)
        self.signing_name: str = self._model.signing_name

    def request(self, operation: str, parameters: Mapping[str, Any], url: str) -> AWSRequest:
        model = self._model.operation_model(operation)
        made = self._serializer.serialize_to_request(dict(parameters), model)
        query = made["query_string"]
        body = made["body"]
        data = body if isinstance(body, bytes | str) else "&".join(f"{quote(k)}={quote(v)}" for k, v in body.items())
        return AWSRequest(
            made["method"], f"{url}{made['url_path']}", headers=made["headers"], data=data, params=query or None
        )

    def result(self, operation: str, answer: "_Answer") -> Mapping[str, Any]:
        model = self._model.operation_model(operation)
        try:
            parsed = self._parser.parse(answer.document(), model.output_shape)
        except botocore.parsers.ResponseParserError as error:
            raise UpstreamError(f"its answer to {operation} makes no sense: {error}") from error
        if answer.status >= 300:
            raise _refused(parsed)
        return dict(parsed)


class _Answer:
    def __init__(self, upstream: Upstream, body: bytes) -> None:
        self.status = upstream.status
        self._headers = dict(upstream.headers)
        self._body = body

    def document(self) -> dict[str, Any]:
        return {"status_code": self.status, "headers": self._headers, "body": self._body}


async def _send(endpoint: Endpoint, request: AWSRequest, account: str) -> _Answer:
    async with _asked(endpoint, request, account) as upstream:
        return _Answer(upstream, await _read_all(upstream, _ANSWER_BYTES_MAX))


async def _download(endpoint: Endpoint, request: AWSRequest, account: str, file: BinaryIO, limit_bytes: int) -> None:
    async with _asked(endpoint, request, account) as upstream:
        if upstream.status != 200:
            raise _refused_by_s3(_Answer(upstream, await _read_all(upstream, _ERROR_BYTES_MAX)))
        announced = next((value for name, value in upstream.headers if name == "content-length"), "0")
        if int(announced) > limit_bytes:
            raise ObjectTooLargeError
        size_bytes, waiting = 0, bytearray()
        while piece := await upstream.read():
            size_bytes += len(piece)
            if size_bytes > limit_bytes:
                raise ObjectTooLargeError
            waiting += piece
            if len(waiting) >= _WRITE_BYTES:
                await asyncio.to_thread(file.write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(file.write, bytes(waiting))


@asynccontextmanager
async def _asked(endpoint: Endpoint, request: AWSRequest, account: str) -> AsyncIterator[Upstream]:
    """Send a signed request, and wait for the head of its answer."""
    prepared = request.prepare()
    body = prepared.body or b""
    if isinstance(body, str):
        body = body.encode()
    target = prepared.url.removeprefix(endpoint.url) or "/"
    headers = [(name, _text(value)) for name, value in prepared.headers.items() if name.lower() != "content-length"]
    headers += [("Host", endpoint.authority), (ACCOUNT_HEADER, account), ("Content-Length", str(len(body)))]
    upstream = await open_upstream(endpoint)
    try:
        await upstream.send_head(prepared.method, target, headers, chunked=False)
        await upstream.send(body)
        await upstream.wait_head()
        yield upstream
    finally:
        upstream.close()


async def _read_all(upstream: Upstream, limit_bytes: int) -> bytes:
    body = bytearray()
    while piece := await upstream.read():
        body += piece
        if len(body) > limit_bytes:
            raise UpstreamError("its answer is too long")
    return bytes(body)


def _refused(parsed: Mapping[str, Any]) -> AwsError:
    error = parsed.get("Error", {})
    return AwsError(str(error.get("Code", "Unknown")), str(error.get("Message", "")))


def _refused_by_s3(answer: _Answer) -> AwsError:
    """What its answer says. Raises `UpstreamError` if that cannot be read."""
    try:
        return _refused(botocore.parsers.create_parser("rest-xml").parse(answer.document(), None))
    except botocore.parsers.ResponseParserError as error:
        raise UpstreamError(f"its answer makes no sense: {error}") from error


def _path(bucket: str, key: str) -> str:
    return f"/{quote(bucket, safe='')}/{quote(key, safe='/~')}"


def _unavailable(service: str, error: Exception) -> AwsUnavailableError:
    reason = str(error) or "no answer in time"
    _log.warning("a call of %s failed: %s", service, reason)
    return AwsUnavailableError(f"The neighbour that answers for {service} failed: {reason}")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
