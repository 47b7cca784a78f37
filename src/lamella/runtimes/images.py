"""AWS's base images: under which names Lambda's runtimes are published.

Source: developer guide, "images-create", and the page of each language (2026).
"""

import re
from typing import Final

from lamella.domain.runtimes import RUNTIMES

_REGISTRY: Final = "public.ecr.aws/lambda"
_IMAGES: Final = re.compile(
    r"(?P<language>python|nodejs|java|dotnet|ruby|provided)\.?(?P<tag>\d[0-9a-z.]*?|al\d+)(\.x)?"
)


def base_image(name: str) -> str | None:
    """AWS's image of a runtime, as a registry has it; `None` if AWS has none.

    `python3.12` → `public.ecr.aws/lambda/python:3.12`.
    """
    if name not in RUNTIMES or RUNTIMES[name].deprecated_on is None:
        return None  # unknown, or in the model before it was announced
    match = _IMAGES.fullmatch(name)
    return None if match is None else f"{_REGISTRY}/{match['language']}:{match['tag']}"
