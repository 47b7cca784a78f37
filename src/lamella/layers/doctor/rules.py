"""Every code of a finding, with what it means: the findings, their reference page and SARIF's rules come from here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lamella.layers.doctor.rule import Rule
from lamella.layers.doctor.rules_of_files import NATIVE, SCRIPTS, SIZE, STRUCTURE
from lamella.layers.doctor.rules_of_packages import JAVA, NODE, PACKAGES, PROOF, PYTHON, SECRETS

GROUPS: Final[Mapping[str, tuple[Rule, ...]]] = MappingProxyType(
    {
        "Structure": STRUCTURE,
        "Size and number": SIZE,
        "Programs and libraries": NATIVE,
        "Scripts: bootstrap, extensions, bin": SCRIPTS,
        "Python": PYTHON,
        "Node.js": NODE,
        "Java": JAVA,
        "Packages": PACKAGES,
        "Secrets": SECRETS,
        "Proof in the sandbox": PROOF,
    }
)
"""By the headings of the reference page."""

PROVED: Final = frozenset(rule.code for rule in PROOF)
"""Codes that need a sandbox to be found."""

RULES: Final[Mapping[str, Rule]] = MappingProxyType({rule.code: rule for group in GROUPS.values() for rule in group})
"""By code."""
