"""The part of a root tree that makes it a Ruby runtime: Ruby from Debian's packages, a runtime client of our own.

Debian's Ruby looks for its library where Debian has it, so that is where it stays; `/var/lang/bin` has its programs.
AWS's client is published at rubygems.org alone and comes with no package of Debian's.
"""

import re
import shutil
from importlib import resources
from pathlib import Path
from typing import Final

from lamella.elf import is_elf
from lamella.runtimes.base import bootstrap
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.tree import RootTree, try_program

RESOURCES: Final = resources.files("lamella.runtimes") / "resources" / "ruby"

_PROGRAMS: Final = ("erb", "gem", "irb", "rake", "rdoc", "ri")
_SCRIPT: Final = re.compile(rb"#!/usr/bin/ruby[\d.]*(?=[ \n])")
# Generators of documentation and types, which link to packages that are not here.
_NOT_IN_PACK: Final = shutil.ignore_patterns("fonts", "jquery.js", "rbs-*", "typeprof-*")


def populate_ruby(tree: RootTree, release: str) -> list[str]:
    """Add a Ruby runtime to a tree that has the base.

    Args:
        tree: With the base, of a system that has Ruby.
        release: `3.3`.

    Returns:
        Remarks on what this Ruby does not have.

    Raises:
        PackBuildError: A library is missing, or Ruby does not run with what was copied.
    """
    abi = f"{release}.0"
    tree.copy_program(tree.system.path(f"/usr/bin/ruby{release}"), "/var/lang/bin/ruby")
    for directory in ("/usr/lib/ruby", f"/usr/lib/{tree.system.machine}-linux-gnu/ruby"):
        target = tree.mkdir(directory)
        shutil.copytree(
            tree.system.path(directory),
            target,
            symlinks=True,
            dirs_exist_ok=True,
            ignore=_NOT_IN_PACK,
            copy_function=tree.system.take,
        )
        tree.add_libraries_of(*(path for path in sorted(target.rglob("*.so")) if is_elf(path)))
    tree.symlink("/usr/bin/ruby", "/var/lang/bin/ruby")
    for name in _PROGRAMS:
        _add_script(tree, tree.system.path(f"/usr/bin/{name}"), name)
    # The gems that come with Ruby, where AWS's GEM_PATH has those of its runtime.
    tree.symlink(f"/var/runtime/ruby/{abi}", f"/usr/lib/ruby/gems/{abi}")
    for file in ("lambda_runtime.rb", *_parts()):
        tree.write(f"/var/runtime/lib/{file}", RESOURCES.joinpath(file).read_bytes())
    text = RESOURCES.joinpath("bootstrap.in").read_text().replace("@ABI@", abi)
    tree.write("/var/runtime/bootstrap", bootstrap(text), executable=True)
    if tree.system.runs_here:
        problem = try_program(tree, "/var/lang/bin/ruby", "-e", "require 'net/http'; require 'openssl'; require 'json'")
        if problem:
            raise PackBuildError(f"Ruby {release} does not run with the files that were copied: {problem}")
    return ["Without AWS's SDK for Ruby: put aws-sdk-* gems into a layer (ruby/gems) or with the function"]


def _parts() -> list[str]:
    return sorted(f"lambda_runtime/{file.name}" for file in RESOURCES.joinpath("lambda_runtime").iterdir())


def _add_script(tree: RootTree, source: Path, name: str) -> None:
    """A program that is written in Ruby, with the interpreter's place in the tree."""
    if source.is_file():
        script = _SCRIPT.sub(b"#!/var/lang/bin/ruby", source.read_bytes(), count=1)
        tree.write(f"/var/lang/bin/{name}", script, executable=True)
