"""Real packs of this host, entered with chroot: what is inside, and that AWS's runtime client runs there."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamella.ports.runtimes import RuntimePack
from lamella.runtimes import PackCatalog, host_architecture, verify

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
CHROOT = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin") or "chroot"
PYTHON = f"python3.{sys.version_info.minor}"
ENVIRONMENT = {
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> PackCatalog:
    return PackCatalog(tmp_path_factory.mktemp("runtimes"))


@pytest.fixture(scope="module")
def provided(packs: PackCatalog) -> RuntimePack:
    return packs.add("provided.al2023")


@pytest.fixture(scope="module")
def python(packs: PackCatalog) -> RuntimePack:
    return packs.add(PYTHON)


def enter(root: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CHROOT, root, *command], env=ENVIRONMENT | env, capture_output=True, text=True, check=False, timeout=30
    )


def test_a_provided_pack_names_the_two_entry_points(provided: RuntimePack) -> None:
    assert provided.entrypoints == ("/var/task/bootstrap", "/opt/bootstrap")
    assert (provided.managed, provided.execution_env) == (False, None)
    assert provided.version == f"provided:al2023.v{provided.digest[:8]}"


def test_building_again_gives_the_same_digest(provided: RuntimePack, tmp_path: Path) -> None:
    assert PackCatalog(tmp_path).add("provided.al2023").digest == provided.digest


@needs_root
def test_the_shell_and_its_programs_run(provided: RuntimePack) -> None:
    script = "set -e; echo one two | sed s/one/1/ | grep two | awk '{print $1 + 1}'; date +%Z; ls / | tr '\\n' ' '"
    result = enter(provided.rootfs, "/bin/sh", "-c", script)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split("\n")[:2] == ["2", "UTC"]
    assert {"var", "opt", "tmp", "proc", "dev", "lib64"} <= set(result.stdout.split("\n")[2].split())


@needs_root
def test_curl_runs_without_the_variables_of_lambda(provided: RuntimePack) -> None:
    result = enter(provided.rootfs, "/usr/bin/curl", "-sS", "http://127.0.0.1:1/", LD_LIBRARY_PATH="")
    assert result.returncode == 7, result.stderr  # could not connect: it did start


def test_certificates_are_at_both_names(provided: RuntimePack) -> None:
    for name in ("etc/ssl/certs/ca-certificates.crt",):
        assert b"BEGIN CERTIFICATE" in (provided.rootfs / name).read_bytes()
    assert (provided.rootfs / "etc/pki/tls/certs/ca-bundle.crt").readlink() == Path(
        "/etc/ssl/certs/ca-certificates.crt"
    )


def test_there_is_no_python_as_on_aws(provided: RuntimePack) -> None:
    assert [path for path in provided.rootfs.rglob("python*") if path.is_file()] == []


@pytest.mark.network
def test_nothing_of_the_host_and_nothing_dangerous_is_inside(provided: RuntimePack, python: RuntimePack) -> None:
    for pack in (provided, python):
        files = [path for path in pack.rootfs.rglob("*") if not path.is_symlink()]
        assert [path for path in files if path.stat().st_mode & 0o7022] == []
        assert "sbx_user1051:x:993:990:" in (pack.rootfs / "etc/passwd").read_text()
        assert not (pack.rootfs / "etc/shadow").exists()
        assert sorted(path.name for path in (pack.rootfs / "opt").iterdir()) == []
        verify(pack)


@pytest.mark.network
def test_a_python_pack_is_managed(python: RuntimePack) -> None:
    assert python.managed
    assert python.execution_env == f"AWS_Lambda_{PYTHON}"
    assert (python.name, python.architecture) == (PYTHON, host_architecture())


@pytest.mark.network
def test_every_module_is_compiled(python: RuntimePack) -> None:
    for name in (f"var/lang/lib/{PYTHON}/json/__init__.py", "var/runtime/awslambdaric/bootstrap.py"):
        source = python.rootfs / name
        compiled = list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"))
        assert [path.read_bytes()[4] for path in compiled] == [1]  # flags: by hash, not checked (PEP 552)


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """Gives out one event and keeps what is posted."""

    posted: dict[str, bytes]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "r-1")
        self.send_header("Lambda-Runtime-Deadline-Ms", "99999999999999")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self) -> None:
        type(self).posted[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        # The client ends when it is refused, which is how this test ends it.
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def api() -> Iterator[tuple[str, dict[str, bytes]]]:
    posted: dict[str, bytes] = {}
    handler = type("Handler", (RuntimeApi,), {"posted": posted})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", posted
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def root(python: RuntimePack, tmp_path: Path) -> Path:
    """A copy of the Python pack whose /var/task and /opt may be filled."""
    copy = tmp_path / "root"
    shutil.copytree(python.rootfs, copy, symlinks=True, copy_function=os.link)
    return copy


HANDLER = """
import os, sys, boto3, in_layer
def handler(event, context):
    return {"path": sys.path, "event": event, "pythonpath": os.environ["PYTHONPATH"], "boto3": boto3.__file__,
            "id": context.aws_request_id, "layer": in_layer.__file__, "wrapped": os.environ.get("WRAPPED")}
