"""What the functions in a stack's template refer to while it is carried out."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.intrinsics import NO_VALUE, Scope, decide, text
from lamella.neighbour.stacks.model import Design, Stack
from lamella.neighbour.stacks.parameters import HIDDEN, Lookup
from lamella.neighbour.stacks.template import Json

Exports = Callable[[], Mapping[str, str]]
Client = Callable[[str], Any]  # Any: botocore
_MADE_MOST: Final = 16 * 1024**2
"""Characters that the functions of a template may make in one operation; a template has 1 MB at most."""
_TELLING_BYTES: Final = 4
"""A shorter secret stands in too many words to be looked for."""
_PARTITION: Final = "aws"
_SUFFIX: Final = "amazonaws.com"


class StackScope:
    """The parameters of a design, and the resources that its stack has by now."""

    def __init__(self, stack: Stack, design: Design, exports: Exports, client: Client) -> None:
        self._stack = stack
        self._design = design
        self._exports = exports
        self._client = client
        self._conditions = dict[str, bool | None]()
        self._left = _MADE_MOST
        self._secrets = {
            text(value) for one in design.parameters.values() if one.hidden for value in _leaves(one.value)
        }
        self.imports = set[str]()

    def ref(self, name: str) -> Json:
        """See `Scope`."""
        stack = self._stack
        match name:
            case "AWS::AccountId":
                return stack.account
            case "AWS::NoValue":
                return NO_VALUE
            case "AWS::NotificationARNs":
                return list(self._design.notifications)
            case "AWS::Partition":
                return _PARTITION
            case "AWS::Region":
                return stack.region
            case "AWS::StackId":
                return stack.id
            case "AWS::StackName":
                return stack.name
            case "AWS::URLSuffix":
                return _SUFFIX
            case _:
                pass
        if (parameter := self._design.parameters.get(name)) is not None:
            return parameter.value
        if (resource := stack.resources.get(name)) is not None:
            return resource.physical_id
        raise _unresolved(name)

    def attribute(self, name: str, attribute: str) -> Json:
        """See `Scope`."""
        resource = self._stack.resources.get(name)
        if resource is None:
            raise _unresolved(name)
        try:
            return resource.attributes[attribute]
        except KeyError:
            raise StackError(
                f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt"
            ) from None

    def condition(self, name: str) -> bool:
        """See `Scope`."""
        definitions = self._design.template.get("Conditions", {})
        if name not in definitions:
            raise StackError(f"Template format error: Unresolved condition {name}")
        if name not in self._conditions:
            self._conditions[name] = None
            self._conditions[name] = decide(definitions[name], self)
        known = self._conditions[name]
        if known is None:
            raise StackError(f"Template format error: Circular dependency between conditions: [{name}]")
        return known

    def mapping(self, name: str) -> Mapping[str, Json] | None:
        """See `Scope`."""
        found: Mapping[str, Json] | None = self._design.template.get("Mappings", {}).get(name)
        return found

    def imported(self, name: str) -> Json:
        """See `Scope`."""
        found = self._exports().get(name)
        if found is None:
            raise StackError(f"No export named {name} found. Rollback requested by user.")
        self.imports.add(name)
        return found

    def dynamic(self, service: str, key: str) -> str:
        """See `Scope`."""
        if service == "ssm":
            return parameter_of(self._client, key)
        if service not in ("ssm-secure", "secretsmanager"):
            raise StackError(f"Template error: dynamic references to {service} are not known")
        value = parameter_of(self._client, key, secure=True) if service == "ssm-secure" else self._secret(key)
        self._secrets.add(value)
        return value

    def masked(self, told: str) -> str:
        """A text without the secrets that have been used so far: whoever refuses one may quote it."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _TELLING_BYTES:
                told = told.replace(secret, HIDDEN)
        return told

    def _secret(self, key: str) -> str:
        secret, _, rest = key.partition(":SecretString")
        field = rest.removeprefix(":").partition(":")[0]
        try:
            value: str = self._client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
        except ClientError as error:
            raise StackError(f"Could not resolve the secret {secret}: {error}") from error
        return _field(secret, value, field) if field else value

    def spend(self, characters: int) -> None:
        """See `Scope`."""
        self._left -= characters
        if self._left < 0:
            raise StackError(f"Template error: the functions of the template make more than {_MADE_MOST} characters")


class ScopeAround:
    """Another scope, for those that differ from it in something."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def ref(self, name: str) -> Json:
        """See `Scope`."""
        return self._scope.ref(name)

    def attribute(self, name: str, attribute: str) -> Json:
        """See `Scope`."""
        return self._scope.attribute(name, attribute)

    def condition(self, name: str) -> bool:
        """See `Scope`."""
        return self._scope.condition(name)

    def mapping(self, name: str) -> Mapping[str, Json] | None:
        """See `Scope`."""
        return self._scope.mapping(name)

    def imported(self, name: str) -> Json:
        """See `Scope`."""
        return self._scope.imported(name)

    def dynamic(self, service: str, key: str) -> str:
        """See `Scope`."""
        return self._scope.dynamic(service, key)

    def spend(self, characters: int) -> None:
        """See `Scope`."""
        self._scope.spend(characters)


class ShownScope(ScopeAround):
    """A scope for what is told: dynamic references stand there as they are, and nothing that has `NoEcho`.

    Source: CloudFormation user guide, "Parameters" and "Custom resource response objects", on `NoEcho`; "Get values
    stored in other services using dynamic references": CloudFormation returns the literal reference and not the value.

    Args:
        scope: What is true.
        hidden: Parameters, and resources whose attributes are not told.
    """

    def __init__(self, scope: Scope, hidden: Collection[str]) -> None:
        super().__init__(scope)
        self._hidden = hidden

    def ref(self, name: str) -> Json:
        """See `Scope`."""
        value = super().ref(name)
        if name not in self._hidden:
            return value
        return [HIDDEN] * len(value) if isinstance(value, list) else HIDDEN

    def attribute(self, name: str, attribute: str) -> Json:
        """See `Scope`."""
        value = super().attribute(name, attribute)
        return HIDDEN if name in self._hidden else value

    def dynamic(self, service: str, key: str) -> str:
        """See `Scope`."""
        return f"{{{{resolve:{service}:{key}}}}}"


def parameter_of(client: Client, name: str, *, secure: bool = False) -> str:
    """The value of a parameter of SSM; an encrypted one only where the template says that it is one.

    Raises:
        StackError: There is none, or none of this sort.
    """
    try:
        found = client("ssm").get_parameter(Name=name, WithDecryption=secure)["Parameter"]
    except ClientError as error:
        raise StackError(f"Unable to fetch parameters [{name}] from parameter store for this account.") from error
    if found["Type"] == "SecureString" and not secure:
        # Source: AWS's answer as quoted in aws/aws-cdk issue 15135.
        raise StackError(f"Parameters [{name}] referenced by template have types not supported by CloudFormation.")
    value: str = found["Value"]
    return value


def lookup(client: Client) -> Lookup:
    """See `Lookup`."""
    return lambda name: parameter_of(client, name)


def _leaves(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _field(secret: str, value: str, field: str) -> str:
    try:
        return str(json.loads(value)[field])
    except (ValueError, KeyError, TypeError):
        raise StackError(f"Could not find the key {field} in the secret {secret}") from None


def _unresolved(name: str) -> StackError:
    return StackError(
        f"Template format error: Unresolved resource dependencies [{name}] in the Resources block of the template"
    )
