"""curl as the client: it speaks what servers must understand, and checks what they answer."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from lamella.httpserver import Buffered, Exchange

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
BODY = bytes(range(256)) * 8000  # over the size at which curl asks for 100 Continue


async def curl(*args: str, body: bytes | None = None) -> tuple[str, bytes]:
    process = await asyncio.create_subprocess_exec(
        *("curl", "--silent", "--verbose", "--max-time", "20", *args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, log = await process.communicate(body)
    assert process.returncode == 0, log.decode()
    return log.decode(), out


async def test_continue(run: Any) -> None:
    url = f"http://127.0.0.1:{(await run()).port}/"
    log, out = await curl(
        "-H", "Expect: 100-continue", "--expect100-timeout", "15", "--data-binary", "@-", url, body=BODY
    )
    assert "< HTTP/1.1 100 Continue" in log
    assert out == BODY


async def test_chunked_upload(run: Any) -> None:
    url = f"http://127.0.0.1:{(await run()).port}/"
    log, out = await curl("-X", "POST", "-T", "-", url, body=BODY)
    assert "> Transfer-Encoding: chunked" in log
    assert out == BODY


async def test_refused_upload(run: Any) -> None:
    url = f"http://127.0.0.1:{(await run(plan=Buffered(10))).port}/"
    log, out = await curl("--data-binary", "@-", url, body=BODY)
    assert "< HTTP/1.1 413 " in log
    assert out == b"BODY_TOO_LARGE"


async def test_chunked_answer_with_trailers(run: Any, tmp_path: Path) -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.start_response(200, [("Trailer", "X-T")])
        for at in range(0, len(BODY), 100_000):
            await exchange.write(BODY[at : at + 100_000])
        exchange.finish([("X-T", "u")])

    url = f"http://127.0.0.1:{(await run(serve)).port}/"
    dump = tmp_path / "headers"  # the only place where curl shows trailers
    _, out = await curl("--dump-header", str(dump), url)
    assert out == BODY
    assert "\nX-T: u" in dump.read_text()


async def test_connection_is_reused_for_all_kinds_of_answer(run: Any) -> None:
    url = f"http://127.0.0.1:{(await run()).port}/"
    log, out = await curl("-d", "abc", url, "--next", "-v", "-s", "-I", url, "--next", "-v", "-s", "-d", "def", url)
    assert log.count("Re-using existing connection") == 2
    assert out.startswith(b"abc")
    assert out.endswith(b"def")


async def test_offer_of_http2(run: Any) -> None:
    url = f"http://127.0.0.1:{(await run()).port}/"
    log, out = await curl("--http2", "-d", "abc", url)
    assert "> Upgrade: h2c" in log
    assert out == b"abc"


async def test_http_1_0(run: Any) -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.start_response(200, [])
        await exchange.write(b"to the end")
        exchange.finish()

    url = f"http://127.0.0.1:{(await run(serve)).port}/"
    log, out = await curl("--http1.0", url)
    assert out == b"to the end"
    assert "hunked" not in log
