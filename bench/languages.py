"""Every language with a layer, measured: `make languages` writes the table of the README from it.

Each row is a project that `lamella init` writes, built and deployed by its own Makefile; its function's answer names
the file below /opt that it has loaded. A row whose function does not answer as its README says is a failure.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.support.languages import put_npm_on_path

from bench import clients, machine
from bench.node import Node
from bench.programs import CACHE, HERE
from lamella.scaffold import languages, make_project

RUNTIMES: Final = (
    "python3.11",
    "python3.12",
    "python3.13",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "java17",
    "java21",
    "java25",
    "ruby3.3",
    "rust",
    "go",
    "c",
    "php",
    "lua",
    "shell",
    "deno",
    "bun",
)
"""What the rows are: languages and runtimes, as `lamella init --runtime` takes them."""


def _custom() -> list[str]:
    return [language.name for language in languages().values() if language.is_custom]


REQUIRED: Final = frozenset({"python3.11", "nodejs22.x", "java17", "ruby3.3", *_custom()})
"""A row that is missing though it is one of these makes the run fail; others depend on what the machine can have."""

_ROOT: Final = HERE.parent
_PAGES: Final = (_ROOT / "README.md", _ROOT / "docs" / "reference" / "languages.md")
_BLOCK: Final = re.compile(r"(<!-- measured: languages -->\n).*?(<!-- end -->)", re.DOTALL)
_EVENT: Final = b'{"name": "Ada", "language": "fr"}'
_GREETING: Final = "Bonjour, Ada!"
_MEMORY_MB: Final = 1769  # one whole processor, so that no quota is measured


class RowError(Exception):
    """A row cannot be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One row of the table; times in milliseconds."""

    title: str
    runtime: str
    cold_ms: Sequence[float]
    warm_ms: Sequence[float]
    memory_mb: int
    layer: str
    client: str

    def cells(self) -> Sequence[str]:
        cold, warm = (statistics.median(times) for times in (self.cold_ms, self.warm_ms))
        times = (f"{cold:.0f} ms" if cold >= 10 else f"{cold:.1f} ms", f"{warm:.2f} ms")
        return (self.title, f"`{self.runtime}`", *times, f"{self.memory_mb} MB", f"`{self.layer}`", self.client)


def table(rows: Sequence[Measured], about: Mapping[str, object]) -> str:
    """The table in Markdown, with what it was measured on."""
    day = datetime.now(UTC).strftime("%-d %B %Y")
    host = f"{_processor(str(about['cpu']))}, Linux {str(about['kernel']).partition('-')[0]}"
    lines = [
        f"`make languages`, {day}, {about['cpus']} virtual processors ({host}), load {about['load_before']} before.",
        "Medians as the caller sees them; cold: from the call to the answer, with a sandbox made ahead. Each function",
        "has one whole processor.",
        "",
        "| Language | Runtime | Cold start | Warm | Memory | Loaded from the layer | Client of the Runtime API |",
        "|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(row.cells())} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def write(text: str) -> None:
    """Put the table into the pages that show it."""
    for page in _PAGES:
        before = page.read_text(encoding="utf-8")
        if _BLOCK.search(before) is None:
            raise SystemExit(f"{page} has no place for the table")
        page.write_text(_BLOCK.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", before), encoding="utf-8")


def measure(node: Node, name: str, scratch: Path, *, starts: int, calls: int) -> Measured:
    """Write, build, deploy and invoke a project.

    Raises:
        RowError: The runtime is not to be had, the project cannot be built, or the answer is not what it should be.
    """
    project = make_project(name, "greet")
    directory = scratch / name
    if not project.language.is_custom:
        run(node, "lamella", "runtime", "add", project.runtime)
    run(node, "lamella", "init", "--runtime", name, "--name", "greet", directory)
    run(node, "make", "-C", directory, "deploy", *clients.make_options(project.language.name, project.runtime))
    function, title = f"greet-{re.sub('[^a-z0-9]', '-', name)}", project.language.title
    try:
        settings = node.client.get_function_configuration(FunctionName="greet")
        node.create(
            function,
            (directory / "build" / "function.zip").read_bytes(),
            project.runtime,
            handler=settings["Handler"],
            Layers=[layer["Arn"] for layer in settings["Layers"]],
            MemorySize=_MEMORY_MB,
        )
    finally:
        node.client.delete_function(FunctionName="greet")
    try:
        answer, cold_ms = None, []
        with node.caller() as caller:
            for turn in range(-1, starts):  # the first is not counted: it reads programs from the disk
                node.touch(function, turn)
                node.wait_environments(0)
                node.wait_spares(1)
                took_s, answer = caller.call("POST", f"/2015-03-31/functions/{function}/invocations", _EVENT)
                cold_ms += [took_s * 1000] if turn >= 0 else []
            warm_ms = [caller.invoke(function, _EVENT) * 1000 for _ in range(calls)]
        found = json.loads(answer or b"null")
        if found["greeting"] != _GREETING or not found["layer"].startswith("/opt/"):
            raise RowError(f"the answer is {found}")
        report = node.client.invoke(FunctionName=function, Payload=_EVENT, LogType="Tail")
        memory_mb = clients.memory_of(report["LogResult"])
    finally:
        node.client.delete_function(FunctionName=function)
    kept = node.data / "runtimes"
    version, client = clients.describe(project.language.name, root_of(node, project.runtime), kept, directory)
    return Measured(f"{title} {version}".strip(), project.runtime, cold_ms, warm_ms, memory_mb, found["layer"], client)


def root_of(node: Node, runtime: str) -> Path:
    """Where the files of a runtime are."""
    with node.caller() as caller:
        packs = json.loads(caller.call("GET", "/_lamella/runtimes")[1])["runtimes"]
    return next(Path(pack["path"]) for pack in packs if pack["name"] == runtime)


def run(node: Node, *command: str | Path) -> None:
    """Run a command against the node as its user would.

    Raises:
        RowError: It fails; with the end of what it printed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAMELLA_", "AWS_"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": node.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_PAGER": "",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RowError(f"{' '.join(map(str, command))}: {(done.stdout + done.stderr).strip()[-600:]}")


