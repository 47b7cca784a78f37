r"""Constraints of the model, worded as Lambda words them.

All failures of a request are told in one message:

    2 validation errors detected: Value '' at 'backupName' failed to satisfy constraint: Member must satisfy regular
    expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'backupName' failed to satisfy constraint: Member must have length
    greater than or equal to 3

Source, each seen in answers of AWS quoted in public threads:

- scalars, `lowerCamel` by lowering the first letter only (`kMSKeyArn`): highsource/bitcoin-a-day issue 1 (Lambda);
  null: `Value null at 'x' failed to satisfy constraint: Member must not be null`; pattern before length: Cognito, STS
  and DynamoDB answers as quoted above;
- elements of a list are told as one failure of the list, its constraints in the order longest, shortest, pattern or
  enum, not null: `Value '[arn:...]' at 'layers' failed to satisfy constraint: Member must satisfy constraint: [Member
  must have length less than or equal to 2048, ..., Member must not be null]` (pulumi/pulumi-aws issue 750 in the form
  of 2019, without the last part; Lambda's answers about `cors.allowMethods` of 2026 with it);
- runtimes in a list are told without that bracket, and unknown ones as null: `Value '[null, provided.al2]' at
  'compatibleRuntimes' failed to satisfy constraint: Member must satisfy enum value set: [...]`
  (serverless-bun/serverless-bun issue 35, 2025; aws-cloudformation/cfn-lint issue 4427, 2026);
- keys and values of a map likewise: `Value '{a=0.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy
  constraint: Map keys must satisfy constraint: [...]`, `Map value must satisfy constraint: [...]`; what the model
  calls sensitive is not echoed: `Value at 'environment.variables' failed ...` (trek10inc/serverless-secrets issue 39);
- structures in a list: `tags.1.member.key`;
- the runtime of a function is an `InvalidParameterValueException`: `Value python3 at 'runtime' failed to satisfy
  constraint: Member must satisfy enum value set: [...] or be a valid ARN` (awslabs/amazon-redshift-monitoring pull 25).

AWS prints enum values and failing members in an order of its own that nobody can know; ours is the model's.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from lamella.awsapi.patterns import compile_java
from lamella.awsapi.spec import ServiceSpec
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.errors import ValidationException

# Appends to the list what is wrong with the value (never None) at the path. Values are as the parser made them.
Check = Callable[[Any, str, list[str]], None]


class Validator:
    """Checks parameters of one service."""

    def __init__(self, spec: ServiceSpec) -> None:
        self._spec: Final = spec
        self._operations: Final[dict[str, Check | None]] = {}
        self._checks: Final[dict[str, Check | None]] = {}

    def validate(self, operation: str, params: Mapping[str, Any]) -> None:
        """Check what `Parser.parse` returned for `operation`.

        Raises:
            ValidationException: Names every constraint that does not hold.
            InvalidParameterValueException: Nothing else is wrong, but the function's runtime is not one of Lambda's.
        """
        try:
            check = self._operations[operation]
        except KeyError:
            check = self._operations[operation] = self._for_operation(operation)
        if check is None:
            return
        failures: list[str] = []
        check(params, "", failures)
        if failures:
            number = "1 validation error" if len(failures) == 1 else f"{len(failures)} validation errors"
            raise ValidationException(f"{number} detected: {'; '.join(failures)}")
        runtime = params.get("Runtime")
        if runtime is not None and runtime not in self._runtimes():
            raise InvalidParameterValueException(
                f"Value {runtime} at 'runtime' failed to satisfy constraint: "
                f"Member must satisfy enum value set: [{', '.join(self._runtimes())}] or be a valid ARN"
            )

    def _runtimes(self) -> list[str]:
        names: list[str] = self._spec.model.shape_for("Runtime").metadata["enum"]
        return names

    def _for_operation(self, operation: str) -> Check | None:
        shape = self._spec.operations[operation].input_shape
        return None if shape is None else self._structure(shape, own_error=frozenset({"Runtime"}))

    def _check(self, shape: Any) -> Check | None:
        if shape.name in self._checks:
            return self._checks[shape.name]
        # Shapes may refer to themselves: until this one is made, whoever needs it looks it up when called.
        self._checks[shape.name] = lambda value, path, failures: _call(self._checks[shape.name], value, path, failures)
        match shape.type_name:
            case "structure":
                check = self._structure(shape)
            case "list":
                check = self._list(shape)
            case "map":
                check = self._map(shape)
            case _:
                check = _scalar(shape)
        self._checks[shape.name] = check
        return check

    def _structure(self, shape: Any, own_error: frozenset[str] = frozenset()) -> Check | None:
        required = frozenset(shape.required_members)
        plan = []
        for member, member_shape in shape.members.items():
            check = None if member in own_error else self._check(member_shape)
            if check is not None or member in required:
                plan.append((member, lower_camel(member), member in required, check))
        if not plan:
            return None

        def check_structure(value: Any, path: str, failures: list[str]) -> None:
            prefix = f"{path}." if path else ""
            for member, name, needed, check in plan:
                given = value.get(member)
                if given is None:
                    if needed:
                        failures.append(_failure("null", prefix + name, "Member must not be null"))
                elif check is not None:
                    check(given, prefix + name if prefix else name, failures)

        return check_structure

    def _list(self, shape: Any) -> Check:
        size = _constraints(shape)
        element = shape.member
        sensitive = _sensitive(shape) or _sensitive(element)
        if element.type_name in {"structure", "list", "map"}:
            each = self._check(element)
            constraints: list[Constraint] = []
        else:
            each = None
            constraints = _constraints(element)
        bare = element.name == "Runtime"
        told = ", ".join([text for text, _ in constraints] + ["Member must not be null"])
        told = constraints[0][0] if bare else f"Member must satisfy constraint: [{told}]"

        def known(value: list[str | None]) -> list[str | None]:
            return [item if item is not None and constraints[0][1](item) else None for item in value]

        def check_list(value: Any, path: str, failures: list[str]) -> None:
            for text, holds in size:
                if not holds(value):
                    failures.append(_failure(_shown(value, sensitive), path, text))
            for item in value:
                if item is None or not all(holds(item) for _, holds in constraints):
                    failures.append(_failure(_shown(known(value) if bare else value, sensitive), path, told))
                    break
            if each is not None:
                for number, item in enumerate(value, start=1):
                    if item is not None:
                        each(item, f"{path}.{number}.member", failures)

        return check_list

    def _map(self, shape: Any) -> Check:
        size = _constraints(shape)
        keys = _constraints(shape.key)
        values = _constraints(shape.value)
        each = self._check(shape.value) if shape.value.type_name in {"structure", "list", "map"} else None
        sensitive = _sensitive(shape) or _sensitive(shape.key) or _sensitive(shape.value)
        keys_told = ", ".join([text for text, _ in keys] + ["Member must not be null"])
        values_told = ", ".join([text for text, _ in values] + ["Member must not be null"])

        def check_map(value: Any, path: str, failures: list[str]) -> None:
            for text, holds in size:
                if not holds(value):
                    failures.append(_failure(_shown(value, sensitive), path, text))
            if not all(holds(key) for key in value for _, holds in keys):
                told = f"Map keys must satisfy constraint: [{keys_told}]"
                failures.append(_failure(_shown(value, sensitive), path, told))
            if not all(item is not None and all(holds(item) for _, holds in values) for item in value.values()):
                told = f"Map value must satisfy constraint: [{values_told}]"
                failures.append(_failure(_shown(value, sensitive), path, told))
            if each is not None:
                for key, item in value.items():
                    if item is not None:
                        each(item, f"{path}.{key}.member", failures)

        return check_map


Constraint = tuple[str, Callable[[Any], bool]]


def lower_camel(member: str) -> str:
    """`KMSKeyArn` -> `kMSKeyArn`, as AWS does it."""
    return member[:1].lower() + member[1:]


def _call(check: Check | None, value: Any, path: str, failures: list[str]) -> None:
    if check is not None:
        check(value, path, failures)


def _failure(shown: str, path: str, constraint: str) -> str:
    return f"Value{shown and ' ' + shown} at '{path}' failed to satisfy constraint: {constraint}"


def _sensitive(shape: Any) -> bool:
    return bool(shape.metadata.get("sensitive"))


def _shown(value: Any, sensitive: bool) -> str:
    return "" if sensitive else f"'{java_text(value)}'"


def java_text(value: Any) -> str:
    """What Java's `toString` gives for a parameter."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case bytes():
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
        case list():
            return f"[{', '.join(java_text(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{key}={java_text(item)}' for key, item in value.items())}}}"
        case _:
            return str(value)


