"""The environment variables of a runtime process (rules EN-01, EN-03).

Of a function's container image there are fewer: its `PATH`, its locale and its time zone are its own, and where it
names none there are none. Source: environments that functions on AWS have printed, quoted in
bruceadams/run-command-on-aws-lambda (2022, Alpine Linux) and in a question about Spring Cloud Function (2025).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from lamella.domain.function import LATEST, FunctionVersion
from lamella.domain.image import Launch
from lamella.ports.runtimes import RuntimePack
from lamella.ports.sandbox import LOG_CHANNEL_FD

SANDBOX_ADDRESS: Final = "169.254.100.1"
"""Where the Runtime API is, as on AWS (RT-01), but for sandboxes in the host's network."""
_RUNTIME_API_PORT: Final = 9001
CREDENTIALS_PATH: Final = "/2021-04-23/credentials"
ON_DEMAND: Final = "on-demand"
SNAP_START: Final = "snap-start"
PROVISIONED: Final = "provisioned-concurrency"

_TRACING: Final = {
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "AWS_XRAY_DAEMON_ADDRESS": f"{SANDBOX_ADDRESS}:2000",
}
_MAY_BE_CHANGED: Final = {
    **_TRACING,
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
    initialization_type: str = ON_DEMAND,
    log_channel: bool = False,
    address: str = SANDBOX_ADDRESS,
    launch: Launch | None = None,
) -> dict[str, str]:
    """All variables of the runtime process; a later group wins over an earlier one (EN-03).

    `address` is that of the sandbox; in `endpoint_url` it takes the place of `{address}`. `launch` says how the
    program of a function's image is started.

    `AWS_ENDPOINT_URL`, where AWS's API answers inside the sandbox, is ours: on AWS it is absent, but without it a
    function's SDK would look for the real AWS. The customer may set another.
    """
    key, config = version.key, version.config
    runtime_api = f"{address}:{_RUNTIME_API_PORT}"
    customers = {name: value for name, value in (config.environment or {}).items() if not name.startswith("_")}
    reserved = {
        "AWS_DEFAULT_REGION": key.region,
        "AWS_REGION": key.region,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.memory_mib),
        "AWS_LAMBDA_FUNCTION_NAME": key.name,
        "AWS_LAMBDA_FUNCTION_VERSION": version.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization_type,
        "AWS_LAMBDA_LOG_GROUP_NAME": log_group(version),
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_METADATA_API": runtime_api,
        "AWS_LAMBDA_METADATA_TOKEN": metadata_token,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
        "_AWS_XRAY_DAEMON_ADDRESS": SANDBOX_ADDRESS,
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "_HANDLER": (config.handler or "") if launch is None else launch.handler,
        "PWD": pack.working_directory if launch is None else launch.working_directory,
    }
    if pack.managed:
        reserved["SHLVL"] = "0"
    if pack.execution_env is not None:
        reserved["AWS_EXECUTION_ENV"] = pack.execution_env
    logging = config.other.get("LoggingConfig") or {}
    if logging.get("LogFormat") == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        reserved["AWS_LAMBDA_LOG_LEVEL"] = logging.get("ApplicationLogLevel", "INFO")
    if log_channel:
        reserved["_LAMBDA_TELEMETRY_LOG_FD"] = str(LOG_CHANNEL_FD)
    if initialization_type == SNAP_START:
        # Credentials come from the endpoint, since those in a snapshot would be old; a stream is not known (EN-06).
        for name in ("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"):
            del reserved[name]
        credentials = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{runtime_api}{CREDENTIALS_PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": metadata_token,
        }
    else:
        credentials = _credentials(version, secret_access_key)
    return {
        **(_TRACING if pack.brings_code else _MAY_BE_CHANGED),
        "AWS_ENDPOINT_URL": endpoint_url.format(address=address),
        **pack.env,
        **customers,
        **credentials,
        **reserved,
    }


def probe_variables(pack: RuntimePack, *, account: str, region: str, memory_mib: int) -> dict[str, str]:
    """What a process is given that tries whether a layer can be used in a runtime.

    They are those of a function, as far as libraries look at them when they are loaded; what is behind them is not
    there: nobody answers.
    """
    variables = {
        **(_TRACING if pack.brings_code else _MAY_BE_CHANGED),
        **pack.env,
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "lamella",
        "AWS_SESSION_TOKEN": "lamella",
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mib),
        "AWS_LAMBDA_FUNCTION_NAME": "layer-check",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": ON_DEMAND,
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/layer-check",
        "AWS_LAMBDA_LOG_STREAM_NAME": "layer-check",
        "AWS_LAMBDA_RUNTIME_API": f"{SANDBOX_ADDRESS}:{_RUNTIME_API_PORT}",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
        "PWD": pack.working_directory,
        "_HANDLER": "",
    }
    if pack.execution_env is not None:
        variables["AWS_EXECUTION_ENV"] = pack.execution_env
    return variables


_KEPT_FROM_EXTENSIONS: Final = frozenset(
    {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_FORMAT",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_LEVEL",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "PWD",
        "SHLVL",
    }
)


def extension_variables(runtime: Mapping[str, str], pack: RuntimePack, customers: Mapping[str, str]) -> dict[str, str]:
    """The variables of an extension process, from those of the runtime beside it (EN-02).

    What the runtime's own family needs, such as `PYTHONPATH`, is not for extensions, unless the customer has set it. An
    image's variables are: to AWS's emulator they are the customer's.
    """
    kept = {
        name: value
        for name, value in runtime.items()
        if not name.startswith("_")
        and name not in _KEPT_FROM_EXTENSIONS
        and (name not in pack.env or name in customers or pack.brings_code)
    }
    return {**kept, "PWD": "/"}


def _credentials(version: FunctionVersion, secret_access_key: str) -> dict[str, str]:
    """Those of the function's role. The access key is the account, so that calls are the function's own account's."""
    return {
        "AWS_ACCESS_KEY_ID": version.key.account,
        "AWS_SECRET_ACCESS_KEY": secret_access_key,
        "AWS_SESSION_TOKEN": "lamella",
    }


def credentials_document(version: FunctionVersion, secret_access_key: str, expires_at: datetime) -> dict[str, str]:
    """What the credentials endpoint of functions with snapshots answers (2.9)."""
    credentials = _credentials(version, secret_access_key)
    return {
        "AccessKeyId": credentials["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": credentials["AWS_SECRET_ACCESS_KEY"],
        "Token": credentials["AWS_SESSION_TOKEN"],
        "Expiration": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}",
    }


def takes_snapshots(version: FunctionVersion) -> bool:
    """Whether the version is one that AWS would start from a snapshot: published, with `SnapStart` asked for."""
    snap_start = version.config.other.get("SnapStart") or {}
    return version.version != LATEST and snap_start.get("ApplyOn") == "PublishedVersions"


def log_group(version: FunctionVersion) -> str:
    """Name of the function's log group: the configured one, or `/aws/lambda/<name>`."""
    logging = version.config.other.get("LoggingConfig") or {}
    return str(logging.get("LogGroup") or f"/aws/lambda/{version.key.name}")
