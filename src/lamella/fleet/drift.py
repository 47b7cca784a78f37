"""In what two states of a function differ, other than in the layer that is rolled out.

Publishing ships what `$LATEST` is. Where `$LATEST` has been changed since the version that an alias invokes was
published, a roll-out of a layer would ship that change along, to production and unasked: the most common way in which
such roll-outs break things. So every member of the configuration counts, but for those named here, and a member that
this program has never heard of counts too.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lamella.fleet.layers import split

IGNORED: Final = frozenset(
    {
        # which version it is, and when it came to be
        *("FunctionArn", "FunctionName", "Version", "RevisionId", "LastModified", "MasterArn", "ConfigSha256"),
        # how it is
        *("State", "StateReason", "StateReasonCode"),
        *("LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"),
        "RuntimeVersionConfig",  # moves by itself
        "Description",  # versions have descriptions of their own
        "CodeSize",  # CodeSha256 says more
        "ResponseMetadata",
        # of signed code: follows the code
        *("SigningProfileVersionArn", "SigningJobArn"),
    }
)


def differences(one: Mapping[str, Any], other: Mapping[str, Any], layer: str) -> list[str]:  # Any: JSON
    """Members in which two configurations differ, in the order of names.

    Args:
        one: A `FunctionConfiguration`.
        other: Another of the same kind of answer: listings show less than `GetFunctionConfiguration`.
        layer: ARN of the layer that may have any version in both.
    """
    first, second = fingerprint(one, layer), fingerprint(other, layer)
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def fingerprint(document: Mapping[str, Any], layer: str) -> dict[str, str]:  # Any: JSON
    """What counts of a configuration, each member as a short hash, so that a plan on disk tells no secrets.

    The version of one layer is left out. A member that is absent and one that is empty are the same.
    """
    found = {name: value for name, value in document.items() if name not in IGNORED and name != "Layers"}
    if "SnapStart" in found:
        found["SnapStart"] = found["SnapStart"].get("ApplyOn")  # how far the snapshot has got is no difference
    if "VpcConfig" in found:
        found["VpcConfig"] = {key: value for key, value in found["VpcConfig"].items() if value and key != "VpcId"}
    found["Layers"] = _others([str(one["Arn"]) for one in document.get("Layers") or ()], layer)
    return {name: _short_hash(value) for name, value in sorted(found.items()) if value not in (None, "", [], {})}


def _others(layers: Sequence[str], layer: str) -> list[str]:
    return [layer if split(arn)[0] == layer else arn for arn in layers]


def _short_hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