def _scalar(shape: Any) -> Check | None:
    constraints = _constraints(shape)
    if not constraints:
        return None
    # A scalar's failures are told one by one, the pattern first.
    constraints.sort(key=lambda constraint: not constraint[0].startswith(_PATTERN))
    sensitive = _sensitive(shape)
    if len(constraints) == 1:
        ((only_text, only_holds),) = constraints

        def check_one(value: Any, path: str, failures: list[str]) -> None:
            if not only_holds(value):
                failures.append(_failure(_shown(value, sensitive), path, only_text))

        return check_one

    def check_scalar(value: Any, path: str, failures: list[str]) -> None:
        for text, holds in constraints:
            if not holds(value):
                failures.append(_failure(_shown(value, sensitive), path, text))

    return check_scalar


_PATTERN: Final = "Member must satisfy regular expression pattern: "


def _constraints(shape: Any) -> list[Constraint]:
    """What the model demands of values of `shape`, in the order in which AWS lists them for elements."""
    metadata = shape.metadata
    constraints: list[Constraint] = []
    lowest, highest = metadata.get("min"), metadata.get("max")
    if shape.type_name in {"string", "blob", "list", "map"}:
        if highest is not None:
            constraints.append(
                (f"Member must have length less than or equal to {highest}", lambda value: len(value) <= highest)
            )
        if lowest:
            constraints.append(
                (f"Member must have length greater than or equal to {lowest}", lambda value: len(value) >= lowest)
            )
        elif lowest is not None:
            # Cannot fail, and is listed all the same where AWS lists an element's constraints.
            constraints.append((f"Member must have length greater than or equal to {lowest}", _always))
    else:
        number = float if shape.type_name in {"double", "float"} else int
        if highest is not None:
            constraints.append(
                (f"Member must have value less than or equal to {number(highest)}", lambda value: value <= highest)
            )
        if lowest is not None:
            constraints.append(
                (f"Member must have value greater than or equal to {number(lowest)}", lambda value: value >= lowest)
            )
    pattern = metadata.get("pattern")
    if pattern is not None:
        fullmatch = compile_java(pattern).fullmatch
        constraints.append((_PATTERN + pattern, lambda value: fullmatch(value) is not None))
    enum = metadata.get("enum")
    if enum is not None:
        allowed = frozenset(enum)
        constraints.append((f"Member must satisfy enum value set: [{', '.join(enum)}]", allowed.__contains__))
    return constraints


def _always(_: Any) -> bool:
    return True
