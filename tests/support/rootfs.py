"""A small root tree made of this host's own Python, bash and a few tools, for sandboxes under test."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PYTHON = str(Path(sys.executable).resolve())
TOOLS = ("/bin/bash", "/bin/cat", "/bin/ls", "/bin/id", "/bin/sleep")
_MOUNT_POINTS = ("var/task", "var/lang", "var/runtime", "opt", "tmp", "proc", "dev", "etc")


def assemble_root(root: Path) -> Path:
    """Fill `root` and return it. Files are linked, not copied, where they are on the same file system."""
    root.chmod(0o755)
    for name in _MOUNT_POINTS:
        (root / name).mkdir(parents=True)
    (root / "etc/passwd").write_text("sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n")
    (root / "etc/group").write_text("sbx_user1051:x:990:\n")
    (root / "etc/hosts").write_text("")
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    for program in (PYTHON, *TOOLS):
        add_program(root, Path(program))
    library = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix}))
    skipped = shutil.ignore_patterns("site-packages", "test", "__pycache__", "config-*", "idlelib", "dist-packages")
    shutil.copytree(library, root / library.relative_to("/"), ignore=skipped, copy_function=_link, symlinks=True)
    for module in (library / "lib-dynload").glob("*.so"):
        _add_libraries(root, module)
    return root


def add_program(root: Path, program: Path) -> None:
    """Put a program of the host, with the libraries it needs, at the same path below `root`."""
    _place(root, program)
    _add_libraries(root, program)


def _add_libraries(root: Path, program: Path) -> None:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    for word in listed.split():
        if word.startswith("/"):
            _place(root, Path(word))


def _place(root: Path, path: Path) -> None:
    target = root / path.relative_to("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(str(path.resolve()), str(target))


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
    return target
