from collections.abc import Callable
from typing import Any

import pytest

from lamella.awsapi.spec import ServiceSpec
from lamella.awsapi.validate import Validator, java_text, lower_camel
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.errors import ValidationException

ROLE = "arn:aws:iam::123456789012:role/r"
ROLE_PATTERN = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
NAME_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?"
    r"(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
LAYER_PATTERN = (
    r"((arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:"
    r"[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+))"
)
GOOD = {"FunctionName": "f", "Role": ROLE, "Code": {}}
FAILED = "failed to satisfy constraint:"


@pytest.fixture(scope="module")
def validator(spec: ServiceSpec) -> Validator:
    return Validator(spec)


def message_of(validator: Validator, operation: str, params: dict[str, Any]) -> str:
    with pytest.raises(ValidationException) as caught:
        validator.validate(operation, params)
    return caught.value.message


def test_good_parameters(validator: Validator) -> None:
    validator.validate(
        "Invoke", {"FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:f:live", "LogType": "Tail"}
    )
    validator.validate(
        "CreateFunction",
        GOOD
        | {
            "Runtime": "python3.11",
            "MemorySize": 128,
            "Architectures": ["arm64"],
            "Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:l:1"],
            "Environment": {"Variables": {"AB": ""}},
            "Tags": {"Größe": ""},
        },
    )


@pytest.mark.parametrize(
    ("extra", "failure"),
    [
        ({"MemorySize": 1}, f"Value '1' at 'memorySize' {FAILED} Member must have value greater than or equal to 128"),
        ({"Timeout": 5401}, f"Value '5401' at 'timeout' {FAILED} Member must have value less than or equal to 5400"),
        ({"Role": "r"}, f"Value 'r' at 'role' {FAILED} Member must satisfy regular expression pattern: {ROLE_PATTERN}"),
        ({"Role": None}, f"Value null at 'role' {FAILED} Member must not be null"),
        (
            {"PackageType": "Jar"},
            f"Value 'Jar' at 'packageType' {FAILED} Member must satisfy enum value set: [Zip, Image]",
        ),
        (
            {"KMSKeyArn": "k"},
            (
                f"Value 'k' at 'kMSKeyArn' {FAILED} Member must satisfy regular expression pattern: "
                "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()"
            ),
        ),
        (
            {"Architectures": ["x86_64", "arm64"]},
            f"Value '[x86_64, arm64]' at 'architectures' {FAILED} Member must have length less than or equal to 1",
        ),
        (
            {"Architectures": ["foo"]},
            (
                f"Value '[foo]' at 'architectures' {FAILED} Member must satisfy constraint: "
                "[Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
            ),
        ),
        (
            {"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:ok:1", "bad"]},
            (
                f"Value '[arn:aws:lambda:us-east-1:123456789012:layer:ok:1, bad]' at 'layers' {FAILED} "
                "Member must satisfy constraint: [Member must have length less than or equal to 2048, "
                "Member must have length greater than or equal to 1, "
                f"Member must satisfy regular expression pattern: {LAYER_PATTERN}, Member must not be null]"
            ),
        ),
        (
            {"VpcConfig": {"SubnetIds": [None]}},
            (
                f"Value '[null]' at 'vpcConfig.subnetIds' {FAILED} Member must satisfy constraint: "
                "[Member must have length less than or equal to 1024, "
                "Member must have length greater than or equal to 0, "
                "Member must satisfy regular expression pattern: subnet-[0-9a-z]*, Member must not be null]"
            ),
        ),
        (
            {"Environment": {"Variables": {"1A": "secret"}}},
            (
                f"Value at 'environment.variables' {FAILED} Map keys must satisfy constraint: "
                "[Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+, Member must not be null]"
            ),
        ),
        (
            {"Environment": {"Variables": {"AB": None}}},
            f"Value at 'environment.variables' {FAILED} Map value must satisfy constraint: [Member must not be null]",
        ),
        (
            {"Tags": {"a": "#"}},
            (
                f"Value '{{a=#}}' at 'tags' {FAILED} Map value must satisfy constraint: "
                "[Member must have length less than or equal to 256, "
                "Member must have length greater than or equal to 0, "
                r"Member must satisfy regular expression pattern: ([\p{L}\p{Z}\p{N}_.:/=+\-@]*), "
                "Member must not be null]"
            ),
        ),
        (
            {"TracingConfig": {"Mode": "On"}},
            f"Value 'On' at 'tracingConfig.mode' {FAILED} Member must satisfy enum value set: [Active, PassThrough]",
        ),
        (
            {"EphemeralStorage": {}},
            f"Value null at 'ephemeralStorage.size' {FAILED} Member must not be null",
        ),
    ],
)
def test_one_failure(validator: Validator, extra: dict[str, Any], failure: str) -> None:
    assert message_of(validator, "CreateFunction", GOOD | extra) == f"1 validation error detected: {failure}"


