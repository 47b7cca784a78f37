"""An asyncio HTTP/1.1 server over httptools (llhttp); knows nothing of Lambda."""

from lamella.httpserver.exchange import Exchange, Phase
from lamella.httpserver.handler import Handler
from lamella.httpserver.limits import Limits
from lamella.httpserver.message import (
    Answer,
    Buffered,
    DisconnectedError,
    Refusal,
    RejectedError,
    Request,
    Streamed,
    TruncatedBodyError,
    refusal_status,
)
from lamella.httpserver.server import HttpServer

__all__ = [
    "Answer",
    "Buffered",
    "DisconnectedError",
    "Exchange",
    "Handler",
    "HttpServer",
    "Limits",
    "Phase",
    "Refusal",
    "RejectedError",
    "Request",
    "Streamed",
    "TruncatedBodyError",
    "refusal_status",
]
