"""The part of a root tree that makes it a Node.js runtime: `/var/lang` from the host, `/var/runtime` from AWS."""

import json
import mmap
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from lamella.runtimes.base import bootstrap
from lamella.runtimes.clients import from_npm, obtain, pinned
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.interpreters import trusted
from lamella.runtimes.system import System
from lamella.runtimes.tree import RootTree, try_program

RESOURCES: Final = resources.files("lamella.runtimes") / "resources" / "node"

OLDEST: Final = 18
"""The oldest major version whose runtime AWS still lets functions use."""

# Version 4 of the client refuses handlers that take a callback, as AWS's runtimes do from Node.js 24 on.
_FIRST_WITH_4: Final = 24
_CLIENTS: Final = ("3.3.0", "4.0.2")
_CLIENT_FILES: Final = {"3.3.0": "package/dist/index.mjs", "4.0.2": "package/index.mjs"}
_NOTICES: Final = ("LICENSE", "NOTICE", "THIRD-PARTY-LICENSES")

# What Node.js would do by itself and AWS's runtimes do not, by major version.
# Source: developer guide, lambda-nodejs (2026), "experimental features".
_DISABLED: Final = {20: ("require-module",), 22: ("require-module", "detect-module")}

_PART: Final = re.compile(rb"/usr/(?:share|lib)/[\w.@/+-]+\.(?:js|mjs|wasm)(?=\0)")

_PROBE: Final = """
process.report.excludeNetwork = true;
console.log(JSON.stringify({
  version: process.versions.node,
  executable: process.execPath,
  glibc: process.report.getReport().header.glibcVersionRuntime,
  features: ['require-module', 'detect-module'].filter(
    (name) => process.allowedNodeEnvironmentFlags.has(`--experimental-${name}`)),
}));
"""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js on this host.

    Attributes:
        features: Experimental features that it has a flag for.
    """

    executable: Path
    version: tuple[int, ...]
    features: tuple[str, ...] = ()

    @property
    def runtime(self) -> str:
        """The Lambda runtime it can be, e.g. `nodejs20.x`."""
        return f"nodejs{self.version[0]}.x"


def probe(path: Path) -> Node:
    """Ask a Node.js what it is.

    Raises:
        PackBuildError: It does not run, does not use glibc, or is too old.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NODE_")}
    try:
        result = subprocess.run(
            [path, "-e", _PROBE], capture_output=True, text=True, timeout=30, check=True, cwd="/", env=environment
        )
        facts = json.loads(result.stdout)
        version = tuple(int(part) for part in facts["version"].split(".")[:3])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        detail = getattr(error, "stderr", None) or error
        raise PackBuildError(f"{path} does not run as Node.js: {str(detail).strip()}") from error
    if version[0] < OLDEST:
        raise PackBuildError(
            f"{path} is Node.js {facts['version']}; the oldest that Lamella makes a runtime of is {OLDEST}"
        )
    if not facts["glibc"]:
        raise PackBuildError(f"{path} does not use glibc; Lambda's runtimes do, and native modules need it")
    return Node(Path(facts["executable"]).resolve(), version, tuple(facts["features"]))


def of_debian(version: str, system: System) -> Node:
    """The Node.js of an unpacked Debian, which may not be able to say itself what it is.

    Debian's have the flags of both features that AWS's runtimes turn off: they came with 20.17 and 22.0.
    """
    numbers = tuple(int(number) for number in version.split("."))
    return Node(system.path("/usr/bin/node"), numbers, ("require-module", "detect-module"))


