"""What uv does for a layer: resolve for the target, install wheels, build a local package, read its own lock."""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uv
from packaging.utils import canonicalize_name, parse_wheel_filename

from lamella.layers.errors import LayerBuildError
from lamella.layers.targets import PythonTarget

_NO_NETWORK: Final = ("error sending request", "Failed to fetch", "dns error", "Connection refused", "timed out")
_HASH: Final = re.compile(r"--hash[= ](sha(?:256|384|512):[0-9a-f]+)")
_INCLUDE: Final = re.compile(r"\s*(?:-r|--requirement|-c|--constraint)[= ]?\s*(?P<path>[^\s#]+)")
_REQUIREMENT: Final = re.compile(r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(==|@)")
_PYPI: Final = "https://pypi.org/simple"
_TIMEOUT_S: Final = 900
_QUIET: Final = ("--no-progress", "--color", "never")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A package that was chosen for a target.

    Attributes:
        name: Normalised.
        version: Empty if the lock does not tell, as for local directories.
        path: Of a local directory or wheel; `None` if it comes from elsewhere.
        url: Of a wheel that is named by its address; empty if an index has it.
        sha256: Of the wheel; empty if it is not known.
        is_source: Whether it is a source tree or archive and has to be built first.
    """

    name: str
    version: str
    path: Path | None = None
    url: str = ""
    sha256: str = ""
    is_source: bool = False


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was chosen, and whether the package index was out of reach and uv's cache had everything."""

    packages: tuple[Chosen, ...]
    offline: bool


def resolve(
    inputs: Sequence[Path],
    target: PythonTarget,
    scratch: Path,
    *,
    extras: Sequence[str] = (),
    groups: Sequence[str] = (),
    with_dependencies: bool = True,
    directory: Path,
) -> Resolution:
    """Choose a wheel of each package for the target.

    Args:
        inputs: Requirements files and `pyproject.toml`s.
        target: What they have to run on.
        scratch: A directory of the caller's for what is between.
        extras: Of the projects among the inputs.
        groups: Likewise; `path of the pyproject.toml:name`.
        with_dependencies: Whether what they depend on is wanted as well; not where everything is locked.
        directory: From which relative paths within uv's own configuration count.

    Raises:
        LayerBuildError: There is no such choice, or the index cannot be reached.
    """
    lock = scratch / "pylock.toml"
    command = [
        *("pip", "compile", "--format", "pylock.toml", "--output-file", str(lock), "--python", sys.executable),
        *("--python-version", target.version, "--python-platform", target.platform, "--only-binary", ":all:"),
        *("--generate-hashes", "--no-header", "--no-annotate", *_QUIET),
        *([] if with_dependencies else ["--no-deps"]),
        *(word for extra in extras for word in ("--extra", extra)),
        *(word for group in groups for word in ("--group", group)),
        *map(str, inputs),
    ]
    offline = _run(command, target, directory)
    return Resolution(chosen_of(lock.read_text(encoding="utf-8"), lock.parent), offline)


def chosen_of(text: str, directory: Path) -> tuple[Chosen, ...]:
    """What a `pylock.toml` for one target names. Source: PEP 751."""
    found: list[Chosen] = []
    for package in tomllib.loads(text).get("packages", []):
        name, version = package["name"], package.get("version", "")
        if wheels := package.get("wheels"):
            found.append(Chosen(name, version, sha256=wheels[0].get("hashes", {}).get("sha256", "")))
        elif archive := package.get("archive"):
            file = archive.get("path") or archive.get("url", "")
            path = (directory / archive["path"]).resolve() if "path" in archive else None
            sha256 = archive.get("hashes", {}).get("sha256", "")
            found.append(Chosen(name, version, path, archive.get("url", ""), sha256, not file.endswith(".whl")))
        elif local := package.get("directory"):
            found.append(Chosen(name, version, (directory / local["path"]).resolve(), is_source=True))
        else:
            found.append(Chosen(name, version, is_source=True))
    return tuple(found)


def install(site: Path, target: PythonTarget, lines: Sequence[str], scratch: Path, directory: Path) -> None:
    """Install wheels, and nothing that they depend on.

    Args:
        site: Made by it.
        target: What they have to run on.
        lines: Requirements with the hashes of the files that may be taken.
        scratch: A directory of the caller's for what is between.
        directory: As for `resolve`.

    Raises:
        LayerBuildError: A file has another hash, or there is no wheel.
    """
    file = scratch / "install.txt"
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    command = [
        *("pip", "install", "--target", str(site), "--python", sys.executable, "--no-deps", "--require-hashes"),
        *("--python-version", target.version, "--python-platform", target.platform, "--only-binary", ":all:"),
        *("--link-mode", "copy", "--no-compile-bytecode", "--requirement", str(file), *_QUIET),
    ]
    _run(command, target, directory)


def build_wheel(source: Path, into: Path) -> Path:
    """Build a local package to a wheel of pure Python, by way of its source archive.

    That way nothing that earlier builds left in its directory (`build/`) gets into the wheel.

    Raises:
        LayerBuildError: It does not build, or has native code, which would be this machine's.
    """
    check_local(source)
    into.mkdir(parents=True, exist_ok=True)
    command = [
        "build",
        "--python",
        sys.executable,
        "--out-dir",
        str(into),
        "--no-create-gitignore",
        *_QUIET,
        str(source),
    ]
    result = _uv(command, source.parent)
    if result.returncode != 0:
        raise LayerBuildError(f"The local package {source} does not build.\n{_detail(result.stderr)}")
    wheel = next(into.glob("*.whl"))
    if {(tag.abi, tag.platform) for tag in parse_wheel_filename(wheel.name)[3]} != {("none", "any")}:
        raise LayerBuildError(
            f"The local package {source} has native code, which was built for this machine and not for the layer's "
            f"target ({wheel.name}): build a wheel on the target's platform, and name that file as a requirement"
        )
    return wheel


def check_local(source: Path) -> None:
    """Refuse what is no local package.

    Raises:
        LayerBuildError: It is none.
    """
    if not source.exists():
        raise LayerBuildError(f"There is no local package {source}")
    if source.is_dir() and not any((source / name).is_file() for name in ("pyproject.toml", "setup.py")):
        raise LayerBuildError(f"{source} is no Python package: it has no pyproject.toml")


def export_uv_lock(lock: Path, output: Path, *, extras: Sequence[str] = (), groups: Sequence[str] = ()) -> None:
    """Write what a `uv.lock` pins as requirements with hashes.

    Raises:
        LayerBuildError: There is no such lock, or uv cannot read it.
    """
    if not lock.is_file():
        raise LayerBuildError(f"There is no lock {lock}: run uv lock in {lock.parent} first")
    if not lock.with_name("pyproject.toml").is_file():
        raise LayerBuildError(f"Beside {lock} there has to be the pyproject.toml that it was made from")
    command = [
        *("export", "--frozen", "--format", "requirements.txt", "--no-dev", "--no-default-groups", "--no-editable"),
        *("--no-emit-project", "--no-annotate", "--no-header", "--quiet", "--python", sys.executable),
        *("--no-python-downloads", "--output-file", str(output.absolute()), *_QUIET),
        *(word for extra in extras for word in ("--extra", extra)),
        *(word for group in groups for word in ("--group", group)),
    ]
    result = _uv(command, lock.parent)
    if result.returncode != 0:
        raise LayerBuildError(f"uv cannot read {lock}.\n{_detail(result.stderr)}")
    # Paths are relative to the project, and the file is elsewhere.
    lines = output.read_text(encoding="utf-8").splitlines()
    there = [f"{lock.parent.absolute()}/{line}" if line.startswith(("./", "../")) else line for line in lines]
    indexes = [f"--extra-index-url {url}" for url in indexes_of(lock.read_text(encoding="utf-8"))]
    output.write_text("".join(f"{line}\n" for line in (*indexes, *there)), encoding="utf-8")


def indexes_of(lock: str) -> list[str]:
    """Addresses of the package indexes beside PyPI that a `uv.lock` names; what it exports is silent about them."""
    sources = [package.get("source", {}) for package in tomllib.loads(lock).get("package", [])]
    urls = {str(source.get("registry", "")) for source in sources}
    return sorted(url for url in urls if url.startswith(("http://", "https://")) and url != _PYPI)


def hashes_in(text: str) -> dict[str, frozenset[str]]:
    """The hashes that a requirements file names for each package; packages without any are not in it."""
    found: dict[str, frozenset[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        hashes = _HASH.findall(line)
        if hashes and (match := _REQUIREMENT.match(line)):
            name = canonicalize_name(match["name"])
            found[name] = found.get(name, frozenset()) | frozenset(hashes)
    return found


def included_in(text: str) -> list[str]:
    """The files that a requirements file goes on in, as it names them."""
    return [match["path"] for line in text.splitlines() if (match := _INCLUDE.match(line))]


def hash_of(wheel: Path) -> str:
    """Of a local file, as requirements have it."""
    with wheel.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def lines_to_install(
    packages: Sequence[Chosen], built: Mapping[str, Path], pinned: Mapping[str, frozenset[str]], *, strict: bool
) -> list[str]:
    """Requirements for `install`.

    Args:
        packages: What was chosen.
        built: Wheels that were built, by name of the package.
        pinned: Hashes that were asked for, by name of the package.
        strict: Whether all but what is local has to be among these, as with pip.

    Raises:
        LayerBuildError: A package has no hash, and others have.
    """
    lines: list[str] = []
    for package in packages:
        name = canonicalize_name(package.name)
        if name in built:
            lines.append(f"{name} @ {built[name].as_uri()} --hash={hash_of(built[name])}")
            continue
        allowed = pinned.get(name, frozenset())
        if strict and not allowed and package.path is None:
            raise LayerBuildError(
                f"{name} {package.version} has no hash, while others have one: then all that they depend on has to be "
                "in the file with its hash, as pip-compile --generate-hashes and uv export write it"
            )
        hashes = allowed or {f"sha256:{package.sha256}"}
        place = package.path.as_uri() if package.path is not None else package.url
        where = f"{name} @ {place}" if place else f"{name}=={package.version}"
        lines.append(" ".join([where, *(f"--hash={one}" for one in sorted(hashes))]))
    return lines


def _uv(command: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
    program = os.fsdecode(uv.find_uv_bin())
    try:
        return subprocess.run(
            [program, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=directory,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise LayerBuildError(f"uv {command[0]} has taken {_TIMEOUT_S // 60} minutes: try again later") from None


def _run(command: Sequence[str], target: PythonTarget, directory: Path) -> bool:
    """Run uv, and once more without a network if there is none; returns whether that was so."""
    result = _uv(command, directory)
    offline = False
    if result.returncode != 0 and any(sign in result.stderr for sign in _NO_NETWORK):
        again = _uv([*command, "--offline"], directory)
        offline = again.returncode == 0
        result = again if offline else result
    if result.returncode != 0:
        raise LayerBuildError(explain(result.stderr, target))
    return offline


def _detail(message: str) -> str:
    noise = ("Using CPython", "Using Python", "warning: Requirements file")
    return "\n".join(line for line in message.strip().splitlines() if not line.startswith(noise))


def explain(message: str, target: PythonTarget) -> str:
    """What uv said, with what to do about it."""
    detail = _detail(message)
    where = f"{target.runtime} on {target.architecture}"
    if "Building source distributions is disabled" in detail:
        return (
            f"A requirement is source code, and a layer for {where} is made of wheels only: build a wheel first "
            f"(uv build --wheel) and name that.\n{detail}"
        )
    if "no usable wheels" in detail or "no wheels with a matching" in detail:
        named = re.findall(r"Wheels are required for `([^`]+)`", detail) or re.findall(r"Because (\S+?)[=<> {]", detail)
        names = ", ".join(dict.fromkeys(named)) or "a requirement"
        return (
            f"There is no wheel of {names} that runs on {where} ({target.platform} or older). Ask for another version, "
            f"for a package that has binary wheels (psycopg2-binary for psycopg2), or for a newer runtime.\n{detail}"
        )
    if any(sign in detail for sign in _NO_NETWORK):
        return f"The package index cannot be reached, and uv's cache does not have all of it.\n{detail}"
    if "Hash mismatch" in detail:
        return f"A file of the package index is not the one that was pinned: its hash is another.\n{detail}"
    if "No solution found" in detail:
        return f"The requirements cannot be met for {where}: check names and version bounds.\n{detail}"
    return f"uv could not install the requirements for {where}.\n{detail}"
