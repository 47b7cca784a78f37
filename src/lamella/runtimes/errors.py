"""What can go wrong when a runtime pack is built or checked."""

from lamella.ports.runtimes import RuntimeNotInstalledError


class PackBuildError(RuntimeNotInstalledError):
    """A runtime pack could not be built; nothing of it is left. The text says why and what to do about it."""


class InterpreterMissingError(PackBuildError):
    """This host has no interpreter of the version that is wanted; one could be fetched."""


class PackDamagedError(Exception):
    """A runtime pack is not what its manifest says."""
