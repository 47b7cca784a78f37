"""A registry of Debian's `docker-registry` for the tests, and what pushes to it."""

import base64
import http.client
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from tests.support.images import DOCKER_LIST, OCI_INDEX, Made, digest, index

USER, PASSWORD = "reader", "secret-of-tests"
HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuuCrW5kKW/8jRvN/doHKUAcVT7zHBgz4i"
"""Of that password: the registry takes bcrypt alone, which no library here makes."""


class Registry:
    """A registry in a directory of its own, on a free port of loopback.

    Attributes:
        name: As references name it.
    """

    def __init__(self, root: Path, *, htpasswd: str = "") -> None:
        program = shutil.which("docker-registry")
        if program is None:
            pytest.skip("needs docker-registry: run scripts/setup.sh images")
        self._program = program
        self._root = root
        self._htpasswd = htpasswd
        self.name = ""
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}"} if htpasswd else {}

    def __enter__(self) -> Self:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = free.getsockname()
        self.name = "{}:{}".format(*self._address)
        lines = [
            "version: 0.1",
            "log: {level: error, accesslog: {disabled: true}}",
            f"storage: {{filesystem: {{rootdirectory: {self._root}/data}}, delete: {{enabled: true}}}}",
            f"http: {{addr: '{self.name}'}}",
        ]
        if self._htpasswd:
            (self._root / "htpasswd").write_text(self._htpasswd + "\n")
            lines.append(f"auth: {{htpasswd: {{realm: tests, path: {self._root}/htpasswd}}}}")
        config = self._root / "config.yml"
        config.write_text("\n".join(lines) + "\n")
        self._log = (self._root / "log").open("wb")
        self._process = subprocess.Popen(
            [self._program, "serve", str(config)], stdout=self._log, stderr=self._log, cwd=self._root
        )
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def push(self, repository: str, tag: str, *images: Made, as_index: bool = False, docker: bool = False) -> str:
        """Push images, under a tag as an index if there are several; the digest of what the tag stands for."""
        for one in images:
            for name, blob in one.blobs.items():
                self._upload(repository, name, blob)
            self._put(repository, f"sha256:{one.digest}", one.manifest, one.media_type)
        if len(images) == 1 and not as_index:
            self._put(repository, tag, images[0].manifest, images[0].media_type)
            return images[0].digest
        text = index(images, docker=docker)
        self._put(repository, tag, text, DOCKER_LIST if docker else OCI_INDEX)
        return digest(text)

    def delete_blob(self, name: str) -> None:
        """Take a blob away from the disk."""
        shutil.rmtree(self._root / f"data/docker/registry/v2/blobs/sha256/{name[:2]}/{name}")

    def _wait(self) -> None:
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            try:
                with socket.create_connection(self._address):
                    return
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.01)
        raise AssertionError((self._root / "log").read_text())

    def _upload(self, repository: str, name: str, blob: bytes) -> None:
        with self._request("POST", f"/v2/{repository}/blobs/uploads/") as begun:
            location = begun.headers["Location"]
        with self._request("PUT", f"{location}&digest=sha256:{name}", blob, "application/octet-stream"):
            pass

    def _put(self, repository: str, reference: str, manifest: bytes, media_type: str) -> None:
        with self._request("PUT", f"/v2/{repository}/manifests/{reference}", manifest, media_type):
            pass

    def _request(self, method: str, target: str, body: bytes = b"", media_type: str = "") -> http.client.HTTPResponse:
        url = target if target.startswith("http") else f"http://{self.name}{target}"
        request = urllib.request.Request(url, body, {"Content-Type": media_type, **self._headers}, method=method)
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=10)
        return answer
