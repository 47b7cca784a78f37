"""Images of Debian with Python, as people build them: a root made by `mmdebstrap`, AWS's runtime client, a handler.

Both are made once and kept in `.cache/tests`; what they are made of is Debian's of this host's release, which its own
sources of packages and keys vouch for.
"""

import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from tests.support.images import Made, files, image
from tests.support.server import CACHE, locked

_CACHE: Final = CACHE / "images"
_PACKAGES: Final = "base-files,dash,python3-minimal,libpython3-stdlib,libstdc++6"  # the last is for AWS's client
_CLIENT: Final = "awslambdaric==4.2.2"
_LEFT_OUT: Final = ("doc", "man", "locale", "zoneinfo")
_LIMIT_S: Final = 300.0


@cache
def debian_root() -> bytes:
    """A layer that is a root of Debian with Python, as unpacked by dpkg: device nodes and set-user-id bits included."""
    for program in ("mmdebstrap", "dpkg"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: run scripts/setup.sh images")
    release = _release()
    target = _CACHE / f"{release}.tar"
    with _locked():
        if not target.exists():
            made = target.with_suffix(".new.tar")
            # Its packages are unpacked and not configured, which takes a third of the time.
            command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract", f"--include={_PACKAGES}"]
            command += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _LEFT_OUT]
            result = subprocess.run(
                [*command, release, made], capture_output=True, text=True, timeout=_LIMIT_S, check=False
            )
            if result.returncode:
                pytest.skip(f"a root of Debian has to be made, and cannot be:\n{result.stderr[-2000:]}")
            made.replace(target)
    return target.read_bytes()


@cache
def runtime_client() -> bytes:
    """A layer with AWS's runtime client for that root's Python in `/function`."""
    with tarfile.open(fileobj=io.BytesIO(debian_root())) as root:
        python = root.getmember("./usr/bin/python3").linkname
    target = _CACHE / f"awslambdaric-{python}.tar"
    with _locked():
        if not target.exists():
            folder = _CACHE / "awslambdaric.new"
            shutil.rmtree(folder, ignore_errors=True)
            uv = Path(sys.executable).with_name("uv")
            command = [uv, "pip", "install", "--quiet", "--target", folder, "--only-binary", ":all:", "--no-compile"]
            command += ["--python-version", python.removeprefix("python"), _CLIENT]
            command += ["--python-platform", "x86_64-manylinux_2_28"]
            result = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
            if result.returncode:
                pytest.skip(f"AWS's runtime client cannot be fetched:\n{result.stderr[-2000:]}")
            made = target.with_suffix(".new.tar")
            with tarfile.open(made, "w") as archive:
                archive.add(folder, "function")
            made.replace(target)
            shutil.rmtree(folder)
    return target.read_bytes()


def python_image(handlers: Mapping[str, str], **config: object) -> Made:
    """An image as AWS's guide has it for bases that are not AWS's.

    Args:
        handlers: Files of `/function`.
        config: In place of members of the image's configuration.
    """
    own = files({f"function/{name}": text for name, text in handlers.items()})
    given = {
        "Entrypoint": ["/usr/bin/python3", "-m", "awslambdaric"],
        "Cmd": ["app.handler"],
        "WorkingDir": "/function",
        "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"],
        **config,
    }
    return image(debian_root(), runtime_client(), own, packing="none", config=given)


_ENTRYPOINT: Final = """#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
export _HANDLER="$1"
exec /var/runtime/bootstrap
"""
_BOOTSTRAP: Final = """#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python3
cd "$LAMBDA_TASK_ROOT"
PYTHONPATH=/function:$LAMBDA_RUNTIME_DIR exec ${AWS_LAMBDA_EXEC_WRAPPER-} /usr/bin/python3 -m awslambdaric "$_HANDLER"
"""


def base_image(handlers: Mapping[str, str], **config: object) -> Made:
    """An image that is built on something that looks like AWS's base images: `/lambda-entrypoint.sh`, `/var/task`.

    Args:
        handlers: Files of `/var/task`.
        config: In place of members of the image's configuration.
    """
    # The link is made when dash is configured, which it was not.
    programs = {"lambda-entrypoint.sh": _ENTRYPOINT, "var/runtime/bootstrap": _BOOTSTRAP, "bin/sh": "->dash"}
    base = files(programs, mode=0o755)
    own = files({f"var/task/{name}": text for name, text in handlers.items()})
    given = {
        "Entrypoint": ["/lambda-entrypoint.sh"],
        "Cmd": ["app.handler"],
        "WorkingDir": "/var/task",
        "Env": [
            "LANG=C.UTF-8",
            "TZ=:/etc/localtime",
            "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
            "LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/task:/opt/lib",
            "LAMBDA_TASK_ROOT=/var/task",
            "LAMBDA_RUNTIME_DIR=/var/runtime",
        ],
        **config,
    }
    return image(debian_root(), runtime_client(), base, own, packing="none", config=given)


def _release() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("VERSION_CODENAME", "stable").strip('"')


def _locked() -> AbstractContextManager[None]:
    _CACHE.mkdir(parents=True, exist_ok=True)
    return locked(_CACHE / "lock")
