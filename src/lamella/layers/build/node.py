"""Packages and modules for Node.js runtimes."""

import json
import platform
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.layers.build.carry import place
from lamella.layers.build.npm import Installed, Npm, missing_binaries
from lamella.layers.build.sources import Collected, Progress, Target
from lamella.layers.errors import LayerBuildError
from lamella.layers.facts import Language
from lamella.layers.packages import Ecosystem, Package

_LOCKS: Final = ("npm-shrinkwrap.json", "package-lock.json")
_NOISE: Final = frozenset({".package-lock.json", ".bin", ".cache", ".DS_Store", ".yarn-integrity", ".modules.yaml"})
_NOT_OF_A_MODULE: Final = frozenset({"node_modules", ".git", ".hg", ".svn", ".DS_Store", ".npmrc", ".env"})
"""What a module's directory may hold and its package would not: `.npmrc` and `.env` hold secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSource:
    """Packages of npm, and modules from directories.

    Attributes:
        package: A `package.json` with a `package-lock.json` (or `npm-shrinkwrap.json`) beside it, or their directory.
        packages: As npm takes them (`lodash`, `sharp@0.34.4`, `axios@^1`), resolved anew at each build.
        local: Directories of modules, which get the name that their package.json states, else the directory's.
        scripts: Names of packages whose install scripts are run; nobody else's are.
        by_version: Whether they go to `nodejs/nodeNN/node_modules` of each runtime, not to `nodejs/node_modules`.
    """

    package: Path | None = None
    packages: tuple[str, ...] = ()
    local: tuple[Path, ...] = ()
    scripts: tuple[str, ...] = ()
    by_version: bool = False

    def collect(self, target: Target, into: Path, progress: Progress) -> Collected:
        """As `Source.collect`.

        Raises:
            LayerBuildError: There is no npm, no lock, no such package, no network.
        """
        if self.package is not None and self.packages:
            raise LayerBuildError("Packages are named in a package.json or one by one, not both")
        versions = [facts.version for facts in target.facts if facts.language is Language.NODE]
        directories = _directories(versions, by_version=self.by_version)
        packages: list[Package] = []
        warnings: list[str] = []
        if self.package is not None or self.packages:
            npm = Npm.find()
            with tempfile.TemporaryDirectory(prefix="lamella-node-") as scratch:
                work = Path(scratch).resolve()
                if self.package is not None:
                    project = _copy_project(self.package, work)
                else:
                    project = work
                    _write_project(self.packages, work)
                    progress(f"Resolving {', '.join(self.packages)}")
                    npm.lock(work)
                    warnings.append(
                        "The versions of Node packages were chosen now: a package.json with a lock pins them"
                    )
                progress(f"Installing Node packages for linux-{target.architecture}")
                installed = npm.install(work, target.architecture)
                warnings += self._run_scripts(npm, installed, work, target.architecture)
                warnings += _engine_warnings(npm, installed, versions)
                for directory in directories:
                    _copy_modules(work / "node_modules", work, project, into / directory)
            for package, binary in missing_binaries(installed, target.architecture):
                warnings.append(
                    f"{package} has its binaries in {binary}, which the lock does not name, for it was made on another "
                    "machine: remove node_modules and the lock, and run npm install anew"
                )
            packages += _packages(installed, directories[0])
        for module in self.local:
            name, depends = _copy_local(module, [into / directory for directory in directories])
            missing = [need for need in depends if not (into / directories[0] / need).is_dir()]
            if missing:
                warnings.append(f"The module {name} depends on {', '.join(missing)}, which this source does not bring")
        return Collected(tuple(packages), tuple(warnings))

    def _run_scripts(
        self, npm: Npm, installed: Sequence[Installed], work: Path, architecture: Architecture
    ) -> list[str]:
        """Run the scripts that the user allows; returns what to warn of."""
        unknown = set(self.scripts) - {package.name for package in installed}
        if unknown:
            raise LayerBuildError(f"No package is installed whose scripts are allowed: {', '.join(sorted(unknown))}")
        warnings: list[str] = []
        wanting = {package.name for package in installed if package.facts.get("hasInstallScript")}
        if self.scripts:
            if architecture is not _this_architecture():
                raise LayerBuildError(
                    f"Install scripts of {', '.join(self.scripts)} would build for this machine, and the layer is for "
                    f"{architecture}: build it on such a machine, or choose packages that come with binaries"
                )
            npm.run_scripts(work, self.scripts)
            warnings.append(
                f"Install scripts of {', '.join(self.scripts)} were run: what they left depends on this machine, and "
                "may want a newer C library than Lambda's"
            )
        left = sorted(wanting - set(self.scripts))
        if left:
            warnings.append(
                f"{', '.join(left)}: install scripts were not run. If something is missing when they are required, "
                "name them in `scripts`"
            )
        return warnings


def _directories(versions: Sequence[str], *, by_version: bool) -> list[str]:
    if not by_version:
        return ["nodejs/node_modules"]
    if not versions:
        raise LayerBuildError("Node packages by version of Node need a Node runtime among the layer's runtimes")
    return [f"nodejs/node{version}/node_modules" for version in versions]


def _this_architecture() -> Architecture | None:
    return {"x86_64": Architecture.X86_64, "aarch64": Architecture.ARM64}.get(platform.machine())


def _write_project(packages: Sequence[str], work: Path) -> None:
    dependencies: dict[str, str] = {}
    for package in packages:
        name, separator, version = package[1:].partition("@")
        name = package[0] + name
        if not name.strip("@") or name in dependencies:
            raise LayerBuildError(f"{package!r} does not name a package, or one that is named twice")
        dependencies[name] = version if separator else "latest"
    document = {"name": "layer", "version": "0.0.0", "private": True, "dependencies": dependencies}
    (work / "package.json").write_text(json.dumps(document), encoding="utf-8")


def _copy_project(package: Path, work: Path) -> Path:
    """Copy what npm needs of a project, so that its own `node_modules` stays as it is; returns its directory."""
    project = package.parent if package.name == "package.json" else package
    if not (project / "package.json").is_file():
        raise LayerBuildError(f"There is no package.json in {project}")
    lock = next((project / name for name in _LOCKS if (project / name).is_file()), None)
    if lock is None:
        others = [name for name in ("yarn.lock", "pnpm-lock.yaml", "bun.lock") if (project / name).exists()]
        instead = f" ({others[0]} is not read)" if others else ""
        raise LayerBuildError(
            f"There is no package-lock.json in {project}{instead}, so nothing says which versions go into the layer: "
            "make one with npm install --package-lock-only"
        )
    try:
        document: Any = json.loads(lock.read_text(encoding="utf-8"))
        places = list(document["packages"].keys())
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise LayerBuildError(
            f"{lock} cannot be read as a lock of npm 7 or newer: make it anew with npm install --package-lock-only"
        ) from error
    shutil.copyfile(project / "package.json", work / "package.json")
    shutil.copyfile(lock, work / lock.name)
    if (project / ".npmrc").is_file():
        shutil.copyfile(project / ".npmrc", work / ".npmrc")
    for name in places:
        if not name or "node_modules" in PurePosixPath(name).parts:
            continue
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise LayerBuildError(f"{lock} names {name}, which lies outside of {project}: give it as a local module")
        if (project / name / "package.json").is_file():  # a workspace, or a module given by its directory
            (work / name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project / name / "package.json", work / name / "package.json")
    return project


def _copy_modules(modules: Path, work: Path, project: Path, into: Path) -> None:
    """Copy what npm installed, without what it keeps for itself; links become what they lead to in the project."""
    if not modules.is_dir():
        return
    for path in sorted(modules.rglob("*")):
        name = path.relative_to(modules)
        if _NOISE.intersection(name.parts):
            continue
        if path.is_symlink():
            resolved = path.resolve()
            if not resolved.is_relative_to(work):
                raise LayerBuildError(f"The package {name} leads out of {project}: give it as a local module")
            place_of = resolved.relative_to(work)
            _copy_directory(project / place_of, into / name)
            _copy_modules(work / place_of / "node_modules", work, project, into / name / "node_modules")
        elif path.is_file():
            place(path, into / name, executable=bool(path.stat().st_mode & 0o100))


def _copy_directory(source: Path, into: Path) -> None:
    inside = source.resolve()
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            if _NOT_OF_A_MODULE.intersection(name.parts):
                continue
            raise LayerBuildError(f"The link {path} leads to {path.readlink()}, out of the module that is copied")
        if path.is_file() and not _NOT_OF_A_MODULE.intersection(name.parts):
            place(path, into / name, executable=bool(path.stat().st_mode & 0o100))


def _copy_local(module: Path, into: Sequence[Path]) -> tuple[str, list[str]]:
    """Copy a module; returns its name and what it depends on."""
    if not module.is_dir():
        raise LayerBuildError(f"There is no directory {module} of a module")
    name, depends = module.resolve().name, []
    if (module / "package.json").is_file():
        try:
            document: Any = json.loads((module / "package.json").read_text(encoding="utf-8"))
            name = str(document.get("name", name))
            depends = sorted(document.get("dependencies", {}))
        except (ValueError, AttributeError) as error:
            raise LayerBuildError(f"{module / 'package.json'} is damaged: {error}") from error
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or len(parts) > 2:
        raise LayerBuildError(f"{module / 'package.json'} states a name that no module can have")
    for directory in into:
        if (directory / name).exists():
            raise LayerBuildError(f"The module {name} of {module} is also a package of this layer")
        _copy_directory(module, directory / name)
    return name, depends


def _engine_warnings(npm: Npm, installed: Sequence[Installed], versions: Sequence[str]) -> list[str]:
    wants = [
        (package, str(package.facts["engines"]["node"]))
        for package in installed
        if isinstance(package.facts.get("engines"), dict) and package.facts["engines"].get("node")
    ]
    texts = sorted({text for _, text in wants})
    warnings: list[str] = []
    for version in versions:
        refused = {text for text, fits in zip(texts, npm.meets(version, texts), strict=True) if not fits}
        warnings += [
            f"{package.name} {package.version} wants Node {text}, and the runtime has Node {version}: choose a "
            "version that runs there, or a newer runtime"
            for package, text in wants
            if text in refused
        ]
    return warnings


def _packages(installed: Sequence[Installed], directory: str) -> list[Package]:
    above = directory.removesuffix("/node_modules")
    return [
        Package(
            Ecosystem.NPM, package.name, package.version, package.licence, f"{above}/{package.place}", package.digest
        )
        for package in installed
        if not package.facts.get("link")
    ]
