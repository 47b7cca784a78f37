"""Large bodies of requests, taken piece by piece into a file."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import Refusal, TruncatedBodyError

_AT_ONCE: Final = 8
"""Bodies of one page that may be coming in, so that they do not fill the disk."""

_PATIENCE_S: Final = 30.0
_LEAST_BYTES_PER_S: Final = 32 * 1024
"""Who sends more slowly than this after that time loses the turn: else some such would keep all others waiting."""

UploadPage = Callable[[Exchange, Mapping[str, str], Path], Awaitable[None]]
"""Answers a request below `/_lamella/`; gets the query, and the file that holds the body, which goes afterwards."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A page that takes a large body.

    Attributes:
        directory: For the file; there is one. Put where the file can be moved from, it need not be copied.
        limit_bytes: A longer body is refused.
    """

    page: UploadPage
    directory: Path
    limit_bytes: int
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))


@asynccontextmanager
async def received(exchange: Exchange, upload: Upload) -> AsyncIterator[tuple[Path, str]]:
    """The body of a request as a file, and its SHA-256 in hexadecimal digits.

    Raises:
        TruncatedBodyError: The rest did not come, or too slowly, or was too long.
    """
    descriptor, name = tempfile.mkstemp(prefix="upload-", dir=upload.directory)
    try:
        hashed = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file:
            async with upload.turns:
                began_s, count = monotonic(), 0
                while piece := await exchange.read_chunk():
                    count += len(piece)
                    waited_s = monotonic() - began_s
                    if waited_s > _PATIENCE_S and count < waited_s * _LEAST_BYTES_PER_S:
                        raise TruncatedBodyError(Refusal.TIMEOUT)
                    hashed.update(piece)
                    file.write(piece)  # into the page cache: quicker than handing it to a thread
        yield Path(name), hashed.hexdigest()
    finally:
        with contextlib.suppress(FileNotFoundError):  # it was moved to where it is kept
            os.unlink(name)  # noqa: PTH108  # a moment's work, as the writing is