def candidates() -> Iterator[Path]:
    """Programs that may be a Node.js, best first: the system's, then those of version managers."""
    for name in ("/usr/bin/node", "/usr/bin/nodejs", "/usr/local/bin/node"):
        yield Path(name)
    on_path = shutil.which("node")
    if on_path is not None:
        yield Path(on_path)
    home = Path.home()
    managed = (
        (Path("/opt"), "node*/bin/node"),
        (Path("/usr/local"), "n/versions/node/*/bin/node"),
        (Path(os.environ.get("NVM_DIR") or home / ".nvm"), "versions/node/*/bin/node"),
        (home / ".local/share/fnm/node-versions", "*/installation/bin/node"),
        (home / ".local/share/mise/installs/node", "*/bin/node"),
        (home / ".volta/tools/image/node", "*/bin/node"),
        (home / ".asdf/installs/nodejs", "*/bin/node"),
    )
    for directory, pattern in managed:
        yield from sorted(directory.glob(pattern), key=_numbers, reverse=True)


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def find_node(runtime: str) -> Node | None:
    """The best Node.js on this host for a runtime name; never another version."""
    seen: set[Path] = set()
    for path in candidates():
        real = path.resolve()
        if real in seen or not real.is_file():
            continue
        seen.add(real)
        try:
            node = probe(trusted(path))
        except PackBuildError:
            continue  # broken, too old, not Node.js at all, or another user's; the next may do
        if node.runtime == runtime:
            return node
    return None


def populate_node(tree: RootTree, node: Node, kept: Path) -> list[str]:
    """Add a Node.js runtime to a tree that has the base.

    AWS's client is taken as it is published, but for its native part: `rapid-client.node.js` says how that is replaced.

    Args:
        tree: With the base.
        node: What to copy.
        kept: Directory where AWS's clients are kept from one build to the next.

    Returns:
        Remarks on what this interpreter does not have: none.

    Raises:
        PackBuildError: A library is missing, or AWS's runtime client could not be fetched.
    """
    major = node.version[0]
    tree.copy_program(node.executable, "/var/lang/bin/node")
    for part in _parts(tree, node):
        tree.copy(tree.system.path(part), part)
    client = _CLIENTS[major >= _FIRST_WITH_4]
    # npm may need a Node.js to run on, which that of another system is not.
    own = node.executable if tree.system.is_host else Path(shutil.which("node") or node.executable)
    _unpack(tree, _archive(client, own, kept), _CLIENT_FILES[client])
    tree.write("/var/runtime/rapid-client.node.js", RESOURCES.joinpath("rapid-client.node.js").read_bytes())
    tree.symlink("/var/runtime/ca-cert.pem", "/etc/ssl/certs/ca-certificates.crt")
    entry = "index.mjs"
    if major < _FIRST_WITH_4:
        entry = "bootstrap.mjs"
        tree.write("/var/runtime/bootstrap.mjs", RESOURCES.joinpath(entry).read_bytes())
    disabled = [name for name in _DISABLED.get(major, ()) if name in node.features]
    text = RESOURCES.joinpath("bootstrap.in").read_text()
    for mark, value in (("@MAJOR@", str(major)), ("@DISABLED@", " ".join(disabled)), ("@ENTRY@", entry)):
        text = text.replace(mark, value)
    tree.write("/var/runtime/bootstrap", bootstrap(text), executable=True)
    problem = try_program(tree, "/var/lang/bin/node", "-e", "0")
    if problem:
        raise PackBuildError(f"{node.executable} does not run with the files that were copied: {problem}")
    return []


def _parts(tree: RootTree, node: Node) -> set[str]:
    """Modules of its own that a distribution has taken out of the program, as Debian has: it reads them at each start.

    Nothing names them but the program, or its library, itself.
    """
    programs = [node.executable, *tree.path("/usr/lib64").glob("libnode.so*")]
    found: set[bytes] = set()
    for program in programs:
        # Mapped, not read: it has a hundred megabytes, and the server is small.
        with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found.update(_PART.findall(content))
    return {name for name in map(os.fsdecode, found) if tree.system.path(name).is_file()}


def _archive(version: str, node: Path, kept: Path) -> Path:
    name = f"aws-lambda-ric-{version}.tgz"
    return obtain(kept, {name: pinned("node")[name]}, from_npm(f"aws-lambda-ric@{version}", node))[0]


def _unpack(tree: RootTree, archive: Path, program: str) -> None:
    """Take the client's program and its notices out of the package; the rest is what it would be compiled from."""
    wanted = {program: "/var/runtime/index.mjs"}
    wanted |= {f"package/{name}": f"/var/runtime/notices/aws-lambda-ric/{name}" for name in _NOTICES}
    with tarfile.open(archive) as package:
        for name, inside in wanted.items():
            file = package.extractfile(name)
            if file is None:
                raise PackBuildError(f"{archive} has no {name}")  # it has: the archive is pinned
            tree.write(inside, file.read())
