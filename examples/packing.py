"""Makes the examples' zip archives: a directory as it is, or a layer with a program of this machine.

python examples/packing.py tree DIRECTORY OUT.zip
python examples/packing.py php OUT.zip
python examples/packing.py python OUT.zip
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Parts of the C library belong to the runtime: a program must use those that its loader belongs to.
C_LIBRARY = re.compile(r"ld-linux.*|lib(c|m|dl|pthread|rt|resolv|util|anl|gcc_s|stdc\+\+)\.so\..*|libnsl\.so\.1")

# Of Python's library: what only tests, graphical programs and installers use, and what other packages put there.
NOT_IN_LAYER = shutil.ignore_patterns(
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "__pycache__"),
    *("site-packages", "dist-packages", "config-*", "sitecustomize.py", "EXTERNALLY-MANAGED", "_test*.so", "_tkinter*"),
)


def zip_tree(directory: Path, output: Path) -> None:
    """Like `cd DIRECTORY && zip -r OUTPUT .`, but with the same bytes each time.

    The x bits are kept: a `bootstrap` that is not executable does not start.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(path.relative_to(directory).as_posix())  # its time is 1980-01-01
            info.external_attr = (stat.S_IFREG | (0o755 if os.access(path, os.X_OK) else 0o644)) << 16
            info.create_system = 3  # Unix: else the modes do not count
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())


def php_layer(output: Path) -> str:
    """A layer with `bootstrap`, `php` and `runtime.php` at its root, and in `lib` what `php` needs.

    Returns:
        What was packed, in words.
    """
    found = shutil.which("php")
    if found is None:
        sys.exit("There is no php on this machine; on Debian and Ubuntu: apt-get install php-cli")
    php = Path(found).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        shutil.copytree(HERE / "php-runtime" / "layer", tree, dirs_exist_ok=True)
        shutil.copy(php, tree / "php")
        count = copy_libraries([php], tree / "lib")
        zip_tree(tree, output)
    return f"{php} and {count} libraries"


def python_layer(output: Path) -> str:
    """A layer with the CPython that runs this script: `bin/python3`, its library, and the shared libraries it needs.

    CPython finds its library from where it lies itself, so it works in /opt, wherever it was installed before.

    Returns:
        What was packed, in words.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = Path(sys.base_prefix) / "bin" / name
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        (tree / "bin").mkdir()
        shutil.copy(program.resolve(), tree / "bin" / "python3")
        library = tree / "lib" / name
        shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=NOT_IN_LAYER, ignore_dangling_symlinks=True)
        count = copy_libraries([program, *library.rglob("*.so")], tree / "lib")
        # /opt is read-only, so nothing compiled there could be kept: compile it now. Unchecked, because unzipping
        # changes the times that Python would compare; a fixed seed, because the order of set constants follows it.
        command = [program, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
        subprocess.run([*command, "-s", tree, "-p", "/opt", library], check=True, stdout=2, env={"PYTHONHASHSEED": "0"})
        zip_tree(tree, output)
    return f"{program} and {count} libraries"


def copy_libraries(programs: Iterable[Path], directory: Path) -> int:
    """Copy the shared libraries that programs need, but for the C library's; returns how many."""
    needed = {name: path for program in programs for name, path in libraries_of(program)}
    directory.mkdir(exist_ok=True)
    for name, path in needed.items():
        shutil.copy(path, directory / name)
        (directory / name).chmod(0o644)
    return len(needed)


def libraries_of(program: Path) -> Iterator[tuple[str, str]]:
    """Names and paths of the libraries that the loader would load for a program."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for name, path in re.findall(r"^\s*(\S+) => (/\S+)", listing, re.MULTILINE):
        if not C_LIBRARY.fullmatch(name):
            yield name, path


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["tree", directory, output]:
            zip_tree(Path(directory), Path(output))
        case ["php", output]:
            print(php_layer(Path(output)))
        case ["python", output]:
            print(python_layer(Path(output)))
        case _:
            sys.exit(__doc__)
