"""npm as layers use it: it installs for another platform than this machine's, and runs no scripts of packages."""

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.layers.errors import LayerBuildError

CPUS: Final = {Architecture.X86_64: "x64", Architecture.ARM64: "arm64"}
_OLDEST: Final = 10
"""The first npm that chooses packages by operating system, processor and C library together."""

_TIMEOUT_S: Final = 900
_NO_NETWORK: Final = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b")
_CHATTER: Final = re.compile(r"complete log of this run|_logs/|^npm error( {2,}.*| at .*|\s*|.*[{}])$|behind a proxy")
"""Stack traces and where the log is: of no use to those who did not write npm."""

_IN_RANGE: Final = """
const from = process.argv[1];
const semver = require(require.resolve('semver', { paths: [from] }));
const [version, ranges] = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const meets = (range) => semver.validRange(range) === null || semver.intersects(version + '.x', range);
process.stdout.write(JSON.stringify(ranges.map(meets)));
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A package that npm installed.

    Attributes:
        place: Its directory, e.g. `node_modules/sharp/node_modules/semver`.
        facts: What the lock says of it.
    """

    place: str
    facts: Mapping[str, Any]  # JSON

    @property
    def name(self) -> str:
        """As it is required."""
        stated = self.facts.get("name")
        return str(stated) if stated else self.place.rpartition("node_modules/")[2]

    @property
    def version(self) -> str:
        """Of the package."""
        return str(self.facts.get("version", ""))

    @property
    def licence(self) -> str:
        """As its package.json states it; empty if it does not, or in another way than by a name."""
        licence = self.facts.get("license", "")
        return licence if isinstance(licence, str) else ""

    @property
    def digest(self) -> str:
        """Of the archive it came in, as the lock has it: `sha512:` and hex digits; empty if it has another."""
        algorithm, _, encoded = str(self.facts.get("integrity", "")).partition(" ")[0].partition("-")
        try:
            return f"{algorithm}:{base64.b64decode(encoded, validate=True).hex()}" if encoded else ""
        except ValueError:
            return ""


