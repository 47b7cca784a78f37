"""Whatever it is asked, each operation answers with what a client can read: a result, or an error it declares.

Parameters are drawn from the model, valid ones and others, and name what is there often enough to get somewhere.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import botocore.parsers
import botocore.validate
import pytest
from botocore.awsrequest import AWSPreparedRequest, create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

import lamella.app.operations  # noqa: F401 - with it come the handlers of all operations
from lamella.adapters.sql.database import Database
from lamella.awsapi.patterns import compile_java
from lamella.awsapi.registry import OPERATIONS
from lamella.awsapi.serialize import WireResponse
from lamella.awsapi.spec import ServiceSpec
from lamella.domain.errors import COMMON_ERRORS, OperationNotImplementedError
from lamella.domain.event import AcceptedEvent
from lamella.domain.function import Architecture, FunctionVersion
from lamella.domain.invocation import Invocation, Outcome
from lamella.domain.mapping import ENABLED, EventSourceMapping
from lamella.invoke.asynchronous import AsynchronousServices
from lamella.invoke.dispatcher import Dispatcher
from lamella.invoke.permissions import Permissions
from lamella.invoke.router import BusyError
from lamella.invoke.router import Router as InvocationRouter
from lamella.invoke.service import InvokeServices
from lamella.invoke.targets import Targets
from lamella.lifecycle.admission import Throttle

T = TypeVar("T")
Params = dict[str, Any]  # Any: values of the model's shapes, or of none

SERVICES: Final = ("lambda", "lambda-core")
MODELS: Final = tuple(ServiceModel(Loader().load_service_model(name, "service-2"), name) for name in SERVICES)
SPECS: Final = tuple(ServiceSpec.load(name) for name in SERVICES)
SERIALIZER: Final = create_serializer("rest-json", include_validation=False)
PARSER: Final = botocore.parsers.create_parser("rest-json")

HERE: Final = f"arn:aws:lambda:{REGION}:{ACCOUNT}"
FUNCTION: Final = f"{HERE}:function:f"
SIGNING: Final = f"{HERE}:code-signing-config:csc-0123456789abcdef0"
MAPPING: Final = f"{HERE}:event-source-mapping:14e0db71-5b02-4e16-8cc3-a44d4ba2b2f4"
RUNTIME: Final = f"{HERE}:runtime/rt"
FUNCTION_NAMES: Final = (
    "f", "f", "f", FUNCTION, f"{ACCOUNT}:function:f", "f:1", "f:$LATEST", "f:alias", f"{FUNCTION}:9", "g", "missing",
    "arn:aws:lambda:us-east-1:123456789012:function:f", "arn:aws:lambda:eu-central-1:111111111111:function:f",
)  # fmt: skip
KNOWN: Final[Mapping[str, tuple[Any, ...]]] = {  # Any: values of the shapes
    **dict.fromkeys(["FunctionName", "NamespacedFunctionName", "UnqualifiedFunctionName"], FUNCTION_NAMES),
    **dict.fromkeys(
        ["Qualifier", "NumericLatestPublishedOrAliasQualifier", "Version", "Alias"], ("$LATEST", "1", "2", "alias")
    ),
    "FunctionCode": ({"ZipFile": zipped(index__py="1")},),
    "LayerVersionContentInput": ({"ZipFile": zipped(index__py="1")},),
    "PackageType": ("Zip", "Image"),
    "Blob": (zipped(index__py="1"), zipped(index__py="2"), b"no zip", b""),
    "CodeSigningConfigArn": (SIGNING, SIGNING, f"{SIGNING[:-1]}1", SIGNING.replace(REGION, "us-east-1")),
    "TaggableResource": (FUNCTION, FUNCTION, f"{FUNCTION}:1", SIGNING, MAPPING, f"{HERE}:capacity-provider:c"),
    "RoleArn": (f"arn:aws:iam::{ACCOUNT}:role/r",),
    "Runtime": ("python3.11", "python3.11", "provided.al2023", "nodejs22.x", "custom"),
    "FunctionRuntimeConfig": ({"RuntimeArn": RUNTIME, "RuntimeAlias": "prod"},),
    "RuntimeIdentifier": ("rt", "rt", RUNTIME, "missing", RUNTIME.replace(ACCOUNT, "1" * 12)),
    "RuntimeVersionName": ("v1", "v1", "v2", "missing"),
    "RuntimeAliasName": ("prod", "prod", "test"),
    "Handler": ("index.handler",),
    "UUIDString": (MAPPING.rpartition(":")[2], "0" * 36),
    "LayerNameOrArn": ("l", f"{HERE}:layer:l", "arn:aws:lambda:us-east-1:111111111111:layer:l"),
    "LayerVersionArn": (f"{HERE}:layer:l:1", f"{HERE}:layer:l:2", f"{HERE.replace(ACCOUNT, '1' * 12)}:layer:l:1"),
    "LayerVersionNumber": (1, 1, 2, 0, -(2**63), 2**63 - 1),
    "RuntimeVersionArn": (
        *(f"arn:aws:lambda:{REGION}::runtime:{digest:064x}" for digest in (0, 1, 9)),
        f"{RUNTIME}/version/v1",
    ),
    "PolicyResourceArn": (FUNCTION, RUNTIME, f"{FUNCTION}:1", f"{RUNTIME}/alias/prod"),
}

SENSIBLE: Final[Mapping[str, Params]] = {
    "CreateFunction": {"FunctionName": "new", "Handler": "index.handler", "Runtime": "python3.11"},
    "CreateRuntimeAlias": {"Name": "new", "RuntimeVersion": "v1"},
    "CreateRuntimeVersion": {"Name": "new", "ImageUri": "image"},
    "DeleteLayerVersion": {"VersionNumber": 1},
    "Invoke": {"Payload": b"{}"},
    "InvokeWithResponseStream": {"Payload": b"{}"},
    "GetLayerVersion": {"VersionNumber": 1},
    "UpdateFunctionCode": {"ZipFile": zipped(index__py="2")},
}
"""Members without which, or with other values, nothing would come of an operation."""

REFUSED: Final = frozenset(
    {
        "AcceleratorConfig",
        "CapacityProviderConfig",
        "DurableConfig",
        "FileSystemConfigs",
        "PublishTo",
        "RevisionId",
        "RuntimeConfig",
    }
)
"""Members with which nothing would come of any operation."""


def model_of(operation: str) -> OperationModel:
    return next(model for model in MODELS if operation in model.operation_names).operation_model(operation)


TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VISIBLE: Final = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
WILD: Final[Mapping[str, st.SearchStrategy[Any]]] = {  # Any: values of several types
    "string": TEXT,
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "blob": st.binary(max_size=8),
    "timestamp": st.datetimes(),
}


@cache
def values(shape: Shape) -> st.SearchStrategy[Any]:  # Any: values of the shape
    """What has the shape's type. Mostly it keeps to the constraints, and often it names what is there."""
    match shape.type_name:
        case "structure" if shape.name in KNOWN:
            return st.one_of(st.sampled_from(KNOWN[shape.name]), _structures(shape))
        case "structure":
            return st.deferred(lambda: _structures(shape))
        case "list":
            most = shape.metadata.get("max", 2) + 1
            return st.lists(values(shape.member), max_size=3) | st.lists(values(shape.member), max_size=min(most, 20))
        case "map":
            return st.dictionaries(values(shape.key), values(shape.value), max_size=3)
        case kind:
            valid = _valid(shape)
            known = st.sampled_from(KNOWN[shape.name]) if shape.name in KNOWN else valid
            return st.one_of(known, known, valid, WILD[kind])


