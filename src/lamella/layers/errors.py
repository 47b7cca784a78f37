"""What can go wrong in the layer workshop."""


class LayerBuildError(Exception):
    """A layer could not be built; nothing was written. The text says what happened and what to do about it."""


class RecipeError(LayerBuildError):
    """What a layer is to be made of is written wrongly; the text names file, line and key."""


class LayerReadError(Exception):
    """A layer cannot be looked at: not there, not a zip archive, damaged. The text says which and why."""
