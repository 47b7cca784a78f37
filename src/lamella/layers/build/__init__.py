"""Building layers: from what they are declared to hold to the bytes of a zip archive."""

from lamella.layers.build.builder import build_layers
from lamella.layers.build.recipe import Recipe, read_recipe
from lamella.layers.build.report import ArchiveReport

__all__ = ["ArchiveReport", "Recipe", "build_layers", "read_recipe"]
