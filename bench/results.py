"""What is measured, how it compares with the budgets, and how both are shown and kept."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Budget:
    """What a release has to reach; the values of the architecture's section 4.

    Attributes:
        at_most: False if the value is a least one.
    """

    limit: float
    unit: str
    at_most: bool = True

    def met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {_number(self.limit)} {self.unit}".rstrip()


BUDGETS: Final[Mapping[str, Budget]] = {
    "warm.c.sequential.rate": Budget(15_000, "/s", at_most=False),
    "warm.c.sequential.p50": Budget(70, "µs"),
    "warm.python.sequential.rate": Budget(6_000, "/s", at_most=False),
    "cold.c.p50": Budget(15, "ms"),
    "cold.spare.c.p50": Budget(8, "ms"),
    "cold.python.p50": Budget(60, "ms"),
    "cold.layers.ratio": Budget(1.05, "x"),
    "recorder.ratio": Budget(1.03, "x"),
    "publish.ratio": Budget(1.2, "x"),
    "workshop.check": Budget(5, "s"),
    "workshop.explain": Budget(1, "s"),
    "density.environment": Budget(3, "MiB"),
    "idle.rss": Budget(80, "MiB"),
    "idle.cpu": Budget(0.5, "%"),  # "0 %", as a table without decimals shows it
}


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value.

    Attributes:
        id: Dotted; also finds the budget.
        what: For the reader of the table.
        samples: One for each round, or for each event; the value is their median.
        by_median: The samples are of single events, so p99 and the like say more than their range.
        more: Further figures, for the JSON.
    """

    id: str
    what: str
    unit: str
    samples: Sequence[float]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float:
        return statistics.median(self.samples)

    @property
    def budget(self) -> Budget | None:
        return BUDGETS.get(self.id)

    @property
    def verdict(self) -> str:
        if self.budget is None:
            return ""
        return "met" if self.budget.met(self.value) else "missed"


@dataclass(frozen=True, slots=True)
class Skipped:
    """What could not be measured, and why."""

    id: str
    reason: str


# The budget and the relay on the machine that the plan was made on; where the relay is slower, so may the product be.
_PLANNED: Final = 15_000 / 46_000


def ratios(rows: Iterable[Row]) -> dict[str, float]:
    """How values relate to those of the same run that bound or rival them; comparable between machines."""
    value = {row.id: row.value for row in rows}
    pairs = {
        f"warm C rate / relay in C (the plan's: {_PLANNED:.2f})": ("warm.c.sequential.rate", "relay.c.sequential.rate"),
        "warm C rate / relay in Python (the budget when set: 0.43)": (
            "warm.c.sequential.rate",
            "relay.python.sequential.rate",
        ),
        "warm C p50 / relay in Python (the budget when set: 2.6)": (
            "warm.c.sequential.p50",
            "relay.python.sequential.p50",
        ),
        "8 concurrent C rate / relay in Python": ("warm.c.concurrent.rate", "relay.python.concurrent.rate"),
        "warm python3.11 rate / MiniStack": ("warm.python.sequential.rate", "ministack.sequential.rate"),
        "8 concurrent python3.11 rate / MiniStack": ("warm.python.concurrent.rate", "ministack.concurrent.rate"),
        "cold C p50 with a spare sandbox / without": ("cold.spare.c.p50", "cold.c.p50"),
        "cold python3.11 p50 / MiniStack": ("cold.python.p50", "ministack.cold.p50"),
        "cold with 250 MB of layers / without": ("cold.layers.250", "cold.layers.0"),
        "warm C p50 with an extension / without": ("extension.with.p50", "extension.without.p50"),
        "cold C p50 with an extension / without": ("extension.with.cold", "extension.without.cold"),
        "publish / unzip and sync": ("publish.seconds", "publish.unzip_sync"),
        "publish / unzip": ("publish.seconds", "publish.unzip"),
    }
    return {name: round(value[a] / value[b], 3) for name, (a, b) in pairs.items() if a in value and value.get(b)}


def show(rows: Sequence[Row], skipped: Sequence[Skipped], machine: Mapping[str, Any]) -> None:
    """Print everything as tables."""
    console = Console()
    console = Console(width=max(console.width, 110))  # a pipe says 80, where every row would break
    table = Table(title="Lamella, measured", title_justify="left")
    for name, justify in (
        ("what", "left"),
        ("median", "right"),
        ("least … most", "right"),
        ("budget", "right"),
        ("", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # a literal, lost in the tuple
    group = ""
    for row in rows:
        head = row.id.partition(".")[0]
        if group and head != group:
            table.add_section()
        group = head
        colour = {"met": "green", "missed": "red"}.get(row.verdict, "")
        spread = f"{_number(min(row.samples))} … {_number(max(row.samples))}" if len(row.samples) > 1 else ""
        verdict = f"[{colour}]{row.verdict}[/]" if colour else ""
        table.add_row(row.what, f"{_number(row.value)} {row.unit}", spread, str(row.budget or ""), verdict)
    console.print(table)
    compared = Table(title="Ratios of the same run", title_justify="left", show_header=False)
    for name, ratio in ratios(rows).items():
        compared.add_row(name, f"{_number(ratio)} x")
    if compared.row_count:
        console.print(compared)
    for skip in skipped:
        console.print(f"not measured: {skip.id}: {skip.reason}", style="yellow", markup=False)
    console.print(
        f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}; load average "
        f"{machine['load_before']} before, {machine['load_after']} after. On a machine that does other work as well, "
        "trust the ratios, and `CPU per invocation` where it is shown, more than the times.",
        highlight=False,
    )


def write(path: Path, rows: Sequence[Row], skipped: Sequence[Skipped], machine: Mapping[str, Any]) -> None:
    """Keep everything as JSON."""
    document = {
        "machine": machine,
        "ratios": ratios(rows),
        "results": {
            row.id: {
                "what": row.what,
                "unit": row.unit,
                "median": row.value,
                "samples": [round(sample, 4) for sample in row.samples],
                **({"budget": row.budget.limit, "verdict": row.verdict} if row.budget else {}),
                **row.more,
            }
            for row in rows
        },
        "skipped": {skip.id: skip.reason for skip in skipped},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 20 else f"{value:.2f}"
