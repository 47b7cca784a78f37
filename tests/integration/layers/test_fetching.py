"""Archives over HTTP, from servers that know ranges, do not, drop connections, or lie."""

import base64
import hashlib
import http.server
import io
import random
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lamella.layers import remote
from lamella.layers.cache import ArchiveCache
from lamella.layers.errors import LayerReadError
from lamella.layers.fetching import open_function_code, open_layer_version
from lamella.layers.remote import TAIL_BYTES

ARN = "arn:aws:lambda:us-east-1:000000000000:layer:deps:7"
Answer = Callable[["Handler"], bool]


def archive_of(size_bytes: int) -> bytes:
    """An archive that does not compress, with many files."""
    chance = random.Random(7)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(40):
            archive.writestr(f"python/part{number:02}.bin", chance.randbytes(size_bytes // 40))
        archive.writestr("python/one-1.2.dist-info/METADATA", "Name: one\nVersion: 1.2\n")
    return file.getvalue()


SMALL, LARGE = archive_of(100_000), archive_of(6_000_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one archive as S3 does, unless told otherwise."""

    protocol_version = "HTTP/1.1"
    server: "Store"

    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Range", "whole"))
        if any(answer(self) for answer in self.server.answers):
            return
        data = self.server.data
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if match is None or not self.server.ranges:
            self.reply(200, data)
            return
        first = int(match[1]) if match[1] else max(0, len(data) - int(match[2]))
        last = min(int(match[2]), len(data) - 1) if match[1] and match[2] else len(data) - 1
        self.reply(206, data[first : last + 1], f"bytes {first}-{last}/{len(data)}")

    def reply(self, status: int, body: bytes, content_range: str = "", *, announced: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        if self.server.ranges:
            self.send_header("ETag", '"7"')
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(body)
        if announced is not None:
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Says nothing."""


class Store(http.server.ThreadingHTTPServer):
    """Attributes: asked: the ranges; answers: what is tried before the usual answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = LARGE
        self.ranges = True
        self.asked: list[str] = []
        self.answers: list[Answer] = []
        self.connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that leaves early is none."""


class Client:
    """What `open_layer_version` asks of botocore's."""

    def __init__(self, store: Store, data: bytes | None = None, **stated: Any) -> None:
        self.store = store
        self.stated = stated
        self.data = store.data if data is None else data
        self.locations = 0

    def get_function(self, **asked: str) -> dict[str, Any]:
        assert asked in ({"FunctionName": "f"}, {"FunctionName": "f", "Qualifier": "3"})
        content = self.get_layer_version_by_arn(Arn="")["Content"]
        setup = {"FunctionName": "f", "Version": "3", **content}
        return {"Configuration": setup, "Code": {"Location": content["Location"]}}

    def get_layer_version_by_arn(self, *, Arn: str) -> dict[str, Any]:  # noqa: N803  (as botocore has it)
        self.locations += 1
        content = {
            "Location": f"http://127.0.0.1:{self.store.server_port}/{self.locations}?signature=secret",
            "CodeSha256": base64.b64encode(hashlib.sha256(self.data).digest()).decode(),
            "CodeSize": len(self.data),
            **self.stated,
        }
        return {"LayerVersionArn": Arn, "Version": 7, "Content": content}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.0)
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def read_metadata(client: Client, cache: Path | None, **options: Any) -> bytes:
    with open_layer_version(client, ARN, cache=cache, **options) as contents:
        return contents.read("python/one-1.2.dist-info/METADATA")


def once(answer: Callable[[Handler], None]) -> Answer:
    """Answers so the first time only."""
    left = [answer]

    def try_it(handler: Handler) -> bool:
        if not left:
            return False
        left.pop()(handler)
        return True

    return try_it


def test_only_what_is_read_is_fetched(store: Store, tmp_path: Path) -> None:
    with open_layer_version(Client(store), ARN, cache=tmp_path) as contents:
        assert contents.zipped_bytes == len(LARGE)
        assert contents.read("python/one-1.2.dist-info/METADATA") == b"Name: one\nVersion: 1.2\n"
        assert store.asked == [f"bytes=-{TAIL_BYTES}"]
        assert contents.read("python/part03.bin") == zipfile.ZipFile(io.BytesIO(LARGE)).read("python/part03.bin")
        assert len(store.asked) <= 4
        assert store.connections == 1
    assert list(tmp_path.iterdir()) == []


def test_reading_on_takes_fewer_requests_than_there_are_files(store: Store) -> None:
    expected = zipfile.ZipFile(io.BytesIO(LARGE))
    with open_layer_version(Client(store), ARN, cache=None) as contents:
        for entry in contents.files():
            assert contents.read(entry.name) == expected.read(entry.name)
    assert len(store.asked) < 12


def test_a_small_archive_comes_in_one_request_and_is_checked(store: Store) -> None:
    store.data = SMALL
    assert read_metadata(Client(store), None).startswith(b"Name: one")
    assert len(store.asked) == 1
    with pytest.raises(LayerReadError, match="SHA-256 differs"):
        read_metadata(Client(store, bytes(len(SMALL))), None)


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_downloaded_is_kept_and_not_asked_for_again(store: Store, tmp_path: Path, whole: bool) -> None:
    store.ranges = whole
    progress: list[tuple[int, int]] = []
    cache = tmp_path / "cache"
    report = lambda done, total: progress.append((done, total))  # noqa: E731
    assert read_metadata(Client(store), cache, whole=whole, progress=report).startswith(b"Name: one")
    assert progress[-1] == (len(LARGE), len(LARGE))
    asked = len(store.asked)
    assert read_metadata(Client(store), cache).startswith(b"Name: one")
    assert len(store.asked) == asked
    assert [path.name for path in cache.iterdir()] == [f"{hashlib.sha256(LARGE).hexdigest()}.zip"]
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_download_that_is_not_what_was_published_is_not_kept(store: Store, tmp_path: Path) -> None:
    with pytest.raises(LayerReadError, match="SHA-256 differs"):
        read_metadata(Client(store, bytes(len(LARGE))), tmp_path, whole=True)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_to_is_done_without(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert read_metadata(Client(store), tmp_path / "file" / "cache", whole=True).startswith(b"Name: one")


def test_a_dropped_connection_is_taken_up_again_where_it_dropped(store: Store, tmp_path: Path) -> None:
    store.answers = [once(lambda handler: handler.reply(200, LARGE[:1_000_000], announced=len(LARGE)))]
    assert read_metadata(Client(store), tmp_path, whole=True).startswith(b"Name: one")
    assert store.asked == ["whole", "bytes=1000000-"]


def test_a_range_that_was_cut_short_is_asked_for_again(store: Store) -> None:
    cut = f"bytes {len(LARGE) - TAIL_BYTES}-{len(LARGE) - 1}/{len(LARGE)}"
    store.answers = [once(lambda handler: handler.reply(206, LARGE[-TAIL_BYTES:][:10], cut, announced=TAIL_BYTES))]
    assert read_metadata(Client(store), None).startswith(b"Name: one")
    assert len(store.asked) == 2


def test_a_server_that_is_busy_is_asked_again(store: Store) -> None:
    store.answers = [once(lambda handler: handler.reply(503, b"SlowDown")) for _ in range(3)]
    assert read_metadata(Client(store), None).startswith(b"Name: one")


def test_an_address_that_has_become_too_old_is_renewed(store: Store) -> None:
    store.answers = [once(lambda handler: handler.reply(403, b"Request has expired"))]
    client = Client(store)
    assert read_metadata(client, None).startswith(b"Name: one")
    assert client.locations == 2


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda handler: handler.reply(404, b""), "answered 404"),
        (lambda handler: handler.reply(403, b""), "answered 403"),
        (lambda handler: handler.reply(500, b""), "answered 500, 5 times"),
        (lambda handler: handler.reply(206, b"x" * 10, "bytes 0-9/10"), "should have"),
        (lambda handler: handler.reply(206, b"x" * 10, f"bytes 0-9/{len(LARGE)}"), "another range"),
        (lambda handler: handler.reply(206, b"x" * 10), "does not say which"),
        (lambda handler: handler.reply(206, b"x", f"bytes {'9' * 400}-1/2"), "does not say which"),
        (lambda handler: setattr(handler, "close_connection", True), "connection failed"),
        (lambda handler: handler.reply(200, b"x" * (len(LARGE) + 1)), "longer than"),
        (lambda handler: handler.reply(200, b"x", announced=len(LARGE)), "dropped|failed"),
        (lambda handler: handler.reply(200, bytes(len(LARGE))), "SHA-256 differs"),
    ],
)
def test_servers_that_fail_or_lie(
    store: Store, tmp_path: Path, answer: Callable[[Handler], None], message: str
) -> None:
    def always(handler: Handler) -> bool:
        answer(handler)
        return True

    store.answers = [always]
    with pytest.raises(LayerReadError, match=message) as caught:
        read_metadata(Client(store), tmp_path)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_replaced_meanwhile(store: Store) -> None:
    with open_layer_version(Client(store), ARN, cache=None) as contents:
        store.ranges = False
        with pytest.raises(LayerReadError, match="was replaced"):
            contents.read("python/part00.bin")