def test_all_failures_are_told_at_once_the_pattern_before_the_length(validator: Validator) -> None:
    assert message_of(validator, "CreateFunction", {"FunctionName": "", "Code": {}, "MemorySize": 1}) == (
        "4 validation errors detected: "
        f"Value '' at 'functionName' {FAILED} Member must satisfy regular expression pattern: {NAME_PATTERN}; "
        f"Value '' at 'functionName' {FAILED} Member must have length greater than or equal to 1; "
        f"Value null at 'role' {FAILED} Member must not be null; "
        f"Value '1' at 'memorySize' {FAILED} Member must have value greater than or equal to 128"
    )


def test_elements_that_are_structures_are_counted_from_one(validator: Validator) -> None:
    configs = [{"Arn": "x", "LocalMountPath": "/mnt/x"}, {"LocalMountPath": "/tmp"}]
    message = message_of(validator, "CreateFunction", GOOD | {"FileSystemConfigs": configs})
    assert "at 'fileSystemConfigs.1.member.arn' failed" in message
    assert f"Value null at 'fileSystemConfigs.2.member.arn' {FAILED} Member must not be null" in message
    assert f"Value '/tmp' at 'fileSystemConfigs.2.member.localMountPath' {FAILED}" in message


def test_a_missing_structure_in_a_list(validator: Validator) -> None:
    message = message_of(validator, "CreateFunction", GOOD | {"FileSystemConfigs": [None]})
    assert message == (
        f"1 validation error detected: Value '[null]' at 'fileSystemConfigs' {FAILED} "
        "Member must satisfy constraint: [Member must not be null]"
    )


def test_runtimes_in_a_list(validator: Validator, spec: ServiceSpec) -> None:
    runtimes = ", ".join(spec.model.shape_for("Runtime").metadata["enum"])
    params = {"LayerName": "l", "Content": {}, "CompatibleRuntimes": ["cobol", "provided.al2", None]}
    assert message_of(validator, "PublishLayerVersion", params) == (
        f"1 validation error detected: Value '[null, provided.al2, null]' at 'compatibleRuntimes' {FAILED} "
        f"Member must satisfy enum value set: [{runtimes}]"
    )


@pytest.mark.parametrize("operation", ["CreateFunction", "UpdateFunctionConfiguration"])
def test_the_runtime_of_a_function_has_an_error_of_its_own(validator: Validator, operation: str) -> None:
    params = {"FunctionName": "f", "Runtime": "cobol"} | (GOOD if operation == "CreateFunction" else {})
    with pytest.raises(InvalidParameterValueException) as caught:
        validator.validate(operation, params)
    assert caught.value.message.startswith(
        f"Value cobol at 'runtime' {FAILED} Member must satisfy enum value set: [nodejs, "
    )
    assert caught.value.message.endswith("] or be a valid ARN")


def test_other_failures_come_before_the_runtime(validator: Validator) -> None:
    message = message_of(validator, "CreateFunction", GOOD | {"Runtime": "cobol", "MemorySize": 1})
    assert message.startswith("1 validation error detected: Value '1' at 'memorySize'")


def test_weights_of_an_alias(validator: Validator) -> None:
    params = {"FunctionName": "f", "Name": "live", "RoutingConfig": {"AdditionalVersionWeights": {"x": 1.5}}}
    where = f"Value '{{x=1.5}}' at 'routingConfig.additionalVersionWeights' {FAILED}"
    assert message_of(validator, "UpdateAlias", params) == (
        f"2 validation errors detected: {where} Map keys must satisfy constraint: "
        "[Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, "
        f"Member must satisfy regular expression pattern: [0-9]+, Member must not be null]; {where} "
        "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, "
        "Member must have value greater than or equal to 0.0, Member must not be null]"
    )


