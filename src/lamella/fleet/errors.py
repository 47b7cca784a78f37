"""What can go wrong with a fleet."""


class FleetError(Exception):
    """It cannot be done, and nothing was changed. The text says what happened and what to do about it."""


class MissingError(FleetError):
    """The API says that there is no such layer or version, or does not show it to us."""


class JournalError(FleetError):
    """What is written about a roll-out cannot be read or written, or another process is at work on it."""


class UnreachableError(FleetError):
    """The API does not answer, or not to us: what was begun is in the journal and can be resumed."""
