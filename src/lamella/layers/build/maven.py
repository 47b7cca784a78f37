"""Maven as layers use it: it says which jars a set of artifacts needs at run time, and fetches them."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from lamella.layers.errors import LayerBuildError

_LIST: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:list"
_TIMEOUT_S: Final = 900
_WORD: Final = re.compile(r"[A-Za-z0-9_.+-]+")
_LINE: Final = re.compile(
    r"^\s+(?P<group>[^:\s]+):(?P<artifact>[^:]+):(?P<kind>[^:]+):((?P<classifier>[^:]+):)?(?P<version>[^:]+)"
    r":(?P<scope>compile|runtime|provided|system|test):(?P<path>/.*?)( -- module .*)?$",
    re.MULTILINE,
)
_LICENCE: Final = re.compile(r"<license>\s*(?:<[^n/][^>]*>[^<]*</[^>]+>\s*)*<name>\s*([^<]+?)\s*</name>")
_PARENT: Final = re.compile(r"<parent>(.*?)</parent>", re.DOTALL)
_MOST_PARENTS: Final = 8
_CHATTER: Final = re.compile(r"To see|Re-run|For more|\[Help|After correcting|->")
_NO_NETWORK: Final = re.compile(
    r"Unknown host|UnknownHostException|Connection refused|Connect to .* failed|timed out|offline mode|unreachable"
    r"|Temporary failure in name resolution"
)


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Which artifact is wanted."""

    group: str
    artifact: str
    version: str
    classifier: str = ""

    @classmethod
    def parse(cls, text: str) -> "Coordinates":
        """Of `group:artifact:version` or `group:artifact:version:classifier`.

        Raises:
            LayerBuildError: It is something else.
        """
        parts = text.split(":")
        if len(parts) not in (3, 4) or not all(_WORD.fullmatch(part) for part in parts):
            raise LayerBuildError(
                f"{text!r} are no coordinates of an artifact: write group:artifact:version, with one exact version, as "
                "in org.postgresql:postgresql:42.7.4"
            )
        return cls(*parts)

    def __str__(self) -> str:
        """As it was written."""
        return ":".join(part for part in (self.group, self.artifact, self.version, self.classifier) if part)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A jar that Maven found.

    Attributes:
        path: In Maven's local repository.
    """

    group: str
    artifact: str
    version: str
    classifier: str
    path: Path

    @property
    def key(self) -> str:
        """`group:artifact`."""
        return f"{self.group}:{self.artifact}"

    @property
    def unversioned(self) -> str:
        """What there may be one version of."""
        return f"{self.key}:{self.classifier}"

    @property
    def identity(self) -> str:
        """What tells it from others."""
        return f"{self.unversioned}:{self.version}"


@dataclass(frozen=True, slots=True)
class Maven:
    """The Maven of this machine.

    Attributes:
        program: Its path.
    """

    program: str

    @classmethod
    def find(cls) -> "Maven":
        """The Maven on PATH.

        Raises:
            LayerBuildError: There is none.
        """
        program = shutil.which("mvn")
        if program is None:
            raise LayerBuildError(
                "Layers of Java artifacts need Maven, and there is no mvn on PATH: install it (Debian: maven), or give "
                "the jars themselves"
            )
        return cls(program)

    def resolve(
        self, wanted: Sequence[Coordinates], repositories: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> list[Artifact]:
        """Artifacts with all that they need at run time.

        Args:
            wanted: The artifacts.
            repositories: Addresses, asked before those of Maven's settings.
            exclude: `group:artifact` of what is not taken among what they need.

        Raises:
            LayerBuildError: One is not to be had.
        """
        with tempfile.TemporaryDirectory(prefix="lamella-java-") as scratch:
            pom = Path(scratch) / "pom.xml"
            pom.write_text(pom_of(wanted, repositories, exclude), encoding="utf-8")
            return self.resolve_pom(pom)

    def resolve_pom(self, pom: Path) -> list[Artifact]:
        """What a project needs at run time.

        Raises:
            LayerBuildError: Something is not to be had, or the project is faulty.
        """
        with tempfile.TemporaryDirectory(prefix="lamella-java-") as scratch:
            output = Path(scratch) / "list"
            command = [
                *(self.program, "--batch-mode", "--strict-checksums", "--non-recursive", "--no-transfer-progress"),
                *("-Dstyle.color=never", f"--file={pom}", _LIST, f"-DoutputFile={output}", "-DincludeScope=runtime"),
                "-DoutputAbsoluteArtifactFilename=true",
            ]
            try:
                result = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    # Java takes no name of a file that the locale cannot write, not even that of where it is started.
                    env={**os.environ, "LC_ALL": "C.UTF-8"},
                    encoding="utf-8",
                    errors="replace",
                    check=False,
                    timeout=_TIMEOUT_S,
                )
            except subprocess.TimeoutExpired:
                raise LayerBuildError(f"Maven has taken {_TIMEOUT_S // 60} minutes: try again later") from None
            if result.returncode != 0 or not output.is_file():
                raise LayerBuildError(explain(result.stdout + result.stderr))
            return parse_list(output.read_text(encoding="utf-8"))


def pom_of(wanted: Sequence[Coordinates], repositories: Sequence[str], exclude: Sequence[str]) -> str:
    """A project that depends on artifacts.

    Raises:
        LayerBuildError: An address or exclusion is none.
    """
    exclusions = ""
    for pattern in exclude:
        group, separator, artifact = pattern.partition(":")
        if not separator or not all(part == "*" or _WORD.fullmatch(part) for part in (group, artifact)):
            raise LayerBuildError(f"{pattern!r} excludes nothing: write group:artifact, with * for any")
        exclusions += f"<exclusion><groupId>{group}</groupId><artifactId>{artifact}</artifactId></exclusion>"
    dependencies = ""
    for one in wanted:
        classifier = f"<classifier>{one.classifier}</classifier>" if one.classifier else ""
        dependencies += (
            f"<dependency><groupId>{one.group}</groupId><artifactId>{one.artifact}</artifactId>"
            f"<version>{one.version}</version>{classifier}<exclusions>{exclusions}</exclusions></dependency>"
        )
    places = ""
    for number, address in enumerate(repositories):
        if not address.startswith(("https://", "file://")):
            raise LayerBuildError(f"The repository {address} must be an https address (Maven refuses http)")
        places += f"<repository><id>layer-{number}</id><url>{escape(address)}</url></repository>"
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>layer</groupId><artifactId>layer</artifactId><version>1</version><packaging>pom</packaging>"
        f"<repositories>{places}</repositories><dependencies>{dependencies}</dependencies></project>"
    )


def parse_list(text: str) -> list[Artifact]:
    """Jars out of what the plugin's goal `list` writes; what is not a jar (a pom, a zip) is no part of a class path."""
    return [
        Artifact(match["group"], match["artifact"], match["version"], match["classifier"] or "", Path(match["path"]))
        for match in _LINE.finditer(text)
        if match["path"].endswith(".jar")
    ]


