"""Modules that are lent to a script which dies for want of them, so that its other faults are seen in the same run."""

import re
from importlib import resources
from pathlib import Path
from typing import Final

from lamella.conformance.first_aid import STAND_INS

DIRECTORY: Final = "/var/task/lent"
"""Where they are inside the sandbox."""
_FILES: Final = resources.files("lamella.conformance") / "handlers"
_MISSING: Final = re.compile(rb"(?:ModuleNotFoundError|ImportError): No module named '?([A-Za-z0-9_.]+)'?")
_WITHHELD: Final = re.compile(
    rb"\b(_HANDLER|_X_AMZN_TRACE_ID|AWS_EXECUTION_ENV|AWS_LAMBDA_LOG_GROUP_NAME|AWS_LAMBDA_LOG_STREAM_NAME|"
    rb"AWS_LAMBDA_LOG_FORMAT|AWS_LAMBDA_LOG_LEVEL|AWS_XRAY_CONTEXT_MISSING|AWS_XRAY_DAEMON_ADDRESS|"
    rb"LAMBDA_RUNTIME_DIR|LAMBDA_TASK_ROOT)\b"
)
_NO_INTERPRETER: Final = re.compile(rb"env: [^A-Za-z0-9]*([A-Za-z0-9._-]+)[^A-Za-z0-9:]*: No such file or directory")
LENT: Final = STAND_INS


def missing_module(output: bytes) -> str:
    """The Python module for want of which a process ended, by what it printed; empty if that was not it."""
    found = _MISSING.findall(output)
    return found[-1].decode() if found else ""


def missing_interpreter(output: bytes) -> str:
    """What `env` has looked for in vain; empty if that is not why a process ended."""
    found = _NO_INTERPRETER.findall(output)
    return found[-1].decode() if found else ""


def missing_variable(output: bytes) -> str:
    """The variable that extensions do not have (EN-02), if a process names one in its last words."""
    found = _WITHHELD.findall(b"\n".join(output.splitlines()[-12:]))
    return found[-1].decode() if found else ""


def lend(task: Path) -> None:
    """Put the modules into the tree that becomes `/var/task`."""
    directory = task / "lent"
    directory.mkdir(mode=0o755)
    for name in LENT:
        path = directory / f"{name}.py"
        path.write_bytes((_FILES / f"kit-{name}.py").read_bytes())
        path.chmod(0o644)
    directory.chmod(0o755)
