"""What adapters raise in place of their library's exceptions."""


class ConflictError(Exception):
    """What was to be written exists already, or has changed since it was read; nothing was written."""


class UnavailableError(Exception):
    """The technology behind the port does not answer; the text says which and why."""
