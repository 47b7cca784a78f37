"""Lambda's runtime identifiers: what they run on, and until when AWS lets them be used.

A deprecated runtime keeps running. From its block dates on, functions that use it can be neither created nor updated;
AWS has moved these dates repeatedly, and the table is as of October 2026.

Source: cfn-lint 1.58.0, `LmbdRuntimeLifecycle.json` (20 October 2026), which is taken from the developer guide's page
lambda-runtimes; identifiers from the model's shape `Runtime`; architectures from the announcement of arm64 functions
(September 2021) and the page foundation-arch.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.function import Architecture, FunctionConfig

_BOTH: Final = (Architecture.X86_64, Architecture.ARM64)
_X86_64_ONLY: Final = (Architecture.X86_64,)  # those on the first Amazon Linux


@dataclass(frozen=True, slots=True)
class LambdaRuntime:
    """A value of a function's `Runtime`.

    Attributes:
        deprecated_on, create_blocked_on, update_blocked_on: First day of each stage; `None` if AWS names none.
        architectures: What AWS offers it for.
    """

    name: str
    deprecated_on: date | None = None
    create_blocked_on: date | None = None
    update_blocked_on: date | None = None
    architectures: tuple[Architecture, ...] = _BOTH


def _runtime(
    name: str,
    deprecated: str | None = None,
    create_block: str | None = None,
    update_block: str | None = None,
    *,
    architectures: tuple[Architecture, ...] = _BOTH,
) -> LambdaRuntime:
    def day(text: str | None) -> date | None:
        return None if text is None else date.fromisoformat(text)

    return LambdaRuntime(name, day(deprecated), day(create_block), day(update_block), architectures)


_TABLE: Final = (
    _runtime("nodejs", "2016-08-30", "2016-09-30", "2016-10-31", architectures=_X86_64_ONLY),
    _runtime("nodejs4.3", "2020-03-05", "2020-02-03", "2020-03-05", architectures=_X86_64_ONLY),
    _runtime("nodejs6.10", "2019-08-12", "2019-07-12", "2019-08-12", architectures=_X86_64_ONLY),
    _runtime("nodejs8.10", "2020-03-06", "2020-02-04", "2020-03-06", architectures=_X86_64_ONLY),
    _runtime("nodejs10.x", "2021-07-30", "2021-07-30", "2022-02-14", architectures=_X86_64_ONLY),
    _runtime("nodejs12.x", "2023-03-31", "2023-03-31", "2023-04-30"),
    _runtime("nodejs14.x", "2023-12-04", "2024-01-09", "2027-03-03"),
    _runtime("nodejs16.x", "2024-06-12", "2027-02-01", "2027-03-03"),
    _runtime("nodejs18.x", "2025-09-01", "2027-02-01", "2027-03-03"),
    _runtime("nodejs20.x", "2026-04-30", "2027-02-01", "2027-03-03"),
    _runtime("nodejs22.x", "2027-04-30", "2027-06-01", "2027-07-01"),
    _runtime("nodejs24.x", "2028-04-30", "2028-06-01", "2028-07-01"),
    _runtime("java8", "2024-01-08", "2024-02-08", "2027-03-03", architectures=_X86_64_ONLY),
    _runtime("java8.al2", "2027-06-30", "2027-07-31", "2027-08-31"),
    _runtime("java11", "2027-06-30", "2027-07-31", "2027-08-31"),
    _runtime("java17", "2027-06-30", "2027-07-31", "2027-08-31"),
    _runtime("java21", "2029-06-30", "2029-07-31", "2029-08-31"),
    _runtime("java25", "2029-06-30", "2029-07-31", "2029-08-31"),
    _runtime("python2.7", "2021-07-15", "2021-07-15", "2022-05-30", architectures=_X86_64_ONLY),
    _runtime("python3.6", "2022-07-18", "2022-07-18", "2022-08-29", architectures=_X86_64_ONLY),
    _runtime("python3.7", "2023-12-04", "2024-01-09", "2027-03-03", architectures=_X86_64_ONLY),
    _runtime("python3.8", "2024-10-14", "2027-02-01", "2027-03-03"),
    _runtime("python3.9", "2025-12-15", "2027-02-01", "2027-03-03"),
    _runtime("python3.10", "2026-10-31", "2027-02-01", "2027-03-03"),
    _runtime("python3.11", "2027-06-30", "2027-07-31", "2027-08-31"),
    _runtime("python3.12", "2028-10-31", "2028-11-30", "2029-01-10"),
    _runtime("python3.13", "2029-06-30", "2029-07-31", "2029-08-31"),
    _runtime("python3.14", "2029-06-30", "2029-07-31", "2029-08-31"),
    _runtime("dotnetcore1.0", "2019-06-27", "2019-06-30", "2019-07-30", architectures=_X86_64_ONLY),
    _runtime("dotnetcore2.0", "2019-05-30", "2019-04-30", "2019-05-30", architectures=_X86_64_ONLY),
    _runtime("dotnetcore2.1", "2022-01-05", "2022-01-05", "2022-04-13", architectures=_X86_64_ONLY),
    _runtime("dotnetcore3.1", "2023-04-03", "2023-04-03", "2023-05-03"),
    _runtime("dotnet6", "2024-12-20", "2027-02-01", "2027-03-03"),
    _runtime("dotnet8", "2026-11-10", "2027-02-01", "2027-03-03"),
    _runtime("dotnet10", "2028-11-14", "2028-12-14", "2029-01-15"),
    _runtime("nodejs4.3-edge", "2020-03-05", "2019-03-31", "2019-04-30", architectures=_X86_64_ONLY),
    _runtime("go1.x", "2024-01-08", "2024-02-08", "2027-03-03", architectures=_X86_64_ONLY),
    _runtime("ruby2.5", "2021-07-30", "2021-07-30", "2022-03-31", architectures=_X86_64_ONLY),
    _runtime("ruby2.7", "2023-12-07", "2024-01-09", "2027-03-03"),
    _runtime("ruby3.2", "2026-03-31", "2027-02-01", "2027-03-03"),
    _runtime("ruby3.3", "2027-03-31", "2027-04-30", "2027-05-31"),
    _runtime("ruby3.4", "2028-03-31", "2028-04-30", "2028-05-31"),
    _runtime("ruby4.0", "2029-03-31", "2029-04-30", "2029-05-31"),
    _runtime("provided", "2024-01-08", "2024-02-08", "2027-03-03", architectures=_X86_64_ONLY),
    _runtime("provided.al2", "2026-07-31", "2027-02-01", "2027-03-03"),
    _runtime("provided.al2023", "2029-06-30", "2029-07-31", "2029-08-31"),
    _runtime("nodejs26.x"),
    _runtime("python3.15"),
    _runtime("java8.al2023"),
    _runtime("java11.al2023"),
    _runtime("java17.al2023"),
    _runtime("custom"),
)

RUNTIMES: Final[Mapping[str, LambdaRuntime]] = MappingProxyType({runtime.name: runtime for runtime in _TABLE})
"""All identifiers of the model, in its order."""

SNAP_START: Final = frozenset(
    {"java11", "java17", "java21", "java25", "python3.12", "python3.13", "python3.14", "dotnet8", "dotnet10"}
)
"""Runtimes that can be told to use SnapStart. Source: developer guide, "snapstart"; later versions as announced."""

UPDATE_RUNTIME_ON: Final = "UpdateRuntimeOn"
"""Member of `FunctionConfig.other`: `Manual` or `FunctionUpdate`. Absent: new environments use the newest runtime."""

RUNTIME_VERSION: Final = "RuntimeVersionArn"
"""Member of `FunctionConfig.other`: the version of the runtime at the last change, or the one that is kept."""

_VERSION_ARN: Final = re.compile(r"arn:aws:lambda:(?P<region>[a-z0-9-]+)::runtime:(?P<digest>[0-9a-f]{64})")


def runtime_version_arn(region: str, digest: str) -> str:
    """The name that the API gives to a version of a runtime."""
    return f"arn:aws:lambda:{region}::runtime:{digest}"


def runtime_digest(arn: str, region: str) -> str | None:
    """The digest that such a name ends in; `None` if no runtime of this region is called that."""
    match = _VERSION_ARN.fullmatch(arn)
    return match["digest"] if match is not None and match["region"] == region else None


def kept_runtime(config: FunctionConfig) -> str | None:
    """Digest of the version of its runtime that a function keeps; `None` if it follows updates."""
    if UPDATE_RUNTIME_ON not in config.other:
        return None
    return str(config.other[RUNTIME_VERSION]).rpartition(":")[2]


def check_runtime(
    name: str, architecture: Architecture, today: date, *, creating: bool, allow_deprecated: bool = False
) -> None:
    """Refuse a runtime that AWS would refuse.

    Args:
        name: As the caller wrote it.
        architecture: Of the function that is to use it.
        today: In UTC.
        creating: Whether the function is new; its update is blocked later.
        allow_deprecated: Whether block dates are to be overlooked.

    Raises:
        InvalidParameterValueException: Unknown, blocked, or not offered for the architecture. Source of the texts:
            answers of AWS recorded in LocalStack's tests (2024) and quoted in public (an FSx workshop of 2023 for the
            block, serverless/serverless issue 10057 of 2021 for the architecture).
    """
    runtime = RUNTIMES.get(name)
    if runtime is None:
        offered = ", ".join(
            one.name for one in _TABLE if one.name != "custom" and not _blocked(one, today, creating=True)
        )
        raise InvalidParameterValueException(
            f"Value {name} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{offered}] "
            "or be a valid ARN"
        )
    if not allow_deprecated and _blocked(runtime, today, creating=creating):
        raise InvalidParameterValueException(
            f"The runtime parameter of {name} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
    if architecture not in runtime.architectures:
        raise InvalidParameterValueException(
            # S608 takes AWS's "select" and "from" for SQL.
            f"Runtime {name} does not support the following architectures [{architecture}]. "  # noqa: S608
            "Please select different architectures from [x86_64, arm64] or select a different runtime."
        )


def _blocked(runtime: LambdaRuntime, today: date, *, creating: bool) -> bool:
    blocked_on = runtime.create_blocked_on if creating else runtime.update_blocked_on
    return blocked_on is not None and blocked_on <= today
