"""Imports modules of layers and prints a line of JSON before and after each. Runs inside a sandbox.

Those of one top-level package are imported in a process of their own, forked from this one, which imports nothing of
the layer's: so a module that crashes, forks or prints does no harm to other packages. The child prints for itself, and
keeps account in memory that both share, so that this process can tell where it went wrong and goes on behind that.
Nothing here may need more than Python 3.8.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import site
import sys
import types
from typing import Any

TEXT = 1000
OUTPUT = "/tmp/.lamella-probe-output"  # noqa: S108  # the sandbox's own
UNTRIED, LOADED, BEGUN, DONE = 0, 1, 2, 3


class Probe:
    """What both processes know: the names, where to print, and how far it has come."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.nonce = os.environ.pop("LAMELLA_PROBE_NONCE")
        self.channel = os.dup(1)
        self.states = mmap.mmap(-1, max(1, len(names)))

    def say(self, **members: Any) -> None:  # Any: JSON
        os.write(self.channel, json.dumps({"nonce": self.nonce, **members}).encode() + b"\n")

    def run_from(self, start: int) -> int:
        """Try the targets of one package, the first of which is given; returns where the next begins."""
        top = self.names[start].partition(".")[0]
        end = start + 1
        while end < len(self.names) and self.names[end].partition(".")[0] == top:
            end += 1
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                become_quiet()
                for index in range(start, end):
                    self.try_one(index)
            finally:
                os._exit(0)  # no exit handlers of the module's, no buffers of the parent's
        status = os.waitpid(child, 0)[1]
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGKILL)  # whatever it has left behind
        for index in range(start, end):
            if self.states[index] != DONE:
                if self.states[index] != BEGUN:
                    self.say(event="begin", index=index)
                how = {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"status": os.WEXITSTATUS(status)}
                self.say(event="end", index=index, outcome="crashed", error=last_line(), **how)
                return index + 1
        return end

    def try_one(self, index: int) -> None:
        # What another one has brought along can be imported, and need not be once more.
        loaded = self.states[index] == LOADED
        self.say(event="begin", index=index)
        self.states[index] = BEGUN
        answer: dict[str, Any] = {"outcome": "ok"} if loaded else import_one(self.names[index])
        found = [] if loaded else [at for at, name in enumerate(self.names) if at != index and name in sys.modules]
        for at in found:
            if self.states[at] == UNTRIED:
                self.states[at] = LOADED
        self.say(event="end", index=index, loaded=found[:1000], **answer)
        self.states[index] = DONE


def main() -> None:
    with open("/var/task/plan.json") as file:  # noqa: PTH123  # the less is loaded before the layer's, the better
        probe = Probe(json.load(file)["python"])
    set_search_path()
    os.nice(10)
    index = int(sys.argv[1])
    while index < len(probe.names):
        index = probe.run_from(index)


def set_search_path() -> None:
    """As the runtime's bootstrap does, for a function without PYTHONPATH of its own."""
    lib = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    layers = [f"/opt/python/{lib}", "/opt/python"]
    sys.path[:1] = ["/var/task", *layers, f"/var/lang/{lib}", "/var/runtime"]
    os.environ.setdefault("PYTHONPATH", "/var/runtime")


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


def import_one(name: str) -> dict[str, Any]:  # Any: JSON
    for directory in sys.path[:3]:
        site.addsitedir(directory)  # for the .pth files of layers, as the bootstrap does
    try:
        __import__(name)
    except BaseException as error:  # noqa: BLE001  # whatever it is: SystemExit is none of ours either
        return failure(error)
    return {"outcome": "ok"}


def failure(error: BaseException) -> dict[str, Any]:  # Any: JSON
    chain = [error]
    while len(chain) < 10:
        cause = chain[-1].__cause__ or chain[-1].__context__
        if cause is None or not isinstance(cause, (ImportError, OSError)):
            break
        chain.append(cause)
    missing = [one.name or "" for one in chain if isinstance(one, ModuleNotFoundError)] if is_import(error) else []
    text = described(error)
    # Some packages put an explanation of their own in front of what the matter is.
    if is_import(error) and len(chain) > 1 and described(chain[-1]) not in text:
        text = f"{text} ({described(chain[-1])})"
    return {
        "outcome": "failed",
        "error": text[:TEXT],
        "missing": missing[-1][:TEXT] if missing else "",
        "at": place(error.__traceback__),
    }


def is_import(error: BaseException) -> bool:
    return isinstance(error, ImportError)


def described(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "cannot open shared object" in line or "GLIBC" in line or "CXXABI" in line]
    line = telling[0] if telling else " ... ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


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