@dataclass(frozen=True, slots=True)
class Npm:
    """The npm of this machine.

    Attributes:
        program: Its path.
    """

    program: str

    @classmethod
    def find(cls) -> "Npm":
        """The npm on PATH.

        Raises:
            LayerBuildError: There is none, or it is too old.
        """
        program = shutil.which("npm")
        if program is None:
            raise LayerBuildError(
                f"Layers of Node packages need npm {_OLDEST} or newer, and there is no npm on PATH: install Node.js"
            )
        npm = cls(program)
        version = npm.run(Path.cwd(), "--version").stdout.strip()
        if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < _OLDEST:
            raise LayerBuildError(
                f"{program} is version {version or 'unknown'}, which cannot choose packages for another platform: "
                f"install npm {_OLDEST} or newer (npm install --global npm)"
            )
        return npm

    def run(self, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run npm in a directory; failures are the caller's to judge.

        Raises:
            LayerBuildError: It took too long.
        """
        quiet = {"npm_config_update_notifier": "false", "npm_config_color": "false", "npm_config_loglevel": "error"}
        quiet |= {"npm_config_audit": "false", "npm_config_fund": "false", "npm_config_progress": "false"}
        try:
            return subprocess.run(
                [self.program, *arguments],
                cwd=directory,
                env=os.environ | quiet,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise LayerBuildError(f"npm {arguments[0]} has taken {_TIMEOUT_S // 60} minutes: try again later") from None

    def lock(self, directory: Path) -> None:
        """Write a lock for the package.json of a directory.

        Raises:
            LayerBuildError: A package is not to be had.
        """
        self._expect(directory, "install", "--package-lock-only", "--ignore-scripts")

    def install(self, directory: Path, architecture: Architecture) -> tuple[Installed, ...]:
        """Install what the lock of a directory says, for Linux with glibc on an architecture; no script is run.

        Raises:
            LayerBuildError: A package is not to be had, or is not what the lock says.
        """
        platform = ("--os=linux", f"--cpu={CPUS[architecture]}", "--libc=glibc")
        options = ("--omit=dev", "--ignore-scripts", "--no-bin-links", "--prefer-offline", "--install-strategy=hoisted")
        self._expect(directory, "ci", *platform, *options)
        try:
            text = (directory / "node_modules/.package-lock.json").read_text(encoding="utf-8")
        except FileNotFoundError:  # nothing was to be installed
            return ()
        packages = json.loads(text)["packages"]
        return tuple(Installed(place, facts) for place, facts in sorted(packages.items()) if "node_modules/" in place)

    def run_scripts(self, directory: Path, packages: Sequence[str]) -> None:
        """Run the install scripts of packages that were installed without.

        Raises:
            LayerBuildError: One of them failed.
        """
        self._expect(directory, "rebuild", "--ignore-scripts=false", "--no-bin-links", "--", *packages)

    def meets(self, version: str, ranges: Sequence[str]) -> list[bool]:
        """Which of some ranges of versions take a release of Node, e.g. `20`; ranges that make no sense do.

        By the library that npm itself uses; where that cannot be found, all do.
        """
        node = shutil.which("node")
        if node is None or not ranges:
            return [True] * len(ranges)
        result = subprocess.run(
            [node, "-e", _IN_RANGE, str(Path(self.program).resolve().parent)],
            input=json.dumps([version, list(ranges)]),
            capture_output=True,
            text=True,
            check=False,
        )
        return list(json.loads(result.stdout)) if result.returncode == 0 else [True] * len(ranges)

    def _expect(self, directory: Path, *arguments: str) -> None:
        result = self.run(directory, *arguments)
        if result.returncode != 0:
            raise LayerBuildError(explain(result.stderr, directory))


def explain(message: str, directory: Path) -> str:
    """What npm complained of, with what to do about it.

    Args:
        message: What it wrote to stderr.
        directory: Where it ran, which nobody needs to see.
    """
    lines = [line for line in message.splitlines() if not _CHATTER.search(line)]
    detail = "\n".join(line.replace(f"{directory}/", "") for line in lines).strip()
    code = re.search(r"npm error code (\w+)", message)
    match code.group(1) if code is not None else "":
        case "EUSAGE" if "in sync" in message or "can only install" in message:
            advice = "package.json and its lock do not go together: run npm install --package-lock-only"
        case "E404":
            advice = "A package is not in the registry: check its name"
        case "ETARGET":
            advice = "A package is not to be had in that version"
        case "EINTEGRITY":
            advice = "A package is not what the lock says: it has changed in the registry, or on the way"
        case "EBADENGINE" | "EBADPLATFORM":
            advice = "A package does not run on Lambda's Linux, or wants another version of Node"
        case "ERESOLVE":
            advice = "The packages do not go together: choose other versions"
        case "EINVALIDPACKAGENAME" | "EINVALIDTAGNAME":
            advice = "This is not the name of a package"
        case _:
            advice = "npm could not install the packages"
    if _NO_NETWORK.search(message):
        advice = "The registry of npm cannot be reached, and its cache does not have all of it"
    return f"{advice}.\n{detail}"


def missing_binaries(installed: Iterable[Installed], architecture: Architecture) -> list[tuple[str, str]]:
    """Packages whose binary for the target is not in the lock: pairs of package and what it lacks.

    npm writes some locks with the binaries of the machine they were made on alone. Source: npm/cli issue 4828.
    """
    found = list(installed)
    names = {package.name for package in found}
    sign = re.compile(rf"linux-{CPUS[architecture]}(-gnu|-glibc)?$")
    return [
        (package.name, optional)
        for package in found
        for optional in package.facts.get("optionalDependencies", {})
        if sign.search(optional) and optional not in names
    ]
