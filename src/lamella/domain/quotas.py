"""Every limit of Lambda that we keep, with its unit and where it is documented, and AWS's words for exceeding it.

Some may be relaxed (setting `limits`), by the number that stands beside AWS's. The relaxed ones are bounded as well: by
what the model lets through, or by what one process holds in memory.

The model is looser than the documented quotas in places (it allows managed instances 5,400 s and 32 GB): what is here
decides. Pages are those of https://docs.aws.amazon.com/lambda/latest/.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.errors import ValidationException

Unit = Literal["bytes", "s", "MiB", "items", "characters"]


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit; the limit itself is still allowed unless the source says otherwise.

    Attributes:
        source: Page of the developer guide or the API reference, or the observation.
        relaxed: The limit where limits are relaxed; None if AWS's holds there too.
    """

    name: str
    limit: int
    unit: Unit
    source: str
    least: int = 0
    relaxed: int | None = None


class LimitProfile(Enum):
    """Whose limits hold; the values are those of the setting `limits`."""

    AWS = "aws"
    RELAXED = "relaxed"

    def limit(self, quota: Quota) -> int:
        """The limit of a quota under this profile."""
        return quota.limit if self is LimitProfile.AWS or quota.relaxed is None else quota.relaxed


_LIMITS: Final = "dg/gettingstarted-limits.html"
_RECORDED: Final = "error texts of AWS recorded in LocalStack's tests, 2022 to 2025"

ZIP_UPLOAD: Final = Quota("zip archive, uploaded directly", 52_428_800, "bytes", _LIMITS, relaxed=262_144_000)
UNZIPPED: Final = Quota("function code and layers, unzipped", 262_144_000, "bytes", _LIMITS, relaxed=10 * 1024**3)
CODE_STORAGE: Final = Quota("zip archives of an account in a region", 300 * 1024**3, "bytes", f"{_LIMITS}, 2026")
LAYERS: Final = Quota("layers of a function", 5, "items", _LIMITS, relaxed=15)
ENVIRONMENT: Final = Quota("environment variables of a function", 4_096, "bytes", _LIMITS, relaxed=65_536)
TIMEOUT: Final = Quota("function timeout", 900, "s", _LIMITS, least=1, relaxed=5_400)
MEMORY: Final = Quota("function memory", 10_240, "MiB", _LIMITS, least=128, relaxed=32_768)
TMP: Final = Quota("ephemeral storage of a function", 10_240, "MiB", _LIMITS, least=512, relaxed=32_768)
CONCURRENCY: Final = Quota("concurrent executions of an account in a region", 1_000, "items", _LIMITS)
UNRESERVED_CONCURRENCY: Final = Quota(
    "concurrent executions of them that no function may reserve", 100, "items", "dg/configuration-concurrency.html"
)
REQUEST_RATE: Final = Quota("synchronous invocations in a second for each concurrent execution", 10, "items", _LIMITS)
SCALING_RATE: Final = Quota(
    "new execution environments of a function in ten seconds", 1_000, "items", "dg/scaling-behavior.html"
)
SCALING_PERIOD_S: Final = 10.0
SYNCHRONOUS_PAYLOAD: Final = Quota("payload of a synchronous invocation", 6_291_556, "bytes", f"{_LIMITS}; {_RECORDED}")
STREAMED_RESPONSE: Final = Quota("streamed response", 209_715_200, "bytes", f"{_LIMITS}, 2025")
ASYNCHRONOUS_PAYLOAD: Final = Quota("payload of an asynchronous invocation", 1_048_576, "bytes", f"{_LIMITS}, 2025")
CREATE_FUNCTION_REQUEST: Final = Quota("body of CreateFunction", 70_167_211, "bytes", _RECORDED, relaxed=367_001_600)
UPLOAD_REQUEST: Final = Quota(
    "body of UpdateFunctionCode and PublishLayerVersion",
    69_905_067,
    "bytes",
    "error texts quoted in public issues",
    relaxed=367_001_600,
)
FUNCTION_NAME: Final = Quota("function name without ARN", 64, "characters", "api/API_CreateFunction.html")
POLICY: Final = Quota("resource policy of a function, version, alias or layer version", 20_480, "bytes", _LIMITS)
TAGS: Final = Quota("tags of a resource", 50, "items", "dg/configuration-tags.html")
LIST_FUNCTIONS_PAGE: Final = Quota("functions in one answer", 50, "items", "api/API_ListFunctions.html", least=1)
LIST_PAGE: Final = Quota("items in one answer", 50, "items", "api/API_ListLayers.html", least=1)
LIST_CONFIGURATIONS_PAGE: Final = Quota(
    "code signing configurations, or functions of one, in an answer",
    10_000,
    "items",
    "api/API_ListCodeSigningConfigs.html",
    least=1,
)
_OURS: Final = "ours, so that one account does not fill the server; AWS's could not be looked up"
RUNTIMES: Final = Quota("customer-managed runtimes of an account in a region", 100, "items", _OURS)
RUNTIME_VERSIONS: Final = Quota("versions of a customer-managed runtime", 500, "items", _OURS)
RUNTIME_ALIASES: Final = Quota("aliases of a customer-managed runtime", 100, "items", _OURS)
RELEASE_NOTES: Final = Quota("release notes of a version of a customer-managed runtime", 4_096, "characters", _OURS)
LOCATION_LIFETIME: Final = Quota("a download URL is valid for", 600, "s", "api/API_GetFunction.html")

QUOTAS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Quota))
"""All of them, in the order of this file."""


def beyond_aws(quota: Quota, value: int) -> str | None:
    """What AWS would not allow; None if it would."""
    if value <= quota.limit:
        return None
    unit = "" if quota.unit == "items" else f" {quota.unit}"
    return f"on AWS this would fail: {quota.name}: {value}{unit}, where AWS allows {quota.limit}{unit}"


def unzipped_too_large(profile: LimitProfile = LimitProfile.AWS) -> InvalidParameterValueException:
    """One archive alone unpacks to the limit or more. Source: recorded answer of AWS (LocalStack tests)."""
    return InvalidParameterValueException(f"Unzipped size must be smaller than {profile.limit(UNZIPPED)} bytes")


def check_combined_size(unzipped_bytes: int, profile: LimitProfile = LimitProfile.AWS) -> None:
    """Refuse code and layers that are too large together.

    Raises:
        InvalidParameterValueException: In AWS's words, as quoted in many public issues.
    """
    limit = profile.limit(UNZIPPED)
    if unzipped_bytes > limit:
        raise InvalidParameterValueException(
            f"Function code combined with layers exceeds the maximum allowed size of {limit} bytes. "
            f"The actual size is {unzipped_bytes} bytes."
        )


def check_range(value: int, quota: Quota, parameter: str, profile: LimitProfile = LimitProfile.AWS) -> None:
    """Refuse a number outside of a quota's range, in the words AWS uses for constraints of the model.

    Raises:
        ValidationException: It is too large or too small.
    """
    limit = profile.limit(quota)
    if not quota.least <= value <= limit:
        too_large = value > limit
        bound = f"less than or equal to {limit}" if too_large else f"greater than or equal to {quota.least}"
        raise ValidationException(
            f"1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy constraint: "
            f"Member must have value {bound}"
        )
