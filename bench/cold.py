"""Cold starts: from the call to the answer when there is no execution environment."""

import statistics
from collections.abc import Iterator
from typing import Final

from bench import archives
from bench.node import Endpoint, Node, code_zip
from bench.programs import build
from bench.results import Row
from bench.warm import create_echoes

_LAYERS_BYTES: Final = 250 * 1000 * 1000
"""Two layers together; AWS allows 262,144,000 bytes for function code and layers."""


def measure(*, starts: int) -> Iterator[Row]:
    """Each start follows a change of configuration and the end of the environment before it; neither is counted."""
    for spares, place, what in ((0, "cold", "without a spare sandbox"), (2, "cold.spare", "with a spare sandbox")):
        with Node(spare_sandboxes=str(spares)) as node:
            create_echoes(node)
            times_ms = cold_starts(node, ["echo-c", "echo-python"], starts=starts)
        yield Row(f"{place}.c.p50", f"cold start, echo in C, {what}", "ms", times_ms["echo-c"])
        yield Row(f"{place}.python.p50", f"  echo in python3.11, {what}", "ms", times_ms["echo-python"])
    # Without spares: the mounting of layers is what is compared, and a spare has them mounted already.
    with Node(spare_sandboxes="0") as node:
        bootstrap = code_zip({"bootstrap": build("runtimes/echo.c").read_bytes()}, executable=["bootstrap"])
        layers = [
            node.publish_layer(f"bulk{number}", archives.bulky(_LAYERS_BYTES // 2, seed=number)) for number in (1, 2)
        ]
        node.create("layers-0", bootstrap, "provided.al2023")
        node.create("layers-250", bootstrap, "provided.al2023", Layers=layers)
        times_ms = cold_starts(node, ["layers-0", "layers-250"], starts=2 * starts)
    without, with_layers = times_ms["layers-0"], times_ms["layers-250"]
    yield Row("cold.layers.0", "cold start, echo in C, no layer", "ms", without)
    yield Row("cold.layers.250", "  two layers of 250 MB together", "ms", with_layers)
    ratio = statistics.median(with_layers) / statistics.median(without)
    paired = [b / a for a, b in zip(without, with_layers, strict=True)]
    yield Row("cold.layers.ratio", "  ratio of the medians", "x", [ratio], {"ratios_of_neighbours": paired})


def cold_starts(node: Node | Endpoint, names: list[str], *, starts: int) -> dict[str, list[float]]:
    """Cold starts of several functions in turn, so that a disturbance hits all of them alike; in milliseconds.

    On a node that keeps spare sandboxes, each start finds one.

    The order changes from turn to turn: who comes second finds warmer caches.
    """
    times_ms: dict[str, list[float]] = {name: [] for name in names}
    with node.caller() as caller:
        for turn in range(-1, starts):  # the first is not counted: it reads programs from the disk
            for name in names if turn % 2 else reversed(names):
                node.touch(name, turn)
                if isinstance(node, Node):
                    node.wait_environments(len(names) - 1)
                    node.wait_spares(len(names))
                took_s = caller.invoke(name)
                if turn >= 0:
                    times_ms[name].append(took_s * 1000)
    return times_ms
