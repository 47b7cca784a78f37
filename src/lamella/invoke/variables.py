"""The environment variables of a runtime process (rules EN-01, EN-03)."""

from typing import Final

from lamella.domain.function import FunctionVersion
from lamella.ports.runtimes import RuntimePack

RUNTIME_API: Final = "169.254.100.1:9001"
"""Always, as on AWS (RT-01): each environment has a network namespace of its own."""

_MAY_BE_CHANGED: Final = {
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
    "LANG": "en_US.UTF-8",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "TZ": ":UTC",
}


def runtime_variables(
    version: FunctionVersion,
    pack: RuntimePack,
    *,
    log_stream: str,
    metadata_token: str,
    endpoint_url: str,
    secret_access_key: str,
) -> dict[str, str]:
    """All variables of the runtime process; a later group wins over an earlier one (EN-03).

    `AWS_ENDPOINT_URL`, where AWS's API answers inside the sandbox, is ours: on AWS it is absent, but without it a
    function's SDK would look for the real AWS. The customer may set another.
    """
    key, config = version.key, version.config
    customers = {name: value for name, value in (config.environment or {}).items() if not name.startswith("_")}
    reserved = {
        "AWS_DEFAULT_REGION": key.region,
        "AWS_REGION": key.region,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_mib),
        "AWS_LAMBDA_FUNCTION_NAME": key.name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": log_group(version),
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_METADATA_API": RUNTIME_API,
        "AWS_LAMBDA_METADATA_TOKEN": metadata_token,
        "AWS_LAMBDA_RUNTIME_API": RUNTIME_API,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "_HANDLER": config.handler or "",
        "PWD": "/var/task",
    }
    if pack.managed:
        reserved["SHLVL"] = "0"
    if pack.execution_env is not None:
        reserved["AWS_EXECUTION_ENV"] = pack.execution_env
    logging = config.other.get("LoggingConfig") or {}
    if logging.get("LogFormat") == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        reserved["AWS_LAMBDA_LOG_LEVEL"] = logging.get("ApplicationLogLevel", "INFO")
    # The access key is the account, so that a call from inside the function is one of the function's own account.
    credentials = {
        "AWS_ACCESS_KEY_ID": key.account,
        "AWS_SECRET_ACCESS_KEY": secret_access_key,
        "AWS_SESSION_TOKEN": "lamella",
    }
    return {
        **_MAY_BE_CHANGED,
        **pack.env,
        "AWS_ENDPOINT_URL": endpoint_url,
        **customers,
        **credentials,
        **reserved,
    }


def log_group(version: FunctionVersion) -> str:
    """Name of the function's log group: the configured one, or `/aws/lambda/<name>`."""
    logging = version.config.other.get("LoggingConfig") or {}
    return str(logging.get("LogGroup") or f"/aws/lambda/{version.key.name}")
