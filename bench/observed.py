"""What it costs to be watched: an extension that does nothing, and the flight recorder."""

from collections.abc import Iterator
from contextlib import ExitStack

from bench.cold import cold_starts
from bench.node import Node, code_zip
from bench.programs import build
from bench.results import Row
from bench.warm import Round, create_echoes, load, one_round, warm_up


def measure_extension(cpu: int, *, rounds: int, run_s: float, starts: int) -> Iterator[Row]:
    """The same function without and with one extension, in turn on one node."""
    names = {"echo-c": "no extension", "echo-extended": "with an extension"}
    with Node(cpu=cpu, spare_sandboxes="0") as node:
        create_echoes(node)
        _create_extended(node)
        for name in names:
            load(node.port, name, 1, 1.0)
        node.pin()
        results: dict[str, list[Round]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                results[name].append(one_round(node.port, name, 1, run_s, cpu, node.everything))
    for name, what in names.items():
        place = "extension.with" if name == "echo-extended" else "extension.without"
        yield Row(
            f"{place}.p50", f"warm invocation, echo in C, {what}, p50", "µs", [one.p50_us for one in results[name]]
        )
        yield Row(
            f"{place}.cpu", "  CPU per invocation, the caller's included", "µs", [one.cpu_us for one in results[name]]
        )
    with Node(spare_sandboxes="0") as node:
        create_echoes(node)
        _create_extended(node)
        times_ms = cold_starts(node, list(names), starts=starts)
    yield Row("extension.without.cold", "cold start, echo in C, no extension", "ms", times_ms["echo-c"])
    yield Row("extension.with.cold", "  with the extension", "ms", times_ms["echo-extended"])


def measure_recorder(cpu: int, *, rounds: int, run_s: float) -> Iterator[Row]:
    """Two nodes, one of which records nothing; in turn, so that a disturbance hits both alike."""
    with ExitStack() as stack:
        nodes = {on: stack.enter_context(Node(cpu=cpu, flight_recorder=on)) for on in ("true", "false")}
        for node in nodes.values():
            create_echoes(node)
            warm_up(node, "echo-c")
            node.pin()
        results: dict[str, list[Round]] = {on: [] for on in nodes}
        for _ in range(2 * rounds):
            for on, node in nodes.items():
                results[on].append(one_round(node.port, "echo-c", 1, run_s, cpu, node.everything))
    for on, what in (("false", "off"), ("true", "on")):
        place = f"recorder.{what}"
        yield Row(
            f"{place}.cpu", f"CPU per warm invocation, recorder {what}", "µs", [one.cpu_us for one in results[on]]
        )
    paired = [a.cpu_us / b.cpu_us for a, b in zip(results["true"], results["false"], strict=True)]
    yield Row("recorder.ratio", "  on against off, each round with its neighbour", "x", paired)


def _create_extended(node: Node) -> None:
    layer = node.publish_layer(
        "noop",
        code_zip({"extensions/noop": build("runtimes/extension.c").read_bytes()}, executable=["extensions/noop"]),
    )
    bootstrap = build("runtimes/echo.c").read_bytes()
    code = code_zip({"bootstrap": bootstrap}, executable=["bootstrap"])
    node.create("echo-extended", code, "provided.al2023", Layers=[layer])
