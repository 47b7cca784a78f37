"""Shows Lamella at work: a layer, three runtimes that AWS does not have, and an extension. Run by `make demo`.

A node starts on a free port with its data in build/demo. Everything then goes through AWS's own command line client
and through `lamella`; each command is printed, so that it can be repeated. The exit status is 1 if any answer is not
as expected. A second run is quick: what was built stays in build/demo.
"""

import argparse
import base64
import hashlib
import json
import os
import platform
import re
import select
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import packing
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
ARCHITECTURE = "arm64" if platform.machine() == "aarch64" else "x86_64"
ROLE = "arn:aws:iam::000000000000:role/demo"
READY = "Lamella is ready at "
ENDPOINT_PORT = 4566  # of Lambda's API inside a sandbox

console = Console(highlight=False, soft_wrap=True)


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What an invocation gave: the payload, what its REPORT line says, and how long the client waited."""

    payload: dict
    report: str
    client_ms: float

    def of_report(self, name: str) -> float | None:
        """A number of the REPORT line, e.g. of `Init Duration`."""
        match = re.search(rf"(?:^|\t){name}: ([0-9.]+)", self.report)
        return float(match[1]) if match else None


class Node:
    """`lamella serve` as a child process."""

    def __init__(self, home: Path) -> None:
        self.log = home / "server.log"
        # The user's own settings of Lamella are for another server.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LAMELLA_")}
        command = [BIN / "lamella", "serve", "--listen", "127.0.0.1:0", "--data", home / "data"]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)
        self.url = self._wait_ready(within_s=300)

    def _wait_ready(self, within_s: float) -> str:
        descriptor, text, end_s = self._process.stdout.fileno(), b"", time.monotonic() + within_s
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))
            piece = os.read(descriptor, 4096) if ready else b""
            if not piece:
                self._process.kill()
                self._process.wait()
                raise DemoError(f"The server did not start:\n{self.log.read_text()[-2000:]}")
            text += piece
        return text.decode().removeprefix(READY).split()[0]

    def stop(self) -> int:
        """Stop it as Ctrl-C does; returns its exit status, 0 after a clean stop."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(60)
        self._process.kill()
        return self._process.wait()


