"""How the control API tells the pollers of a node about event source mappings."""

from typing import Protocol

from lamella.domain.mapping import EventSourceMapping


class MappingObserver(Protocol):
    """Is told of changes that have been committed."""

    def mapping_changed(self, mapping: EventSourceMapping) -> None:
        """A mapping is new or another, or is being deleted; its state is not settled, and the observer settles it."""

    def last_result(self, uuid: str) -> str:
        """What came of the last call of a stream's mapping, in AWS's words."""