def _structures(shape: Shape) -> st.SearchStrategy[Params]:
    members = {name: values(member) for name, member in shape.members.items()}
    needed = {name: members[name] for name in shape.required_members}
    optional = {name: member for name, member in members.items() if name not in needed}
    few = st.fixed_dictionaries(needed)
    return st.one_of(few, st.fixed_dictionaries(needed, optional=optional), st.fixed_dictionaries({}, optional=members))


def _valid(shape: Shape, *, beyond: bool = True) -> st.SearchStrategy[Any]:  # Any: values of the shape
    """What keeps to the constraints, and the first values `beyond` the bounds of numbers and lengths."""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.metadata.get("enum"):
        return st.sampled_from(shape.metadata["enum"])
    if shape.type_name in {"integer", "long"} and (least is not None or most is not None):
        within = st.integers(least or 0, 2**31 - 1 if most is None else most)
        bounds = [bound + more for bound in (least, most) if bound is not None for more in (-1, 0, 1)]
        return within | st.sampled_from(bounds) if beyond else within
    if shape.name == "RuntimeAliasDescription":
        return VISIBLE  # making texts of all but control characters takes seconds
    if shape.type_name == "string" and "pattern" in shape.metadata:
        return st.from_regex(compile_java(shape.metadata["pattern"]), fullmatch=True)
    if shape.type_name == "string" and most is not None and not beyond:
        return st.text(
            st.characters(exclude_categories=["Cs"]), min_size=least or 0, max_size=max(least or 0, min(most, 8))
        )
    if shape.type_name == "string" and most is not None:
        return TEXT | st.sampled_from(["x" * least if least else "x", "x" * min(most, 20_000), "x" * (most + 1)])
    return WILD[shape.type_name]


