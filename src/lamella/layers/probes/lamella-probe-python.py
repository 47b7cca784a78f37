"""Imports modules of layers one by one and prints a line of JSON about each. Runs inside a sandbox.

Each is imported in a process of its own, forked from this one, which imports nothing of the layer's: so a module that
crashes, forks or prints does no harm to the others. Nothing here may need more than Python 3.8.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import site
import sys
import types
from typing import Any

RESULT_BYTES = 16384  # less than a pipe holds, so that a child never waits for its reader
TEXT = 1000
OUTPUT = "/tmp/.lamella-probe-output"  # noqa: S108  # the sandbox's own


def main() -> None:
    nonce = os.environ.pop("LAMELLA_PROBE_NONCE")
    with open("/var/task/plan.json") as file:  # noqa: PTH123  # the less is loaded before the layer's, the better
        names = json.load(file)["python"]
    set_search_path()
    channel = os.dup(1)
    os.nice(10)

    def say(**members: Any) -> None:  # Any: JSON
        os.write(channel, json.dumps({"nonce": nonce, **members}).encode() + b"\n")

    loaded: set[int] = set()
    for index in range(int(sys.argv[1]), len(names)):
        say(event="begin", index=index)
        # What another one has brought along can be imported, and need not be once more.
        answer: dict[str, Any] = {"outcome": "ok"} if index in loaded else attempt(names, index, channel)
        loaded.update(answer.get("loaded", ()))
        say(event="end", index=index, **answer)


def set_search_path() -> None:
    """As the runtime's bootstrap does, for a function without PYTHONPATH of its own."""
    lib = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    layers = [f"/opt/python/{lib}", "/opt/python"]
    sys.path[:1] = ["/var/task", *layers, f"/var/lang/{lib}", "/var/runtime"]
    os.environ.setdefault("PYTHONPATH", "/var/runtime")


def attempt(names: list[str], index: int, channel: int) -> dict[str, Any]:  # Any: JSON
    """Import one module in a child, and tell what became of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.close(channel)
            os.setsid()
            become_quiet()
            os.write(writing, json.dumps(import_one(names, index)).encode()[:RESULT_BYTES])
        finally:
            os._exit(0)  # no exit handlers of the module's, no buffers of the parent's
    os.close(writing)
    try:
        status = os.waitpid(child, 0)[1]
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)  # whatever it has left behind
        os.set_blocking(reading, False)
        try:
            answer = json.loads(os.read(reading, RESULT_BYTES))
        except (OSError, ValueError):
            answer = None
    finally:
        os.close(reading)
    if os.WIFSIGNALED(status):
        return {"outcome": "crashed", "signal": os.WTERMSIG(status), "error": last_line()}
    if not isinstance(answer, dict):
        return {"outcome": "crashed", "status": os.WEXITSTATUS(status), "error": last_line()}
    return answer


def become_quiet() -> None:
    """Send what the module prints to a file, where it can be looked at if the process crashes."""
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def last_line() -> str:
    try:
        with open(OUTPUT, "rb") as file:  # noqa: PTH123  # as above
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TEXT))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    # What Python's fault handler prints begins with the matter; others end with it.
    return next((line for line in lines if line.startswith("Fatal")), lines[-1] if lines else "")[:TEXT]


def import_one(names: list[str], index: int) -> dict[str, Any]:  # Any: JSON
    for directory in sys.path[:3]:
        site.addsitedir(directory)  # for the .pth files of layers, as the bootstrap does
    try:
        __import__(names[index])
    except BaseException as error:  # noqa: BLE001  # whatever it is: SystemExit is none of ours either
        return failure(error)
    loaded = [other for other, name in enumerate(names) if other != index and name in sys.modules]
    return {"outcome": "ok", "loaded": loaded[:1000]}


def failure(error: BaseException) -> dict[str, Any]:  # Any: JSON
    text = str(error).strip().splitlines()
    # Some packages explain at length what the matter is, and cite it: the loader's own words say most.
    telling = [line for line in text if "cannot open shared object" in line or "GLIBC" in line or "CXXABI" in line]
    line = (telling or text[-1:] or [""])[0][:TEXT]
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    return {
        "outcome": "failed",
        "error": f"{type(error).__name__}: {line}" if line else type(error).__name__,
        "missing": missing[:TEXT],
        "at": place(error.__traceback__),
    }


def place(traceback: types.TracebackType | None) -> str:
    """The innermost line within the layers."""
    found = ""
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if name.startswith("/opt/"):
            found = f"{name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found[:TEXT]


main()
