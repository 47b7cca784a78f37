"""What AWS's managed runtimes are like, as far as it matters to layers: the bar that a layer has to clear.

AWS's own runtimes are the bar even where Lamella runs a function on a newer C library: a layer that is sound here must
be sound there. Sources: developer guide, "lambda-runtimes" (operating system of each), "packaging-layers" (paths);
glibc and libstdc++ of Amazon Linux: `docs.aws.amazon.com/linux/al2023/ug/core-glibc.html` and release notes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from lamella.domain.runtimes import RUNTIMES


class Language(StrEnum):
    """What a runtime runs."""

    PYTHON = "python"
    NODE = "nodejs"
    JAVA = "java"
    RUBY = "ruby"
    DOTNET = "dotnet"
    NATIVE = "provided"


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """The Amazon Linux under a runtime.

    Attributes:
        glibc: Version of the C library; programs that want symbols of a newer one do not start.
        glibcxx: Newest `GLIBCXX_…` symbol version of its libstdc++; `cxxabi` likewise.
    """

    name: str
    glibc: tuple[int, int]
    glibcxx: tuple[int, int, int]
    cxxabi: tuple[int, int, int]


AL2: Final = OperatingSystem("al2", (2, 26), (3, 4, 24), (1, 3, 11))
AL2023: Final = OperatingSystem("al2023", (2, 34), (3, 4, 29), (1, 3, 13))

_ON_AL2: Final = frozenset(
    {"provided.al2", "nodejs12.x", "nodejs14.x", "nodejs16.x", "nodejs18.x", "ruby2.7", "ruby3.2", "dotnet6"}
    | {"java8.al2", "java11", "java17", "dotnetcore3.1"}
    | {f"python3.{minor}" for minor in (8, 9, 10, 11)}
)
_PREFIXES: Final = (
    ("python3", Language.PYTHON),
    ("nodejs", Language.NODE),
    ("java", Language.JAVA),
    ("ruby", Language.RUBY),
    ("dotnet", Language.DOTNET),
    ("provided", Language.NATIVE),
)


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """A runtime as a layer meets it.

    Attributes:
        version: Of the language, as in the name: `3.12`, `20`, `17`, `3.3`; empty for `provided.*`.
        search: Directories on the language's search path that a layer can fill, in the order in which they are
            searched; `/var/task` and the runtime's own come before or after as the developer guide says.
    """

    name: str
    language: Language
    version: str
    system: OperatingSystem
    search: tuple[str, ...]


def _facts(name: str) -> RuntimeFacts | None:
    language = next((language for prefix, language in _PREFIXES if name.startswith(prefix)), None)
    if language is None:
        return None
    system = AL2 if name in _ON_AL2 else AL2023
    version = name.removeprefix(language.value).removesuffix(".x").removesuffix(".al2").removesuffix(".al2023")
    version = "" if language is Language.NATIVE else version
    return RuntimeFacts(name, language, version, system, _search(language, version))


def _search(language: Language, version: str) -> tuple[str, ...]:
    match language:
        case Language.PYTHON:
            return ("/opt/python/lib/python" + version + "/site-packages", "/opt/python")  # EN-10
        case Language.NODE:
            return (f"/opt/nodejs/node{version}/node_modules", "/opt/nodejs/node_modules")
        case Language.JAVA:
            return ("/opt/java/lib",)
        case Language.RUBY:
            return (f"/opt/ruby/gems/{version}.0", "/opt/ruby/lib")
        case Language.DOTNET | Language.NATIVE:
            return ()


FACTS: Final[Mapping[str, RuntimeFacts]] = MappingProxyType(
    {name: facts for name in RUNTIMES if (facts := _facts(name)) is not None}
)
"""By name, all runtimes that can have layers and that AWS has or had; old ones on Amazon Linux 1 count as newer."""
