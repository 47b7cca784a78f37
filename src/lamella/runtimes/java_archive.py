"""The archive of classes that a Java runtime starts from: they are mapped instead of being read, checked and linked."""

import http.server
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lamella.runtimes.tree import SEARCH_PATH, RootTree, chroot_program

ARCHIVE: Final = "/var/lang/lib/server/runtime.jsa"
"""Where it is inside the sandbox, as on AWS."""

_LIST: Final = "/var/lang/lib/server/runtime.classlist"
_MAIN: Final = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"
# A class of the JDK that AWS's client takes for a handler: with it a whole invocation runs, events as objects included.
_HANDLER: Final = "java.util.ArrayDeque::add"
_EVENT: Final = json.dumps({"text": "a", "number": 1, "list": [1.5, None, True], "object": {}}).encode()
_TIMEOUT_S: Final = 60.0
# The archive is refused if the files it was made from have other times.
_MADE_AT_S: Final = 1_600_000_000
# Classes that only this run needs must not be looked for elsewhere, and nothing of the operator's gets in.
_ENVIRONMENT: Final = {
    "LANG": "en_US.UTF-8",
    "LD_LIBRARY_PATH": SEARCH_PATH,
    "AWS_LAMBDA_FUNCTION_NAME": "archive",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/archive",
    "AWS_LAMBDA_LOG_STREAM_NAME": "archive",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_REGION": "us-east-1",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "_HANDLER": _HANDLER,
}


def archive_classes(tree: RootTree, class_path: str, options: Sequence[str]) -> str | None:
    """Run one invocation inside the tree, and put all classes that it took into an archive.

    A runtime without it works, and starts more slowly. Making it again gives other bytes: the order in which threads
    load classes and number objects gets into it, whatever is done about addresses and hash codes.

    Args:
        tree: With `/var/lang` and `/var/runtime`; files get fixed times.
        class_path: Of AWS's client.
        options: Of the virtual machine.

    Returns:
        A remark if there is no archive.
    """
    chroot = chroot_program()
    if chroot is None:
        return "Without an archive of classes, which takes root and chroot to make: cold starts take longer"
    for file in (tree.path("/var/lang/lib/modules"), *tree.path("/var/runtime/lib").glob("*.jar")):
        os.utime(file, (_MADE_AT_S, _MADE_AT_S))
    java = [chroot, str(tree.root), "/var/lang/bin/java", "-XX:+UseSerialGC", "-XX:-UsePerfData", *options]
    common = ["--add-opens=java.base/java.io=ALL-UNNAMED", "-classpath", class_path]
    listed, archive = tree.path(_LIST), tree.path(ARCHIVE)
    try:
        _run_once([*java, f"-XX:DumpLoadedClassList={_LIST}", "-Xshare:auto", *common, _MAIN, _HANDLER], listed)
        # The default collector, as heaps of other ones cannot be archived; the serial one takes what it finds.
        dump = [word for word in java if word != "-XX:+UseSerialGC"]
        dump += ["-Xshare:dump", f"-XX:SharedClassListFile={_LIST}", f"-XX:SharedArchiveFile={ARCHIVE}", *common]
        subprocess.run(dump, check=True, capture_output=True, timeout=_TIMEOUT_S, env=_ENVIRONMENT, cwd="/")
    except (OSError, subprocess.SubprocessError) as error:
        archive.unlink(missing_ok=True)
        detail = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip().splitlines()
        return f"Without an archive of classes, so that cold starts take longer: {detail[-1] if detail else error}"
    finally:
        listed.unlink(missing_ok=True)
    if not archive.exists():
        return "Without an archive of classes, so that cold starts take longer"
    tree.derived.add(ARCHIVE)
    return None


def _run_once(command: list[str], listed: Path) -> None:
    """Let AWS's client answer one event, then end it."""
    with _runtime_api() as (address, answered):
        environment = {**_ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": address}
        with subprocess.Popen(
            command, env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            until = time.monotonic() + _TIMEOUT_S
            while not answered.wait(0.05) and process.poll() is None and time.monotonic() < until:
                pass
            process.terminate()  # the list is complete when the virtual machine has ended in order
            try:
                process.wait(_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
    if not answered.is_set() or not listed.exists():
        raise subprocess.SubprocessError("AWS's client did not answer the event it was tried with")


@contextmanager
def _runtime_api() -> Iterator[tuple[str, threading.Event]]:
    """A Runtime API that has one event, on a port of this host; its address, and what is set when that is answered."""
    answered, over = threading.Event(), threading.Event()

    class Api(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if answered.is_set():
                over.wait(_TIMEOUT_S)  # as if there were no other event
                self.close_connection = True
            else:
                self._answer(200, _EVENT)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            good = self.path.endswith("/response")
            self._answer(202, b"{}")
            if good:
                answered.set()

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.send_header("Lambda-Runtime-Aws-Request-Id", "00000000-0000-0000-0000-000000000000")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + _TIMEOUT_S) * 1000)))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:0:function:archive")
            self.send_header("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: the client is ended while it waits."""

    server = Server(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", answered
    finally:
        over.set()
        server.shutdown()
        server.server_close()
