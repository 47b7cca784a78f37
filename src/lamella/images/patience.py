"""Connections whose server has to begin its answer in a reasonable time.

A timeout of a socket is for each piece that arrives: a server that sends a byte of a header now and then meets it.
"""

import socket
import threading
from contextlib import suppress
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

HEAD_S = 30.0
"""Until the headers of an answer are there."""


class _Watch:
    """Shuts a connection down once its time is over; a context manager.

    Raises:
        TimeoutError: At the end, if that happened.
    """

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection
        self._late = False
        self._timer = threading.Timer(HEAD_S, self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        if self._late:
            raise TimeoutError

    def _end(self) -> None:
        self._late = True
        plain = self._connection.sock
        if plain is not None:
            with suppress(OSError):
                socket.socket.shutdown(plain, socket.SHUT_RDWR)  # that of TLS would pull the rug from under who reads


class _Plain(HTTPConnection):
    def getresponse(self) -> Any:  # Any: urllib3 has a type of its own for each of its versions
        with _Watch(self):
            return super().getresponse()


class _Safe(HTTPSConnection):
    def getresponse(self) -> Any:  # Any: as above
        with _Watch(self):
            return super().getresponse()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SafePool(HTTPSConnectionPool):
    ConnectionCls = _Safe


POOLS: Final[Any] = {"http": _PlainPool, "https": _SafePool}  # Any: as above
