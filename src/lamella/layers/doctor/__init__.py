"""The static half of `lamella layer check`: what can be told about layers without running anything of them."""

from lamella.layers.doctor.advisories import Advisories
from lamella.layers.doctor.check import check_layers
from lamella.layers.doctor.survey import Progress, Survey

__all__ = ["Advisories", "Progress", "Survey", "check_layers"]
