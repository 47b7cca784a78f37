"""Patterns of moto's callers, matched without going back.

moto makes regular expressions of them. One that backtracks runs for ever, and no thread of the process runs meanwhile:
a function could stop all services so, with a rule's wildcards or a prefix of names.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from moto.events.models import EventPattern, EventsBackend, Rule
from moto.sqs.models import Queue, SQSBackend

from lamella.domain.event_filter import wildcard
from lamella.neighbour.services.patching import replace

_matcher = lru_cache(maxsize=256)(wildcard)


def _matches(item: object, pattern: str) -> bool:
    return _matcher(pattern)(item)


def _queues_named(listed: Callable[[SQSBackend, str], list[Queue]]) -> Callable[[SQSBackend, str], list[Queue]]:
    def list_queues(backend: SQSBackend, queue_name_prefix: str) -> list[Queue]:
        return listed(backend, re.escape(queue_name_prefix or ""))

    return list_queues


def _rules_named(listed: Callable[..., tuple[list[Rule], str]]) -> Callable[..., tuple[list[Rule], str]]:
    def list_rules(backend: EventsBackend, prefix: str | None = None, **more: Any) -> tuple[list[Rule], str]:
        return listed(backend, prefix=None if prefix is None else re.escape(prefix), **more)

    return list_rules


def install() -> None:
    """Let nobody's pattern hold the others up."""
    replace(EventPattern, "_wildcard_match", lambda _: staticmethod(_matches))
    replace(SQSBackend, "list_queues", _queues_named)
    replace(EventsBackend, "list_rules", _rules_named)