def parameters(operation: str) -> st.SearchStrategy[Params]:
    """Parameters that botocore can put into a request, which is all it takes; two times in three they are sensible."""
    return _one_in(3, _any(operation), _sensible(operation))


def _one_in(count: int, rare: st.SearchStrategy[T], usual: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """Unlike `one_of`, which leaves a strategy alone once it has drawn all that it gives."""
    return st.integers(1, count).flatmap(lambda number: rare if number == count else usual)


def _sensible(operation: str) -> st.SearchStrategy[Params]:
    """What is required, with a few members besides, all within their constraints and of what is there."""
    shape = model_of(operation).input_shape
    given_always = SENSIBLE.get(operation, {})
    needed = {name: _good(shape.members[name]) for name in shape.required_members}
    needed |= {name: st.just(value) for name, value in given_always.items()}
    optional = sorted(shape.members.keys() - needed.keys() - REFUSED)
    return (
        st.lists(st.sampled_from(optional), max_size=2, unique=True).flatmap(
            lambda names: st.fixed_dictionaries({**needed, **{name: _good(shape.members[name]) for name in names}})
        )
        if optional
        else st.fixed_dictionaries(needed)
    )


@cache
def _good(shape: Shape) -> st.SearchStrategy[Any]:  # Any: values of the shape
    if shape.name in KNOWN:
        return st.just(KNOWN[shape.name][0])
    match shape.type_name:
        case "structure":
            members = {name: _good(member) for name, member in shape.members.items()}
            needed = {name: members.pop(name) for name in shape.required_members}
            return st.fixed_dictionaries(needed, optional=members)
        case "list":
            return st.lists(_good(shape.member), min_size=1, max_size=min(2, shape.metadata.get("max", 2)))
        case "map":
            return st.dictionaries(_good(shape.key), _good(shape.value), max_size=2)
        case "string" if shape.serialization.get("location") == "header":
            return st.sampled_from(shape.metadata["enum"]) if "enum" in shape.metadata else VISIBLE
        case _:
            return _valid(shape, beyond=False)


def _any(operation: str) -> st.SearchStrategy[Params]:
    shape = model_of(operation).input_shape
    needed: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, member in shape.members.items():
        match member.serialization.get("location"), member.type_name:
            case "uri", "string":  # never empty, and botocore's URLs normalise dots
                needed[name] = values(member).filter(lambda text: text not in {"", ".", ".."})
            case "uri", _:
                needed[name] = values(member)
            case "header", "string":
                optional[name] = st.sampled_from(member.metadata["enum"]) if "enum" in member.metadata else VISIBLE
            case _:
                optional[name] = values(member)
    return st.fixed_dictionaries(needed, optional=optional)


def bodies(operation: str) -> st.SearchStrategy[bytes]:
    """What botocore would not send: members of other types, or no JSON."""
    shape = model_of(operation).input_shape
    names = [name for name, member in shape.members.items() if member.serialization.get("location") is None]
    objects = st.dictionaries(st.sampled_from(names), JSON) if names else JSON
    return st.one_of(objects.map(lambda value: json.dumps(value).encode()), JSON.map(_dump), st.binary(max_size=20))


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()


Call = tuple[str, Params, bytes | None]


def calls(operation: str) -> st.SearchStrategy[Call]:
    """Requests of one operation; one in eight has another body than its parameters make."""
    return st.tuples(st.just(operation), parameters(operation), _one_in(8, bodies(operation), st.none()))


def request_of(operation: str, params: Params) -> AWSPreparedRequest:
    request = SERIALIZER.serialize_to_request(params, model_of(operation))
    prepare_request_dict(request, endpoint_url="http://localhost:4566", context={})
    return create_request_object(request).prepare()


class Answering:
    """A data plane without sandboxes: functions answer at once, and are too busy for a stream."""

    def __init__(self, server: ControlServer) -> None:
        self.targets = Targets(server.functions, server.aliases)
        self.permissions = Permissions(server.records.functions)

    async def invoke(
        self,
        version: FunctionVersion,
        invocation: Invocation,
        *,
        want_tail: bool,
        stream: object = None,
        synchronous: bool = True,
    ) -> Outcome:
        if stream is not None:
            raise BusyError(Throttle.FUNCTION)
        return Outcome(invocation.payload, log_tail=b"END" if want_tail else None)


class Accepting:
    """A queue that loses everything, which nobody notices before an event is run."""

    async def accept(self, event: AcceptedEvent) -> None:
        assert event.key.account == ACCOUNT


@contextmanager
def populated(*, sqlite: bool) -> Iterator[ControlServer]:
    """A server with a function and a version of it, a layer, a code signing configuration and a mapping's record."""
    with tempfile.TemporaryDirectory() as directory:
        database = Database.open(Path(directory) / "lamella.db") if sqlite else None
        server = ControlServer(database)
        server.groups.append(InvokeServices(cast("InvocationRouter", Answering(server))))
        server.groups.append(AsynchronousServices(cast("Dispatcher", Accepting()), server.clock))
        try:
            _populate(server)
            yield server
        finally:
            server.close()
            if database is not None:
                database.close()


def _populate(server: ControlServer) -> None:
    code = {"ZipFile": zipped(index__py="1")}
    function = {"Runtime": "python3.11", "Role": f"arn:aws:iam::{ACCOUNT}:role/r", "Handler": "index.handler"}
    for operation, params in (
        ("CreateFunction", {"FunctionName": "f", "Code": code, "Publish": True, **function}),
        ("CreateFunction", {"FunctionName": "g", "Code": code, **function}),
        ("PublishLayerVersion", {"LayerName": "l", "Content": code}),
    ):
        assert server.answer(request_of(operation, params)).status == 201
    server.release()
    server.contents.offer("image", *Architecture)
    for operation, params in (
        ("CreateRuntime", {"Name": "rt"}),
        ("CreateRuntimeVersion", {"RuntimeName": "rt", "Name": "v1", "ImageUri": "image"}),
        ("CreateRuntimeVersion", {"RuntimeName": "rt", "Name": "v2", "ImageUri": "image"}),
    ):
        assert server.answer(request_of(operation, params)).status in {201, 202}
    server.run(server.fetches.wait_done())
    alias = {"RuntimeName": "rt", "Name": "prod", "RuntimeVersion": "v1"}
    assert server.answer(request_of("CreateRuntimeAlias", alias)).status == 201
    signing = {
        "CodeSigningConfigId": SIGNING.rpartition(":")[2],
        "CodeSigningConfigArn": SIGNING,
        "AllowedPublishers": {"SigningProfileVersionArns": ["arn:aws:signer:eu-central-1:123456789012:x"]},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"},
        "LastModified": "2026-11-20T20:01:02.123+0000",
    }
    mapping = EventSourceMapping(
        uuid=MAPPING.rpartition(":")[2],
        account=ACCOUNT,
        region=REGION,
        source_arn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:q",
        function_arn=f"{HERE}:function:f",
        batch_size=10,
        window_s=0,
        enabled=True,
        state=ENABLED,
        modified_at=1.0,
    )
    for arn, document in ((SIGNING, signing), (MAPPING, mapping.document())):
        kind, id_ = arn.split(":")[-2:]
        server.run(server.records.accounts.put(ACCOUNT, REGION, kind, id_, document))


def check(operation: str, answer: WireResponse) -> None:
    """The answer is one of those that the model gives the operation."""
    model = model_of(operation)
    headers = {name.lower(): value for name, value in answer.headers}
    wire = {"status_code": answer.status, "headers": headers, "body": answer.body}
    if answer.status >= 300:
        error = PARSER.parse(wire, model.output_shape)
        spec = next(spec for spec in SPECS if operation in spec.operations)
        declared = spec.declared_errors(operation) | {error.code for error in COMMON_ERRORS}
        assert error["Error"]["Code"] in declared
        assert answer.status < 500 or error["Error"]["Code"] == OperationNotImplementedError.code
        return
    shape = model.output_shape
    assert answer.stream is None
    if shape is None or answer.status == 204:
        assert answer.body == b""
        return
    if model.has_streaming_output or model.has_event_stream_output:
        return  # the body is the function's
    assert answer.status == (json.loads(answer.body).get("StatusCode") or model.http["responseCode"])
    result = PARSER.parse(wire, shape)
    del result["ResponseMetadata"]
    if operation == "GetFunctionCodeSigningConfig" and not result:
        return  # AWS leaves out what its model requires
    report = botocore.validate.ParamValidator().validate(result, shape)
    assert not report.has_errors(), report.generate_report()


QUICK: Final = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.differing_executors],
)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@settings(QUICK, max_examples=12)
@given(data=st.data())
def test_whatever_it_is_asked(operation: str, data: st.DataObject) -> None:
    _, params, body = data.draw(calls(operation))
    with populated(sqlite=False) as server:
        check(operation, server.answer(request_of(operation, params), body=body))


@pytest.mark.parametrize("sqlite", [False, True], ids=["memory", "sqlite"])
@settings(QUICK, max_examples=10)
@given(data=st.data())
def test_in_whatever_order(sqlite: bool, data: st.DataObject) -> None:
    with populated(sqlite=sqlite) as server:
        for operation in data.draw(st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=1, max_size=20)):
            _, params, body = data.draw(calls(operation), label=operation)
            check(operation, server.answer(request_of(operation, params), body=body))
