"""Bringing what was created or updated into effect a moment later, as AWS does; container images once they are here."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from lamella.domain.function import FunctionKey, FunctionVersion
from lamella.domain.image import IMAGE, IMAGE_URI
from lamella.lifecycle.function import Problem, advance, outcome, settled
from lamella.ports.errors import ConflictError, UnavailableError
from lamella.ports.functions import FunctionObserver
from lamella.ports.images import ImageError, ImageStore
from lamella.ports.stores import FunctionStore

_log: Final = logging.getLogger(__name__)

_REASONS: Final = {
    "ImageAccessDenied": "The function does not have permission to access the specified image.",
    "ImageDeleted": "The function is trying to use a deleted image.",
}
"""Sentences of AWS by the code of the reason. Source: aws/aws-cdk issue 27007, 2023; aws-actions/aws-lambda-deploy
issue 68, 2026. Of an image that is not valid AWS says what is wrong with it, and no more."""


class Transitions:
    """Settles versions whose creation or update is under way, and tells the observer once that is durable.

    Owns one task for each. What a crash or `close` interrupts is settled by the next `resume`.

    Args:
        store: Of the versions.
        observer: See above.
        images: Fetches the images of functions.
        delay_s: How long a caller can see the state in between. AWS takes about as long or longer; scripts that forget
            to wait for the state fail here as they fail there.
        sleep: Waits that long; replaced in tests.
    """

    def __init__(
        self,
        store: FunctionStore,
        observer: FunctionObserver,
        images: ImageStore,
        *,
        delay_s: float = 0.25,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store: Final = store
        self._observer: Final = observer
        self._images: Final = images
        self._delay_s: Final = delay_s
        self._sleep: Final = sleep
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    def begin(self, version: FunctionVersion) -> None:
        """Settle this version after the delay. It has been stored."""
        self._start(self._later(version.key, version.version))

    async def resume(self) -> None:
        """Settle at once whatever is under way in the store. Called before requests are accepted.

        Images that are not here, be it of functions that have been ready for long, are fetched meanwhile.
        """
        for version in await self._store.unsettled():
            if self._is_here(version):
                await self._settle(version.key, version.version)
            else:
                self._start(self._later(version.key, version.version))
        for digest, uri in (await self._store.images()).items():
            if self._images.find(digest) is None:
                self._start(self._fetch_again(uri, digest))

    async def wait_settled(self) -> None:
        """Wait until nothing that this object began is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Give up what is under way; it stays in the store for `resume`."""
        for task in self._tasks:
            task.cancel()
        await self.wait_settled()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, key: FunctionKey, version: str) -> None:
        await self._sleep(self._delay_s)
        told = False
        while True:
            try:
                return await self._settle(key, version)
            except UnavailableError:
                if not told:
                    _log.exception("cannot settle %s yet", key.arn(version))
                told = True
                await self._sleep(max(self._delay_s, 1.0))
            except Exception:  # noqa: BLE001 - the task's boundary: nobody awaits its result; `resume` tries once more
                return _log.exception("cannot settle %s", key.arn(version))

    async def _settle(self, key: FunctionKey, version: str) -> None:
        while True:
            current = await self._store.get(key, version)
            if current is None or settled(current):
                return  # deleted meanwhile, or settled by a task that was begun before this one
            problem = None
            if not self._is_here(current):
                fetched, problem = current, await self._fetch(current)
                current = await self._store.get(key, version)
                if current is None or settled(current):
                    return
                if current.artifact != fetched.artifact:
                    continue  # deleted, and made anew of another image
            after = advance(current, outcome(current, problem), revision_id=str(uuid.uuid4()))
            try:
                await self._store.replace(after, expected_revision_id=current.revision_id)
            except ConflictError:
                continue  # its tags have changed, which gives it another revision: look again
            self._observer.function_settled(after)
            return

    def _is_here(self, version: FunctionVersion) -> bool:
        """Whether its code can be used; that of an archive always can."""
        return version.config.package_type != IMAGE or self._images.find(version.artifact.code_sha256) is not None

    async def _fetch(self, version: FunctionVersion) -> Problem | None:
        """Have its image here; says why that cannot be."""
        digest, uri = version.artifact.code_sha256, version.config.other[IMAGE_URI]
        if not digest:  # stored before images were run
            return Problem("What its tag stands for is not known: update the code of the function.", "InvalidImage")
        try:
            await self._images.fetch(uri, digest)
        except ImageError as error:
            _log.warning("%s cannot have the image %s: %s", version.key.arn(version.version), uri, error)
            return Problem(" ".join([*filter(None, [_REASONS.get(error.code)]), str(error)]), error.code)
        except Exception:  # noqa: BLE001 - a boundary: nobody would settle it if this went on to the task's
            _log.exception("a fault of ours: cannot fetch the image %s", uri)
            text = "The image cannot be fetched for a fault of the server, whose log says more."
            return Problem(text, "InternalError")
        return None

    async def _fetch_again(self, uri: str, digest: str) -> None:
        try:
            await self._images.fetch(uri, digest)
        except Exception as error:  # noqa: BLE001 - the task's boundary; whoever invokes the function is told as well
            _log.warning("the image %s of a function is not here, and cannot be fetched again: %s", uri, error)
        else:
            _log.info("the image %s was not here, and was fetched again", uri)