"""


def invoke(root: Path, address: str, **env: str) -> subprocess.CompletedProcess[str]:
    (root / "var/task/app.py").write_text(HANDLER)
    site = root / f"opt/python/lib/{PYTHON}/site-packages"
    site.mkdir(parents=True)
    (site / "in_layer.py").write_text("")
    return enter(root, "/var/runtime/bootstrap", AWS_LAMBDA_RUNTIME_API=address, _HANDLER="app.handler", **env)


RESPONSE = "/2018-06-01/runtime/invocation/r-1/response"


@needs_root
@pytest.mark.network
def test_aws_runtime_client_answers_with_lambdas_search_path(root: Path, api: tuple[str, dict[str, bytes]]) -> None:
    address, posted = api
    result = invoke(root, address)
    assert RESPONSE in posted, result.stderr
    answer = json.loads(posted[RESPONSE])
    layer = f"/opt/python/lib/{PYTHON}/site-packages"
    assert answer["path"][:5] == [
        "/var/task",
        layer,
        "/opt/python",
        f"/var/lang/lib/{PYTHON}/site-packages",
        "/var/runtime",
    ]
    assert all(entry.startswith("/var/lang/") for entry in answer["path"][5:])
    assert answer["layer"] == f"{layer}/in_layer.py"
    assert answer["boto3"] == "/var/runtime/boto3/__init__.py"
    assert (answer["event"], answer["id"], answer["pythonpath"]) == ({}, "r-1", "/var/runtime")


@needs_root
@pytest.mark.network
def test_a_wrapper_runs_the_interpreter(root: Path, api: tuple[str, dict[str, bytes]]) -> None:
    address, posted = api
    wrapper = root / "opt/wrapper"
    wrapper.write_text('#!/bin/bash\nexport WRAPPED="$*"\nexec "$@"\n')
    wrapper.chmod(0o755)
    invoke(root, address, AWS_LAMBDA_EXEC_WRAPPER="/opt/wrapper")
    assert json.loads(posted[RESPONSE])["wrapped"] == f"/var/lang/bin/{PYTHON} /var/runtime/bootstrap.py"


@needs_root
@pytest.mark.network
def test_a_missing_or_unfit_wrapper_ends_like_a_shell(root: Path) -> None:
    missing = enter(root, "/var/runtime/bootstrap", AWS_LAMBDA_EXEC_WRAPPER="/opt/none")
    assert (missing.returncode, missing.stdout) == (127, "/opt/none: does not exist\n")
    (root / "opt/text").write_text("")
    unfit = enter(root, "/var/runtime/bootstrap", AWS_LAMBDA_EXEC_WRAPPER="/opt/text")
    assert (unfit.returncode, unfit.stdout) == (126, "/opt/text: is not an executable\n")


@needs_root
@pytest.mark.network
def test_the_standard_library_is_complete(root: Path) -> None:
    modules = (
        "ssl sqlite3 ctypes lzma bz2 zlib hashlib decimal multiprocessing zoneinfo uuid asyncio xml.etree.ElementTree"
    )
    program = (
        f"import {', '.join(modules.split())}\n"
        "print(len(ssl.create_default_context().get_ca_certs()) > 0, zoneinfo.ZoneInfo('Europe/Berlin'))"
    )
    result = enter(root, f"/var/lang/bin/{PYTHON}", "-c", program)
    assert (result.stdout, result.stderr) == ("True Europe/Berlin\n", "")
