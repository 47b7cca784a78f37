"""Physical names for resources that the template gives none. Pure, but for what is random in them.

Source: CloudFormation user guide, "Name type": the stack's name, the logical id and a random part.
"""

import re
import secrets
import string
from collections.abc import Mapping
from typing import Any, Final

from lamella.neighbour.stacks.errors import StackError

_NAME: Final = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_LETTERS: Final = string.ascii_letters + string.digits
_LOWER: Final = string.ascii_lowercase + string.digits
RANDOM: Final = 12
"""How many characters at the end of a name are random."""
_LENGTHS: Final[Mapping[str, int]] = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": 32,
    "AWS::ElasticLoadBalancingV2::TargetGroup": 32,
    "AWS::Events::Rule": 64,
    "AWS::IAM::Role": 64,
    "AWS::Lambda::Function": 64,
    "AWS::S3::Bucket": 63,
    "AWS::SQS::Queue": 80,
    "AWS::Scheduler::Schedule": 64,
}
_LENGTH: Final = 128
_LOWERCASE: Final = frozenset({"AWS::ECR::Repository", "AWS::S3::Bucket"})
_FIFO: Final[Mapping[str, str]] = {"AWS::SNS::Topic": "FifoTopic", "AWS::SQS::Queue": "FifoQueue"}


def check_name(member: str, name: str) -> None:
    """Refuse what cannot be the name of a stack or of a change set: it becomes part of ARNs and of other names.

    Source: API reference, `CreateStack` and `CreateChangeSet`.

    Raises:
        StackError: See there.
    """
    if _NAME.fullmatch(name) is None:
        raise StackError(
            f"1 validation error detected: Value '{name[:128]}' at '{member}' failed to satisfy constraint: Member "
            "must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*, and have length less than or equal to 128"
        )


def physical_name(stack: str, logical_id: str, kind: str, properties: Mapping[str, Any]) -> str:  # Any: template
    """A name that fits the type and was never given before."""
    fifo = kind in _FIFO and str(properties.get(_FIFO[kind], "")).lower() == "true"
    end = "".join(secrets.choice(_LOWER if kind in _LOWERCASE else _LETTERS) for _ in range(RANDOM))
    end += ".fifo" if fifo else ""
    room = _LENGTHS.get(kind, _LENGTH) - len(end) - 1
    begin = f"{stack}-{logical_id}"
    if len(begin) > room:  # both stay recognisable
        half = room // 2
        begin = f"{stack[: max(half, room - 1 - len(logical_id))]}-{logical_id}"[:room]
    begin = begin.rstrip("-")
    return f"{begin.lower() if kind in _LOWERCASE else begin}-{end}"
