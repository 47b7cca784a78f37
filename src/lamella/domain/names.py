"""Names and ARNs of functions and layers, in every form Lambda accepts: parsed once, here.

Source: the patterns of the model's shapes `NamespacedFunctionName`, `LayerName` and `LayerVersionArn` (API version
2015-03-31), and the API reference's list of name formats: name, ARN, partial ARN, each with or without a qualifier.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lamella.domain._api_errors import InvalidParameterValueException, ResourceNotFoundException
from lamella.domain.errors import AccessDeniedException, ValidationException
from lamella.domain.function import LATEST, FunctionKey
from lamella.domain.layer import LayerKey

_REGION: Final = r"(?:eusc-)?[a-z]{2}(?:(?:-gov)|(?:-iso(?:[a-z]?)))?-[a-z]+-\d"

# As the model writes them: AWS quotes them in its error texts.
FUNCTION_PATTERN: Final = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
LAYER_PATTERN: Final = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:"
    r"[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+"
)
LAYER_VERSION_PATTERN: Final = (
    r"((arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:"
    r"[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+))"
)

_FUNCTION: Final = re.compile(
    rf"(?:arn:(?:aws[a-zA-Z-]*)?:lambda:)?(?:(?P<region>{_REGION}):)?(?:(?P<account>\d{{12}}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9\-_.]+)(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9\-_]+))?"
)
_LAYER: Final = re.compile(
    rf"(?:arn:(?:aws[a-zA-Z-]*)?:lambda:(?P<region>{_REGION}):(?P<account>\d{{12}}):layer:)?"
    r"(?P<name>[a-zA-Z0-9\-_]+)(?::(?P<version>\d+))?"
)
LAYER_VERSION_ARN: Final = re.compile(
    rf"arn:aws:lambda:(?P<region>{_REGION}):(?P<account>[0-9]{{12}}):layer:(?P<name>[a-zA-Z0-9\-_]+):(?P<version>[0-9]+)"
)
"""The ARN of a layer version in the partition that this server prints."""


@dataclass(frozen=True, slots=True)
class FunctionReference:
    """A function as a caller names it.

    Attributes:
        qualifier: A version's number, `$LATEST` or the name of an alias; `None` if the caller gave none.
    """

    key: FunctionKey
    qualifier: str | None = None

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        account: str,
        region: str,
        qualifier: str | None = None,
        action: str = "InvokeFunction",
        foreign: bool = False,
    ) -> "FunctionReference":
        """Read a function name. Cached: it is on the path of every invocation.

        Args:
            text: `name`, `name:qualifier`, `123456789012:function:name[:qualifier]`, `function:name[:qualifier]`
                or a whole ARN.
            account: The caller's.
            region: The one the caller signed for.
            qualifier: Value of the `Qualifier` parameter.
            action: What the caller wants to do, for the text of the refusal.
            foreign: Whether it may name another account. Then whoever asks must let the function's policy decide.

        Raises:
            ValidationException: `text` has none of these forms.
            ResourceNotFoundException: It names another region. Source: answers of AWS recorded by LocalStack, 2023
                ("Functions from '…' are not reachable in this region ('…')").
            AccessDeniedException: It names another account, and the action is one that no policy can grant.
            InvalidParameterValueException: The name's qualifier is not that of the parameter.
        """
        return _parse_function(text, account, region, qualifier, action, foreign)

    @property
    def arn(self) -> str:
        """The function's ARN with the qualifier the caller gave, if any."""
        return self.key.arn(self.qualifier)

    @property
    def version(self) -> str | None:
        """`$LATEST` or the number of a published version, or `None` if the qualifier can only be an alias."""
        if self.qualifier is None or self.qualifier == LATEST:
            return LATEST
        return self.qualifier if self.qualifier.isdigit() else None


@lru_cache(maxsize=4096)
def _parse_function(
    text: str, account: str, region: str, qualifier: str | None, action: str, foreign: bool
) -> FunctionReference:
    match = _FUNCTION.fullmatch(text)
    if match is None:
        raise _invalid(text, "functionName", FUNCTION_PATTERN)
    named_region, named_account, name, named_qualifier = match.group("region", "account", "name", "qualifier")
    if named_region is not None and named_region != region:
        raise ResourceNotFoundException(
            f"Functions from '{named_region}' are not reachable in this region ('{region}')"
        )
    key = FunctionKey(account=named_account or account, region=region, name=name)
    if key.account != account and not foreign:
        raise foreign_account(account, action, key.arn())
    if qualifier is not None and named_qualifier is not None and qualifier != named_qualifier:
        raise InvalidParameterValueException(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    return FunctionReference(key, qualifier if qualifier is not None else named_qualifier)


@lru_cache(maxsize=1024)
def parse_layer(text: str, *, account: str, region: str) -> LayerKey:
    """Read a `LayerName` parameter: the name of one's own layer, or the ARN of any layer.

    Raises:
        ValidationException: It is neither.
    """
    match = _LAYER.fullmatch(text)
    if match is None or match["version"] is not None:
        raise _invalid(text, "layerName", LAYER_PATTERN)
    return LayerKey(account=match["account"] or account, region=match["region"] or region, name=match["name"])


@lru_cache(maxsize=1024)
def parse_layer_version(text: str) -> tuple[LayerKey, int]:
    """Read the ARN of a layer version.

    Raises:
        ValidationException: It is none.
    """
    match = _LAYER.fullmatch(text)
    if match is None or match["version"] is None or match["account"] is None:
        raise _invalid(text, "arn", LAYER_VERSION_PATTERN)
    return LayerKey(account=match["account"], region=match["region"], name=match["name"]), int(match["version"])


def foreign_account(account: str, action: str, arn: str) -> AccessDeniedException:
    """What AWS answers to a caller from another account whom no resource policy lets in.

    Source: answers of AWS to `lambda:GetLayerVersion` quoted in public issues; there the user is the caller's own, here
    it is the account, as the caller is not looked up.
    """
    return AccessDeniedException(
        f"User: arn:aws:iam::{account}:root is not authorized to perform: lambda:{action} on resource: {arn} "
        f"because no resource-based policy allows the lambda:{action} action"
    )


def service_kept_out(service: str, action: str, arn: str) -> AccessDeniedException:
    """What a service is told that the function's policy does not let in. On AWS nobody sees it; the text is ours."""
    return AccessDeniedException(
        f"{service} is not authorized to perform: lambda:{action} on resource: {arn} "
        "because no resource-based policy allows it"
    )


def explicit_denial(account: str, action: str, arn: str) -> AccessDeniedException:
    """What AWS answers to a caller whom a statement of the resource policy keeps out.

    Source: IAM user guide, "Troubleshoot access denied error messages".
    """
    return AccessDeniedException(
        f"User: arn:aws:iam::{account}:root is not authorized to perform: lambda:{action} on resource: {arn} "
        "with an explicit deny in a resource-based policy"
    )


def _invalid(text: str, parameter: str, pattern: str) -> ValidationException:
    return ValidationException(
        f"1 validation error detected: Value '{text}' at '{parameter}' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {pattern}"
    )
