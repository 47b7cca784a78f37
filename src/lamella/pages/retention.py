"""`/_lamella/retention`: which versions of layers an account wants to keep."""

import re
from collections.abc import Mapping
from typing import Final

from lamella.awsapi.context import Context
from lamella.control.retention import DEFAULT, Retention, RetentionError, held, policies, remove_policy, set_policy
from lamella.frontdoor import Page, PageError, body_object, path_tail, respond_json
from lamella.httpserver.exchange import Exchange
from lamella.pages.scope import Contexts, scope_of

_LAYER: Final = re.compile(r"layers/([A-Za-z0-9_-]{1,140})")


class RetentionPages:
    """Policies of an account in a region: query `account`, `region`; below `/layers/<name>`, or at `/default`."""

    def __init__(self, contexts: Contexts, *, account: str, region: str) -> None:
        self._contexts = contexts
        self._account = account
        self._region = region

    def pages(self) -> dict[tuple[str, str], Page]:
        """By method and first part of the path."""
        return {("GET", "retention"): self.show, ("PUT", "retention"): self.set, ("DELETE", "retention"): self.remove}

    async def show(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """`default`, which may be null, `layers` by name, and `held`: versions that channels and mirroring hold."""
        ctx = self._context(query)
        found = await policies(ctx)
        default = found.pop(DEFAULT, None)
        respond_json(exchange, {"default": default, "layers": found, "held": await held(ctx)})

    async def set(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Body: `keep_last`, `keep_used`, `keep_days`."""
        ctx, layer = self._context(query), _layer(exchange)
        try:
            policy = Retention.parse(body_object(exchange))
        except RetentionError as error:
            raise PageError(400, str(error)) from error
        await set_policy(ctx, layer, policy)
        respond_json(exchange, policy.to_document())

    async def remove(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Forget a policy."""
        if not await remove_policy(self._context(query), _layer(exchange)):
            raise PageError(404, "There is no such policy.")
        respond_json(exchange, {})

    def _context(self, query: Mapping[str, str]) -> Context:
        return self._contexts(*scope_of(query, self._account, self._region))


def _layer(exchange: Exchange) -> str:
    tail = path_tail(exchange)
    match = _LAYER.fullmatch(tail)
    if tail != "default" and match is None:
        raise PageError(400, "Say for which layer: /_lamella/retention/layers/<name>, or /_lamella/retention/default")
    return DEFAULT if match is None else match[1]
