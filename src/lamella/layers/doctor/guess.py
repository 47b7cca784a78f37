"""Which runtimes a layer is for, where nobody has said: as far as its directories and modules tell."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from lamella.layers.contents import LayerContents
from lamella.layers.facts import FACTS

_SITE: Final = re.compile(r"python/lib/(python\d\.\d+)/site-packages/")
_MODULE: Final = re.compile(r"python/.*\.cpython-(\d)(\d+)-[^/]*\.so")
_NODE: Final = re.compile(r"nodejs/node(\d+)/node_modules/")


def guess_runtimes(layers: Sequence[LayerContents]) -> tuple[str, ...]:
    """Names of runtimes that the layers are plainly for; empty if they may be for any."""
    found = dict.fromkeys(name for layer in layers for entry in layer.entries for name in _named(entry))
    if any("bootstrap" in layer.entries for layer in layers):
        found["provided.al2023"] = None
    return tuple(name for name in found if name in FACTS)


def _named(name: str) -> Iterator[str]:
    if match := _SITE.match(name):
        yield match[1]
    elif match := _MODULE.fullmatch(name):
        yield f"python{match[1]}.{match[2]}"
    elif match := _NODE.match(name):
        yield f"nodejs{match[1]}.x"
