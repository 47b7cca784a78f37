"""Looks into layers before a roll-out: what the doctor says of the new set of layers, and whether it is too big.

Each layer version is opened once, and each combination of layers, runtime and architecture is checked once, however
many functions have it. What the doctor says of the old combination as well is no reason against the new one.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import ClientError

from lamella.fleet.layers import split
from lamella.fleet.plan import PlannedFunction
from lamella.fleet.reading import code_of
from lamella.layers.contents import LayerContents
from lamella.layers.doctor import Advisories, check_layers
from lamella.layers.errors import LayerReadError
from lamella.layers.fetching import open_function_code
from lamella.layers.findings import Finding, Severity

MOST_BYTES: Final = 262_144_000
"""Unzipped, of code and all layers: 250 MB. Source: developer guide, "gettingstarted-limits"; the API's error texts."""

Opener = Callable[[str], AbstractContextManager[LayerContents]]
"""Opens a layer version by its ARN; raises `ClientError` or `LayerReadError`."""
CodeSize = Callable[[str], int | None]
"""Unzipped bytes of a function's own code, by its name; `None` if that cannot be known."""


@dataclass(slots=True)
class Verdict:
    """What is to be said of a function's new layers.

    Attributes:
        problems: Why it must not get them.
        warnings: What to think of.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Inspection(ExitStack):
    """Looks into layers; holds them open until it is left.

    Args:
        opener: Opens layer versions.
        code_size: Knows how big functions are; asked only where it matters.
        advisories: Known vulnerabilities, for the doctor.
    """

    def __init__(self, opener: Opener, code_size: CodeSize, advisories: Advisories | None = None) -> None:
        super().__init__()
        self._opener = opener
        self._code_size = code_size
        self._advisories = advisories
        self._contents: dict[str, LayerContents | str] = {}
        self._findings: dict[tuple[tuple[str, ...], str, str], list[Finding]] = {}

    def inspect(self, planned: PlannedFunction, layer: str) -> Verdict:
        """Look into the layers that a function would have.

        Args:
            planned: The function.
            layer: ARN, without a version, of the one that changes.
        """
        verdict = Verdict()
        missing = [text for arn in planned.after if isinstance(text := self._open(arn), str)]
        if missing:
            # Lambda wants the whole list anew, and takes none that has been deleted.
            verdict.problems += missing
            return verdict
        new = self._new_findings(planned)
        verdict.problems += [_worded(one) for one in new if one.severity is Severity.ERROR]
        verdict.warnings += [_worded(one) for one in new if one.severity is Severity.WARNING]
        verdict.problems += self._too_big(planned)
        for arn in planned.before:
            if split(arn)[0] == layer and isinstance(text := self._open(arn), str):
                verdict.warnings.append(f"$LATEST could not be rolled back to {split(arn)[1]}: {text}")
        return verdict

    def findings(self) -> list[Finding]:
        """All that the doctor has said of new sets of layers, the worst first, each once."""
        found = dict.fromkeys(finding for one in self._findings.values() for finding in one)
        return sorted(found, key=lambda finding: (-finding.severity, finding.layer, finding.code, finding.place))

    def _new_findings(self, planned: PlannedFunction) -> list[Finding]:
        before = {_key(one) for one in self._check(planned.before, planned)}
        return [one for one in self._check(planned.after, planned) if _key(one) not in before]

    def _check(self, layers: tuple[str, ...], planned: PlannedFunction) -> list[Finding]:
        key = (layers, planned.runtime, planned.architecture)
        if key not in self._findings:
            opened = [one for arn in layers if isinstance(one := self._open(arn), LayerContents)]
            self._findings[key] = check_layers(
                opened,
                runtimes=[planned.runtime],
                architectures=[planned.architecture],
                advisories=self._advisories,
            )
        return self._findings[key]

    def _too_big(self, planned: PlannedFunction) -> list[str]:
        """What fitted before fits now unless the layers have grown; only then the code is looked at."""
        after, before = self._size(planned.after), self._size(planned.before)
        if after is None or (before is not None and after <= before):
            return []
        code = self._code_size(planned.name) or 0
        if after + code <= MOST_BYTES:
            return []
        return [
            f"{after + code:,} bytes of code and layers, unzipped, are more than the {MOST_BYTES:,} that Lambda takes"
        ]

    def _size(self, layers: Sequence[str]) -> int | None:
        opened = [self._open(arn) for arn in layers]
        sizes = [one.unzipped_bytes for one in opened if isinstance(one, LayerContents)]
        return sum(sizes) if len(sizes) == len(opened) else None

    def _open(self, arn: str) -> LayerContents | str:
        """The layer version, or in words why it cannot be opened."""
        if arn not in self._contents:
            try:
                self._contents[arn] = self.enter_context(self._opener(arn))
            except ClientError as error:
                name = ":".join(arn.split(":")[-2:])
                gone = code_of(error) in {"ResourceNotFoundException", "AccessDeniedException"}
                why = "has been deleted, or is not shared with this account" if gone else f"cannot be read: {error}"
                self._contents[arn] = f"layer version {name} {why}"
            except LayerReadError as error:
                self._contents[arn] = str(error)
        return self._contents[arn]


def read_code_size(client: Any, name: str) -> int | None:  # Any: botocore makes its clients' classes at run time
    """Unzipped bytes of a function's own code, of which only the table of contents is fetched."""
    try:
        with open_function_code(client, client.get_function(FunctionName=name), cache=None) as contents:
            return contents.unzipped_bytes
    except (ClientError, LayerReadError, KeyError, ValueError):
        return None


def _key(finding: Finding) -> tuple[str, str, str]:
    """What makes a finding the same in two versions of a layer."""
    return finding.code, finding.place, split(finding.layer)[0]


def _worded(finding: Finding) -> str:
    place = f" ({finding.place})" if finding.place else ""
    return f"{finding.code}{place}: {finding.reason}"
