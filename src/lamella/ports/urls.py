"""What the front of function URLs is told by the control API; neither imports the other."""

from typing import Protocol

from lamella.domain.url import FunctionUrl


class UrlObserver(Protocol):
    """Is told of changes that have been committed."""

    def url_changed(self, url: FunctionUrl) -> None:
        """A URL is new, or has other settings: every request from now on is subject to them."""

    def url_deleted(self, url: FunctionUrl) -> None:
        """A URL leads nowhere any more."""
