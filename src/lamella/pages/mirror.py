"""`/_lamella/mirror`: copies of layer versions of other installations."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lamella.control.locations import LocationSigner
from lamella.control.mirroring import (
    MirrorError,
    NotMirroredError,
    Original,
    PinnedError,
    every,
    mirror,
    parse_mirrored,
    remove,
    verify,
)
from lamella.domain.quotas import UNZIPPED
from lamella.frontdoor import Page, PageError, path_tail, respond_json
from lamella.httpserver.exchange import Exchange
from lamella.pages.scope import Contexts, short_text
from lamella.ports.clock import Clock
from lamella.spool import Upload

_RUNTIME: Final = re.compile(r"[a-z0-9.]{1,40}")
_ARCHITECTURES: Final = frozenset({"x86_64", "arm64"})
_MOST_RUNTIMES: Final = 15  # model, shape `CompatibleRuntimes`


class MirrorPages:
    """For the operator: a copy is there for all accounts.

    Args:
        contexts: For the accounts whose layers are copied.
        signer: Of the addresses from which copies can be downloaded, for taking them elsewhere.
        clock: Says until when.
        directory: Where zips are put while they come.

    Attributes:
        uploads: What takes a zip, by method and first part of the path. A zip is hardly larger than what is in it.
    """

    def __init__(self, contexts: Contexts, signer: LocationSigner, clock: Clock, directory: Path) -> None:
        self.uploads = {("PUT", "mirror"): Upload(self.add, directory, UNZIPPED.limit)}
        self._contexts = contexts
        self._signer = signer
        self._clock = clock

    def pages(self) -> dict[tuple[str, str], Page]:
        """By method and first part of the path."""
        return {("GET", "mirror"): self.show, ("DELETE", "mirror"): self.remove}

    async def show(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """All copies; with `verify=1` their archives are read and compared with what they are pinned to."""
        ctx = self._contexts("0" * 12, "us-east-1")  # nobody's: all accounts and regions are shown
        found = await (verify(ctx) if query.get("verify") == "1" else every(ctx))
        host = exchange.request.header("host")
        respond_json(exchange, {"mirrored": [self._with_location(one, f"http://{host}") for one in found]})

    async def add(self, exchange: Exchange, query: Mapping[str, str], body: Path) -> None:
        """Body: the zip. Query: `created`, `description`, `license`, `runtimes`, `architectures`, `sha256`, `private`.

        The last is 1 for a copy that only the layer's account can attach.
        """
        with _refusals():
            key, number = parse_mirrored(path_tail(exchange))
            original = Original(
                created_at=self._created(query.get("created", "")),
                description=short_text(query.get("description", ""), "description"),
                runtimes=_words(query, "runtimes", _RUNTIME.fullmatch),
                architectures=_words(query, "architectures", _ARCHITECTURES.__contains__),
                license_info=short_text(query.get("license", ""), "license", most=512),
                source=short_text(query.get("source", ""), "source", most=1000),
                code_sha256=short_text(query.get("sha256", ""), "sha256", most=64),
            )
            ctx = self._contexts(key.account, key.region)
            private = query.get("private") == "1"
            respond_json(exchange, await mirror(ctx, key, number, body, original, private=private))

    async def remove(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """With `forget=1`, what the ARN is pinned to is forgotten too."""
        with _refusals():
            key, number = parse_mirrored(path_tail(exchange))
            await remove(self._contexts(key.account, key.region), key, number, forget=query.get("forget") == "1")
        respond_json(exchange, {})

    def _with_location(self, shown: dict[str, Any], base_url: str) -> dict[str, Any]:  # Any: JSON
        digest = shown.pop("digest", None)
        if digest is None:
            return shown
        filename = shown["arn"].partition(":layer:")[2].replace(":", "-") + ".zip"
        return {**shown, "location": self._signer.url(base_url, digest, filename, now=self._clock.now())}

    def _created(self, text: str) -> datetime:
        """As AWS writes it, `2026-11-20T20:01:02.123+0000`, or any ISO 8601; now if nothing is known."""
        if not text:
            return self._clock.now()
        try:
            parsed = datetime.fromisoformat(text)
            return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):  # the latter at either end of the calendar
            raise PageError(400, "created is a time such as 2026-11-20T20:01:02.123+0000.") from None


def _words(query: Mapping[str, str], name: str, fits: Callable[[str], object]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word for word in query.get(name, "").split(",") if word))
    if len(words) > _MOST_RUNTIMES or not all(fits(word) for word in words):
        raise PageError(400, f"{name} are at most {_MOST_RUNTIMES} names, with commas between them.")
    return words


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except NotMirroredError as error:
        raise PageError(404, str(error)) from error
    except PinnedError as error:
        raise PageError(409, str(error)) from error
    except MirrorError as error:
        raise PageError(400, str(error)) from error
