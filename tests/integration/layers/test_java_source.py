"""Layers of jars, from Maven's repositories and from this machine."""

import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.layers.build.java import JavaSource, class_version, read_gradle_lock
from lamella.layers.build.sources import Target
from lamella.layers.errors import LayerBuildError

needs_maven = pytest.mark.skipif(shutil.which("mvn") is None, reason="needs Maven")
JAVA17 = Target(("java17",), Architecture.X86_64)
DRIVER = "org.postgresql:postgresql:42.7.4"


def silent(message: str) -> None:
    del message


def jar(path: Path, **versions: int) -> Path:
    """A jar with classes of these releases of Java; `__` in a name is a slash."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, java in versions.items():
            archive.writestr(
                f"{name.replace('__', '/')}.class", struct.pack(">IHH", 0xCAFEBABE, 0, 44 + java) + b"rest"
            )
    return path


@needs_maven
@pytest.mark.network
def test_a_driver_is_fetched_with_what_it_needs_and_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "é").mkdir()
    monkeypatch.chdir(tmp_path / "é")
    monkeypatch.setenv("LC_ALL", "de_XX.UTF-8")  # which no machine has, so that its letters are those of ASCII
    collected = JavaSource(coordinates=(DRIVER,)).collect(JAVA17, tmp_path, silent)
    found = {package.name: (package.version, package.licence, package.directory) for package in collected.packages}
    assert found["org.postgresql:postgresql"] == ("42.7.4", "BSD-2-Clause", "java/lib/postgresql-42.7.4.jar")
    assert "org.checkerframework:checker-qual" in found
    assert (collected.warnings, class_version(tmp_path / "java/lib/postgresql-42.7.4.jar")) == ((), 8)
    (tmp_path / "Load.java").write_text(
        'class Load { public static void main(String[] a) throws Exception { Class.forName("org.postgresql.Driver");'
        'System.out.println(java.sql.DriverManager.getDriver("jdbc:postgresql:x").getMajorVersion()); } }'
    )
    command = ["java", "-cp", f"{tmp_path}/java/lib/*", f"{tmp_path}/Load.java"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "42\n"


def test_a_lock_of_gradle_says_what_is_on_the_class_path_at_run_time(tmp_path: Path) -> None:
    lock = tmp_path / "gradle.lockfile"
    lines = ("# a comment", f"{DRIVER}=compileClasspath,runtimeClasspath", "junit:junit:4.13=testRuntimeClasspath")
    lock.write_text("\n".join([*lines, "com.fasterxml.jackson:jackson-bom:2.16.0=runtimeClasspath", "empty=x", ""]))
    assert [str(found) for found in read_gradle_lock(lock)] == [DRIVER]
    lock.write_text("empty=runtimeClasspath\n")
    with pytest.raises(LayerBuildError, match="nothing for the configuration runtimeClasspath"):
        read_gradle_lock(lock)


def test_jars_of_this_machine_keep_their_bytes(tmp_path: Path) -> None:
    mine = jar(tmp_path / "mine-1.2.jar", a__B=17, **{"META-INF__versions__21__a__B": 21})
    (tmp_path / "opt").mkdir()
    collected = JavaSource(jars=(mine,)).collect(JAVA17, tmp_path / "opt", silent)
    assert (tmp_path / "opt/java/lib/mine-1.2.jar").read_bytes() == mine.read_bytes()
    assert [(package.name, package.version) for package in collected.packages] == [("mine", "1.2")]
    assert collected.warnings == ()


def test_classes_for_a_newer_java_are_named(tmp_path: Path) -> None:
    mine = jar(tmp_path / "new.jar", A=8, B=21)
    target = Target(("java11", "java21"), Architecture.X86_64)
    collected = JavaSource(jars=(mine,)).collect(target, tmp_path / "opt", silent)
    (warning,) = collected.warnings
    assert warning.startswith("new.jar was compiled for Java 21, and java11 runs Java 11")


def test_what_cannot_be_taken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.jar").write_text("no zip")
    (tmp_path / "build.gradle").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    for source, words in (
        (JavaSource(jars=(tmp_path / "x.jar",)), "cannot be read as a jar"),
        (JavaSource(jars=(tmp_path / "none.jar",)), "There is no jar"),
        (JavaSource(), "No jar is left"),
        (JavaSource(coordinates=("a:b:1",)), "no mvn on PATH"),
    ):
        with pytest.raises(LayerBuildError, match=words):
            source.collect(JAVA17, tmp_path / "opt", silent)
    with pytest.raises(LayerBuildError, match=r"no lock .*build\.gradle itself is not read.*--write-locks"):
        read_gradle_lock(tmp_path / "gradle.lockfile")
