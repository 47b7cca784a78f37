"""Being the only one at work on something, among threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Alone:
    """A lock for each thing that is being made or unmade, as long as somebody wants it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()  # held for moments only
        self._locks: dict[str, tuple[threading.Lock, int]] = {}  # with how many hold it or wait for it

    @contextmanager
    def with_(self, what: str) -> Iterator[None]:
        """Be the only one who makes or unmakes something; others are waited for."""
        with self._guard:
            lock, count = self._locks.get(what, (threading.Lock(), 0))
            self._locks[what] = (lock, count + 1)
        try:
            with lock:
                yield
        finally:
            self._leave(what)

    @contextmanager
    def if_free(self, what: str) -> Iterator[bool]:
        """The same, but nobody is waited for: false if somebody else is at work on it, or about to be."""
        lock = threading.Lock()
        with self._guard:
            free = what not in self._locks
            if free:
                lock.acquire()
                self._locks[what] = (lock, 1)
        try:
            yield free
        finally:
            if free:
                lock.release()
                self._leave(what)

    def _leave(self, what: str) -> None:
        with self._guard:
            lock, count = self._locks.pop(what)
            if count > 1:
                self._locks[what] = (lock, count - 1)