class Demo:
    """Runs commands against a node, prints them and what they answered, and keeps what was not as expected."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.failures: list[str] = []
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAMELLA_"))
        }
        self.environment |= {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_PAGER": "",
        }
        found = self.call("aws", "lambda", "list-functions")["Functions"]
        self.functions = {function["FunctionName"]: function["CodeSha256"] for function in found}

    def run(self, *command: str | Path, show: str = "") -> str:
        """Run a command of this installation; returns its standard output.

        Args:
            command: `aws` or `lamella`, and its arguments.
            show: Members of its JSON answer to print, separated by spaces.
        """
        console.print(f"$ {_shown(command)}", style="bold", markup=False)
        started_s = time.perf_counter()
        output = self._run(command)
        took_s = time.perf_counter() - started_s
        found = json.loads(output) if show else {}
        for name in show.split():
            console.print(f"    {name}: {found[name]}", markup=False)
        console.print(f"    ({took_s:.1f} s)", style="dim")
        return output

    def call(self, *command: str | Path) -> dict:
        """Run a command without a word; returns its JSON answer."""
        return json.loads(self._run(command))

    def _run(self, command: Iterable[str | Path]) -> str:
        program, *arguments = command
        # In the repository's directory, so that the commands as printed can be repeated from there.
        result = subprocess.run(
            [BIN / program, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, env=self.environment
        )
        if result.returncode != 0:
            raise DemoError(
                f"{_shown(command)}\nended with status {result.returncode}:\n{result.stdout}{result.stderr}"
            )
        return result.stdout

    def publish(self, name: str, archive: Path, description: str, *, runtimes: Iterable[str]) -> str:
        """Publish a layer version; returns its ARN."""
        command = ["aws", "lambda", "publish-layer-version", "--layer-name", name, "--description", description]
        command += ["--compatible-runtimes", *runtimes, "--compatible-architectures", ARCHITECTURE]
        answer = self.run(*command, "--zip-file", f"fileb://{_near(archive)}", show="LayerVersionArn")
        return json.loads(answer)["LayerVersionArn"]

    def function(
        self,
        name: str,
        directory: Path,
        *,
        runtime: str,
        handler: str,
        layers: Iterable[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        """Create a function of a directory's files, or give it these files and layers if an earlier run has made it."""
        archive = self.home / f"{name}.zip"
        packing.zip_tree(directory, archive)
        known = ["--function-name", name, "--zip-file", f"fileb://{_near(archive)}"]
        if name in self.functions:
            if self.functions[name] != base64.b64encode(hashlib.sha256(archive.read_bytes()).digest()).decode():
                self.run("aws", "lambda", "update-function-code", *known, show="LastUpdateStatus")
                self.run("aws", "lambda", "wait", "function-updated-v2", "--function-name", name)
            if layers:
                self.attach(name, layers)
            return  # its variables are those of the earlier run
        command = [
            "aws",
            "lambda",
            "create-function",
            *known,
            "--runtime",
            runtime,
            "--handler",
            handler,
            "--role",
            ROLE,
        ]
        command += [
            "--architectures",
            ARCHITECTURE,
            "--memory-size",
            "1024",
            "--timeout",
            "30",
            *(["--layers", *layers] if layers else []),
            *(["--environment", json.dumps({"Variables": environment})] if environment else []),
        ]
        self.run(*command, show="State")
        self.run("aws", "lambda", "wait", "function-active-v2", "--function-name", name)

    def attach(self, name: str, layers: Iterable[str]) -> None:
        """Let a function use these layers and no others."""
        command = ["aws", "lambda", "update-function-configuration", "--function-name", name, "--layers", *layers]
        self.run(*command, show="LastUpdateStatus")
        self.run("aws", "lambda", "wait", "function-updated-v2", "--function-name", name)

    def invoke(self, name: str, event: str, *, qualifier: str = "") -> Answer:
        """Invoke with `lamella invoke`, which also says how long it waited; prints the answer and the REPORT line."""
        command = ["lamella", "invoke", name, "--payload", event, *(["--qualifier", qualifier] if qualifier else [])]
        console.print(f"$ {_shown(command)}", style="bold", markup=False)
        result = subprocess.run(
            [BIN / command[0], *command[1:]],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=self.environment,
        )
        waited = re.search(r"within ([0-9.]+) ms", result.stderr)
        report = re.search(r"^REPORT .*$", result.stderr, re.MULTILINE)
        if result.returncode != 0 or not waited or not report:
            raise DemoError(f"{name} did not answer as it should:\n{result.stdout}{result.stderr}")
        answer = Answer(json.loads(result.stdout), report[0], float(waited[1]))
        console.print(f"    {json.dumps(_trimmed(answer.payload))}", style="green", markup=False)
        console.print(f"    {' '.join(report[0].split()[3:])}", style="dim", markup=False)
        console.print(f"    ({answer.client_ms:.1f} ms, seen by the client)", style="dim")
        return answer

    def wait_logged(self, name: str, text: str, *, times: int, within_s: float = 30) -> list[str]:
        """Follow a function's log until so many lines hold a text; returns those lines."""
        command = ["lamella", "logs", name, "--follow", "--since", "1h", "--json"]
        console.print(f"$ {_shown(command)}", style="bold", markup=False)
        process = subprocess.Popen(
            [BIN / command[0], *command[1:]], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=self.environment
        )
        found: list[str] = []
        timer = threading.Timer(within_s, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                message = json.loads(line)["message"]
                if text in message:
                    found.append(message)
                    if len(found) == times:
                        return found
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        raise DemoError(f"{name} has logged only {found} within {within_s:g} s")

    def expect(self, what: str, found: object, expected: object) -> None:
        """Remember it if something is not as it should be."""
        if found != expected:
            self.failures.append(f"{what} is {found!r}, expected {expected!r}")
            console.print(f"    NOT AS EXPECTED: {self.failures[-1]}", style="bold red", markup=False)


@dataclass(frozen=True)
class Row:
    """A line of the summary."""

    function: str
    answer: str
    cold: Answer
    warm_ms: float


def image_processing(demo: Demo, runtime: str) -> list[Row]:
    """A layer of Pillow and NumPy, and a function that needs both."""
    title("1. A layer: Pillow and NumPy, for a function that looks at a photograph")
    here = ROOT / "examples" / "image-processing"
    requirements = here / "requirements.txt"
    layer = demo.home / f"image-processing-{runtime}.zip"
    if stale(layer, requirements.read_text() + runtime):
        command = ["lamella", "layer", "build", "-r", _near(requirements), "--runtime", runtime]
        demo.run(*command, "--architecture", ARCHITECTURE, "--output", _near(layer))
        mark_built(layer, requirements.read_text() + runtime)
    say(f"{_near(layer)} has {layer.stat().st_size / 1e6:.1f} MB.")
    arn = demo.publish("image-processing", layer, "Pillow + numpy for image processing", runtimes=[runtime])

    name = "photo-facts"
    demo.function(name, here / "function", runtime=runtime, handler="photo.handler")
    demo.attach(name, [arn])

    say("The event holds the photograph, in base64: events are JSON.")
    photograph = here / "chelsea.png"
    event = demo.home / "photograph.json"
    event.write_text(json.dumps({"image_bytes": base64.b64encode(photograph.read_bytes()).decode()}))
    output = demo.home / "photo-facts.json"
    command = ["aws", "lambda", "invoke", "--function-name", name, "--payload", f"fileb://{_near(event)}"]
    answer = json.loads(demo.run(*command, "--log-type", "Tail", _near(output), show="StatusCode ExecutedVersion"))
    log = base64.b64decode(answer["LogResult"]).decode()
    console.print("    the end of its log (LogResult, in base64):", markup=False)
    console.print("\n".join(f"        {line}" for line in log.splitlines()), style="dim", markup=False)
    facts = json.loads(output.read_text())
    console.print(f"    {_near(output)}: {json.dumps(_trimmed(facts))}", style="green", markup=False)
    demo.expect("FunctionError", answer.get("FunctionError"), None)
    demo.expect("the photograph's shape", facts.get("shape"), [300, 451, 3])
    demo.expect("its mean colour", facts.get("mean_colour"), "#946f57")
    demo.expect("the thumbnail's shape", facts.get("thumbnail_shape"), [106, 160, 3])
    thumbnail = demo.home / "thumbnail.jpg"
    thumbnail.write_bytes(base64.b64decode(facts.get("thumbnail", "")))
    demo.expect("the thumbnail's first bytes", thumbnail.read_bytes()[:3].hex(), "ffd8ff")
    say(f"The thumbnail that the function made is in {_near(thumbnail)}.")

    say("How long does it take? A published version starts cold, then answers again and again.")
    command = ["aws", "lambda", "publish-version", "--function-name", name]
    version = json.loads(demo.run(*command, show="Version"))["Version"]
    demo.run("aws", "lambda", "wait", "published-version-active", "--function-name", name, "--qualifier", version)
    cold, *warm = (demo.invoke(name, f"@{_near(event)}", qualifier=version) for _ in range(4))
    demo.expect("whether the first one was cold", cold.of_report("Init Duration") is not None, True)
    demo.expect("Init Duration of a warm one", warm[-1].of_report("Init Duration"), None)
    warm_ms = statistics.median(answer.client_ms for answer in warm)
    return [Row(f"{name} ({runtime})", f"shape {facts['shape']}, mean {facts['mean_colour']}", cold, warm_ms)]


def shell_runtime(demo: Demo) -> list[Row]:
    """One layer with a runtime of 30 lines of shell, shared by three functions."""
    title("2. A runtime in shell and curl: one layer, three functions")
    here = ROOT / "examples" / "shell-runtime"
    layer = demo.home / "shell-runtime.zip"
    packing.zip_tree(here / "layer", layer)
    arn = demo.publish("shell-runtime", layer, "bootstrap: bash and curl", runtimes=["provided.al2023"])
    rows = []
    for name, handler, event, expected in (
        ("greet", "greet.handler", {"name": "Ada"}, {"greeting": "Hello, Ada!"}),
        ("words", "words.count", {"text": "to be or not to be"}, {"words": 6, "different": 4}),
        (
            "whereami",
            "whereami.look",
            {},
            {
                "user": "sbx_user1051",
                "function": "whereami",
                "directory": "/var/task",
                "code": "whereami.sh",
                "layer": "bootstrap",
            },
        ),
    ):
        demo.function(name, here / "functions" / name, runtime="provided.al2023", handler=handler, layers=[arn])
        rows.append(cold_and_warm(demo, name, event, expected))
    return rows


def php_runtime(demo: Demo) -> list[Row]:
    """The layer holds PHP itself."""
    title("3. PHP as a layer: bootstrap, php, runtime.php")
    here = ROOT / "examples" / "php-runtime"
    layer = demo.home / "php-runtime.zip"
    build(layer, here / "layer", packing.php_layer)
    arn = demo.publish("php-runtime", layer, "PHP and its libraries", runtimes=["provided.al2023"])
    name = "php-sort"
    demo.function(name, here / "function", runtime="provided.al2023", handler="function.handler", layers=[arn])
    return [cold_and_warm(demo, name, {"numbers": [3, 1, 2]}, {"sorted": [1, 2, 3], "sum": 6})]


def python_bootstrap(demo: Demo) -> list[Row]:
    """The runtime in one layer, its interpreter in another, the function elsewhere."""
    title("4. A bootstrap in Python: two layers merge in /opt")
    here = ROOT / "examples" / "python-bootstrap"
    interpreter, runtime = demo.home / "cpython.zip", demo.home / "python-bootstrap.zip"
    build(interpreter, Path(packing.__file__).parent / "packing.py", packing.python_layer)
    packing.zip_tree(here / "layer", runtime)
    arns = [
        demo.publish("cpython", interpreter, "bin/python3 and its library", runtimes=["provided.al2023"]),
        demo.publish("python-bootstrap", runtime, "bootstrap: standard library only", runtimes=["provided.al2023"]),
    ]
    name = "order-total"
    demo.function(name, here / "function", runtime="provided.al2023", handler="orders.total", layers=arns)
    expected = {"total": 3.5, "interpreter": "/opt/bin/python3", "function": name}
    return [cold_and_warm(demo, name, {"prices": [1.5, 2]}, expected)]


def telemetry_extension(demo: Demo, runtime: str) -> list[Row]:
    """An extension beside a function; what it ships is taken by another function."""
    title("5. An extension that ships telemetry: every log line and report of a function")
    here = ROOT / "examples" / "telemetry-extension"
    layer = demo.home / "telemetry-extension.zip"
    packing.zip_tree(here / "layer", layer)
    arn = demo.publish("telemetry", layer, "extensions/telemetry-extension", runtimes=[runtime])
    demo.function("collector", here / "collector", runtime=runtime, handler="collector.collect")
    endpoint = f"http://169.254.100.1:{ENDPOINT_PORT}/2015-03-31/functions/collector/invocations"
    demo.function(
        "orders",
        here / "function",
        runtime=runtime,
        handler="orders.total",
        layers=[arn],
        environment={"TELEMETRY_ENDPOINT": endpoint},
    )
    order = int(time.time())  # tells this run's lines from those of earlier ones
    row = cold_and_warm(demo, "orders", {"order": order, "prices": [1.5, 2]}, {"total": 3.5}, runtime=runtime)
    say("A new configuration retires the environment: the runtime ends, then the extension ships what is left.")
    demo.call("aws", "lambda", "update-function-configuration", "--function-name", "orders", "--description", "next")
    wanted = 2 * [f"line: order {order}: item 1 costs 1.5", f"line: order {order}: item 2 costs 2"]
    lines = demo.wait_logged("collector", f"order {order}:", times=len(wanted))
    console.print("\n".join(f"    {line}" for line in lines), style="green", markup=False)
    demo.expect("what was collected", lines, wanted)
    return [row]


def cold_and_warm(demo: Demo, name: str, event: dict, expected: dict, *, runtime: str = "provided.al2023") -> Row:
    """Invoke a function that has just been deployed, and once more; the first member of its answer sums it up."""
    brief = next(iter(expected))
    cold, warm = (demo.invoke(name, json.dumps(event)) for _ in range(2))
    for answer in (cold, warm):
        demo.expect(f"the answer of {name}", {key: answer.payload.get(key) for key in expected}, expected)
    demo.expect(f"whether {name} first started cold", cold.of_report("Init Duration") is not None, True)
    return Row(f"{name} ({runtime})", f"{brief} {cold.payload.get(brief)}", cold, warm.client_ms)


def build(layer: Path, sources: Path, make: Callable[[Path], str]) -> None:
    """Make a layer's archive if there is none yet of these sources."""
    files = [sources] if sources.is_file() else sorted(sources.rglob("*"))
    key = "".join(path.read_text() for path in (*files, Path(packing.__file__)) if path.is_file()) + sys.version
    if stale(layer, key):
        started_s = time.perf_counter()
        what = make(layer)
        say(f"Packed {what} as {_near(layer)} ({time.perf_counter() - started_s:.1f} s).")
        mark_built(layer, key)
    say(f"{_near(layer)} has {layer.stat().st_size / 1e6:.1f} MB.")


def stale(archive: Path, key: str) -> bool:
    """Whether an archive has to be built: there is none, or it was made of something else."""
    mark = archive.with_suffix(".key")
    return not (archive.exists() and mark.exists() and mark.read_text() == key)


def mark_built(archive: Path, key: str) -> None:
    """Remember what an archive was made of."""
    archive.with_suffix(".key").write_text(key)


def title(text: str) -> None:
    """Begin a part."""
    console.print(f"\n{text}", style="bold cyan", markup=False)


def say(text: str) -> None:
    """Tell the reader something."""
    console.print(text, markup=False)


def summary(rows: list[Row]) -> None:
    """A table of what answered, and how fast."""
    title("What answered, and how fast")
    table = Table("function", "answer", *("init", "cold", "warm", "memory"))
    for column in table.columns[2:]:
        column.justify, column.no_wrap = "right", True
    for row in rows:
        init_ms, memory_mb = row.cold.of_report("Init Duration"), row.cold.of_report("Max Memory Used")
        cold = [
            f"{init_ms or 0:.0f} ms",
            f"{row.cold.client_ms:.0f} ms",
            f"{row.warm_ms:.1f} ms",
            f"{memory_mb or 0:.0f} MB",
        ]
        table.add_row(row.function, row.answer, *cold)
    Console(highlight=False).print(table)
    say("init and memory: from the REPORT line. cold and warm: the first and a later answer, as the client saw them.")


def newest_python(demo: Demo) -> str:
    """The runtime for the first part: of those installed, the newest Python."""
    names = [pack["name"] for pack in demo.call("lamella", "runtime", "list", "--json")["runtimes"]]
    versions = [int(match[1]) for name in names if (match := re.fullmatch(r"python3\.(\d+)", name))]
    if not versions:
        raise DemoError(f"The server has no Python runtime, only {', '.join(names)}")
    return f"python3.{max(versions)}"


def _near(path: Path) -> str:
    """A path as seen from the repository, if it lies there."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _shown(command: Iterable[str | Path]) -> str:
    return shlex.join(str(word) for word in command)


def _trimmed(payload: dict) -> dict:
    return {
        name: f"{value[:24]}..." if isinstance(value, str) and len(value) > 200 else value
        for name, value in payload.items()
    }


def main() -> int:
    """Run all parts; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=ROOT / "build" / "demo", help="where everything is kept")
    home = parser.parse_args().home.absolute()
    if os.geteuid() != 0:
        say("The demo runs functions in real sandboxes, and making those takes root: sudo make demo")
        return 1
    home.mkdir(parents=True, exist_ok=True)

    started_s = time.perf_counter()
    title("0. A Lamella node on this machine")
    if not (home / "data" / "runtimes").exists():
        say("The first start copies runtimes from this machine: some seconds.")
    node = None
    failures: list[str] = []
    try:
        node = Node(home)
        say(f"Ready at {node.url} after {time.perf_counter() - started_s:.1f} s. AWS's clients find it by")
        say(f"    export AWS_ENDPOINT_URL={node.url} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test")
        demo = Demo(home, node.url)
        python = newest_python(demo)
        rows = image_processing(demo, python)
        rows += [*shell_runtime(demo), *php_runtime(demo), *python_bootstrap(demo)]
        rows += telemetry_extension(demo, python)
        summary(rows)
        failures = demo.failures
    except DemoError as error:
        failures.append(str(error))
    except KeyboardInterrupt:
        failures.append("interrupted")
    finally:
        if node is not None and (status := node.stop()):
            failures.append(f"the server ended with status {status}; its log is {_near(node.log)}")
    for failure in failures:
        console.print(f"FAILED: {failure}", style="bold red", markup=False)
    if not failures:
        say(f"Everything answered as expected; the server has stopped. {time.perf_counter() - started_s:.0f} s in all.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
