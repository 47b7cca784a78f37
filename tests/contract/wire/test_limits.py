"""AWS's limits, and relaxed ones that say what AWS would have refused."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import zipped
from tests.contract.wire.front_server import FrontServer, create

from lamella.domain.quotas import LimitProfile

BEYOND = "x-lamella-beyond-aws"
TOO_MUCH: dict[str, Any] = {
    "Timeout": 901,
    "MemorySize": 10_241,
    "EphemeralStorage": {"Size": 10_241},
    "Environment": {"Variables": {"LARGE": "x" * 5_000}},
}


@pytest.fixture
def relaxed() -> Iterator[FrontServer]:
    server = FrontServer(limits=LimitProfile.RELAXED)
    yield server
    server.close()


@pytest.fixture
def strict() -> Iterator[FrontServer]:
    server = FrontServer()
    yield server
    server.close()


def warnings(answer: Any) -> str:
    return str(answer["ResponseMetadata"]["HTTPHeaders"].get(BEYOND, ""))


@pytest.mark.parametrize("member", TOO_MUCH)
def test_what_aws_refuses(strict: FrontServer, member: str) -> None:
    client = strict.client(strict.key())
    create(client, "f")
    with pytest.raises(ClientError):
        client.update_function_configuration(FunctionName="f", **{member: TOO_MUCH[member]})


@pytest.mark.parametrize(
    ("member", "warning"),
    [
        ("Timeout", "function timeout: 901 s, where AWS allows 900 s"),
        ("MemorySize", "function memory: 10241 MiB, where AWS allows 10240 MiB"),
        ("EphemeralStorage", "ephemeral storage of a function: 10241 MiB, where AWS allows 10240 MiB"),
        ("Environment", "environment variables of a function: 5012 bytes, where AWS allows 4096 bytes"),
    ],
)
def test_what_is_relaxed_is_accepted_with_a_warning(
    relaxed: FrontServer, member: str, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = relaxed.client(relaxed.key())
    create(client, "f")
    relaxed.control.release()
    answer = client.update_function_configuration(FunctionName="f", **{member: TOO_MUCH[member]})
    assert answer[member] == TOO_MUCH[member]
    assert warnings(answer) == f"on AWS this would fail: {warning}"
    assert [record.name for record in caplog.records if warning in record.message] == ["lamella.limits"]


def test_what_aws_allows_is_not_warned_of(relaxed: FrontServer, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(create(relaxed.client(relaxed.key()), "f")) == ""
    assert not caplog.records


def test_layers(relaxed: FrontServer, strict: FrontServer) -> None:
    for server in (strict, relaxed):
        client = server.client(server.key())
        create(client, "f")
        server.control.release()
        arns = [
            client.publish_layer_version(LayerName=f"l{number}", Content={"ZipFile": zipped(a="")})["LayerVersionArn"]
            for number in range(16)
        ]
        with pytest.raises(ClientError, match="Cannot reference more than"):
            client.update_function_configuration(FunctionName="f", Layers=arns)
        if server is relaxed:
            answer = client.update_function_configuration(FunctionName="f", Layers=arns[:15])
            assert warnings(answer) == "on AWS this would fail: layers of a function: 15, where AWS allows 5"


def test_a_large_archive(relaxed: FrontServer, strict: FrontServer) -> None:
    noise = random.Random(1).randbytes(40_000_000).decode("latin-1")  # about three bytes for two, and hard to compress
    large = zipped(m__py="", n__bin=noise)
    assert len(large) > 52_428_800
    with pytest.raises(ClientError) as refusal:
        create(strict.client(strict.key()), "f", large)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    client = relaxed.client(relaxed.key())
    answer = create(client, "f", large)
    assert f"zip archive, uploaded directly: {len(large)} bytes, where AWS allows 52428800 bytes" in warnings(answer)
    limits = client.get_account_settings()["AccountLimit"]
    assert (limits["CodeSizeZipped"], limits["CodeSizeUnzipped"]) == (262_144_000, 10 * 1024**3)


@pytest.mark.parametrize(
    ("member", "value"),
    [("Timeout", 5_401), ("MemorySize", 32_769), ("Environment", {"Variables": {"LARGE": "x" * 65_536}})],
)
def test_relaxed_limits_are_limits(relaxed: FrontServer, member: str, value: Any) -> None:
    client = relaxed.client(relaxed.key())
    create(client, "f")
    relaxed.control.release()
    with pytest.raises(ClientError):
        client.update_function_configuration(FunctionName="f", **{member: value})