@pytest.mark.parametrize(
    "stated",
    [{"CodeSize": 0}, {"CodeSize": 10**12}, {"CodeSize": "many"}, {"CodeSha256": "AAAA"}, {"CodeSha256": "../../x"}],
)
def test_statements_that_cannot_be_true(store: Store, tmp_path: Path, stated: dict[str, Any]) -> None:
    with pytest.raises(LayerReadError):
        read_metadata(Client(store, **stated), tmp_path)
    assert store.asked == []


def test_what_is_kept_is_bounded_by_size_and_age(tmp_path: Path) -> None:
    now = [1_000_000.0]
    cache = ArchiveCache(tmp_path, most_bytes=250, most_age_s=50, now=lambda: now[0])

    def add(number: int, size_bytes: int = 100) -> bytes:
        digest = hashlib.sha256(bytes([number])).digest()
        with cache.adding(digest) as file:
            file.write(bytes(size_bytes))
        file.close()
        return digest

    def has(digest: bytes) -> bool:
        found = cache.find(digest, 100)
        if found is not None:
            found.close()
        return found is not None

    (tmp_path / "of-somebody-else").write_bytes(b"x")
    first, second = add(1), add(2)
    now[0] += 10
    assert has(first)  # used later than the second from now on
    now[0] += 10
    third = add(3)
    assert (has(second), has(first), has(third)) == (False, True, True)
    now[0] += 60
    add(4)
    assert (has(first), has(third)) == (False, False)
    assert (tmp_path / "of-somebody-else").exists()
    with pytest.raises(ValueError, match="SHA-256"):
        cache.find(b"../../etc", 1)


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_the_code_of_a_function(store: Store, data: bytes) -> None:
    store.data = data
    client = Client(store)
    store.answers = [once(lambda handler: handler.reply(403, b"Request has expired"))]
    with open_function_code(client, client.get_function(FunctionName="f"), cache=None) as contents:
        assert contents.label == "function code"
        assert contents.unzipped_bytes > 90_000
    assert client.locations == 2


def test_a_function_without_code(store: Store) -> None:
    image = {"Configuration": {"FunctionName": "f", "CodeSize": 0, "CodeSha256": ""}, "Code": {}}
    with pytest.raises(LayerReadError), open_function_code(Client(store), image, cache=None):
        pass
