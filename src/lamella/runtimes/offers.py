"""What runtimes could be added to this node, and what they would be made from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from lamella.domain.runtimes import RUNTIMES
from lamella.runtimes import debian_root, interpreters, java, node
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.fetched import pinned
from lamella.runtimes.images import base_image
from lamella.runtimes.recipes import PROVIDED


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to have a runtime.

    Attributes:
        name: As functions name it; of an interpreter that is not used, what its file name lets expect.
        kind: `host`, `network` or `image`.
        source: Path of the interpreter, or reference of the image; of one that is fetched, whose it is, or empty.
        version: Full version of an interpreter of this host; empty if it is not known before.
        problem: Why it cannot be used; empty if it can.
    """

    name: str
    kind: str
    source: str = ""
    version: str = ""
    problem: str = ""


# Of those, uv has builds; older ones it has no longer.
_PYTHONS_OF_UV: Final = tuple(f"python3.{minor}" for minor in range(9, 15))


def offers(today: date) -> list[Offer]:
    """All ways to have a runtime here, by name; starts each interpreter that it finds: takes up to a second.

    AWS's images are among them for runtimes that nothing else makes, until AWS allows no new functions to have them.
    """
    found = [*(Offer(name, "host") for name in PROVIDED), *_pythons(), *_nodes(), *_javas()]
    here = {offer.name for offer in found if not offer.problem}
    fetched = [name for name in (*_PYTHONS_OF_UV, *pinned()) if name not in here and name in RUNTIMES]
    found += [Offer(name, "network") for name in fetched]
    here.update(fetched)
    of_debian = [name for name in debian_root.LANGUAGES if name not in here]
    found += [Offer(name, "network", "Debian's packages") for name in of_debian]
    here.update(of_debian)
    for name, runtime in RUNTIMES.items():
        image, until = base_image(name), runtime.create_blocked_on
        if image is not None and name not in here and until is not None and until > today:
            found.append(Offer(name, "image", image))
    return sorted(found, key=lambda offer: _order(offer.name))


def _order(name: str) -> tuple[str, list[int], str]:
    """Languages by name, versions of each by number."""
    return re.split(r"[.\d]", name)[0], [int(part) for part in re.findall(r"\d+", name)], name


def _pythons() -> Iterator[Offer]:
    seen: set[Path] = set()
    for name, path in interpreters.candidates():
        if _is_new(path, seen):
            try:
                found = interpreters.probe(interpreters.trusted(path))
            except PackBuildError as error:
                yield Offer(name, "host", str(path), problem=str(error))
            else:
                yield Offer(found.runtime, "host", str(path), ".".join(map(str, found.version)))


def _nodes() -> Iterator[Offer]:
    seen: set[Path] = set()
    for path in node.candidates():
        if _is_new(path, seen):
            try:
                found = node.probe(interpreters.trusted(path))
            except PackBuildError as error:
                yield Offer("nodejs", "host", str(path), problem=str(error))
            else:
                yield Offer(found.runtime, "host", str(path), ".".join(map(str, found.version)))


def _javas() -> Iterator[Offer]:
    seen: set[Path] = set()
    for path in java.candidates():
        if _is_new(path, seen):
            try:
                found = java.probe(interpreters.trusted(path))
            except PackBuildError as error:
                yield Offer("java", "host", str(path), problem=str(error))
            else:
                yield Offer(found.runtime, "host", str(found.home), str(found.release))


def _is_new(path: Path, seen: set[Path]) -> bool:
    """Whether a path leads to a program that was not looked at yet."""
    real = path.resolve()
    if real in seen or not real.is_file():
        return False
    seen.add(real)
    return True