def test_maps_of_lists(validator: Validator) -> None:
    endpoints = {"KAFKA_BOOTSTRAP_SERVERS": ["nowhere"]}
    params = {"FunctionName": "f", "SelfManagedEventSource": {"Endpoints": endpoints}}
    message = message_of(validator, "CreateEventSourceMapping", params)
    path = "selfManagedEventSource.endpoints.KAFKA_BOOTSTRAP_SERVERS.member"
    assert f"Value '[nowhere]' at '{path}' {FAILED} Member must satisfy constraint: [" in message
    too_few = {"FunctionName": "f", "SelfManagedEventSource": {"Endpoints": {}}}
    assert f"at 'selfManagedEventSource.endpoints' {FAILED} Member must have length greater than or equal to 1" in (
        message_of(validator, "CreateEventSourceMapping", too_few)
    )


def test_a_list_that_is_missing_from_a_map(validator: Validator) -> None:
    endpoints = {"KAFKA_BOOTSTRAP_SERVERS": None}
    params = {"FunctionName": "f", "SelfManagedEventSource": {"Endpoints": endpoints}}
    assert "Map value must satisfy constraint: [Member must have length" in message_of(
        validator, "CreateEventSourceMapping", params
    )


SHAPES: dict[str, Any] = {
    "Tree": {"type": "structure", "members": {"Next": {"shape": "Tree"}, "Name": {"shape": "Short"}}},
    "Loop": {"type": "structure", "members": {"Next": {"shape": "Loop"}, "Free": {"shape": "S"}}},
    "Short": {"type": "string", "max": 1},
    "Data": {"type": "blob", "max": 2},
    "Free": {"type": "list", "member": {"shape": "S"}},
}


@pytest.fixture(scope="module")
def made(made_spec: Callable[..., ServiceSpec]) -> Validator:
    members = {
        "Tree": {"shape": "Tree"},
        "Loop": {"shape": "Loop"},
        "Data": {"shape": "Data"},
        "Free": {"shape": "Free"},
    }
    return Validator(made_spec(uri="/do", shapes=SHAPES, take={"members": members}))


def test_shapes_that_refer_to_themselves(made: Validator) -> None:
    made.validate("Do", {"Tree": {"Next": {"Name": "a"}}, "Loop": {"Next": {"Next": {}}}})
    message = message_of(made, "Do", {"Tree": {"Next": {"Next": {"Name": "ab"}}}})
    assert message.startswith("1 validation error detected: Value 'ab' at 'tree.next.next.name' failed")


def test_blobs_are_not_echoed(made: Validator) -> None:
    message = message_of(made, "Do", {"Data": b"abc"})
    assert "Value 'java.nio.HeapByteBuffer[pos=0 lim=3 cap=3]' at 'data'" in message


def test_elements_without_constraints_must_still_not_be_null(made: Validator) -> None:
    made.validate("Do", {"Free": ["a", ""]})
    assert "[Member must not be null]" in message_of(made, "Do", {"Free": ["a", None]})


def test_an_operation_without_constraints(made_spec: Callable[..., ServiceSpec]) -> None:
    Validator(made_spec(uri="/do", take={"members": {"Any": {"shape": "S"}}})).validate("Do", {"Any": "x"})
    Validator(made_spec(uri="/do")).validate("Do", {})


def test_every_operation_can_be_checked(validator: Validator, spec: ServiceSpec) -> None:
    for name, operation in spec.operations.items():
        required = operation.input_shape.required_members if operation.input_shape else []
        if required:
            assert f"Value null at '{lower_camel(required[0])}'" in message_of(validator, name, {})
        else:
            validator.validate(name, {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (0.5, "0.5"),
        ("x", "x"),
        (b"x", "java.nio.HeapByteBuffer[pos=0 lim=1 cap=1]"),
        (["a", None], "[a, null]"),
        ({"a": [1], "b": {}}, "{a=[1], b={}}"),
    ],
)
def test_values_are_printed_as_java_prints_them(value: object, text: str) -> None:
    assert java_text(value) == text
