"""The layer workshop: build, inspect (doctor), compare, channels, roll-out plans."""

from lamella.layers.build import LayerBuildReport, LayerPackage, build_python_layer
from lamella.layers.errors import LayerBuildError
from lamella.layers.targets import RUNTIMES

__all__ = ["RUNTIMES", "LayerBuildError", "LayerBuildReport", "LayerPackage", "build_python_layer"]
