"""The languages that projects can be begun in. Each is a directory of `templates` with a `project.toml`.

The files beside it are those of the project; see `Language` for the keys.
"""

import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Final

TEMPLATES: Final = files("lamella.scaffold") / "templates"
MANIFEST: Final = "project.toml"
_CUSTOM: Final = r"provided\.al2(023)?"
_NAMES: Final = ("python", "node", "java", "ruby", "rust", "go", "c", "php", "lua", "shell", "deno", "bun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """How projects in a language are made.

    Attributes:
        name: As `--runtime` takes it; also that of the directory with its files.
        title: For people.
        runtime: The one that functions get where none is named.
        runtimes: Pattern of all that they can have.
        about: What is in the layer, as the end of a sentence.
        layer: Where the function's answer says that it has found what the layer brings.
        files: What the README says of the project's own files, by path.
        handler: Of the function.
        code: Directory whose content is the function's archive.
        memory_mb: Of the function.
        parts: Further directories with files, which come before its own.
        needs: What has to be on the machine that builds, beside what every project needs.
        variables: Lines of the Makefile that come before its rules.
        build: Lines of the Makefile that make the function, and what `layer.toml` takes.
        notes: What is worth knowing, each a paragraph.
    """

    name: str
    title: str
    runtime: str = "provided.al2023"
    runtimes: str = _CUSTOM
    about: str
    layer: str
    files: Mapping[str, str]
    handler: str = "greet.handler"
    code: str = "function"
    memory_mb: int = 256
    parts: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    build: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_custom(self) -> bool:
        """Whether the runtime is the project's own, and not one that the server has."""
        return self.runtimes == _CUSTOM

    def takes(self, runtime: str) -> bool:
        """Whether functions in it can have this runtime."""
        return re.fullmatch(self.runtimes, runtime) is not None


@cache
def languages() -> Mapping[str, Language]:
    """All of them by name, in the order in which they are shown."""
    found = {name: tomllib.loads((TEMPLATES / name / MANIFEST).read_text(encoding="utf-8")) for name in _NAMES}
    # A server has the Python that it runs on, and none of another version unless somebody adds it.
    found["python"]["runtime"] = f"python3.{sys.version_info.minor}"
    return {name: Language(name=name, **keys) for name, keys in found.items()}
