"""Measures everything and prints it with its budgets: `make bench`, or `.venv/bin/python -m bench --help`."""

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from bench import cold, database, density, layers, machine, ministack, observed, processes, programs, warm, workshop
from bench.programs import CACHE, HERE, MissingToolError
from bench.results import Row, Skipped, show, write

Measure = Callable[[], Iterator[Row]]


def suite(*, quick: bool, cpu: int) -> Mapping[str, tuple[str, Measure]]:
    """All measurements by name, in the order in which they are made."""
    rounds, run_s, starts = (2, 0.5, 5) if quick else (7, 2.0, 15)
    return {
        # First, because files that the others have just deleted would slow it down.
        "publish": (
            "publishing a 50 MB layer against unzip",
            lambda: layers.measure(rounds=2 if quick else 5),
        ),
        "workshop": (
            "checking a layer of 250 MB, explaining a function of five layers",
            lambda: workshop.measure(rounds=2 if quick else 5),
        ),
        "database": (
            "changes with SQLite and with PostgreSQL",
            lambda: database.measure(rounds=20 if quick else 200),
        ),
        "relay": (
            "bare relays, the bounds of what can be reached",
            lambda: warm.measure_relays(cpu, rounds=rounds, run_s=run_s),
        ),
        "warm": (
            "warm invocations, sequential and 8 concurrent, everything on one processor",
            lambda: warm.measure(cpu, rounds=rounds, run_s=run_s),
        ),
        "cold": (
            "cold starts without and with spare sandboxes, and with 250 MB of layers against none",
            lambda: cold.measure(starts=starts),
        ),
        "extension": (
            "an extension that does nothing, against none",
            lambda: observed.measure_extension(cpu, rounds=rounds, run_s=run_s, starts=starts),
        ),
        "recorder": (
            "the flight recorder, on against off",
            lambda: observed.measure_recorder(cpu, rounds=rounds, run_s=run_s),
        ),
        "density": (
            "memory of idle environments; memory and CPU of an idle node",
            lambda: density.measure(environments=5 if quick else 20, watch_s=2.0 if quick else 5.0),
        ),
        "ministack": (
            f"MiniStack {ministack.VERSION} from PyPI, beside ours",
            lambda: ministack.measure(cpu, rounds=min(rounds, 3), run_s=run_s, starts=starts),
        ),
    }


PEERS: Final = ("ministack",)
OPTIONAL: Final = (*PEERS, "database")
"""What may be missing; it is not installed for measurements."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure only these")
    parser.add_argument("--list", action="store_true", help="say what can be measured")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works, not to compare")
    parser.add_argument("--json", type=Path, help="where the results go (default: bench/results/latest.json)")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True, help="measure peers as well")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped and their data deleted
    CACHE.mkdir(parents=True, exist_ok=True)
    cpu = processes.quietest_cpu()
    measures = suite(quick=arguments.quick, cpu=cpu)
    if arguments.list:
        for name, (what, _) in measures.items():
            print(f"{name:10} {what}")
        return 0
    chosen = arguments.only or [name for name in measures if arguments.peer or name not in PEERS]
    if unknown := [name for name in chosen if name not in measures]:
        parser.error(f"no such measurement: {', '.join(unknown)}; see --list")
    if os.geteuid() != 0:
        parser.error("sandboxes need root: sudo make bench")
    for left in CACHE.glob("node-*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    about = machine.describe() | {"pinned_to_cpu": cpu, "quick": arguments.quick}
    rows: list[Row] = []
    skipped: list[Skipped] = []
    try:
        programs.build("load.c")
    except MissingToolError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for name in chosen:
        what, measure = measures[name]
        print(f"bench: {name}: {what} …", file=sys.stderr, flush=True)
        began_s = time.monotonic()
        try:
            rows.extend(measure())
        except MissingToolError as error:
            skipped.append(Skipped(name, str(error)))
        except Exception as error:  # noqa: BLE001  # one measurement that fails must not cost the others
            skipped.append(Skipped(name, f"{type(error).__name__}: {error}"))
        print(f"bench: {name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    about["load_after"] = machine.load_average()
    show(rows, skipped, about)
    path = arguments.json or HERE / "results" / "latest.json"
    write(path, rows, skipped, about)
    print(f"written to {path}", file=sys.stderr)
    failed = [skip for skip in skipped if skip.id not in OPTIONAL]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
