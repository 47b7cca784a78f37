"""What can go wrong with a fleet."""


class FleetError(Exception):
    """It cannot be done, and nothing was changed. The text says what happened and what to do about it."""


class JournalError(FleetError):
    """What is written about a roll-out cannot be read or written, or another process is at work on it."""


class UnreachableError(FleetError):
    """The API does not answer, or not to us: what was begun is in the journal and can be resumed."""
