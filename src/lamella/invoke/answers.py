"""Answers that all APIs inside a sandbox give in the same words (section 1 of the contract)."""

import json
from typing import Final

from lamella.httpserver.message import Answer
from lamella.httpserver.server import Exchange

JSON: Final = (("Content-Type", "application/json"),)
ACCEPTED: Final = b'{"status":"OK"}\n'
ACCEPTED_HEAD: Final = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"


def error_body(error_type: str, message: str) -> bytes:
    """RT-08: key order, escapes and the final line feed as shown there."""
    text = json.dumps({"errorMessage": message, "errorType": error_type}, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text.encode() + b"\n"


def error_answer(status: int, error_type: str, message: str) -> Answer:
    """An error, where the server wants an answer for a request that was not dispatched."""
    return Answer(status, JSON, error_body(error_type, message))


def refuse(exchange: Exchange, status: int, error_type: str, message: str) -> None:
    """Answer with an error."""
    exchange.respond(status, JSON, error_body(error_type, message))


def wrong_method(exchange: Exchange, allowed: str) -> None:
    """RT-07."""
    exchange.respond(405, (("Allow", allowed),), b"")
