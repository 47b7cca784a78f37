"""Layers of Node packages, from the registry and from this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.languages import put_npm_on_path

from lamella.domain.function import Architecture
from lamella.layers.build.node import NodeSource
from lamella.layers.build.sources import Target
from lamella.layers.errors import LayerBuildError
from lamella.layers.packages import Ecosystem


@pytest.fixture(scope="module", autouse=True)
def npm(tmp_path_factory: pytest.TempPathFactory) -> None:
    put_npm_on_path(tmp_path_factory.mktemp("npm"))


X86_64 = Target(("nodejs20.x",), Architecture.X86_64)
SHARP = {"sharp": "0.34.4"}

COLLECT = """
import sys
from pathlib import Path
from lamella.domain.function import Architecture
from lamella.layers.build.node import NodeSource
from lamella.layers.build.sources import Target
NodeSource(package=Path(sys.argv[1])).collect(Target(("nodejs20.x",), Architecture.ARM64), Path(sys.argv[2]), print)
"""


def silent(message: str) -> None:
    del message


def lock(directory: Path) -> None:
    command = ["npm", "install", "--package-lock-only", "--ignore-scripts", "--prefer-offline", "--no-audit"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)


def project(directory: Path, dependencies: dict[str, str], *, locked: bool = True) -> Path:
    """A project of npm; its lock is made by npm."""
    directory.mkdir()
    document = {"name": "mine", "version": "1.0.0", "dependencies": dependencies}
    (directory / "package.json").write_text(json.dumps(document))
    if locked:
        lock(directory)
    return directory


def listing(directory: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in files}


@pytest.mark.network
def test_binaries_are_the_targets_and_the_same_lock_gives_the_same_files(tmp_path: Path) -> None:
    mine = project(tmp_path / "mine", SHARP)
    (mine / "node_modules").mkdir()
    (mine / "node_modules" / "stale.js").write_text("not of the lock")
    built = []
    for name, umask in (("one", 0o022), ("two", 0o077)):
        (tmp_path / name).mkdir()
        subprocess.run(
            [sys.executable, "-c", COLLECT, mine / "package.json", tmp_path / name / "opt"],
            check=True,
            umask=umask,
            cwd=tmp_path / name,
            env=os.environ | {"TMPDIR": str(tmp_path / name), "TZ": "Asia/Tokyo" if name == "two" else "UTC"},
        )
        built.append(listing(tmp_path / name / "opt"))
    assert built[0] == built[1]
    names = {name.removeprefix("nodejs/node_modules/") for name in built[0]}
    assert "@img/sharp-linux-arm64/lib/sharp-linux-arm64.node" in names
    assert not [name for name in names if any(part in name for part in ("x64", "darwin", ".package-lock", ".bin"))]
    assert {mode for _, mode in built[0].values()} <= {0o644, 0o755}
    assert "stale.js" in {path.name for path in (mine / "node_modules").iterdir()}


@pytest.mark.network
def test_packages_are_named_with_licences_and_can_be_required(tmp_path: Path) -> None:
    collected = NodeSource(packages=("sharp@0.34.4", "lodash@4.17.21")).collect(X86_64, tmp_path, silent)
    (lodash,) = [package for package in collected.packages if package.name == "lodash"]
    assert (lodash.ecosystem, lodash.version, lodash.licence) == (Ecosystem.NPM, "4.17.21", "MIT")
    assert lodash.directory == "nodejs/node_modules/lodash"
    assert any("a package.json with a lock pins them" in warning for warning in collected.warnings)
    assert any(warning.startswith("sharp: install scripts were not run") for warning in collected.warnings)
    if os.uname().machine == "x86_64":
        program = "require('lodash'); require('sharp')({create: {width: 4, height: 3, channels: 3, background: 'red'}})"
        program += ".png().toBuffer({resolveWithObject: true}).then(({info}) => console.log(info.width, info.format))"
        run = subprocess.run(
            ["node", "-e", program],
            env=os.environ | {"NODE_PATH": str(tmp_path / "nodejs/node_modules")},
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
        )
        assert run.stdout == "4 png\n"


@pytest.mark.network
def test_packages_that_want_another_node_are_named(tmp_path: Path) -> None:
    target = Target(("nodejs16.x", "nodejs20.x"), Architecture.X86_64)
    collected = NodeSource(packages=("p-limit@6.2.0",), by_version=True).collect(target, tmp_path, silent)
    wanting = [warning.partition(":")[0] for warning in collected.warnings if " wants Node " in warning]
    assert "p-limit 6.2.0 wants Node >=18, and the runtime has Node 16" in wanting
    assert not [warning for warning in wanting if warning.endswith("Node 20")]
    assert (tmp_path / "nodejs/node16/node_modules/p-limit/index.js").is_file()
    assert (tmp_path / "nodejs/node20/node_modules/p-limit/index.js").is_file()


def test_links_out_of_a_local_module_are_refused(tmp_path: Path) -> None:
    """Whoever wrote the module would have another's files published."""
    module, secret = tmp_path / "module", tmp_path / "credentials"
    module.mkdir()
    secret.write_text("secret")
    (module / "inside.js").write_text("")
    (module / "again.js").symlink_to("inside.js")
    NodeSource(local=(module,)).collect(X86_64, tmp_path / "opt", silent)
    (module / "data").symlink_to(secret)
    with pytest.raises(LayerBuildError, match="out of the module"):
        NodeSource(local=(module,)).collect(X86_64, tmp_path / "another", silent)


