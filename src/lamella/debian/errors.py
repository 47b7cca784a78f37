"""What can go wrong with Debian packages."""


class DebianError(Exception):
    """Packages cannot be had, or are damaged; the text says why and what to do about it."""
