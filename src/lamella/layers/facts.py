"""What AWS's managed runtimes are like, as far as it matters to layers: the bar that a layer has to clear.

AWS's own runtimes are the bar even where Lamella runs a function on a newer C library: a layer that is sound here must
be sound there. Sources: developer guide, "lambda-runtimes" (operating system of each), "packaging-layers" (paths);
glibc and gcc of both systems: `docs.aws.amazon.com/linux/al2023/ug/glibc-gcc-and-binutils.html`; the symbol
versions of the libstdc++ of gcc 7 and 11: its manual, "ABI Policy and Guidelines".

Which libraries are in an execution environment AWS does not say; `layers/system_libraries.py` tells what is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from lamella.domain.runtimes import RUNTIMES
from lamella.layers.system_libraries import AL2_DOUBTFUL, AL2023_DOUBTFUL, CERTAIN


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
        libraries: Names of shared libraries that are there for certain.
        doubtful: Those of its image that AWS does not promise, and may be absent from an execution environment.
    """

    name: str
    glibc: tuple[int, int]
    glibcxx: tuple[int, int, int]
    cxxabi: tuple[int, int, int]
    libraries: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """As AWS writes it."""
        return {"al2": "Amazon Linux 2", "al2023": "Amazon Linux 2023"}[self.name]


AL2: Final = OperatingSystem("al2", (2, 26), (3, 4, 24), (1, 3, 11), CERTAIN, AL2_DOUBTFUL)
AL2023: Final = OperatingSystem("al2023", (2, 34), (3, 4, 29), (1, 3, 13), CERTAIN, AL2023_DOUBTFUL)

NODE_ABI: Final[Mapping[str, int]] = MappingProxyType(
    {"12": 72, "14": 83, "16": 93, "18": 108, "20": 115, "22": 127, "24": 137, "26": 147}
)
"""`NODE_MODULE_VERSION` by major version. Source: nodejs/node, `doc/abi_version_registry.json`."""

CLASS_VERSION: Final[Mapping[str, int]] = MappingProxyType({"8": 52, "11": 55, "17": 61, "21": 65, "25": 69})
"""Newest class file that a Java runtime loads. Source: Java Virtual Machine Specification, table 4.1-A."""

LD_LIBRARY_PATH: Final = (
    "/var/lang/lib",
    "/lib64",
    "/usr/lib64",
    "/var/runtime",
    "/var/runtime/lib",
    "/var/task",
    "/var/task/lib",
    "/opt/lib",
)
"""Source: developer guide, "configuration-envvars"."""

# The SDK for Python with what it needs, and the runtime's own client with what that needs. Sources: developer guide,
# "lambda-python" and "python-package" (boto3 and its dependencies), "snapstart-runtime-hooks-python"; requirements of
# boto3, botocore and awslambdaric, whose simplejson functions meet (aws/aws-lambda-python-runtime-interface-client
# #93). `requests` has not been there since botocore dropped its own copy.
_PYTHON_SHIPS: Final = frozenset(
    {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}
    | {"awslambdaric", "simplejson", "snapshot-restore-py"}
)
_SHELLS: Final = frozenset({"sh", "bash", "env", "awk", "gawk", "sed"})

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
        ships: Packages that the runtime brings, names normalised; `*` stands for anything.
        programs: Names of programs a script may ask for as its interpreter, that `PATH` has.
        node_abi: `NODE_MODULE_VERSION`; `None` if it is not Node.js or not known.
        class_version: Newest class file that it loads; `None` if it is not Java or not known.
    """

    name: str
    language: Language
    version: str
    system: OperatingSystem
    search: tuple[str, ...]
    ships: frozenset[str] = frozenset()
    programs: frozenset[str] = _SHELLS
    node_abi: int | None = None
    class_version: int | None = None

    @property
    def libraries(self) -> frozenset[str]:
        """Shared libraries that are there for certain, the language's own among them."""
        if self.language is Language.PYTHON:
            return self.system.libraries | {f"libpython{self.version}.so.1.0", "libpython3.so"}
        return self.system.libraries


def _facts(name: str) -> RuntimeFacts | None:
    language = next((language for prefix, language in _PREFIXES if name.startswith(prefix)), None)
    if language is None:
        return None
    system = AL2 if name in _ON_AL2 else AL2023
    version = name.removeprefix(language.value).removesuffix(".x").removesuffix(".al2").removesuffix(".al2023")
    version = "" if language is Language.NATIVE else version
    return RuntimeFacts(
        name,
        language,
        version,
        system,
        _search(language, version),
        _ships(language, version),
        _SHELLS | _programs(language, version),
        NODE_ABI.get(version) if language is Language.NODE else None,
        CLASS_VERSION.get(version) if language is Language.JAVA else None,
    )


def _ships(language: Language, version: str) -> frozenset[str]:
    """Sources: developer guide, "lambda-python" and "lambda-nodejs" (SDK v3 from Node.js 18 on, v2 before).

    Of v3 these are the packages that one imports for a service. What they are made of is there for them alone:
    functions do not find `@smithy/node-http-handler`, `@aws-sdk/util-utf8` or `@aws-sdk/util-retry` (aws/aws-sdk-js-v3
    #6169, #4401, #5122).
    """
    match language:
        case Language.PYTHON:
            return _PYTHON_SHIPS
        case Language.NODE:
            major = int(version) if version.isdigit() else 0
            return frozenset({"@aws-sdk/client-*", "@aws-sdk/lib-*"}) if major >= 18 else frozenset({"aws-sdk"})
        case Language.RUBY:
            return frozenset({"aws-sdk-*"})
        case Language.JAVA | Language.DOTNET | Language.NATIVE:
            return frozenset()


def _programs(language: Language, version: str) -> frozenset[str]:
    """Interpreters in `/var/lang/bin`, which is in `PATH`."""
    match language:
        case Language.PYTHON:
            return frozenset({"python3", f"python{version}", "python"})
        case Language.NODE:
            return frozenset({"node"})
        case Language.RUBY:
            return frozenset({"ruby"})
        case Language.JAVA:
            return frozenset({"java"})
        case Language.DOTNET | Language.NATIVE:
            return frozenset()


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
