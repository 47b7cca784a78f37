"""Findings as SARIF 2.1.0, which code scanning of GitHub and others reads.

Sources: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0"; GitHub, "SARIF support for code
scanning" (what it needs: a rule for each result, a file, a fingerprint).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from lamella.layers.doctor.rule import Rule
from lamella.layers.doctor.rules import RULES
from lamella.layers.findings import Finding, Severity

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVEL: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


def to_sarif(findings: Sequence[Finding], *, version: str, source: str) -> dict[str, Any]:  # Any: a JSON document
    """A log with one run.

    Args:
        findings: All of them.
        version: Of Lamella.
        source: What was checked, for findings that name no layer: a path or an ARN.
    """
    codes = list(dict.fromkeys([*RULES, *(finding.code for finding in findings)]))
    index = {code: number for number, code in enumerate(codes)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "lamella layer check",
                        "semanticVersion": version,
                        "version": version,
                        "rules": [_rule(code) for code in codes],
                    }
                },
                "columnKind": "utf16CodeUnits",
                "results": [_result(finding, index, source) for finding in findings],
            }
        ],
    }


def _rule(code: str) -> dict[str, Any]:
    rule = RULES.get(code) or Rule(code, Severity.WARNING, code, code)
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in code.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.explanation},
        "help": {"text": rule.explanation, "markdown": rule.explanation},
        "defaultConfiguration": {"level": _LEVEL[rule.severity]},
        "properties": {"tags": ["lambda-layer"]},
    }


def _result(finding: Finding, index: Mapping[str, int], source: str) -> dict[str, Any]:
    layer = finding.layer or source
    place = f"{layer}/{finding.place}" if finding.place else layer
    runtime = f" ({finding.runtime})" if finding.runtime else ""
    # Without the reason, which has numbers in it: the same fault of the next build is the same alert.
    identity = "\0".join((finding.code, layer, finding.place, finding.runtime))
    fingerprint = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()
    return {
        "ruleId": finding.code,
        "ruleIndex": index[finding.code],
        "level": _LEVEL[finding.severity],
        "message": {"text": f"{finding.reason}{runtime} To mend it: {finding.remedy}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(place.lstrip("/"), safe="/", errors="replace")},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [{"fullyQualifiedName": finding.place or layer, "kind": "resource"}],
            }
        ],
        "partialFingerprints": {"primaryLocationLineHash": f"{fingerprint}:1"},
    }
