"""The part of a root tree that makes it a Python runtime: `/var/lang` from a CPython, `/var/runtime` from AWS."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Final

import uv

from lamella.domain.function import Architecture
from lamella.elf import is_elf
from lamella.runtimes.base import bootstrap
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.interpreters import Interpreter, find_interpreter
from lamella.runtimes.tree import SEARCH_PATH, RootTree, chroot_program, try_program

RESOURCES: Final = resources.files("lamella.runtimes") / "resources" / "python"

# Test suites, graphical programs, what builds extension modules, and what other packages put there.
_NOT_IN_PACK: Final = frozenset(
    {
        *(
            "test",
            "tests",
            "idlelib",
            "tkinter",
            "turtledemo",
            "turtle.py",
            "ensurepip",
            "site-packages",
            "dist-packages",
        ),
        *("__pycache__", "lib-dynload", "EXTERNALLY-MANAGED", "sitecustomize.py"),
    }
)
# Extension modules that only tests and graphical programs use.
_NOT_EXTENSIONS: Final = ("_tkinter", "_test", "_xxtest", "xxlimited", "_ctypes_test", "_xxsubinterpreters")
_UV_PLATFORM: Final = {
    Architecture.X86_64: "x86_64-manylinux2014",
    Architecture.ARM64: "aarch64-manylinux2014",
}


def populate_python(tree: RootTree, interpreter: Interpreter) -> list[str]:
    """Add a Python runtime to a tree that has the base.

    Returns:
        Remarks on what this interpreter does not have.

    Raises:
        PackBuildError: A library is missing, or AWS's runtime client could not be fetched.
    """
    remarks = _copy_language(tree, interpreter)
    _install_clients(tree.mkdir("/var/runtime"), interpreter, tree.system.architecture)
    name = interpreter.runtime
    script = RESOURCES.joinpath("bootstrap.in").read_text().replace("@PYTHON@", name)
    tree.write("/var/runtime/bootstrap", bootstrap(script), executable=True)
    tree.write("/var/runtime/bootstrap.py", RESOURCES.joinpath("bootstrap.py.in").read_bytes())
    tree.add_libraries_of(*_native(tree.path("/var/runtime").rglob("*.so")))
    return remarks + _compile(tree, interpreter, "/var/lang", "/var/runtime")


def _copy_language(tree: RootTree, interpreter: Interpreter) -> list[str]:
    name = interpreter.runtime
    tree.copy_program(interpreter.executable, f"/var/lang/bin/{name}")
    tree.symlink("/var/lang/bin/python3", name)
    tree.symlink("/var/lang/bin/python", name)

    # CPython finds its library by the landmark <prefix>/<platlibdir>/python3.X/os.py, upwards from the program: so the
    # copy works wherever it lies, whatever prefix it was configured with.
    inside = f"/var/lang/{interpreter.platlibdir}/{name}"
    stdlib = tree.mkdir(inside)
    take = tree.system.take
    shutil.copytree(interpreter.stdlib, stdlib, symlinks=True, dirs_exist_ok=True, ignore=_left_out, copy_function=take)
    for link in [path for path in stdlib.rglob("*") if path.is_symlink()]:
        if link.readlink().is_absolute():
            link.unlink()  # into the host's /etc or /usr/share
    (stdlib / "site-packages").mkdir()
    if interpreter.platlibdir != "lib":
        tree.symlink("/var/lang/lib", interpreter.platlibdir)

    # Extension modules; those whose libraries this host lacks could not be imported here either.
    remarks: list[str] = []
    for module in sorted(interpreter.dynload.glob("*.so")):
        if module.name.startswith(_NOT_EXTENSIONS):
            continue
        try:
            tree.add_libraries_of(module)
        except PackBuildError as error:
            remarks.append(f"Without the module {module.name.partition('.')[0]}: {error}")
        else:
            tree.copy(module, f"{inside}/lib-dynload/{module.name}")

    # A shared libpython came along with the program's libraries; programs that embed Python look for it here.
    for library in tree.path("/usr/lib64").glob("libpython3*"):
        tree.symlink(f"/var/lang/lib/{library.name}", f"/usr/lib64/{library.name}")
    if interpreter.ca_file:
        tree.symlink(interpreter.ca_file, "/etc/ssl/certs/ca-certificates.crt")
    return remarks


def _left_out(directory: str, names: list[str]) -> set[str]:
    del directory
    return {name for name in names if name in _NOT_IN_PACK or name.startswith(("config-", "libpython"))}


def _native(files: Iterable[Path]) -> list[Path]:
    return [file for file in sorted(files) if is_elf(file)]


def _install_clients(target: Path, interpreter: Interpreter, architecture: Architecture) -> None:
    """Install AWS's runtime client and SDK, at the pinned versions, from uv's cache or else from the package index."""
    with resources.as_file(RESOURCES / "clients.txt") as requirements, tempfile.TemporaryDirectory() as scratch:
        command = [
            *(os.fsdecode(uv.find_uv_bin()), "pip", "install", "--target", str(target), "--python", sys.executable),
            *("--python-version", ".".join(str(part) for part in interpreter.version)),
            *("--python-platform", _UV_PLATFORM[architecture]),
            *("--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile-bytecode"),
            # Not hard links into uv's cache: the pack sets owner and modes of its files.
            *("--link-mode", "copy", "--requirement", str(requirements)),
        ]
        # Versions and hashes are fixed, so the cache gives what the index would: no network unless it is needed.
        result = subprocess.run([*command, "--offline"], capture_output=True, text=True, check=False, cwd=scratch)
        if result.returncode != 0:
            result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=scratch)
        if result.returncode != 0:
            raise PackBuildError(
                f"Cannot fetch AWS's runtime client for {interpreter.runtime}: {result.stderr.strip()}\n"
                "It is needed once, from the package index that uv is configured for; later builds use uv's cache."
            )
    _drop_scripts(target)
    (target / ".lock").unlink(missing_ok=True)


def _drop_scripts(target: Path) -> None:
    """Take console scripts away, whose first line names the interpreter that Lamella itself runs with.

    And out of the lists of what was installed, which have their digests: a pack is named by its bytes, and these would
    differ from one place of Lamella to the next.
    """
    shutil.rmtree(target / "bin", ignore_errors=True)
    for record in target.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(("bin/", "../"))]
        if kept != lines:
            record.write_text("".join(kept))


def _compile(tree: RootTree, interpreter: Interpreter, *insides: str) -> list[str]:
    """Compile all modules: the tree is read-only in the sandbox, so that a cold start could not keep what it compiles.

    Unchecked, because the modification times of an immutable tree mean nothing.

    Returns:
        A remark if nothing on this host can compile them.
    """
    compiler = _compiler(tree, interpreter)
    if compiler is None:
        return [
            f"Its modules are not compiled, for which this host needs a {interpreter.runtime}: cold starts take longer"
        ]
    program, at = compiler
    rooted = at is str
    for inside in insides:
        command = [*program, "-s", "-S", "-m", "compileall", "-q", "-j", "0"]
        command += ["--invalidation-mode", "unchecked-hash", "-d", inside, at(inside)]
        # A fixed seed, because the order of set constants follows it and the pack is named by its bytes.
        environment = {"PYTHONHASHSEED": "0", "LC_ALL": "C", **({"LD_LIBRARY_PATH": SEARCH_PATH} if rooted else {})}
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=environment)
        # Status 1: some file does not compile, such as examples of broken code; it fails at import, as on the host.
        if result.returncode not in {0, 1}:
            raise PackBuildError(f"{interpreter.executable} cannot compile its library: {result.stderr.strip()}")
    return []


def _compiler(tree: RootTree, interpreter: Interpreter) -> tuple[list[str], Callable[[str], str]] | None:
    """What compiles the modules of a tree, and where it finds what is at a path inside of it; `None` if nothing does.

    That of the tree itself if it is the host's, else another of the same version, whose compiled files are the same
    for every machine, else that of the tree inside of it.
    """
    own = interpreter if tree.system.is_host else find_interpreter(interpreter.runtime)
    if own is not None:
        return [str(own.executable)], lambda inside: str(tree.path(inside))
    program, chroot = f"/var/lang/bin/{interpreter.runtime}", chroot_program()
    if chroot is None or try_program(tree, program, "-c", "0") is not None:
        return None
    return [chroot, str(tree.root), program], str