def explain(message: str) -> str:
    """What Maven complained of, with what to do about it."""
    errors = [line.removeprefix("[ERROR]").strip() for line in message.splitlines() if line.startswith("[ERROR]")]
    told = [line for line in errors if line and not _CHATTER.match(line)]
    detail = "\n".join(told[:6]) or message.strip()[-1000:]
    if _NO_NETWORK.search(detail):
        return f"The Maven repository cannot be reached, and the local one does not have all of it.\n{detail}"
    if "Could not find artifact" in detail or "was not found in" in detail:
        return f"An artifact is not in the Maven repositories: check group, artifact and version.\n{detail}"
    if "Checksum validation failed" in detail:
        return f"A file is not what the Maven repository says it is: it was changed on the way.\n{detail}"
    if "Non-parseable POM" in detail or "Malformed POM" in detail or "problems were encountered" in detail:
        return f"The pom.xml is faulty.\n{detail}"
    return f"Maven could not resolve the artifacts.\n{detail}"


def licence_of(artifact: Artifact) -> str:
    """The licence that the artifact's pom in the local repository states, or its nearest parent that states one."""
    # …/group/as/path/artifact/version/artifact-version.jar
    repository = artifact.path.parents[len(artifact.group.split(".")) + 2]
    group, name, version = artifact.group, artifact.artifact, artifact.version
    for _ in range(_MOST_PARENTS):
        pom = repository.joinpath(*group.split("."), name, version, f"{name}-{version}.pom")
        try:
            text = pom.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        names = _LICENCE.findall(text)
        if names:
            return " OR ".join(names)
        parent = _PARENT.search(text)
        if parent is None:
            return ""
        group, name, version = (_element(parent[1], key) for key in ("groupId", "artifactId", "version"))
        if not all(_WORD.fullmatch(part) for part in (group, name, version)):
            return ""
    return ""


def _element(text: str, name: str) -> str:
    match = re.search(rf"<{name}>\s*([^<]+?)\s*</{name}>", text)
    return match[1] if match is not None else ""
