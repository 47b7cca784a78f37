"""The part of a root tree that makes it a Java runtime: `/var/lang` from a host's JDK, `/var/runtime` from AWS."""

import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from lamella.domain.function import Architecture
from lamella.elf import ElfError, is_elf
from lamella.runtimes.base import bootstrap
from lamella.runtimes.clients import from_maven, obtain, pinned
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.interpreters import trusted
from lamella.runtimes.java_archive import ARCHIVE, archive_classes
from lamella.runtimes.system import host_architecture
from lamella.runtimes.tree import RootTree, try_program

RESOURCES: Final = resources.files("lamella.runtimes") / "resources" / "java"

OLDEST: Final = 11

# What only compiling, reading or another JVM needs: modules to link from, sources, manuals, and the archives of classes
# for heaps that no function has.
_NOT_IN_PACK: Final = frozenset({"jmods", "src.zip", "man", "include", "demo", "sample", "docs", "ct.sym"})
_NOT_ARCHIVES: Final = ("classes_nocoops", "classes_coh")
# Modules that programs use, and are not part of java.se; until which release they were modules of their own.
_MODULES: Final = dict.fromkeys(
    (
        *("java.se", "java.smartcardio", "jdk.charsets", "jdk.crypto.cryptoki", "jdk.httpserver", "jdk.localedata"),
        *("jdk.management", "jdk.naming.dns", "jdk.net", "jdk.nio.mapmode", "jdk.security.auth", "jdk.security.jgss"),
        *("jdk.unsupported", "jdk.xml.dom", "jdk.zipfs"),
    ),
    999,
) | {"jdk.random": 23}
_NATIVE: Final = {
    Architecture.X86_64: "libaws-lambda-jni.linux-x86_64.so",
    Architecture.ARM64: "libaws-lambda-jni.linux-aarch_64.so",
}


@dataclass(frozen=True, slots=True)
class Jdk:
    """A Java on this host: a JDK, or a JRE, which does.

    Attributes:
        home: Its directory, without links.
        release: Feature release, e.g. 17.
    """

    home: Path
    release: int

    @property
    def runtime(self) -> str:
        """The Lambda runtime it can be, e.g. `java17`."""
        return f"java{self.release}"