def test_local_modules_keep_their_name_and_leave_secrets_at_home(tmp_path: Path) -> None:
    module = tmp_path / "checkout"
    (module / "lib").mkdir(parents=True)
    (module / "package.json").write_text(json.dumps({"name": "@mine/tool", "dependencies": {"lodash": "*"}}))
    (module / "lib" / "index.js").write_text("module.exports = 1")
    (module / ".npmrc").write_text("//registry/:_authToken=secret")
    (module / "node_modules").mkdir()
    (module / "node_modules" / "x.js").write_text("")
    collected = NodeSource(local=(module,)).collect(X86_64, tmp_path / "opt", silent)
    assert set(listing(tmp_path / "opt")) == {
        "nodejs/node_modules/@mine/tool/package.json",
        "nodejs/node_modules/@mine/tool/lib/index.js",
    }
    assert collected.warnings == ("The module @mine/tool depends on lodash, which this source does not bring",)


def test_workspaces_are_copied_into_the_layer(tmp_path: Path) -> None:
    mine = project(tmp_path / "mine", {"@mine/part": "1.0.0"}, locked=False)
    document = json.loads((mine / "package.json").read_text()) | {"workspaces": ["parts/*"]}
    (mine / "package.json").write_text(json.dumps(document))
    (mine / "parts" / "one").mkdir(parents=True)
    (mine / "parts" / "one" / "package.json").write_text(json.dumps({"name": "@mine/part", "version": "1.0.0"}))
    (mine / "parts" / "one" / "index.js").write_text("module.exports = 1")
    lock(mine)
    NodeSource(package=mine).collect(X86_64, tmp_path / "opt", silent)
    assert set(listing(tmp_path / "opt")) == {
        "nodejs/node_modules/@mine/part/package.json",
        "nodejs/node_modules/@mine/part/index.js",
    }
    assert not [path for path in (tmp_path / "opt").rglob("*") if path.is_symlink()]


def test_a_project_without_a_usable_lock_is_refused(tmp_path: Path) -> None:
    mine = project(tmp_path / "mine", {}, locked=False)
    (mine / "yarn.lock").write_text("")
    with pytest.raises(LayerBuildError, match=r"no package-lock\.json .*yarn\.lock is not read.*--package-lock-only"):
        NodeSource(package=mine).collect(X86_64, tmp_path, silent)
    (mine / "package-lock.json").write_text("[]")
    with pytest.raises(LayerBuildError, match="cannot be read as a lock"):
        NodeSource(package=mine).collect(X86_64, tmp_path, silent)
    for name in ("../elsewhere", "a/../../elsewhere", "/etc"):
        (mine / "package-lock.json").write_text(json.dumps({"lockfileVersion": 3, "packages": {"": {}, name: {}}}))
        with pytest.raises(LayerBuildError, match="lies outside"):
            NodeSource(package=mine).collect(X86_64, tmp_path, silent)


def test_a_lock_that_is_not_of_the_package_is_refused(tmp_path: Path) -> None:
    mine = project(tmp_path / "mine", {})
    (mine / "package.json").write_text(json.dumps({"name": "mine", "dependencies": {"lodash": "4.17.21"}}))
    with pytest.raises(LayerBuildError, match="do not go together"):
        NodeSource(package=mine).collect(X86_64, tmp_path, silent)


def test_a_machine_without_npm_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LayerBuildError, match="no npm on PATH: install"):
        NodeSource(packages=("lodash",)).collect(X86_64, tmp_path, silent)


def test_an_unreachable_registry_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(LayerBuildError, match="registry of npm cannot be reached"):
        NodeSource(packages=("lodash",)).collect(X86_64, tmp_path, silent)
