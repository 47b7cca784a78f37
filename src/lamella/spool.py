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
from typing import Final

from lamella.httpserver.exchange import Exchange

_AT_ONCE: Final = 2
"""Bodies of one page that may be coming in: who sends them slowly takes turns with others who do."""

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
        TruncatedBodyError: The rest did not come, or was too long.
    """
    descriptor, name = tempfile.mkstemp(prefix="upload-", dir=upload.directory)
    try:
        hashed = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file:
            async with upload.turns:
                while piece := await exchange.read_chunk():
                    hashed.update(piece)
                    file.write(piece)  # into the page cache: quicker than handing it to a thread
        yield Path(name), hashed.hexdigest()
    finally:
        with contextlib.suppress(FileNotFoundError):  # it was moved to where it is kept
            os.unlink(name)  # noqa: PTH108  # a moment's work, as the writing is
