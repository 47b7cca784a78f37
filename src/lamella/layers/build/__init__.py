"""Building layers: from what they are declared to hold to the bytes of a zip archive."""

from lamella.layers.build.python import LayerBuildReport, LayerPackage, build_python_layer

__all__ = ["LayerBuildReport", "LayerPackage", "build_python_layer"]