def probe(path: Path) -> Jdk:
    """Ask a `java` what it is.

    Raises:
        PackBuildError: It does not run, is no HotSpot on glibc, or is too old.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAVA", "JDK", "_JAVA"))}
    try:
        result = subprocess.run(
            [path, "-XshowSettings:properties", "-version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd="/",
            env=environment,
        )
        facts = dict(
            re.findall(
                r"^ +(java\.home|java\.specification\.version|java\.vm\.name) = (.*)$", result.stderr, re.MULTILINE
            )
        )
        home = Path(facts["java.home"]).resolve()
        release = int(facts["java.specification.version"].removeprefix("1."))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        detail = getattr(error, "stderr", None) or error
        raise PackBuildError(f"{path} does not run as Java: {str(detail).strip()}") from error
    if release < OLDEST:
        raise PackBuildError(f"{path} is Java {release}; the oldest that Lamella makes a runtime of is {OLDEST}")
    if "OpenJ9" in facts.get("java.vm.name", "") or not (home / "lib/server/libjvm.so").is_file():
        raise PackBuildError(f"{path} is {facts.get('java.vm.name')}; Lambda's Java runtimes are HotSpot's server VM")
    return Jdk(home, release)


def candidates() -> Iterator[Path]:
    """Programs that may be Java, best first: what this environment names, then those of the system and of managers."""
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"]) / "bin/java"
    on_path = shutil.which("java", path=f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin")
    if on_path is not None:
        yield Path(on_path)
    home = Path.home()
    for directory in (
        "/usr/lib/jvm",
        "/usr/lib64/jvm",
        "/usr/java",
        "/opt",
        home / ".sdkman/candidates/java",
        home / ".jdks",
    ):
        yield from sorted(Path(directory).glob("*/bin/java"), reverse=True)


def find_java(runtime: str) -> Jdk | None:
    """The best Java on this host for a runtime name; never another version."""
    seen: set[Path] = set()
    for path in candidates():
        real = path.resolve()
        if real in seen or not real.is_file():
            continue
        seen.add(real)
        try:
            jdk = probe(trusted(path))
        except PackBuildError:
            continue  # broken, too old, another VM, or another user's; the next may do
        if jdk.runtime == runtime:
            return jdk
    return None


def populate_java(tree: RootTree, jdk: Jdk, kept: Path) -> list[str]:
    """Add a Java runtime to a tree that has the base.

    Args:
        tree: With the base.
        jdk: What to copy.
        kept: Directory where AWS's client is kept from one build to the next.

    Returns:
        Remarks on what this Java does not have.

    Raises:
        PackBuildError: A library is missing, or AWS's runtime client could not be fetched.
    """
    jars = obtain(kept, pinned("java"), from_maven(RESOURCES.joinpath("pom.xml").read_text()))
    remarks = _copy_language(tree, jdk)
    for jar in jars:
        tree.write(f"/var/runtime/lib/{jar.name}", jar.read_bytes())  # not a source to be watched: it is pinned
    native = _NATIVE[host_architecture()]
    with zipfile.ZipFile(next(jar for jar in jars if "interface-client" in jar.name)) as client:
        # Else the client unpacks it into /tmp at each cold start.
        tree.write(f"/var/runtime/lib/jni/{native}", client.read(f"jni/{native}"))
    tree.add_libraries_of(tree.path(f"/var/runtime/lib/jni/{native}"))
    tree.symlink("/etc/pki/java/cacerts", "/var/lang/lib/security/cacerts")  # where AWS's client looks for it
    class_path = ":".join(f"/var/runtime/lib/{jar.name}" for jar in jars)
    options = [
        f"-Dcom.amazonaws.services.lambda.runtime.api.client.runtimeapi.NativeClient.JNI=/var/runtime/lib/jni/{native}"
    ]
    if jdk.release >= 24:
        # What AWS's client does with native code and memory is warned of on each start from here on.
        options += ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
    if jdk.release >= 17:
        options.append("-XX:+ErrorFileToStderr")
    problem = try_program(tree, "/var/lang/bin/java", "-XX:-UsePerfData", "-version")
    if problem:
        raise PackBuildError(f"{jdk.home} does not run with the files that were copied: {problem}")
    remark = archive_classes(tree, class_path, options)
    text = RESOURCES.joinpath("bootstrap.in").read_text()
    for mark, value in (("@CLASS_PATH@", class_path), ("@OPTIONS@", " ".join(options)), ("@ARCHIVE@", ARCHIVE)):
        text = text.replace(mark, value)
    tree.write("/var/runtime/bootstrap", bootstrap(text), executable=True)
    return [*remarks, *([remark] if remark else [])]


def _copy_language(tree: RootTree, jdk: Jdk) -> list[str]:
    """Copy the JDK's files; programs and libraries only if all they need is on this host."""
    files = list(_files(jdk.home))
    own = {file.name for file in files}
    lacking: list[str] = []
    for file in files:
        missing = _external(tree, file, own) if is_elf(file) else None
        if missing is not None:
            lacking.append(f"{file.name} ({missing})")
        else:
            tree.copy(file, f"/var/lang/{file.relative_to(jdk.home)}")
    remarks = _missing_modules(jdk)
    if lacking:
        remarks.append(f"Without what needs libraries that this host does not have: {', '.join(lacking)}")
    return remarks


def _missing_modules(jdk: Jdk) -> list[str]:
    """What a smaller Java than AWS's lacks of what programs use."""
    try:
        said = re.search(r'^MODULES="(.*)"$', (jdk.home / "release").read_text(), re.MULTILINE)
    except OSError:
        said = None
    if said is None:
        return []
    there = said[1].split()
    missing = [name for name, until in _MODULES.items() if name not in there and jdk.release < until]
    return [f"Without the modules {', '.join(missing)}, which AWS's runtime has"] if missing else []


def _files(home: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(home, followlinks=True):
        names[:] = sorted(name for name in names if name not in _NOT_IN_PACK)
        for name in sorted(files):
            path = Path(directory, name)
            if name not in _NOT_IN_PACK and not name.startswith(_NOT_ARCHIVES) and path.is_file():
                yield path


def _external(tree: RootTree, file: Path, own: set[str]) -> str | None:
    """Copy the libraries that a file of the JDK needs from outside of it; the name of one that is not on this host."""
    try:
        elf = tree.finder.read(file)
    except ElfError as error:
        return str(error)
    found: dict[str, Path] = {}
    for name in elf.needed:
        if name in own:
            continue
        path = tree.finder.find(name, elf)
        if path is None:
            return name
        found[name] = path
    try:
        tree.add_libraries_of(*found.values())
    except PackBuildError as error:
        return str(error)
    for name, path in found.items():
        tree.copy(path, f"/usr/lib64/{name}")
    if elf.interpreter is not None:
        tree.copy(Path(elf.interpreter), elf.interpreter)
    return None
