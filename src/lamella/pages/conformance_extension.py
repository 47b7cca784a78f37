"""`POST /_lamella/conformance/extension`: examines an extension in this server's sandboxes.

The answer is that of `lamella.pages.examining`.
"""

import platform
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from lamella.conformance.extension.examination import NothingToExamineError, Place, Wish, examine
from lamella.conformance.extension_checks import EXTENSION_CHECKS
from lamella.conformance.report import Report
from lamella.conformance.scenario import Pace
from lamella.domain.function import Architecture
from lamella.domain.names import parse_layer_version
from lamella.frontdoor import PageError
from lamella.httpserver.exchange import Exchange
from lamella.pages.conformance import Conformance, Trees, variable_of
from lamella.pages.examining import Tell
from lamella.ports.runtimes import RuntimePack
from lamella.ports.sandbox import SandboxProvider

_LAYERS_MOST: Final = 10
_SECONDS: Final[Mapping[str, tuple[float, float]]] = {
    "idle_s": (0.1, 900.0),
    "start_s": (0.5, 900.0),
    "answer_s": (0.5, 900.0),
}
"""What may be said about the pace: the least, and the most."""
_MEMORY_MIB: Final = (128, 4096)


@dataclass(frozen=True, slots=True)
class ExtensionPage:
    """See the module."""

    conformance: Conformance
    trees: Trees
    sandboxes: SandboxProvider
    directory: Path
    account: str
    region: str

    async def page(self, exchange: Exchange, query: Mapping[str, str], body: Path) -> None:
        """Body: a zip archive with the directories that the query names; empty if it names none.

        Query: `layer`, repeated, in the order of a function: the ARN of a layer version, or a directory of the archive.
        `extension`: which of theirs, if there are several. `name`: for the report. `runtime`, repeated: those it is
        for. `architecture`. `variable`, repeated: `NAME=value`. `collector`: the variable that names the collector.
        `telemetry`: `yes` or `no`. `skip` and `only`: ids of checks with commas. `idle_s`, `start_s`, `answer_s`,
        `memory_mib`.
        """
        pairs = parse_qsl(exchange.request.query, keep_blank_values=True)
        async with self.conformance.turns.asking(), AsyncExitStack() as stack:
            archive = await self.conformance.archive(body, stack)
            layers = [value for key, value in pairs if key == "layer"]
            if not 1 <= len(layers) <= _LAYERS_MOST:
                raise PageError(400, f"Name 1 to {_LAYERS_MOST} layers: ?layer=, an ARN or a directory of the archive.")
            for layer in layers:
                # Of the account that asks; of any, where nobody is asked who they are.
                account = parse_layer_version(layer)[0].account if layer.startswith("arn:") else ""
                if account and query.get("account", account) != account:
                    raise PageError(404, f"There is no layer version {layer[:200]}.")
            packs = self._packs(query.get("architecture", ""))
            named = [value for key, value in pairs if key == "runtime"]
            wish = Wish(
                [await self.conformance.layer(layer, archive, stack) for layer in layers],
                name=query.get("extension", ""),
                runtimes=_installed(named, packs) if named else await self._declared(layers, packs),
                variables=dict(variable_of(value) for key, value in pairs if key == "variable"),
                collector=_collector(query.get("collector", "")),
                telemetry=_yes_or_no(query.get("telemetry", "")),
                skipped=_skipped(query),
                pace=_pace(query),
                memory_mib=int(_number(query, "memory_mib", *_MEMORY_MIB, default=512)),
            )
            place = Place(self.sandboxes, packs, self.directory, self.account, self.region)

            async def examined(tell: Tell) -> Report:
                report = await examine(wish, place, progress=tell)
                return replace(report, patient=query.get("name") or report.patient)

            try:
                wish.check(place)
            except NothingToExamineError as error:
                raise PageError(400, str(error)) from error
            await self.conformance.turns.answer(exchange, examined)

    def _packs(self, architecture: str) -> list[RuntimePack]:
        try:
            wanted = Architecture(architecture or ("arm64" if platform.machine() == "aarch64" else "x86_64"))
        except ValueError:
            raise PageError(400, f"An architecture is x86_64 or arm64, not {architecture[:80]!r}.") from None
        packs = [pack for pack in self.trees.runtimes.packs() if pack.architecture is wanted]
        if not packs:
            raise PageError(404, f"This server has no runtime for {wanted.value}; 'lamella runtime add' adds one.")
        return packs

    async def _declared(self, layers: Sequence[str], packs: Sequence[RuntimePack]) -> tuple[str, ...]:
        """The compatible runtimes that all layer versions have in common which declare any, as far as they are here."""
        declared: list[str] | None = None
        for layer in layers:
            version = await self.trees.layers.get(*parse_layer_version(layer)) if layer.startswith("arn:") else None
            if version is not None and version.runtimes:
                names = [str(name) for name in version.runtimes]
                declared = names if declared is None else [name for name in declared if name in names]
        if not declared:
            return ()
        here = tuple(name for name in declared if any(pack.name == name for pack in packs))
        if not here:
            raise PageError(
                404, f"None of the runtimes that it is for is installed here: {', '.join(declared)}. Say ?runtime=."
            )
        return here


def _installed(named: Sequence[str], packs: Sequence[RuntimePack]) -> tuple[str, ...]:
    there = [pack.name for pack in packs]
    for name in named:
        if name not in there:
            raise PageError(
                404,
                f"Runtime {name[:80]} is not installed on this node (there is {', '.join(there)}); "
                f"'lamella runtime add' adds one.",
            )
    return tuple(dict.fromkeys(named))


def _collector(text: str) -> str:
    if text and not text.isidentifier():
        raise PageError(400, f"The collector is named by a variable, not {text[:80]!r}.")
    return text


def _yes_or_no(text: str) -> bool | None:
    if text not in ("", "yes", "no"):
        raise PageError(400, f"telemetry is yes or no, not {text[:80]!r}.")
    return text == "yes" if text else None


def _skipped(query: Mapping[str, str]) -> frozenset[str]:
    skip, only = ([word for word in query.get(name, "").split(",") if word] for name in ("skip", "only"))
    for word in (*skip, *only):
        if word not in EXTENSION_CHECKS:
            raise PageError(400, EXTENSION_CHECKS.unknown(word))
    return frozenset(check for check in EXTENSION_CHECKS if check in skip or (only and check not in only))


def _pace(query: Mapping[str, str]) -> Pace:
    pace = Pace()
    given = {
        name: _number(query, name, least, most, default=getattr(pace, name)) for name, (least, most) in _SECONDS.items()
    }
    return replace(pace, **given)


def _number(query: Mapping[str, str], name: str, least: float, most: float, *, default: float) -> float:
    try:
        number = float(query.get(name) or default)
    except ValueError:
        number = -1.0
    if not least <= number <= most:
        raise PageError(400, f"{name} is a number from {least:g} to {most:g}.")
    return number