def rows_of(node: Node, names: Sequence[str], *, starts: int, calls: int) -> Iterator[tuple[str, Measured | str]]:
    """Each row, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="languages-", dir=CACHE) as scratch:
        for name in names:
            print(f"languages: {name} …", file=sys.stderr, flush=True)
            try:
                yield name, measure(node, name, Path(scratch), starts=starts, calls=calls)
            except (RowError, RuntimeError) as error:
                yield name, str(error)


def _processor(model: str) -> str:
    return re.sub(r"\s+\d+-Core Processor|\(R\)|\(TM\)| Processor| CPU @.*", "", model).strip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.languages", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure only these, and write no page")
    parser.add_argument("--quick", action="store_true", help="few rounds, and write no page")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("sandboxes need root: sudo make languages")
    CACHE.mkdir(parents=True, exist_ok=True)
    names = arguments.only or RUNTIMES
    starts, calls = (2, 20) if arguments.quick else (9, 300)
    about = machine.describe()
    rows: list[Measured] = []
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="npm-", dir=CACHE) as scratch, Node() as node:
        put_npm_on_path(Path(scratch))
        for name, found in rows_of(node, names, starts=starts, calls=calls):
            if isinstance(found, str):
                missing[name] = found
            else:
                rows.append(found)
    text = table(rows, about)
    print(text)
    for name, reason in missing.items():
        print(f"languages: no row for {name}: {reason}", file=sys.stderr)
    failed = sorted(REQUIRED & missing.keys())
    if not arguments.only and not arguments.quick and not failed:
        write(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
