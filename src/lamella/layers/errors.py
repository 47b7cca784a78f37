"""What can go wrong in the layer workshop."""


class LayerBuildError(Exception):
    """A layer could not be built; nothing was written. The text says what happened and what to do about it."""
