"""The variables of a runtime process, rules EN-01 and EN-03; the exact set of a real one is tested with a sandbox."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lamella.domain.function import Architecture, Artifact, FunctionConfig, FunctionKey, FunctionVersion
from lamella.domain.image import Launch
from lamella.invoke.variables import extension_variables, log_group, runtime_variables
from lamella.ports.runtimes import RuntimePack

PYTHON = RuntimePack(
    "python3.11",
    Architecture.X86_64,
    Path("/pack"),
    "ab" * 32,
    "python:3.11.v1",
    ("/var/runtime/bootstrap",),
    {"PYTHONPATH": "/var/runtime"},
    "AWS_Lambda_python3.11",
)


def version(environment: dict[str, str] | None = None, **other: Any) -> FunctionVersion:
    config = FunctionConfig("role", "python3.11", "app.handler", environment=environment, other=other)
    artifact = Artifact("00" * 32, "sha", 1, 1)
    return FunctionVersion(
        FunctionKey("123456789012", "eu-west-1", "f"), "7", artifact, config, "rev", datetime.now(UTC)
    )


def variables(one: FunctionVersion) -> dict[str, str]:
    return runtime_variables(
        one, PYTHON, log_stream="s", metadata_token="t", endpoint_url="http://e", secret_access_key="secret"
    )


def test_a_managed_runtime() -> None:
    found = variables(version())
    assert found["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.11"
    assert (found["SHLVL"], found["PYTHONPATH"], found["_HANDLER"]) == ("0", "/var/runtime", "app.handler")
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_REGION"]) == ("123456789012", "eu-west-1")
    assert found["AWS_LAMBDA_FUNCTION_VERSION"] == "7"
    assert "AWS_LAMBDA_LOG_FORMAT" not in found
    assert "_X_AMZN_TRACE_ID" not in found


def test_the_customer_may_change_some_and_not_others() -> None:
    # rule EN-03
    given = {"PYTHONPATH": "/opt/x", "TZ": "Europe/Berlin", "AWS_ENDPOINT_URL": "http://mine", "_HIDDEN": "1"}
    found = variables(version({**given, "AWS_REGION": "nowhere", "LAMBDA_TASK_ROOT": "/"}))
    assert (found["PYTHONPATH"], found["TZ"], found["AWS_ENDPOINT_URL"]) == ("/opt/x", "Europe/Berlin", "http://mine")
    assert (found["AWS_REGION"], found["LAMBDA_TASK_ROOT"]) == ("eu-west-1", "/var/task")
    assert "_HIDDEN" not in found


def test_json_logs_announce_themselves() -> None:
    logging = {"LogFormat": "JSON", "ApplicationLogLevel": "WARN", "LogGroup": "/mine"}
    one = version(LoggingConfig=logging)
    found = variables(one)
    assert (found["AWS_LAMBDA_LOG_FORMAT"], found["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "WARN")
    assert found["AWS_LAMBDA_LOG_GROUP_NAME"] == log_group(one) == "/mine"


def test_a_sandbox_in_the_hosts_network_has_an_address_of_its_own() -> None:
    given = {"log_stream": "s", "metadata_token": "t", "secret_access_key": "secret"}
    found = runtime_variables(version(), PYTHON, endpoint_url="http://{address}:4566", address="127.100.3.4", **given)
    assert found["AWS_LAMBDA_RUNTIME_API"] == found["AWS_LAMBDA_METADATA_API"] == "127.100.3.4:9001"
    assert found["AWS_ENDPOINT_URL"] == "http://127.100.3.4:4566"


IMAGE = RuntimePack(
    "",
    Architecture.X86_64,
    Path("/image"),
    "cd" * 32,
    "",
    (),
    {"PATH": "/usr/bin:/bin", "APP": "image", "MODE": "image", "AWS_REGION": "nowhere"},
    "AWS_Lambda_Image",
    brings_code=True,
)


def test_an_image_has_its_own_path_locale_and_time_zone() -> None:
    found = runtime_variables(
        version({"MODE": "customer"}),
        IMAGE,
        log_stream="s",
        metadata_token="t",
        endpoint_url="http://e",
        secret_access_key="secret",
        launch=Launch(("/entry",), ("app.lambda_handler", "x"), "/srv"),
    )
    assert (found["PATH"], found["APP"], found["MODE"]) == ("/usr/bin:/bin", "image", "customer")
    assert not {"LANG", "TZ", "LD_LIBRARY_PATH", "SHLVL"} & set(found)
    assert (found["AWS_EXECUTION_ENV"], found["_HANDLER"]) == ("AWS_Lambda_Image", "app.lambda_handler")
    assert (found["PWD"], found["LAMBDA_TASK_ROOT"], found["AWS_REGION"]) == ("/srv", "/var/task", "eu-west-1")
    assert found["AWS_XRAY_CONTEXT_MISSING"] == "LOG_ERROR"
    extension = extension_variables(found, IMAGE, {"MODE": "customer"})
    assert (extension["PATH"], extension["APP"], extension["MODE"]) == ("/usr/bin:/bin", "image", "customer")
    assert not {"AWS_EXECUTION_ENV", "_HANDLER"} & set(extension)
